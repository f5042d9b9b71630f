"""Agents that take conversations: what people send is handed to them in their sockets, in order, until they say that they have
done with it (docs/hub.md)."""

import hashlib
import json
import os
import signal
import urllib.request

from hub_client import Hub, TEXT
from ringside import Ringside, wait_for
from test_tokens import with_rows


def post(r, session, content, token=None, **more):
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {token}"} if token else {})}
    request = urllib.request.Request(f"{r.url}/v1/sessions/{session}/messages", method="POST", headers=headers,
                                     data=json.dumps({"content": content, **more}).encode())
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def delete(r, session):
    with urllib.request.urlopen(urllib.request.Request(f"{r.url}/v1/sessions/{session}", method="DELETE"), timeout=60) as answer:
        assert answer.status == 204


class Taker(Hub):
    def __init__(self, r, name, port=None, **more):
        super().__init__(r, **more)
        self.nodes()
        self.register(name, port=port or 1000 + int(hashlib.sha256(name.encode()).hexdigest()[:4], 16), accepts=["items"])

    def item(self):
        event = self.until("session_item")
        return event["session"], event["item"]["content"], event["seq"]

    def ack(self, session, seq):
        return self.ask("ack", {"session": session, "seq": seq})

    def serve(self):
        """The next item that it has done with in time."""
        while True:
            session, content, seq = self.item()
            answer = self.ack(session, seq)
            if answer.get("result", {}).get("status") == "acknowledged":
                return session, content
            assert "not yours" in answer["error"], answer

    def until(self, name, node=None):
        while True:
            event = self.event()
            if event.get("event") == name and node in (None, event.get("session")):
                return event

    def hears_nothing(self, of="session_item"):
        """Everything that was sent before the answer has come."""
        self.ask("ping")
        return not [event for event in self.events if event.get("event") == of]


def two_workers(r, make):
    """One of each at another worker, by trying."""
    found = {}
    for i in range(60):
        one = make(f"try-{i}")
        worker = json.loads(r.ctl("agents", "show", f"try-{i}")[0])["worker"]
        if worker in found:
            one.close()
        found.setdefault(worker, one)
        if len(found) == 2:
            return list(found.values())
    raise AssertionError("all at one worker")


def test_items_come_in_order_and_once():
    with Ringside() as r:
        post(r, "early", "before anybody was there")
        agent = Taker(r, "a")
        assert agent.serve() == ("early", "before anybody was there")
        for i in range(40):
            post(r, "talk", f"{i}")
        seqs = []
        for i in range(16):  # so many may be under way
            session, content, seq = agent.item()
            assert (session, content) == ("talk", f"{i}")
            seqs.append(seq)
        assert agent.hears_nothing() and seqs == sorted(set(seqs))
        assert agent.ack("talk", seqs[7])["result"] == {"status": "acknowledged", "pending": True}  # and all before it
        for i in range(16, 24):
            assert agent.item()[1] == f"{i}"
        assert agent.hears_nothing()
        for wrong in (seqs[7], seqs[8] + 1, 10 ** 15):
            assert "no item" in agent.ack("talk", wrong)["error"]
        assert "not yours" in agent.ack("nobody", 1)["error"]
        for params in (None, {}, {"session": "talk"}, {"session": 1, "seq": 1}, {"session": "talk", "seq": -1}, {"session": "talk", "seq": "1"}):
            assert agent.ask("ack", params)["error"] == "Missing params"
        # In another life it goes on behind what it has done with.
        agent.close()
        agent = Taker(r, "a")
        got = [agent.serve()[1] for _ in range(32)]
        assert got == [f"{i}" for i in range(8, 40)]
        assert agent.hears_nothing()
        agent.close()


def test_who_goes_is_followed_by_another_wherever_it_is():
    with Ringside("--conversations-lease=4s", workers=2) as r:
        one, other = two_workers(r, lambda name: Taker(r, name))
        for i in range(3):
            post(r, "talk", f"{i}")
        holder = {}

        def look():
            for taker in (one, other):
                if not taker.hears_nothing():
                    holder["one"], holder["other"] = taker, other if taker is one else one
            return holder
        wait_for(look, "one of them to be handed it")
        first, second = holder["one"], holder["other"]
        assert first.serve() == ("talk", "0")
        assert first.item()[1] == "1"
        assert second.hears_nothing()
        first.close()
        assert [second.serve()[1] for _ in range(2)] == ["1", "2"]
        # Its worker is killed.
        post(r, "talk", "last")
        assert second.item()[1] == "last"
        name, = (node["id"] for node in json.loads(r.ctl("agents", "ls", "--json")[0]) if node["status"] == "active")
        os.kill(r.worker(json.loads(r.ctl("agents", "show", name)[0])["worker"])["pid"], signal.SIGKILL)
        second.close()
        third = Taker(r, "third")
        assert third.serve() == ("talk", "last")
        third.close()


