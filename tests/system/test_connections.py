"""Stable connections: /api/chat/events and its requests, on two workers. That no stream shows a session that was not stated,
that no event is lost or doubled for any, that two who share an id end in peace, and that nothing is left behind."""

import http.client
import json
import os
import random
import signal
import threading
import time
import uuid

import pytest

from chat_client import ChatClient, new_cid
from ringside import Ringside, wait_for
from test_signalling import Socket

JSON = {"content-type": "application/json"}


@pytest.fixture
def r():
    with Ringside(workers=2) as ringside:
        yield ringside


@pytest.fixture
def clients(r):
    """A maker of clients, whose faults are looked at in the end."""
    made = []

    def make(*arguments, **options):
        made.append(ChatClient(r.address, *arguments, **options))
        return made[-1]
    yield make
    for client in made:
        client.stop()
    assert [client.faults for client in made] == [[] for _ in made]


def ask(r, method, path, body=None, headers=None):
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    status, got, answer = r.request(method, path, data, {**JSON, **(headers or {})})
    return status, json.loads(answer) if answer else None, got


def say(r, session, count=1, text="x"):
    """As an agent, or somebody elsewhere: `count` events."""
    for _ in range(count):
        status, answer, _ = ask(r, "POST", f"/v1/sessions/{session}/messages", {"content": text})
        assert status == 202, answer
    return answer["seq"]


def metric(r, name, headers=None):
    text = r.request("GET", "/metrics", None, headers or {})[2].decode()
    return sum(int(float(line.split()[-1])) for line in text.splitlines()
               if line.startswith((f"ringside_{name} ", f"ringside_{name}{{")))


def welcome(client, count=1):
    return wait_for(lambda: len(client.welcomes) >= count and client.welcomes[-1], "the welcome")


def caught_up(client, session, seq):
    wait_for(lambda: client.cursors.get(session) == seq, f"{session} up to {seq}")


# ---- the wire ----


def test_the_wire_as_its_clients_know_it(r, clients):
    say(r, "one")
    client = clients()
    first = welcome(client)
    assert {k: first[k] for k in ("type", "protocolVersion", "connectionId", "cidAccepted")} == {
        "type": "welcome", "protocolVersion": 2, "connectionId": client.asked, "cidAccepted": True}
    assert first["sessions"] == [] and first["heartbeatMs"] > 0 and first["expiryMs"] == 60000
    status, answer = client.watch("one")
    assert (status, answer["ok"]) == (200, True)
    wait_for(lambda: client.of("watched"), "watched")
    assert client.of("watched")[0]["sessionId"] == "one"
    seq = say(r, "one", text="hello")
    caught_up(client, "one", seq)
    event = client.of("chunk")[-1]
    assert (event["v"], event["sessionId"], event["seq"]) == (2, "one", seq)
    assert json.loads(event["value"]["chunk"])["message"]["parts"][0]["content"] == "hello"
    # Switching puts another one in the foreground, in place of the one before.
    say(r, "two")
    assert client.post("switch", {"sessionId": "two"}) == (200, {"ok": True})
    wait_for(lambda: client.of("session_switched"), "switched")
    client.cursors["two"] = client.of("watched")[-1]["seq"]
    assert client.post("switch", {"sessionId": None}) == (200, {"ok": True})
    wait_for(lambda: client.of("session_cleared"), "cleared")
    assert client.of("unwatched")[-1]["sessionId"] == "two"
    # What is watched already is said to be, and what is not is not.
    assert client.post("watch", {"sessionId": "one"})[0] == 200
    wait_for(lambda: len([e for e in client.of("watched") if e["sessionId"] == "one"]) == 2, "watched again")
    assert client.post("unwatch", {"sessionId": "none"}) == (200, {"ok": True})
    assert client.unwatch("one") == (200, {"ok": True})
    wait_for(lambda: [e for e in client.of("unwatched") if e["sessionId"] == "one"], "unwatched")
    # A probe goes all the way.
    assert client.post("probe", {"nonce": "n" * 100}) == (202, {"ok": True})
    assert wait_for(lambda: client.of("_probe"), "the probe")[0]["nonce"] == "n" * 100
    assert client.post("probe", {"nonce": "n" * 101})[0] == 400


