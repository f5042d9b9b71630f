"""The JavaScript client (clients/js), in Node and in Chromium, against a real Ringside: workers are killed under it, answers
get lost, networks are slow and cut, and nothing is lost or doubled."""

import http.client
import json
import os
import random
import socket
import subprocess
import threading
import time

import pytest

from duel_game import Game
from page_browser import BROWSER, Browser
from ringside import PATIENCE, Ringside, wait_for
from test_market import announce, fight
from test_readme import node_version
from test_rights import Rows, row, secret

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE = os.path.join(os.path.dirname(os.path.dirname(HERE)), "clients/js")
JSON = {"content-type": "application/json"}
pytestmark = pytest.mark.skipif(node_version() < 20, reason="no Node 20")


class Node:
    """client_js.mjs at work; `said` grows by its lines."""

    def __init__(self, base, command, **options):
        self.process = subprocess.Popen(["node", os.path.join(HERE, "client_js.mjs"), base, command, json.dumps(options)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.said = []
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        for line in self.process.stdout:
            self.said.append(json.loads(line))

    def end(self, seconds=6 * PATIENCE, code=0):
        """Everything it said, when it is done."""
        try:
            status = self.process.wait(seconds)
        finally:
            self.process.kill()
        self.thread.join()
        assert status == code, self.process.stderr.read()
        return self.said

    def do(self, *order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def of(self, kind):
        return [line[kind] for line in list(self.said) if kind in line]

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.stdin.close()
        return self.end()


def node(base, command, **options):
    return Node(base, command, **options).end()


@pytest.fixture(scope="module")
def ringside():
    with Ringside(workers=2) as r:
        yield r


@pytest.fixture
def name(request):
    return "js/" + "".join(c if c.isalnum() else "-" for c in request.node.name)


class Line:
    """A network between client and server: slow, in small pieces, and cut now and then when `cuts`."""

    def __init__(self, ringside, rate=None, cuts=None):
        self.to, self.rate, self.cuts = ringside.address(), rate, cuts
        self.dice = random.Random(7)
        self.server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self.server.getsockname()[1]}"
        self.connections, self.ends, self.held, self.frozen = 0, [], False, 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near = self.server.accept()[0]
            except OSError:
                return
            self.connections += 1
            if self.held:
                near.close()
                continue
            try:
                far = socket.create_connection(self.to)
            except OSError:  # it has ended before its clients
                near.close()
                continue
            self.ends += [near, far]
            left = [self.dice.randint(*self.cuts)] if self.cuts else None
            for one, other, counts in ((near, far, None), (far, near, left)):
                threading.Thread(target=self.carry, args=(one, other, counts, self.connections), daemon=True).start()

    def hold(self, on):
        """Nobody gets through, and whoever had is cut; or they do again."""
        self.held = on
        if on:
            for end in self.ends:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def freeze(self):
        """The connections there are carry nothing any more, and nobody says so."""
        self.frozen = self.connections

    def carry(self, one, other, left, number):
        try:
            while data := one.recv(1024):
                while number <= self.frozen:
                    time.sleep(0.02)
                if left is not None:
                    left[0] -= len(data)
                    if left[0] < 0:
                        data = data[:left[0]]
                other.sendall(data)
                if left is not None and left[0] < 0:
                    break
                if self.rate:
                    time.sleep(len(data) / self.rate)
        except OSError:
            pass
        for end in (one, other):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.close()


def numbers_of(said, path):
    return [line["data"]["n"] for line in said if line.get("stream") == path]


def test_everything_a_stream_can_do(ringside, name):
    assert node(ringside.url, "everything", path=name) == [
        None, [True, False], ["string"] * 4, [1, 2, 3, [4, 5], "six", None], ["application/json", False], ["more"] and
        [1, 2, 3, [4, 5], "six", None, "more"], True, ["RequestError", 409], "TypeError", "a\nbü",
        sorted([f"{name}: {t}" for t in ("1", "2", "3", "[4,5]", '"six"', "null")] + ["plain%20text/%C3%BC: a\nb", "plain%20text/%C3%BC: ü"]),
        [True, True, False, True]]


def test_bytes(ringside, name):
    assert node(ringside.url, "binary", path=name) == [[0, 255, 7]]


def test_final_errors_are_thrown(ringside, name):
    assert node(ringside.url, "errors", path=name) == [[404, 404, 404]]


def test_an_answer_that_was_lost_doubles_nothing(ringside, name):
    node(ringside.url, "append", paths=[name], count=60, window=3, losing=2)
    said = node(ringside.url, "follow", paths=[name], count=60)
    assert numbers_of(said, name) == list(range(60))


def test_a_later_life_fences_the_earlier(ringside, name):
    assert node(ringside.url, "fenced", path=name) == [[True, 2, True], [3, True], ["first", "second", "third"]]


def test_a_named_writer_goes_on_after_a_restart(ringside, name):
    ringside.request("PUT", "/v1/stream/" + name, None, JSON)
    for _ in range(3):
        node(ringside.url, "life", path=name, id="same", count=4)
    assert json.loads(ringside.get(f"/v1/stream/{name}?offset=-1")) == [0, 1, 2, 3] * 3


def test_what_waits_is_bounded(ringside, name):
    assert node(ringside.url, "full", path=name) == [[[1, 2, 3, "full", "full"], [1, 2, 3]]]


def test_a_reader_goes_on_in_another_process(ringside, name):
    node(ringside.url, "append", paths=[name + "/a", name + "/b"], count=30)
    first = node(ringside.url, "follow", paths=[name + "/*"], count=25)[:-1]
    rest = node(ringside.url, "follow", paths=[name + "/*"], count=35, lastEventId=first[-1]["id"])[:-1]
    for path in (name + "/a", name + "/b"):
        assert numbers_of(first + rest, path) == list(range(30))


def counter(r, metric):
    return sum(float(line.split()[-1]) for line in r.get("/metrics").splitlines() if line.startswith(f"ringside_{metric}{{"))


def test_closed_streams_end_it(ringside, name):
    ringside.request("PUT", "/v1/stream/" + name, b"[1]", {**JSON, "stream-closed": "true"})
    said = node(ringside.url, "end", path=name)
    assert said[0] == {"data": 1} and said[1]["over"] and said[1]["said"][-1] == "over"


def test_a_loss_is_said_and_never_silent(ringside, name):
    ringside.request("PUT", "/v1/stream/" + name, b"[1]", JSON)
    for told in (False, True):
        reader = Node(ringside.url, "end", path=name, onReset=told)
        wait_for(lambda: reader.said, "the first message")
        ringside.request("DELETE", "/v1/stream/" + name)
        ringside.request("PUT", "/v1/stream/" + name, b"[2]", {**JSON, "stream-closed": "true"})
        said = reader.end()
        if told:
            assert {"reset": {"stream": name, "reason": "deleted"}} in said or {"reset": {"stream": name, "reason": "recreated"}} in said, said
            assert said[-2] == {"data": 2} and said[-1]["over"], said
        else:
            assert said[-1]["error"] == "ResetError" and said[-1]["kind"] and said[-1]["reason"] in ("deleted", "recreated"), said
        ringside.request("DELETE", "/v1/stream/" + name)
        ringside.request("PUT", "/v1/stream/" + name, b"[1]", JSON)


def test_a_token_that_ends_is_replaced_or_it_is_thrown(tmp_path):
    rows = [row("lone", "read=**"), row("old", "read=**"), row("new", "read=**"), row("pen", "create=** append=**")]
    with Rows(tmp_path, rows) as r:
        assert r.status(secret("pen"), "PUT", "/v1/stream/a", b"[1]", JSON) == 201
        reader = Node(r.ringside.url, "end", path="a", tokens=[secret("lone")])
        wait_for(lambda: reader.said, "the first message")
        r.reload(rows[1:])
        assert reader.end()[-1] == {"error": "RequestError", "status": 401, "kind": False, "said": ["live", "expired", "connecting"]}
        reader = Node(r.ringside.url, "end", path="a", tokens=[secret("old"), secret("new")])
        wait_for(lambda: reader.said, "the first message")
        r.reload(rows[2:])
        assert r.status(secret("pen"), "POST", "/v1/stream/a", b"2", {**JSON, "stream-closed": "true"}) == 204
        assert [line.get("data") for line in reader.end()] == [1, 2, None] and reader.said[-1]["over"]


@pytest.mark.parametrize("line", ["direct", "cut"])
def test_nothing_is_lost_or_doubled_while_workers_are_killed(name, line):
    """Four streams are written and followed; workers are killed, and connections are cut, all the while."""
    dice, paths, count = random.Random(11), [f"{name}/{i}" for i in range(4)], 300
    with Ringside(workers=2) as r, Line(r, cuts=(2000, 60_000) if line == "cut" else None) as between:
        base = between.url if line == "cut" else r.url
        for path in paths:
            r.request("PUT", "/v1/stream/" + path, None, JSON)
        reader = Node(base, "follow", paths=[name + "/*"], count=count * len(paths), silence=3000)
        writer = Node(base, "append", paths=paths, count=count, window=8)
        kills = 0
        while writer.process.poll() is None and kills < 12:
            seen = len(reader.said)
            wait_for(lambda: len(reader.said) >= seen + 20 or writer.process.poll() is not None, "more", 6 * PATIENCE)
            kills += r.kill_some_worker(dice, "sse")
        assert writer.end() == [{"done": True}]
        said = reader.end()
        assert kills >= 3
        for path in paths:
            assert numbers_of(said, path) == list(range(count)), path


def test_a_slow_reader_is_cut_and_misses_nothing(name):
    """It takes its time with each message, the server holds no more than it may, and the client comes back."""
    with Ringside("--limits-reader-lag-bytes=256k", workers=1) as r:
        r.request("PUT", "/v1/stream/" + name, None, JSON)
        reader = Node(r.url, "follow", paths=[name], count=200, pace=10)
        wait_for(lambda: counter(r, "subscribers") == 1, "the reader")
        for n in range(200):
            r.request("POST", "/v1/stream/" + name, json.dumps({"n": n, "fill": "x" * 150_000}).encode(), JSON)
        said = reader.end()
        assert numbers_of(said, name) == list(range(200)) and "connecting" in said[-1]["states"]


def test_a_slow_network_carries_all_of_it(ringside, name):
    ringside.request("PUT", "/v1/stream/" + name, None, JSON)
    with Line(ringside, rate=40_000) as between:
        reader = Node(between.url, "follow", paths=[name], count=100, silence=60_000)
        writer = Node(between.url, "append", paths=[name], count=100)
        assert writer.end() == [{"done": True}]
        said = reader.end()
    assert numbers_of(said, name) == list(range(100))


def test_a_server_that_falls_silent_is_left(ringside, name):
    """A connection over which nothing comes is no connection: the watch sees it, and another one goes on."""
    ringside.request("PUT", "/v1/stream/" + name, b"[]", JSON)
    with Line(ringside) as between:
        reader = Node(between.url, "follow", paths=[name], count=2, silence=500)
        wait_for(lambda: between.connections >= 3, "another connection")
        ringside.request("POST", "/v1/stream/" + name, b'[{"n":0},{"n":1}]', JSON)
        assert numbers_of(reader.end(), name) == [0, 1]


def test_a_feed_over_kills(name):
    """Frames of three duels, in order and without a gap, while workers are killed."""
    dice = random.Random(5)
    with Ringside("--feeds-scheduled=", "--feeds-source-driven=arena", workers=2, bridge=1) as r:
        wait_for(lambda: r.request("GET", "/v1/feeds/arena")[0] == 200, "the feed")
        reader = Node(r.url, "feed", name="arena")
        wait_for(lambda: reader.said, "the newest frame")
        game = Game(r)
        for _ in range(3):
            duel = announce(game)
            r.kill_some_worker(dice, "sse")
            fight(game, duel)
            r.kill_some_worker(dice, "sse")
            game.post("death", duelId=duel, ids=["alpha"])
            game.post("phase", duelId=duel, phase="IDLE")
        newest = json.loads(r.get("/v1/feeds/arena"))["seq"]
        wait_for(lambda: any(line.get("seq") == newest for line in reader.said), "the newest frame", 3 * PATIENCE)
        frames = [line for line in reader.stop() if "seq" in line]
        assert not any(frame["gap"] for frame in frames)
        assert [f["seq"] for f in frames] == list(range(frames[0]["seq"], newest + 1))
        assert sum(f["terminal"] for f in frames) == 3
        assert {"kind": "odds"} in reader.said and {"kind": "result"} in reader.said


def test_a_feed_with_a_delay_is_heard_once(tmp_path):
    """Who may not hear it as it happens hears odds, results and attestations later; who may, hears nothing of it twice."""
    rows = [row("root", "post=arena read=/** frames=arena append=** metrics=/metrics"),
            row("viewer", "read=/v1/feeds/arena,/v1/feeds/arena/**,feeds/arena/spectator,feeds/arena/spectator/**,feeds/arena/odds")]
    with Rows(tmp_path, rows, "--feeds-scheduled=", "--feeds-source-driven=arena", "--feeds-spectator-delay=300ms", workers=1, bridge=1) as r:
        wait_for(lambda: r.status(secret("root"), "GET", "/v1/feeds/arena") == 200, "the feed")
        readers = {who: Node(r.ringside.url, "feed", name="arena", token=secret(who)) for who in ("root", "viewer")}
        for reader in readers.values():
            wait_for(lambda reader=reader: reader.said, "the newest frame")
        game = Game(r.ringside, token=secret("root"))
        duel = announce(game)
        fight(game, duel)
        game.post("death", duelId=duel, ids=["alpha"])

        def lines(name):
            status, _, body = r.ask(secret("root"), "GET", f"/v1/stream/feeds/arena/{name}?offset=-1")
            return json.loads(body) if status == 200 else []
        wait_for(lambda: any(line["payout"] for line in lines("spectator/odds")) and len(lines("spectator/odds")) == len(lines("odds")), "the late odds")
        wait_for(lambda: lines("spectator/results") and lines("spectator/attestations"), "the rest")
        game.post("phase", duelId=duel, phase="IDLE")  # what comes behind it all
        odds = {"root": len(lines("odds")), "viewer": len(lines("spectator/odds"))}
        for who, reader in readers.items():
            wait_for(lambda reader=reader: any("seq" in line and line["phase"] is None for line in reader.said[1:]), f"the end, for {who}")
            said = reader.stop()
            assert sum(line.get("kind") == "odds" for line in said) == odds[who], who
            assert said.count({"kind": "result"}) == said.count({"kind": "other", "of": "attestations"}) == 1, who


def test_a_bet_whose_answer_was_lost_counts_once():
    with Ringside("--feeds-scheduled=", "--feeds-source-driven=arena", workers=1, bridge=1) as r:
        wait_for(lambda: r.request("GET", "/v1/feeds/arena")[0] == 200, "the feed")
        duel = announce(Game(r))
        wait_for(lambda: r.request("GET", f"/v1/markets/{duel}")[0] == 200 and json.loads(r.get(f"/v1/markets/{duel}"))["takesBets"], "the market")
        told = node(r.url, "bet", duel=duel, losing=2)[-1]
        assert told["placed"] == told["listed"] == [10, 20, 30] and told["broke"] == 402 and told["state"] == "open" and told["known"]


# ---- connections ----


class Chat(Node):
    def __init__(self, base, **options):
        super().__init__(base, "chat", **options)

    def live(self):
        wait_for(lambda: self.of("state") and self.of("state")[-1] == "live", "a live connection", 3 * PATIENCE)
        return self

    def events(self, session):
        """What it was handed of a session, without what the connection says."""
        return [e for e in self.of("event") if e.get("sessionId") == session and "prevSessionSeq" in e]

    def cid(self):
        return next(line["cid"] for line in reversed(self.said) if "cid" in line)

    def results(self, method):
        return [line for line in list(self.said) if line.get("done") == method]


def texts(events):
    """The messages of people, in their order."""
    return [e["key"].rpartition(":")[0] for e in events if e["type"] == "chunk" and e["key"].endswith(":0")]


def in_order(events):
    return all(a["seq"] == b["prevSessionSeq"] for a, b in zip(events, events[1:]))


def calmly(r, *request):
    """Until it is answered: workers are killed meanwhile."""
    def ask():
        try:
            return r.request(*request)
        except (OSError, http.client.HTTPException):
            return None
    status, _, body = wait_for(lambda: (answer := ask()) and answer[0] < 500 and answer, request[:2])
    assert status < 300, body
    return body


def session(r, name, *messages):
    for path, body in [("", None)] + [("/messages", {"content": m, "messageId": m}) for m in messages]:
        calmly(r, "POST" if path else "PUT", f"/v1/sessions/{name}{path}", body and json.dumps(body).encode(), JSON)


def test_a_session_of_ones_own_and_what_follows_it(ringside):
    chat = Chat(ringside.url).live()
    chat.do("send", {"sessionId": None, "prompt": "one", "clientMsgId": "one"})
    chat.do("send", {"sessionId": None, "prompt": "two", "clientMsgId": "two", "after": "one"})
    wait_for(lambda: len(chat.results("send")) == 2, "both")
    first, second = (line["value"] for line in chat.results("send"))
    assert first["state"] == second["state"] == "accepted" and first["sessionId"] == second["sessionId"]
    wait_for(lambda: texts(chat.events(first["sessionId"])) == ["one", "two"], "both events")
    chat.do("probe")
    wait_for(lambda: chat.results("probe"), "the probe")
    assert chat.results("probe")[0]["value"] is True
    chat.stop()


@pytest.mark.parametrize("line", ["direct", "cut"])
def test_what_is_said_arrives_once_and_in_order_while_workers_are_killed(line):
    dice, count = random.Random(23), 150
    ids = [f"m{n}" for n in range(count)]
    with Ringside(workers=2) as r, Line(r, cuts=(3000, 40_000) if line == "cut" else None) as between:
        session(r, "s")
        base = between.url if line == "cut" else r.url
        chat, other = Chat(base, losing=7, outbox={"attemptsMax": 100, "max": count}), Chat(base)
        for one in (chat, other):
            one.do("watch", "s", {"lastSeq": 0})
            one.live()
        for one in ids:
            chat.do("send", {"sessionId": "s", "prompt": one, "clientMsgId": one})
        kills = 0
        while len(chat.results("send")) < count:
            seen = len(chat.results("send"))
            wait_for(lambda: len(chat.results("send")) >= min(count, seen + 15), "more", 6 * PATIENCE)
            kills += r.kill_some_worker(dice, "sse")
        assert kills >= 3 and all(line["value"]["state"] == "accepted" for line in chat.results("send"))
        for one in (chat, other):
            wait_for(lambda: len(texts(one.events("s"))) >= count, "all events", 3 * PATIENCE)
            assert texts(one.events("s")) == ids and in_order(one.events("s"))
            one.stop()


def test_what_waits_outlives_a_reload(ringside, tmp_path):
    """The process is killed in the middle of it, again and again; each message is taken once, in order."""
    session(ringside, "reload")
    ids = [f"m{n}" for n in range(40)]
    with Line(ringside, rate=30_000) as between:
        chat = Chat(between.url, store=str(tmp_path / "store"))
        for one in ids:
            chat.do("send", {"sessionId": "reload", "prompt": one, "clientMsgId": one})
        cids = set()
        for _ in range(3):
            seen = len(chat.of("outcome"))
            wait_for(lambda: len(chat.of("outcome")) >= seen + 5, "some of it", 3 * PATIENCE)
            cids.add(chat.cid())
            chat.kill()
            chat = Chat(between.url, store=str(tmp_path / "store"))
            chat.live()
    chat.kill()
    chat = Chat(ringside.url, store=str(tmp_path / "store")).live()
    cids.add(chat.cid())
    events = Chat(ringside.url)
    events.do("watch", "reload", {"lastSeq": 0})
    wait_for(lambda: len(texts(events.events("reload"))) >= len(ids), "all of it", 3 * PATIENCE)
    assert texts(events.events("reload")) == ids and len(cids) == 1
    chat.stop()
    events.stop()


def test_two_tabs_with_one_id_part(ringside, tmp_path):
    """A tab that was copied has the id of the first; each ends with one of its own, and both see everything."""
    session(ringside, "tabs")
    one, two = tmp_path / "one", tmp_path / "two"
    first = Chat(ringside.url, store=str(one))
    first.do("watch", "tabs", {"lastSeq": 0})
    first.live()
    two.write_bytes(one.read_bytes())
    second = Chat(ringside.url, store=str(two))
    second.do("watch", "tabs", {"lastSeq": 0})
    second.live()
    wait_for(lambda: first.cid() != second.cid() and first.of("state")[-1] == "live", "two ids")
    second.do("send", {"sessionId": "tabs", "prompt": "x", "clientMsgId": "x"})
    for tab in (first, second):
        wait_for(lambda: texts(tab.events("tabs")) == ["x"], "the message")
        tab.stop()


def test_what_was_missed_is_replayed_also_behind_its_expiry():
    with Ringside("--connections-expiry=200ms", workers=2) as r:
        session(r, "away")
        with Line(r) as between:
            chat = Chat(between.url)
            chat.do("watch", "away", {"lastSeq": 0})
            chat.live()
            between.hold(True)
            wait_for(lambda: chat.of("state")[-1] == "connecting", "the break")
            session(r, "away", "a", "b")
            wait_for(lambda: counter(r, "chat_expired_total") >= 1, "the expiry")
            between.hold(False)
            wait_for(lambda: texts(chat.events("away")) == ["a", "b"], "what was missed")
            session(r, "away", "c")
            wait_for(lambda: texts(chat.events("away")) == ["a", "b", "c"], "what came then")
            chat.stop()


def test_what_was_asked_between_two_streams_is_stated_behind_the_next(ringside):
    """The stream goes on from where the last event was; the client wants it from elsewhere since."""
    session(ringside, "back", "a", "b")
    with Line(ringside) as between:
        chat = Chat(between.url).live()
        chat.do("watch", "back")
        wait_for(lambda: chat.results("watch"), "it is watched")
        session(ringside, "back", "c")
        wait_for(lambda: texts(chat.events("back")) == ["c"], "an event, whose id is the place")
        between.hold(True)
        wait_for(lambda: chat.of("state")[-1] == "connecting", "the break")
        chat.do("watch", "back", {"lastSeq": 0})
        wait_for(lambda: len(chat.results("watch")) == 2, "it is noted")
        between.hold(False)
        wait_for(lambda: texts(chat.events("back")) == ["c", "a", "b", "c"], "all of it")
        chat.stop()


def test_only_what_is_watched_arrives(ringside):
    for name in ("w1", "w2"):
        session(ringside, name)
    chat = Chat(ringside.url).live()
    chat.do("watch", "w1")
    chat.do("watch", "w2")
    wait_for(lambda: len(chat.results("watch")) == 2, "both")
    session(ringside, "w1", "a")
    session(ringside, "w2", "b")
    wait_for(lambda: texts(chat.events("w1") + chat.events("w2")) == ["a", "b"], "both")
    chat.do("unwatch", "w1")
    wait_for(lambda: chat.results("unwatch"), "its end")
    session(ringside, "w1", "c")
    session(ringside, "w2", "d")
    wait_for(lambda: texts(chat.events("w2")) == ["b", "d"], "the other")
    chat.do("switchTo", "w1", {"lastSeq": 0})
    wait_for(lambda: texts(chat.events("w1")) == ["a", "a", "c"] or texts(chat.events("w1")) == ["a", "c"], "all of it")
    chat.do("watch", "never")
    wait_for(lambda: len(chat.results("watch")) == 3, "the refusal")
    assert chat.results("watch")[-1]["error"] == 404
    chat.do("watched")
    assert sorted(id for id, _ in wait_for(lambda: chat.of("watched"), "the list")[0]) == ["w1", "w2"]
    chat.stop()


def test_what_is_refused_has_failed_at_once(ringside):
    session(ringside, "refused", "taken")
    chat = Chat(ringside.url).live()
    chat.do("send", {"sessionId": "refused", "prompt": "other", "clientMsgId": "taken"})
    chat.do("send", {"sessionId": "a b", "prompt": "x", "clientMsgId": "bad-session"})
    wait_for(lambda: len(chat.of("outcome")) == 2, "both")
    assert [(o["state"], o["status"], o["willRetry"], o["attempts"]) for o in chat.of("outcome")] == [("failed", 409, False, 1), ("failed", 400, False, 1)]
    chat.stop()


def test_a_login_that_ended_holds_what_waits(tmp_path):
    rows = [row("old", "read=** append=** create=**"), row("new", "read=** append=** create=**")]
    with Rows(tmp_path, rows) as r:
        chat = Chat(r.ringside.url, tokens=[secret("old")]).live()
        chat.do("send", {"sessionId": None, "prompt": "a", "clientMsgId": "a"})
        wait_for(lambda: chat.of("outcome"), "the first")
        r.reload(rows[1:])
        wait_for(lambda: chat.of("state")[-1] == "denied", "the end of the login")
        chat.do("send", {"sessionId": None, "prompt": "b", "clientMsgId": "b"})
        wait_for(lambda: chat.of("login"), "that somebody must log in")
        chat.do("token", secret("new"))
        wait_for(lambda: len(chat.of("outcome")) == 2, "the second")
        assert [o["state"] for o in chat.of("outcome")] == ["accepted"] * 2
        assert chat.live().cid() != chat.said[0]["cid"]  # the first was the other login's
        chat.stop()


def test_a_stream_that_falls_silent_is_left():
    with Ringside("--http-sse-keepalive=500ms", workers=1) as r, Line(r) as between:
        session(r, "silent")
        chat = Chat(between.url)
        chat.do("watch", "silent", {"lastSeq": 0})
        chat.live()
        between.freeze()
        session(r, "silent", "a")
        wait_for(lambda: texts(chat.events("silent")) == ["a"], "the message, on another stream")
        chat.stop()


# ---- agents ----


def pieces(r, name):
    """What an agent has said there: (number, text)."""
    events = json.loads(calmly(r, "GET", f"/v1/stream/conversations/{name}/events?offset=-1"))
    answers = [e for e in events if e["type"] == "chunk" and e["key"].startswith("re-")]
    return [(e["key"], chunk["text"]) for e in answers if (chunk := json.loads(e["value"]["chunk"]))["type"] == "text"]


def test_an_agent_answers_each_message_once_while_workers_and_it_are_killed(tmp_path):
    dice, count = random.Random(9), 24
    with Ringside(workers=2) as r:
        for name in ("c1", "c2"):
            session(r, name)
        agent = Node(r.url, "answers", store=str(tmp_path / "place"), losing=5)
        for n in range(count):
            session(r, f"c{n % 2 + 1}", f"m{n}")
            if n % 4 == 3:
                r.kill_some_worker(dice, "sse")
                wait_for(lambda: len(pieces(r, "c1")) + len(pieces(r, "c2")) > n, "answers", 3 * PATIENCE)
            if n % 8 == 6:
                agent.kill()
                agent = Node(r.url, "answers", store=str(tmp_path / "place"), losing=5)
        for name in ("c1", "c2"):
            mine = [f"m{n}" for n in range(count) if f"c{n % 2 + 1}" == name]
            wanted = [(f"re-{one}:{i}", letter) for one in mine for i, letter in enumerate(one)]
            wait_for(lambda: len(pieces(r, name)) >= len(wanted), "all answers", 3 * PATIENCE)
            assert pieces(r, name) == wanted
        agent.stop()


def node_of(name, port=0):
    return {"id": name, "machine": "127.0.0.1", "cwd": "/tmp", "port": port, "pid": os.getpid()}


class AtHub(Node):
    def __init__(self, r, name=None, port=0, **options):
        super().__init__(r.url, "agent", **({"node": node_of(name, port)} if name else {}), **options)

    def sees(self, *roster):
        wait_for(lambda: self.of("roster") and self.of("roster")[-1] == [list(one) for one in roster], f"a roster of {roster}", 3 * PATIENCE)

    def live(self):
        wait_for(lambda: self.of("state") and self.of("state")[-1] == "live", "a live agent", 3 * PATIENCE)
        return self


def test_agents_register_and_are_seen(ringside):
    looker = AtHub(ringside)
    looker.sees()
    one, two = AtHub(ringside, "one", 1).live(), AtHub(ringside, "two", 2).live()
    for each in (looker, one, two):
        each.sees(("one", "active"), ("two", "active"))
    one.kill()
    looker.sees(("one", "offline"), ("two", "active"))
    AtHub(ringside, "one", 1).live().do("close")
    looker.sees(("two", "active"))
    two.do("ping")
    two.do("nothing")
    wait_for(lambda: len([line for line in two.said if "done" in line]) == 2, "both answers")
    done = [line for line in two.said if "done" in line]
    assert done[0]["value"]["status"] == "healthy" and done[1]["error"] == "Method not found: nothing"
    two.do("close")
    looker.sees()
    for each in (looker, two):
        each.stop()


def test_an_agent_is_back_whatever_is_killed():
    dice = random.Random(4)
    with Ringside(workers=2) as r:
        looker, agent = AtHub(r), AtHub(r, "phoenix").live()
        for _ in range(4):
            r.kill_some_worker(dice, "sse")
            looker.sees(("phoenix", "active"))
            wait_for(lambda: agent.of("state")[-1] == "live", "the agent")
        assert len(r.status()["workers"]) >= 2
        wait_for(lambda: json.loads(json.dumps(agent.of("roster")))[-1] == [["phoenix", "active"]], "what it sees itself", 3 * PATIENCE)
        looker.stop()
        agent.stop()


def test_what_is_anothers_is_refused_and_said(tmp_path):
    rows = [row(name, "read=hub/roster create=hub/agents/*") for name in ("anna", "bert")]
    with Rows(tmp_path, rows, workers=1) as r:
        anna = AtHub(r.ringside, "mine", token=secret("anna")).live()
        bert = AtHub(r.ringside, "mine", token=secret("bert"))
        wait_for(lambda: "refused" in bert.of("state"), "the refusal")
        assert any("Unauthorized" in (line.get("reason") or "") for line in bert.said)
        anna.stop()
        bert.stop()


def test_a_dashboard_comes_in_the_agents_own_socket():
    """Texts and bytes, short and longer than a frame or the credit, both ways; then it leaves, and the agent hears so."""
    with Ringside(workers=2) as r:
        agent = AtHub(r, "behind a wall", tunnel=True).live()
        sizes = [0, 1, 125, 126, 65_535, 65_536, 200_000, 500_000]
        assert node(r.url, "dashboard", id="behind a wall", sizes=sizes) == [{"size": size, "same": True} for size in sizes] + [
            {"over": {"code": 4001, "reason": "done"}}]
        wait_for(lambda: agent.of("channel") == [True, False], "its end")
        assert {"channel": False, "code": 4001, "reason": "done"} in agent.said
        assert node(r.url, "dashboard", id="nobody", sizes=[])[0]["refused"]["reason"] == "status 404"
        agent.stop()


def test_the_package_packs(tmp_path):
    done = subprocess.run(["npm", "pack", "--json", "--ignore-scripts", "--pack-destination", tmp_path], cwd=PACKAGE, capture_output=True,
                          text=True, timeout=120, env={**os.environ, "npm_config_cache": str(tmp_path / "cache"), "npm_config_update_notifier": "false"})
    assert done.returncode == 0, done.stderr
    packed, = json.loads(done.stdout)
    names = {file["path"] for file in packed["files"]}
    assert {"package.json", "LICENSE", "README.md", "src/index.js", "types/index.d.ts"} <= names
    assert not any(name.startswith(("test", "node_modules", "generate")) for name in names)
    with open(os.path.join(PACKAGE, "package.json")) as file:
        package = json.load(file)
    assert not package.get("dependencies")
    for entry in package["exports"].values():
        assert {path.removeprefix("./") for path in entry.values()} <= names
    (tmp_path / "node_modules").mkdir()
    subprocess.run(["tar", "xzf", tmp_path / packed["filename"], "-C", tmp_path / "node_modules"], check=True)
    (tmp_path / "node_modules/package").rename(tmp_path / "node_modules" / package["name"])
    each = "".join(f"await import('{package['name']}{path[1:]}');" for path in package["exports"])
    subprocess.run(["node", "--input-type=module", "-e", each], cwd=tmp_path, check=True, timeout=60)


def test_what_is_tested_beside_the_sources():
    done = subprocess.run(["node", "--test", "test/"], cwd=PACKAGE, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not os.path.exists(os.path.join(PACKAGE, "node_modules/typescript")), reason="no typescript")
def test_types_and_pages_are_of_these_sources():
    done = subprocess.run(["node", "generate.mjs", "--check"], cwd=PACKAGE, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def browser(ringside):
    if not os.path.exists(BROWSER):
        pytest.skip("no browser")
    with Browser() as b:
        b.open(ringside.url + "/page/icon.svg")
        b.wait("document.readyState === 'complete'")
        yield b


@pytest.mark.browser
def test_in_chromium(ringside, browser, name):
    """Appends and follows in a page, from the server's own copy of the package, while workers are killed."""
    dice = random.Random(3)
    browser.run("""(async () => {
        const { Api, Streams } = await import("/page/client/streams.js"), streams = new Streams(new Api());
        const path = %s, count = 120;
        await streams.create(path);
        window.got = [];
        (async () => {
            for await (const message of streams.follow(path, { from: "start", backoff: { min: 20, max: 300 } })) window.got.push(message.json());
        })();
        (async () => {
            for (let n = 0; n < count; n++) await streams.append(path, n, { backoff: { min: 20, max: 300 } });
            window.written = true;
        })();
    })()""" % json.dumps(name))
    for _ in range(3):
        seen = browser.run("window.got.length")
        browser.wait(f"window.got.length > {seen}", "more")
        ringside.kill_some_worker(dice, "sse")
    browser.wait("window.written && window.got.length >= 120", "all of it")
    assert browser.run("window.got") == list(range(120))


@pytest.mark.browser
@pytest.mark.skipif(not os.path.exists(BROWSER), reason="no browser")
def test_a_picture_by_webrtc_and_by_what_is_left():
    """WebRTC where it is to be had, MJPEG where it is not; a picture whose browser has ended comes back."""
    view = """(async () => {
        const { Api, Viewer } = await import("/page/client/viewer.js"), api = new Api();
        const order = { targetUrl: location.origin + "/arena/arena", renderOptions: { resolution: "320x180" } };
        window.states = [];
        const session = async () => (await api.askJson("/stream", { body: order, headers: { "idempotency-key": "shared" } })).streamId;
        window.viewer = new Viewer(api, { session, video: document.querySelector("video"), canvas: document.querySelector("canvas"), retry: 200,
            onState: ({ name, way }) => states.push([name, way].join(" ")) });
        viewer.start();
    })()"""
    with Ringside("--capture-workers=1", "--capture-allow-private=127.0.0.1", workers=1, bridge=1) as r, Browser() as b:
        for way in ("webrtc", "mjpeg"):
            b.open(r.url + "/arena/none")
            b.wait("location.pathname === '/arena/none' && document.readyState === 'complete'")
            b.run("document.body.innerHTML = '<video muted playsinline autoplay></video><canvas width=320 height=180></canvas>'")
            if way == "mjpeg":
                b.run("delete window.RTCPeerConnection")
            b.run(view)
            b.wait(f"states.at(-1) === 'showing {way}'", f"a picture by {way}")
            assert b.run("viewer.last > 0")
            if way == "mjpeg":
                before = r.worker("capture-0")["pid"]
                r.kill(before)
                wait_for(lambda: (w := r.worker("capture-0")) and w["pid"] not in (0, before), "another capture worker")
                b.wait(f"viewer.last > {time.time() * 1000} && viewer.state.name === 'showing'", "the picture, again")
            b.run("viewer.stop()")
            assert b.run("states.at(-1)").strip() == "stopped"


@pytest.mark.browser
def test_a_connection_in_chromium(ringside, browser, name):
    """Over a reload the tab keeps its id, and what it had not sent; both are said and seen once."""
    begin = """(async () => {
        const { Api } = await import("/page/client/api.js"), { Connection } = await import("/page/client/connection.js");
        window.events = [];
        window.connection = new Connection(new Api(), { onEvent: event => window.events.push(event), backoff: { min: 50, max: 300 } });
        connection.watch("page", { lastSeq: 0 });
        connection.start();
        return connection.cid;
    })()"""
    session(ringside, "page")
    cid = browser.run(begin)
    browser.wait("connection.state.name === 'live'", "a live connection")
    browser.run("""(() => {
        const post = window.fetch;
        window.fetch = (url, ...rest) => url.endsWith('/send') ? new Promise(() => {}) : post(url, ...rest);
        for (const id of ['a', 'b']) connection.send({ sessionId: 'page', prompt: id, clientMsgId: id });
    })()""")
    assert browser.run("JSON.parse(sessionStorage.getItem('ringside:outbox')).map(entry => entry.id)") == ["a", "b"]
    browser.call("Page.reload")
    browser.wait("!window.connection && document.readyState === 'complete'", "the reload")
    assert browser.run(begin) == cid
    browser.wait("events.filter(event => event.type === 'chunk').map(event => event.key).join() === 'a:0,b:0'", "both messages")
    assert browser.run("sessionStorage.getItem('ringside:outbox')") is None
    browser.run("connection.close()")