def test_what_is_left_lying_is_anothers():
    with Ringside("--conversations-lease=3s") as r:
        slow = Taker(r, "slow")
        post(r, "talk", "one")
        post(r, "talk", "two")
        assert slow.item()[1] == "one"
        session, content, seq = slow.item()
        assert content == "two"
        quick = Taker(r, "quick")
        assert quick.serve() == ("talk", "one")
        slow.until("session_lost", "talk")
        assert "not yours" in slow.ack("talk", seq)["error"]
        assert quick.serve() == ("talk", "two")
        for hub in (slow, quick):
            hub.close()


def test_everything_is_killed_and_nothing_is_lost():
    with Ringside("--conversations-lease=1s", workers=2) as r:
        agent, done, sent = Taker(r, "a"), [], 0
        for turn in range(3):
            for _ in range(6):
                post(r, f"s{sent % 3}", f"{sent}", messageId=f"m{sent}")
                sent += 1
            for _ in range(3):
                done.append(agent.serve()[1])
            r.process.kill()
            r.process.wait()
            agent.close()
            r.start()
            agent = Taker(r, "a")
        while len(set(done)) < sent:
            done.append(agent.serve()[1])
        assert agent.hears_nothing()
        # Acknowledged is acknowledged: none came twice.
        assert sorted(map(int, done)) == list(range(sent))
        agent.close()


def test_many_conversations_share_the_room_that_there_is():
    with Ringside("--conversations-message-bytes=200k") as r:
        text = "x" * 30000
        for i in range(60):
            post(r, f"s{i}", text)
        agent = Taker(r, "a")
        got, waiting = set(), []
        while len(got) < 60:
            session, content, seq = agent.item()
            assert session not in got and content == text
            got.add(session)
            waiting.append((session, seq))
            if len(waiting) == 4:  # in no order
                for one in reversed(waiting):
                    assert agent.ack(*one)["result"]["status"] == "acknowledged"
                waiting.clear()
        for one in waiting:
            agent.ack(*one)
        assert agent.hears_nothing()
        agent.close()


def test_a_conversation_that_is_made_anew_is_another():
    with Ringside() as r:
        agent = Taker(r, "a")
        for turn in range(3):
            for i in range(turn + 1, 0, -1):
                post(r, "talk", f"{turn} {i}")
            assert [agent.serve()[1] for _ in range(turn + 1)] == [f"{turn} {i}" for i in range(turn + 1, 0, -1)]
            post(r, "talk", "never done with")
            agent.item()
            delete(r, "talk")
            agent.until("session_lost", "talk")
        assert agent.hears_nothing()
        agent.close()


def test_leases_by_either_way_are_the_same():
    """One asks by HTTP, one has it in its socket: never both, and what one has done the other does not get."""
    with Ringside("--conversations-lease=4s") as r:
        agent = Taker(r, "socket")
        post(r, "talk", "one")
        session, content, seq = agent.item()
        status, _, body = r.request("POST", "/v1/sessions/talk/lease", body=json.dumps({"agent": "http"}).encode(),
                                    headers={"content-type": "application/json"})
        assert status == 409 and json.loads(body)["agent"] == "socket"
        # What it says carries the epoch of its item, and ends the item with the answer.
        epoch = json.loads(body)["epoch"]
        status, _, _ = r.request("POST", "/v1/sessions/talk/chunks", headers={"content-type": "application/json"}, body=json.dumps(
            {"epoch": epoch, "messageId": "re", "actorId": "socket", "role": "assistant", "chunk": {"type": "text-delta"}}).encode())
        assert status == 200
        assert agent.ack("talk", seq)["result"] == {"status": "acknowledged"}
        agent.close()
        post(r, "talk", "two")
        status, _, body = wait_for(lambda: (lambda answer: answer[0] == 200 and answer)(r.request(
            "POST", "/v1/sessions/talk/lease", body=json.dumps({"agent": "http"}).encode(),
            headers={"content-type": "application/json"})), "the lease")
        lease = json.loads(body)
        assert lease["done"] == seq and lease["pending"] and lease["epoch"] > epoch
        # Nobody is handed it while that lasts; then the next one is.
        late = Taker(r, "late")
        assert late.serve() == ("talk", "two")
        late.close()


def say(r, session, path, **body):
    status, _, text = r.request("POST", f"/v1/sessions/{session}/{path}", body=json.dumps(body).encode(), headers={"content-type": "application/json"})
    return status, json.loads(text)


def test_what_is_done_by_http_is_done():
    """An agent that acknowledges nothing, and ends each item with its answer, gets all of them."""
    with Ringside("--conversations-lease=600s") as r:
        agent = Taker(r, "a")
        for i in range(40):
            post(r, "talk", f"{i}", messageId=f"m{i}")
        for i in range(40):
            event = agent.until("session_item")
            assert (event["item"]["content"], event["leaseMs"], "generation" in event) == (f"{i}", 600000, False)
            assert say(r, "talk", "chunks", epoch=event["epoch"], messageId=f"re-m{i}", actorId="a", role="assistant", chunk={"type": "finish"},
                       finish=True, done=event["seq"])[0] == 200
        assert agent.hears_nothing()
        assert "no item" in agent.ack("talk", event["seq"])["error"]
        agent.close()