def test_what_is_said_is_answered_once_and_watched(r, clients):
    client = clients()
    welcome(client)
    message = str(uuid.uuid4())
    body = {"type": "send", "sessionId": None, "prompt": "begin", "clientMsgId": message, "model": "m"}
    with client.lock:  # its events may come before its receipt
        status, receipt = client.post("send", body)
        session = receipt["sessionId"]
        client.cursors[session] = 0
    assert (status, receipt["accepted"], receipt["clientMsgId"]) == (202, True, message)
    caught_up(client, session, receipt["seq"])
    assert client.post("send", body) == (202, receipt)  # the same, by whichever worker
    assert client.post("send", {**body, "sessionId": session}) == (202, receipt)
    status, answer = client.post("send", {**body, "prompt": "other"})
    assert (status, answer["code"]) == (409, "fingerprint_conflict")
    status, answer = client.post("send", {**body, "sessionId": "none-such", "clientMsgId": "other"})
    assert (status, answer["code"]) == (404, "SESSION_NOT_FOUND")
    for bad in ({**body, "prompt": 7}, {**body, "clientMsgId": "a b"}, {**body, "clientMsgId": None}, []):
        assert client.post("send", bad)[0] == 400
    # Interrupting ends the answer that runs; a second time it is the same receipt, and ends nothing more.
    assert ask(r, "POST", f"/v1/sessions/{session}/chunks",
               {"messageId": "answer", "actorId": "agent", "role": "assistant", "chunk": {"type": "text"}})[0] == 200
    interrupt = {"sessionId": session, "prompt": "no", "clientMsgId": "stop-1"}
    status, receipt = client.post("interrupt", interrupt)
    assert (status, receipt["ok"]) == (202, True)
    assert client.post("interrupt", interrupt) == (202, receipt)
    assert client.post("stop", {"sessionId": session}) == (200, {"ok": True})
    assert client.post("mode", {"sessionId": session, "mode": "plan"}) == (200, {"ok": True})
    assert client.post("permission", {"permId": "p1", "decision": "once"}) == (200, {"ok": True})
    assert client.post("permission", {"permId": "p1", "decision": "once", "sessionId": session}) == (200, {"ok": True})
    status, answer = client.post("permission", {"permId": "p1", "decision": "deny", "sessionId": session})
    assert (status, answer["code"]) == (409, "permission_response_rejected")
    assert client.post("permission", {"permId": "p2", "decision": "perhaps"})[0] == 400
    inbox = json.loads(r.get(f"/v1/stream/conversations/{session}/inbox?offset=-1"))
    assert [i["type"] for i in inbox] == ["message", "stop", "message", "stop", "mode", "approval"]
    assert inbox[0]["content"] == "begin" and inbox[0]["model"] == "m" and inbox[5]["approved"] is True
    assert client.post("close", {"sessionId": session}) == (200, {"ok": True})
    assert wait_for(lambda: client.of("session_close_ack"), "the answer")[0]["accepted"] is True
    # Not even a connection is needed: it is as good as any other request, and a retry behind it.
    client.stop()
    nobody = ChatClient(r.address, follow=False)
    assert nobody.send(session, "later", "later-1")[0] == 202


@pytest.mark.parametrize("style", ["browser", "app"])
def test_a_break_loses_and_doubles_nothing(r, clients, style):
    """A browser goes on from its last id with no request; an app states what it has."""
    client = clients()
    welcome(client)
    for session in ("a", "b", "c"):
        say(r, session)
        assert client.watch(session)[0] == 200
    for turn in range(6):
        for session in ("a", "b", "c"):
            caught_up(client, session, say(r, session, 2))
        client.reloads = style == "app"
        client.cut()
        last = {session: say(r, session, 3) for session in ("a", "b", "c")}
        welcome(client, turn + 2)
        if style == "app":
            status, answer = client.state()
            assert status == 200 and answer["lost"] == []
            wait_for(lambda: len(client.of("reconnected")) > turn, "reconnected")  # noqa: B023
        for session, seq in last.items():
            caught_up(client, session, seq)
    assert client.events == 6 * 3 * 5
    resumed = [w["resumed"] for w in client.welcomes]
    assert resumed == [False] + [style == "browser"] * (len(resumed) - 1)


def test_what_is_watched_is_what_was_stated_last(r, clients):
    client = clients()
    welcome(client)
    for session in ("a", "b"):
        say(r, session)
        client.watch(session)
    # A statement is all there is from then on: not what was before with it.
    client.leaving.add("a")
    last = client.cursors.pop("a")
    assert client.state()[1]["sessions"] == [{"sessionId": "b", "lastSeq": client.cursors["b"]}]
    wait_for(lambda: client.of("reconnected"), "reconnected")
    say(r, "a", 3)
    caught_up(client, "b", say(r, "b"))
    # A stream without a position has nothing; one with one has what is watched, not what it once saw.
    with client.lock:
        before, client.reloads, client.cursors = client.last_id, True, {}
        client.leaving = {"b"}
    client.cut()
    assert welcome(client, 2)["sessions"] == []
    say(r, "b")
    with client.lock:
        client.last_id = before
    client.cut()
    assert welcome(client, 3)["sessions"] == []
    # And from where it says: all behind it, no more.
    client.cursors = {"a": last}
    client.state()
    caught_up(client, "a", say(r, "a"))
    assert wait_for(lambda: client.of("reconnected")[1:], "reconnected")[0]["sessions"] == [{"sessionId": "a", "replayed": 3}] \
        or client.of("reconnected")[1]["sessions"][0]["replayed"] in (3, 4)


def test_cursors_that_nobody_gave_are_told(r, clients):
    client = clients()
    welcome(client)
    tail = say(r, "a")
    client.cursors = {"a": tail + 10**6, "none": 5}
    status, answer = client.state()
    assert status == 200
    assert answer["lost"] == [{"sessionId": "a", "reason": "rewound", "seq": tail},
                              {"sessionId": "none", "reason": "gone", "seq": 0}]
    client.cursors = {"a": tail}
    wait_for(lambda: len(client.of("session_reset")) == 2, "both")
    caught_up(client, "a", say(r, "a"))
    client.cursors = {"a": 3}
    assert client.state()[1]["lost"][0]["reason"] == "unknown"
    assert client.post("watch", {"sessionId": "none"})[0] == 404
    assert ask(r, "DELETE", "/v1/sessions/a")[0] == 204
    wait_for(lambda: [e for e in client.of("session_reset") if e["reason"] == "deleted"], "deleted")
    client.cursors = {}


@pytest.mark.parametrize("away", [True, False])
def test_what_was_told_as_not_watched_stays_so(r, clients, away):
    """Whoever makes a conversation of that name anew is not heard by who watched the one before and was told of its end."""
    say(r, "a")
    say(r, "b")
    client = clients()
    welcome(client)
    for session in ("a", "b"):
        client.watch(session)
    wait_for(lambda: len(client.of("watched")) == 2, "both")
    if away:
        client.stop()
    assert ask(r, "DELETE", "/v1/sessions/a")[0] == 204
    if away:
        client = clients(client.cid, was=client)
    told = wait_for(lambda: client.of("session_reset"), "the reset")
    assert (told[0]["sessionId"], told[0]["reason"]) == ("a", "gone" if away else "deleted")
    client.cursors.pop("a")
    say(r, "a", 2)
    client.cut()
    assert welcome(client, 2)["resumed"] is True
    assert [one["sessionId"] for one in client.welcomes[1]["sessions"]] == ["b"]
    say(r, "a", 2)
    caught_up(client, "b", say(r, "b"))
    assert len(client.of("session_reset")) == 1


@pytest.mark.parametrize("style", ["browser", "app"])
def test_a_conversation_that_was_made_anew_is_heard_from_its_beginning(r, clients, style):
    """A cursor counts in one stream: in the next of that name the same number says nothing."""
    client = clients()
    welcome(client)
    say(r, "a", 3)
    assert client.watch("a")[0] == 200
    caught_up(client, "a", say(r, "a"))
    client.stop()
    assert ask(r, "DELETE", "/v1/sessions/a")[0] == 204
    last = say(r, "a", 9)
    assert last > client.cursors["a"]
    again = ChatClient(r.address, client.cid, was=client, follow=False)
    again.reloads = style == "app"
    again.start()
    (reset,) = wait_for(lambda: again.of("session_reset"), "the reset")
    assert (reset["sessionId"], reset["reason"], reset["seq"]) == ("a", "recreated", 0)
    caught_up(again, "a", last)
    assert again.events == len(json.loads(r.get("/v1/stream/conversations/a/events?offset=-1")))
    caught_up(again, "a", say(r, "a"))
    # Once: from then on it counts in that one.
    again.reload() if style == "app" else again.cut()
    welcome(again, 2)
    caught_up(again, "a", say(r, "a", 2))
    assert len(again.of("session_reset")) == 1
    again.stop()
    assert again.faults == []


# ---- ids ----


@pytest.mark.parametrize("version", [1, 4, 7])
def test_ids_of_any_version_and_case(r, clients, version):
    cid = f"cid-0193a1c2-7b3d-{version}abc-8def-0123456789ab"
    client = clients(cid.upper().replace("CID", "Cid"))
    assert welcome(client)["connectionId"] == cid
    assert client.post("probe", {"nonce": "1"}, {"x-connection-id": cid.upper()}) == (202, {"ok": True})


@pytest.mark.parametrize("cid", ["cid-" + "-" * 36, "nonsense", "cid-0193a1c2-7b3d-4abc-8def-0123456789a", ""])
def test_an_id_that_is_not_taken_is_told(r, clients, cid):
    client = clients(cid or "%20")
    first = welcome(client)
    assert (first["cidAccepted"], first["reason"]) == (False, "malformed")
    assert first["connectionId"] != client.asked
    assert client.post("probe", {"nonce": "1"})[0] == 202  # by the id that it was given
    status, answer = client.post("probe", {"nonce": "1"}, {"x-connection-id": cid or "x"})
    assert (status, answer["code"]) == (400, "INVALID_CONNECTION")
    wait_for(lambda: metric(r, "chat_rejected_total"), "it is counted")


def test_watching_what_is_watched_tells_where_the_stream_stands(r, clients):
    """On whichever worker it is asked: the row only knows where the watch began."""
    client = clients()
    welcome(client)
    say(r, "a")
    assert client.watch("a", 0)[0] == 200
    last = say(r, "a", 3)
    caught_up(client, "a", last)
    for _ in range(8):
        status, answer = client.post("watch", {"sessionId": "a"})
        assert (status, answer) == (200, {"ok": True, "sessionId": "a", "seq": last})
    wait_for(lambda: len(client.of("watched")) == 9, "each")
    assert [e["seq"] for e in client.of("watched")[1:]] == [last] * 8
    # Without a stream it is where that would go on.
    client.stop()
    assert client.post("watch", {"sessionId": "a"})[0] == 200


def test_requests_without_a_connection(r):
    nobody = ChatClient(r.address, follow=False)
    for name, body in (("watch", {"sessionId": "a"}), ("unwatch", {"sessionId": "a"}), ("switch", {"sessionId": None}),
                       ("reconnect", {"sessions": []}), ("suspend", {"sessions": []}), ("probe", {"nonce": "1"})):
        status, answer = nobody.post(name, body)
        assert (status, answer["code"]) == (404, "CONNECTION_NOT_FOUND"), name
        assert ask(r, "POST", f"/api/chat/{name}", body)[0] == 400
    assert nobody.post("nonsense", {})[0] == 404
    assert r.request("GET", "/api/chat/watch")[0] == 405
    assert ask(r, "POST", "/api/sessions/suspend", {"connectionId": nobody.cid, "sessions": []})[0] == 404
    for body in ({"sessions": []}, {"connectionId": nobody.cid}, {"connectionId": "x", "sessions": []}):
        assert ask(r, "POST", "/api/sessions/suspend", body)[0] == 400