def test_what_is_let_go_by_http_is_the_next_ones_at_once():
    """With what was begun there; and who lets it go is no worse off for it."""
    with Ringside("--conversations-lease=600s") as r:
        first = Taker(r, "first")
        post(r, "talk", "one", messageId="m1")
        event = first.until("session_item")
        assert say(r, "talk", "chunks", epoch=event["epoch"], messageId="re-m1", actorId="first", role="assistant", chunk={"type": "text-delta"})[0] == 200
        second = Taker(r, "second")
        assert say(r, "talk", "lease/release", epoch=event["epoch"])[0] == 200
        first.until("session_lost", "talk")
        taken = None
        while taken is None:  # whoever asks first
            for one in (first, second):
                if not one.hears_nothing():
                    taken = one
        again = taken.until("session_item")
        assert again["epoch"] == event["epoch"] + 1 and again["item"]["content"] == "one"
        assert again["generation"] == {"messageId": "re-m1", "pieces": 1}
        assert taken.ack("talk", again["seq"])["result"] == {"status": "acknowledged"}
        # What is sent later goes to who has it now, by its epoch.
        post(r, "talk", "two")
        assert taken.until("session_item")["epoch"] == again["epoch"]
        for hub in (first, second):
            hub.close()


def test_who_has_it_by_its_name_has_it_from_then_on():
    with Ringside("--conversations-lease=600s") as r:
        agent = Taker(r, "a")
        post(r, "talk", "one")
        event = agent.until("session_item")
        status, lease = say(r, "talk", "lease", agent="a")  # another life of it
        assert status == 200 and lease["epoch"] == event["epoch"] + 1
        agent.until("session_lost", "talk")
        post(r, "talk", "two")
        assert agent.hears_nothing() and "not yours" in agent.ack("talk", event["seq"])["error"]
        agent.close()


def test_who_may_not_hear_it_is_handed_nothing():
    secrets = {name: name + "0123456789abcdef" * 2 for name in ("people", "one", "all", "mute")}
    rights = {"people": "append=conversations/*/inbox create=conversations/**",
              "one": "read=hub/roster,conversations/mine/inbox append=conversations/mine/events create=hub/agents/*",
              "mute": "read=hub/roster append=conversations/*/events create=hub/agents/*",
              "all": "read=** append=** create=hub/agents/*"}
    rows = "".join(f"{name} sha256:{hashlib.sha256(secrets[name].encode()).hexdigest()} {rights[name]}\n" for name in rights)
    with with_rows(rows) as r:
        def taker(name):
            return Taker(r, name, headers={"authorization": f"Bearer {secrets[name]}"})
        one = taker("one")
        post(r, "theirs", "secret", secrets["people"])
        post(r, "mine", "hello", secrets["people"])
        assert one.serve() == ("mine", "hello")
        assert one.hears_nothing()
        mute = taker("mute")
        every = taker("all")
        assert every.serve() == ("theirs", "secret")
        assert mute.hears_nothing() and one.hears_nothing()
        # Who takes none hears of none.
        plain = Hub(r, headers={"authorization": f"Bearer {secrets['all']}"})
        plain.nodes()
        plain.register("plain", port=7)
        post(r, "third", "x", secrets["people"])
        assert every.serve() == ("third", "x")
        plain.send(TEXT, json.dumps({"id": "p", "method": "ping"}))
        assert "session_item" not in json.dumps([plain.message(), plain.events])
        for hub in (one, mute, every, plain):
            hub.close()


def test_a_conversation_that_it_may_not_hear_does_not_stop_the_others():
    secrets = {name: name + "0123456789abcdef" * 2 for name in ("people", "half", "all")}
    rights = {"people": "append=conversations/*/inbox create=conversations/**",
              "half": "read=hub/roster,conversations/mine/inbox append=conversations/*/events create=hub/agents/*",
              "all": "read=** append=** create=hub/agents/*"}
    rows = "".join(f"{name} sha256:{hashlib.sha256(secrets[name].encode()).hexdigest()} {rights[name]}\n" for name in rights)
    with with_rows(rows) as r:
        post(r, "theirs", "secret", secrets["people"])  # and waits longest
        half = Taker(r, "half", headers={"authorization": f"Bearer {secrets['half']}"})
        post(r, "mine", "hello", secrets["people"])
        assert half.serve() == ("mine", "hello")
        assert half.hears_nothing()
        every = Taker(r, "all", headers={"authorization": f"Bearer {secrets['all']}"})
        assert every.serve() == ("theirs", "secret")
        for hub in (half, every):
            hub.close()