def test_a_connection_is_its_logins():
    tokens = {name: f"{name}-secret-0123456789abcdef" for name in ("ann", "bob")}
    with Ringside(workers=2, start=False) as r:
        path = os.path.join(r.dir, "tokens")
        with open(path, "w") as file:
            file.write("".join(f"{name} token:{token} read=/** append=/** create=/**\n" for name, token in tokens.items()))
        os.chmod(path, 0o600)
        r.flags.remove("--dev")
        r.flags.append(f"--auth-tokens={path}")
        r.start()
        ann, bob = ({"authorization": f"Bearer {token}"} for token in tokens.values())
        client = ChatClient(r.address, headers=ann)
        welcome(client)
        ask(r, "POST", "/v1/sessions/a/messages", {"content": "x"}, ann)
        other = ChatClient(r.address, client.cid, headers=bob)
        assert wait_for(lambda: other.over, "the refusal")[0] == 403
        for name, body in (("watch", {"sessionId": "a"}), ("reconnect", {"sessions": []}), ("suspend", {"sessions": []}),
                           ("probe", {"nonce": "1"}), ("send", {"sessionId": "a", "prompt": "p", "clientMsgId": "m"}),
                           ("stop", {"sessionId": "a"}), ("close", {"sessionId": "a"})):
            assert client.post(name, body, bob)[0] == 403, name
        beacon = {"connectionId": client.cid, "sessions": []}
        assert ask(r, "POST", "/api/sessions/suspend", beacon, bob)[0] == 403
        assert ask(r, "POST", "/api/sessions/suspend", beacon)[0] == 401
        assert ask(r, "POST", "/api/sessions/suspend", beacon, ann)[0] == 204
        assert client.watch("a")[0] == 200
        assert ChatClient(r.address, follow=False).post("probe", {"nonce": "1"})[0] == 401
        client.stop()
        other.stop()
        assert client.faults == []


def test_an_id_that_was_made_up_names_nobodys_conversations():
    """Streams have numbers, and an id of an event is made of them: whoever guesses one learns no name by it."""
    rights = {"ann": "read=/** append=/** create=/**", "bob": "read=conversations/open-one/**"}
    tokens = {name: f"{name}-secret-0123456789abcdef" for name in rights}
    with Ringside(workers=2, start=False) as r:
        path = os.path.join(r.dir, "tokens")

        def grant():
            with open(path, "w") as file:
                file.write("".join(f"{name} token:{tokens[name]} {rights[name]}\n" for name in rights))
            os.chmod(path, 0o600)
        grant()
        r.flags.remove("--dev")
        r.flags.append(f"--auth-tokens={path}")
        r.start()
        ann, bob = ({"authorization": f"Bearer {token}"} for token in tokens.values())
        client = ChatClient(r.address, headers=ann)
        welcome(client)
        for session in ("al-secret", "open-one"):
            ask(r, "POST", f"/v1/sessions/{session}/messages", {"content": "x"}, ann)
            assert client.watch(session)[0] == 200
        wait_for(lambda: len(client.of("watched")) == 2, "both")
        client.stop()
        guess = ChatClient(r.address, headers=bob, follow=False)
        guess.last_id, guess.cursors = client.last_id, {"open-one": client.cursors["open-one"]}
        guess.start()
        assert [one["sessionId"] for one in welcome(guess)["sessions"]] == ["open-one"]
        assert guess.post("probe", {"nonce": "n"})[0] == 202
        wait_for(lambda: guess.of("_probe"), "the probe")
        assert "al-secret" not in json.dumps(guess.heard)
        guess.stop()
        # What he could read when he began to watch it, and cannot any more, has a name for him.
        rights["bob"] = "read=conversations/other/**"
        grant()
        r.signal(signal.SIGHUP)
        path = "/v1/stream/conversations/open-one/events?offset=-1"
        wait_for(lambda: {r.request("GET", path, None, bob)[0] for _ in range(8)} == {403}, "the new rights, on both")
        again = ChatClient(r.address, guess.cid, headers=bob, was=guess)
        wait_for(lambda: again.of("session_reset"), "the reset")
        assert again.of("session_reset")[0]["reason"] == "forbidden"
        again.stop()


# ---- two of one name ----


def test_two_tabs_of_one_id_end_in_peace(r, clients):
    """A browser copies the id into a tab that it duplicates. The one that was there is told, and comes back no more."""
    say(r, "a")
    first = clients()
    welcome(first)
    first.watch("a")
    second = clients(first.cid)
    welcome(second)
    assert wait_for(lambda: first.over, "the end of the first") == (204, "")
    assert first.of("superseded")[-1]["connectionId"] == first.cid
    # The second has its own: what the first had watched is nothing of its.
    say(r, "a")
    assert second.post("probe", {"nonce": "1"})[0] == 202
    wait_for(lambda: second.of("_probe"), "the probe")
    assert "chunk" not in second.types() and len(second.welcomes) == 1
    assert metric(r, "chat_ended_total") == 1
    assert metric(r, "chat_superseded_total") >= 1
    assert metric(r, "chat_stale_total") >= 1  # the end of the first came behind the second's beginning


def test_two_that_never_give_in_are_parted():
    """Clients that make a new EventSource at each end, with no id: for ever, if nobody parts them."""
    with Ringside("--connections-takeovers=3", "--connections-takeover-window=1h", workers=2) as r:
        cid = new_cid()
        tabs = [ChatClient(r.address, cid) for _ in range(2)]

        def forget(tab):
            with tab.lock:
                if tab.over == (204, ""):
                    tab.over, tab.last_id = None, None
                    threading.Thread(target=tab.run, daemon=True).start()
                return tab.cid
        wait_for(lambda: len({forget(tab) for tab in tabs}) == 2, "two ids")
        told = next(tab for tab in tabs if tab.cid != cid).welcomes[-1]
        assert (told["cidAccepted"], told["reason"]) == (False, "contested")
        assert metric(r, "chat_contested_total") >= 1
        for tab in tabs:
            assert tab.post("probe", {"nonce": "1"}) == (202, {"ok": True})
            wait_for(lambda: tab.of("_probe"), "it is still there")  # noqa: B023
            tab.stop()


def test_a_request_of_a_stream_that_was_replaced_changes_nothing(r, clients):
    say(r, "a")
    client = clients()
    old = {"x-connection-generation": str(welcome(client)["generation"])}
    assert client.post("watch", {"sessionId": "none"}, old)[0] == 404
    client.reloads = True
    client.cut()
    welcome(client, 2)
    status, answer = client.post("reconnect", {"sessions": [{"sessionId": "a", "lastSeq": 0}]}, old)
    assert (status, answer["code"]) == (409, "STALE_GENERATION")
    assert client.state()[1]["sessions"] == []
    assert client.post("watch", {"sessionId": "a"}, {"x-connection-generation": "x"})[0] == 400


# ---- the end ----


def rows(r):
    return metric(r, "chat_connections")


@pytest.mark.parametrize("gap", [0, 0.2, 0.45, 0.8, 1.4])
@pytest.mark.parametrize("first", ["close", "open"])
def test_every_gap_between_the_old_end_and_the_new_beginning(gap, first):
    """Expiry is scaled from 60 s to 0.6 s: gaps from 0 to 140 s. The old one's end, told first or last, never harms the new."""
    with Ringside("--connections-expiry=600ms", workers=2) as r:
        say(r, "a")
        client = ChatClient(r.address)
        welcome(client)
        client.watch("a")
        old = client.socket.dup() if first == "open" else None  # the server does not hear of its end
        wait_for(lambda: client.of("watched"), "watched")
        client.stopping = True
        if first == "close":
            client.stop()
        seq = say(r, "a", 3)
        time.sleep(gap)  # the case itself
        again = ChatClient(r.address, client.cid, was=client)
        welcome(again)
        if old is not None:
            old.close()
            client.cut()
        caught_up(again, "a", seq)
        opened = metric(r, "chat_stale_total")
        time.sleep(0.7)  # whatever was set for the old one comes due
        assert again.post("probe", {"nonce": "1"}) == (202, {"ok": True})
        caught_up(again, "a", say(r, "a"))
        assert len(again.welcomes) == 1 and again.faults == [], opened
        again.stop()
        client.stop()
        wait_for(lambda: metric(r, "chat_expired_total") >= 1, "the end")
        wait_for(lambda: rows(r) == 0, "no row")


def test_who_comes_too_late_begins_anew_and_who_slept_does_not():
    with Ringside("--connections-expiry=300ms", "--connections-suspend-grace=30s", workers=2) as r:
        say(r, "a")
        awake, asleep = (ChatClient(r.address) for _ in range(2))
        for client in (awake, asleep):
            welcome(client)
            client.watch("a")
        beacon = {"connectionId": asleep.cid, "sessions": [{"sessionId": "a", "lastSeq": asleep.cursors["a"]}]}
        status, _, _ = r.request("POST", "/api/sessions/suspend", json.dumps(beacon).encode(),
                                 {"content-type": "text/plain;charset=UTF-8"})
        assert status == 204
        assert asleep.post("suspend", {"sessions": []}) == (200, {"ok": True})  # said again
        for client in (awake, asleep):
            client.stop()
        wait_for(lambda: metric(r, "chat_expired_total") == 1, "the one that was awake")
        nobody = ChatClient(r.address, awake.cid, follow=False)
        assert nobody.post("watch", {"sessionId": "a"})[0] == 404
        assert ChatClient(r.address, asleep.cid, follow=False).post("watch", {"sessionId": "a"})[0] == 200
        assert metric(r, "chat_suspended_total") == 2


@pytest.mark.parametrize("since", ["ahead", "behind"])
def test_what_was_stated_behind_the_last_event_goes_with_the_row(since):
    """A client that has heard nothing since then comes back by an older position, which is all that a row is made of that has
    expired: the welcome says so, and the client states what it has. Found by a soak, as an event that came twice."""
    with Ringside("--connections-expiry=2s", workers=2) as r:
        say(r, "a", 3)
        client = ChatClient(r.address)
        welcome(client)
        client.watch("a")
        last = say(r, "a", 2)
        caught_up(client, "a", last)
        client.stop()
        # Said between two streams, so that no event has told of it: watched from later on, or from before.
        client.unwatch("a")
        ahead = say(r, "a", 4)
        status, answer = client.watch("a", ahead if since == "ahead" else 0)
        assert status == 200
        assert client.cursors["a"] == answer["seq"] != last
        client.leaving.discard("a")
        wait_for(lambda: metric(r, "chat_expired_total") == 1, "the end")
        again = ChatClient(r.address, client.cid, was=client)
        assert welcome(again)["sessions"] == [{"sessionId": "a", "lastSeq": last}]  # all that its position says
        wait_for(lambda: again.of("reconnected"), "what it states")
        caught_up(again, "a", say(r, "a", 2))
        assert again.differed == 1 and again.faults == []
        assert again.events == (2 if since == "ahead" else 11)
        again.stop()


def test_a_worker_that_dies_leaves_nothing_open(r, clients):
    for session in "ab":
        say(r, session)
    many = [clients() for _ in range(12)]
    for client in many:
        welcome(client)
        for session in "ab":
            client.watch(session)
    for turn in range(4):
        r.kill(wait_for(r.worker_pids, "workers")[turn % 2 - 1])
        seqs = {session: say_patiently(r, session) for session in "ab"}
        for client in many:
            for session, seq in seqs.items():
                caught_up(client, session, seq)
    for client in many:
        client.stop()


def say_patiently(r, session):
    def look():
        try:
            return say(r, session)
        except (OSError, http.client.HTTPException, AssertionError):
            return None
    return wait_for(look, "a worker")


def test_rows_of_workers_that_died_expire():
    with Ringside("--connections-expiry=1s", workers=2) as r:
        many = [ChatClient(r.address) for _ in range(20)]
        for client in many:
            welcome(client)
        for client in many:
            client.stopping = True
        r.kill_everything()
        r.start()
        wait_for(lambda: metric(r, "chat_lost_total") >= 20 and rows(r) == 0, "all of them to expire")
        for client in many:
            client.stop()


# ---- limits ----


def test_limits_have_names():
    with Ringside("--connections-sessions=3", "--connections-reconnect-bytes=1k", "--connections-max=2", "--connections-per-login=1",
                  workers=1) as r:  # under dev everybody is nobody in particular
        for session in "abcd":
            say(r, session)
        client = ChatClient(r.address)
        welcome(client)
        for session in "abc":
            assert client.watch(session)[0] == 200
        status, answer = client.post("watch", {"sessionId": "d"})
        assert (status, answer["code"]) == (429, "LIMIT") and "connections.sessions" in answer["error"]
        assert client.post("reconnect", {"sessions": [{"sessionId": x, "lastSeq": 0} for x in "abcd"]})[0] == 413
        assert client.post("reconnect", {"sessions": [], "x": "x" * 1024})[0] == 413
        assert client.post("suspend", {"sessions": [], "x": "x" * 1024})[0] == 413
        more = ChatClient(r.address)
        welcome(more)
        status, _, body = r.request("GET", f"/api/chat/events?cid={new_cid()}")
        assert status == 503 and b"connections.max" in body
        for one in (client, more):
            one.stop()
        assert client.faults == []


def test_one_login_has_no_more_than_its_share():
    """Whoever has as many as one login may is told so, by a name; what he has goes on, others are not touched, and what has expired is free
    again."""
    tokens = {name: f"{name}-secret-0123456789abcdef" for name in ("ann", "bob")}
    with Ringside("--connections-per-login=2", "--connections-expiry=1s", workers=1, start=False) as r:
        path = os.path.join(r.dir, "tokens")
        with open(path, "w") as file:
            file.write("".join(f"{name} token:{token} read=/** append=/** create=/**\n" for name, token in tokens.items()))
        os.chmod(path, 0o600)
        r.flags.remove("--dev")
        r.flags += [f"--auth-tokens={path}", "--auth-metrics-token=metrics-secret-0123456789abcdef"]
        looks = {"authorization": "Bearer metrics-secret-0123456789abcdef"}
        r.start()
        ann, bob = ({"authorization": f"Bearer {token}"} for token in tokens.values())
        first, second = (ChatClient(r.address, headers=ann) for _ in range(2))
        welcome(first)
        welcome(second)
        status, _, body = r.request("GET", f"/api/chat/events?cid={new_cid()}", None, ann)
        assert status == 429 and b"connections.per_login" in body and b"LIMIT" in body
        assert metric(r, "chat_crowded_total", looks) == 1
        other = ChatClient(r.address, headers=bob)
        welcome(other)
        again = ChatClient(r.address, first.cid, headers=ann)
        welcome(again)
        for one in (first, second, again, other):
            one.stop()
        wait_for(lambda: metric(r, "chat_connections", looks) == 0, "their expiry")
        third = ChatClient(r.address, headers=ann)
        welcome(third)
        third.stop()


def test_a_replay_is_handed_over_no_faster_than_it_may():
    with Ringside("--connections-replay-rate=256k", workers=1) as r:
        for _ in range(40):
            seq = say(r, "a", text="x" * 30000)
        client = ChatClient(r.address)
        welcome(client)
        client.cursors = {"a": 0}
        began = time.monotonic()
        client.state()
        wait_for(lambda: client.of("reconnected"), "all of it")
        assert client.cursors["a"] == seq and client.of("reconnected")[0]["sessions"] == [{"sessionId": "a", "replayed": 40}]
        # 1.2 MB, of which a second's worth and the last piece go ahead of their time: no sooner than that.
        assert time.monotonic() - began > (1200000 - 2 * 262144) / 262144 - 0.2
        assert metric(r, "chat_paused_total") > 0
        client.stop()
        assert client.faults == []


def test_a_ping_that_eventsource_sees():
    with Ringside("--http-sse-keepalive=1s", workers=1) as r:
        client = ChatClient(r.address)
        assert welcome(client)["heartbeatMs"] == 1000
        wait_for(lambda: len(client.of("ping")) >= 2, "two of them")
        client.stop()


# ---- in one WebSocket ----


class Talk(Socket):
    """Says what it says, and sorts what it hears."""

    def __init__(self, r, hello=None):
        super().__init__(r, "/api/chat/ws")
        assert self.status == 101
        self.heard = []
        if hello is not None:
            self.say({"type": "hello", "protocolVersion": 2, **hello})

    def until_type(self, kind, **members):
        while True:
            message = self.message()
            self.heard.append(message)
            if message["type"] == kind and all(message.get(k) == v for k, v in members.items()):
                return message

    def ask(self, kind, id=None, **body):
        self.say({"type": kind, "id": id or kind, **body})
        return self.until_type("answer", id=id or kind)


def test_both_ways_in_one_websocket(r):
    say(r, "a")
    with Talk(r, {}) as talk:
        first = talk.until_type("welcome")
        assert first["cidAccepted"] is True and first["connectionId"].startswith("cid-")
        assert talk.ask("watch", sessionId="a")["status"] == 200
        seq = say(r, "a", 3)
        while talk.until_type("chunk")["seq"] != seq:
            pass
        answer = talk.ask("send", sessionId=None, prompt="p", clientMsgId="m1")
        assert answer["status"] == 202 and answer["body"]["clientMsgId"] == "m1"
        session = answer["body"]["sessionId"]
        assert any(m["type"] == "chunk" and m["sessionId"] == session for m in talk.heard) or talk.until_type("chunk")
        assert talk.ask("interrupt", sessionId=session, prompt="q", clientMsgId="m2")["status"] == 202
        assert talk.ask("probe", nonce="n")["status"] == 202
        assert talk.ask("nonsense")["status"] == 404
        assert talk.ask("watch", sessionId="none")["body"]["code"] == "SESSION_NOT_FOUND"
        assert talk.ask("reconnect", sessions=[{"sessionId": "a", "lastSeq": 0}])["body"]["sessions"] == [
            {"sessionId": "a", "lastSeq": 0}]
        talk.until_type("reconnected")
        # One after another, in the order in which they came.
        for i in range(20):
            talk.say({"type": "send", "id": i, "sessionId": "a", "prompt": str(i), "clientMsgId": f"n{i}"})
        assert [talk.until_type("answer")["id"] for _ in range(20)] == list(range(20))
        inbox = json.loads(r.get("/v1/stream/conversations/a/inbox?offset=-1"))
        assert [i["messageId"] for i in inbox][-20:] == [f"n{i}" for i in range(20)]
        # The same connection by the other wire takes it over, and this one is told.
        with Talk(r, {"connectionId": first["connectionId"].upper()}) as other:
            assert other.until_type("welcome")["connectionId"] == first["connectionId"]
            talk.until_type("superseded")
            assert talk.close_code() == 1001
            client = ChatClient(r.address, first["connectionId"])
            welcome(client)
            other.until_type("superseded")
            client.stop()
    wait_for(lambda: metric(r, "chat_streams") == 0, "no stream")


def test_what_a_websocket_must_say_first(r):
    for said, code in ((b"x", 4001), (b"[]", 4001), (b"{}", 4001), ({"type": "send"}, 4000),
                       ({"type": "hello", "protocolVersion": 1}, 4000), ({"type": "hello"}, 4000), (None, 4000)):
        with Talk(r) as talk:
            if said is not None:
                talk.say(said)
            assert talk.close_code() == code, said
    for cid in (7, True, [], {}, ""):
        with Talk(r, {"connectionId": cid}) as talk:
            first = talk.until_type("welcome")
            assert (first["cidAccepted"], first.get("reason")) == (False, "malformed"), cid
    with Talk(r, {"connectionId": None}) as talk:
        assert talk.until_type("welcome")["cidAccepted"] is True
    with Talk(r, {"connectionId": "nonsense"}) as talk:
        first = talk.until_type("welcome")
        assert (first["cidAccepted"], first["reason"]) == (False, "malformed")
        talk.say(b"{")
        assert talk.close_code() == 4001
    assert r.request("GET", "/api/chat/ws")[0] == 426


def test_a_websocket_that_leaves_or_floods(r):
    """What it asked is done, whoever listens for the answer; and more than may wait ends it."""
    say(r, "a")
    for kept in range(20):
        with Talk(r, {}) as talk:
            talk.until_type("welcome")
            for i in range(kept):
                talk.say({"type": "send", "id": i, "sessionId": "a", "prompt": "p", "clientMsgId": f"l{kept}-{i}"})
            talk.say({"type": "watch", "id": "w", "sessionId": "a"})
    with Talk(r, {}) as talk:
        talk.until_type("welcome")
        try:
            for i in range(2000):
                talk.say({"type": "send", "id": i, "sessionId": "a", "prompt": "p", "clientMsgId": f"f{i}"})
        except OSError:
            pass
        assert talk.close_code() in (1008, None)
    with Talk(r, {}) as talk:  # what does not wait for its turn is no more at once either
        talk.until_type("welcome")
        try:
            for i in range(20000):
                talk.say({"type": "stop", "id": i, "sessionId": "a"})
        except OSError:
            pass
        assert talk.close_code() in (1008, None)
    with Talk(r) as talk:  # before its hello is answered
        talk.say({"type": "hello", "protocolVersion": 2})
        talk.say({"type": "watch", "sessionId": "a"})
    wait_for(lambda: metric(r, "chat_streams") == 0 and metric(r, "websockets") == 0, "nobody")
    assert r.request("GET", "/healthz")[0] == 200


# ---- everything at once ----


class Chaos:
    """Clients that watch, state, break, come back, take over, and workers that are killed, at random."""

    def __init__(self, r, dice, clients, sessions):
        self.r, self.dice = r, dice
        self.sessions = [f"s{i}" for i in range(sessions)]
        for session in self.sessions:
            say(r, session)
        self.clients = [ChatClient(r.address) for _ in range(clients)]
        self.retired, self.done, self.kills = [], 0, 0
        self.stopping = False
        self.writer = threading.Thread(target=self.write, daemon=True)
        self.writer.start()

    def write(self):
        dice = random.Random(7)
        while not self.stopping:
            say_patiently(self.r, dice.choice(self.sessions))

    def one(self):
        i = self.dice.randrange(len(self.clients))
        client = self.clients[i]
        what = self.dice.random()
        if what < 0.25:
            client.cut()
        elif what < 0.40 and client.welcomes:
            client.watch(self.dice.choice(self.sessions))
        elif what < 0.50 and client.welcomes and client.cursors:
            with client.lock:
                session = self.dice.choice(list(client.cursors))
            client.unwatch(session)
        elif what < 0.65 and client.welcomes:
            client.state()
        elif what < 0.80:
            self.take_over(i)
        elif what < 0.85:
            client.reload()
        else:
            return
        self.done += 1

    def take_over(self, i):
        """Another tab of the same name. One of them is over: the one before, unless that was just on its way back."""
        old = self.clients[i]
        new = ChatClient(self.r.address, old.cid)
        wait_for(lambda: new.welcomes, "the new one")
        wait_for(lambda: old.over or new.over, "an end")
        self.retired.append(old if old.over else new)
        self.clients[i] = new if old.over else old
        if not old.over:  # what it watched is what the other has begun with since: nothing
            old.state()

    def kill(self):
        self.kills += self.r.kill_some_worker(self.dice, "ringside-sse") or self.r.kill_some_worker(self.dice)

    def operate(self):
        """As somebody who runs it: new settings, twice at once, or another number of workers."""
        if self.dice.random() < 0.5:
            self.r.ctl("reload")
            self.r.ctl("reload")
        else:
            self.r.ctl("scale", "sse", str(self.dice.randrange(1, 4)))

    def finish(self):
        self.stopping = True
        self.writer.join(30)
        for client in self.clients:
            wait_for(lambda: client.welcomes, "a stream")  # noqa: B023
            client.state()
        last = {session: say_patiently(self.r, session) for session in self.sessions}
        for client in self.clients:
            for session in list(client.cursors):
                caught_up(client, session, last[session])
        self.judge()

    def judge(self):
        for client in self.clients + self.retired:
            client.stop()
            assert client.faults == [], "\n".join(map(str, client.evidence))


def descriptors(r):
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in r.worker_pids())


def torture(actions, clients, sessions, kill_every, seed, operate_every=0):
    with Ringside("--connections-expiry=1s", "--connections-takeovers=1000000", "--worker-restart-limit=64",
                  "--worker-restart-window=1s", "--worker-restart-delay-max=500ms", workers=2) as r:
        before = descriptors(r)
        chaos = Chaos(r, random.Random(seed), clients, sessions)
        while chaos.done < actions and not any(client.faults for client in chaos.clients + chaos.retired):
            chaos.one()
            if kill_every and chaos.done % kill_every == kill_every - 1:
                chaos.kill()
            if operate_every and chaos.done % operate_every == operate_every - 1:
                chaos.operate()
        if chaos.done < actions:
            chaos.judge()
        chaos.finish()
        wait_for(lambda: rows(r) == 0 and metric(r, "chat_streams") == 0, "no row and no stream")
        if operate_every:
            r.ctl("scale", "sse", "2")
        wait_for(lambda: descriptors(r) <= before + 4, "no descriptor")  # of links that come and go
        return sum(c.events for c in chaos.clients + chaos.retired), chaos.kills


def test_everything_at_random_on_two_workers():
    events, kills = torture(actions=400, clients=8, sessions=5, kill_every=60, seed=1)
    assert events > 100 and kills > 2
