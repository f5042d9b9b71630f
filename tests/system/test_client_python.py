"""The Python client against the real thing: over kills of workers it misses nothing and doubles nothing, and goes on
where it was."""

import base64
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time

import pytest

from client_python import CLIENT, Backoff, Closed, Fenced, NOW, Refused, Reset, START, Server, Unanswered, WebSocket, WebSocketClosed
from duel_game import check_frames, frames_of
from ringside import Ringside, wait_for

SEED = int(os.environ.get("SEED", random.randrange(1 << 30)))
SECONDS = float(os.environ.get("KILL_SECONDS", "8"))
QUICK = Backoff(first=0.01, most=0.1)
KILLABLE = ("--worker-restart-limit=64", "--worker-restart-window=1s", "--http-long-poll-timeout=1s", "--http-events-retry=20ms")


@pytest.fixture(scope="module")
def r():
    with Ringside(*KILLABLE, workers=2) as ringside:
        yield ringside


def client(r, **options):
    return Server(lambda: r.url, **{"backoff": QUICK, "patience": 60, **options})


class Following(threading.Thread):
    """What an iterator of the client gives, kept; what ended it raised by stop()."""

    def __init__(self, followed):
        super().__init__(daemon=True)
        self.followed, self.got, self.error = followed, [], None
        self.start()

    def run(self):
        try:
            for item in self.followed:
                self.got.append(item)
        except Exception as error:  # noqa: BLE001 - stop() shows it
            self.error = error

    def stop(self):
        self.followed.close()
        self.join(30)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error
        return self.got


class Writing(threading.Thread):
    """A producer that appends numbers until it is stopped: [n, blanks, a fraction] so that answers differ in size."""

    def __init__(self, stream):
        super().__init__(daemon=True)
        self.producer, self.count, self.stopping, self.error = stream.producer("w"), 0, False, None
        self.start()

    def run(self):
        try:
            while not self.stopping:
                self.producer.append_json(*({"n": self.count + i, "pad": "x" * (self.count % 300)} for i in range(3)))
                self.count += 3
        except Exception as error:  # noqa: BLE001
            self.error = error

    def stop(self):
        self.stopping = True
        self.join(60)
        assert not self.is_alive() and self.error is None, self.error
        return self.count


def numbers(got, name=None):
    return [m.json()["n"] for m in got if not isinstance(m, Reset) and name in (None, m.stream)]


def test_kills_lose_and_double_nothing():
    print(f"SEED={SEED}")
    dice = random.Random(SEED)
    with Ringside(*KILLABLE, workers=2) as r:
        server = client(r)
        names = [f"kill/{i}" for i in range(3)]
        streams = [server.stream(name) for name in names]
        for stream in streams:
            stream.create("application/json")
        writers = [Writing(stream) for stream in streams]
        many = [Following(server.follow("kill/*", start="start", retry=0.01)),
                Following(server.follow(*names, live="long-poll", start="start"))]
        one = [Following(streams[0].follow(retry=0.01)), Following(streams[1].follow(live="long-poll"))]
        end, kills = time.monotonic() + SECONDS, 0
        while time.monotonic() < end:
            time.sleep(dice.uniform(0.2, 0.8))
            kills += r.kill_some_worker(dice)
        counts = [writer.stop() for writer in writers]
        wait_for(lambda: all(len(f.got) >= sum(counts) for f in many), "the followers of many", 60)
        wait_for(lambda: all(sum(len(p.messages()) for p in f.got) >= n for f, n in zip(one, counts)), "of one", 60)
        for following in many:
            got = following.stop()
            for name, count in zip(names, counts):
                assert numbers(got, name) == list(range(count)), name
        for following, count in zip(one, counts):
            assert [m["n"] for piece in following.stop() for m in piece.messages()] == list(range(count))
        for stream, count in zip(streams, counts):
            assert [m["n"] for m in stream.messages()] == list(range(count))
        print(f"kills={kills} messages={sum(counts)} repeats={sum(w.producer.repeats for w in writers)} "
              f"connects={[f.followed.connects for f in many + one]}")
        assert kills > 0 and sum(counts) > 0


@pytest.mark.parametrize("live", ["sse", "long-poll"])
def test_a_position_resumes_in_all_streams(r, live):
    server = client(r)
    names = [f"resume/{live}/{i}" for i in range(3)]
    for name in names:
        server.stream(name).create("application/json")
    writer = {name: server.stream(name).producer("w") for name in names}
    for n in range(40):
        writer[names[n % 3]].append_json(*({"n": 10 * n + i} for i in range(4)))
    got, position, dice = [], None, random.Random(7)
    while len(got) < 160:  # given up again and again, in the middle of an answer too
        with server.follow(*names, live=live, start="start", position=position) as events:
            for _ in range(min(dice.randrange(1, 12), 160 - len(got))):
                got.append(next(events))
                position = events.position
                assert got[-1].position == position
    want = {name: [10 * n + i for n in range(40) if names[n % 3] == name for i in range(4)] for name in names}
    assert {name: numbers(got, name) for name in names} == want
    for name in names:
        writer[name].close()
    with server.follow(*names, live=live, position=position) as events:
        assert list(events) == []  # all of them are closed and delivered: it ends by itself


def test_what_is_followed_from_now_on_begins_now(r):
    server = client(r)
    stream = server.stream("now/a")
    stream.create("application/json", "[1,2]")
    polled = server.follow("now/a", live="long-poll")
    sse = Following(server.follow("now/*"))
    wait_for(lambda: sse.followed.connects, "a connection")
    late = server.stream("now/b")
    wait_for(lambda: sse.followed._source.last_id, "its first id")
    stream.append("3", "application/json")
    late.create("application/json", "[4]")
    assert next(polled).json() == 3
    polled.close()
    wait_for(lambda: len(sse.got) == 2, "both")
    assert sorted((m.stream, m.json()) for m in sse.stop()) == [("now/a", 3), ("now/b", 4)]


def test_bytes_and_numbers_are_as_they_were_written(r):
    server = client(r)
    raw, text = server.stream("as/bytes"), server.stream("as/text")
    raw.create("application/octet-stream")
    text.create("text/plain; charset=utf-8")
    exact = server.stream("as/json")
    exact.create("application/json")
    blob = bytes(range(256)) * 40
    raw.producer("p").append(blob)
    text.producer("p").append(" one\r\ntwo\n\n  é\U0001f600")
    exact.producer("p").append('[1.10, 12345678901234567890, "a,b]", {"x": 1e400}]')
    for live in ("sse", "long-poll"):
        with raw.follow(live=live) as reader:
            assert next(reader).data == blob
        with text.follow(live=live) as reader:
            want = " one\r\ntwo\n\n  é\U0001f600"
            assert next(reader).text() == (want if live == "long-poll" else want.replace("\r\n", "\n"))
        with server.follow("as/bytes", "as/json", live=live, start="start") as events:
            got = [next(events) for _ in range(5)]
            assert [m.data for m in got if m.stream == "as/bytes"] == [blob]
            assert [m.data for m in got if m.stream == "as/json"] == ["1.10", "12345678901234567890", '"a,b]"', '{"x": 1e400}']
    assert b"".join(piece.data for piece in raw.read()) == blob


@pytest.mark.parametrize("live", ["sse", "long-poll"])
def test_a_reset_says_what_does_not_follow(r, live):
    server = client(r)
    name = f"reset/{live}"
    server.stream(name).create("application/json", "[1]")
    other = server.stream(name + "-other")
    other.create("application/json")
    with server.follow(name, name + "-other", live=live, start="start") as events:
        assert next(events).json() == 1
        server.stream(name).delete()
        reset = next(events)
        assert isinstance(reset, Reset) and (reset.stream, reset.reason) == (name, "deleted")
        other.append("2", "application/json")
        assert next(events).json() == 2


def test_what_is_refused_is_raised(r):
    server = client(r)
    with pytest.raises(Refused) as refused:
        next(iter(server.follow("refused/none")))
    assert refused.value.status == 404
    for live in ("sse", "long-poll"):
        with pytest.raises(Refused) as refused:
            next(iter(server.stream("refused/none").follow(live=live)))
        assert refused.value.status == 404
    with pytest.raises(Refused):
        server.stream("refused/none").head()
    with pytest.raises(Refused):
        server.stream("refused/none").append("x")
    assert server.stream("refused/none").delete() is False
    stream = server.stream("refused/a")
    stream.create("text/plain")
    stream.create("text/plain")
    with pytest.raises(Refused):
        stream.create("text/plain", exist_ok=False)
    with pytest.raises(Refused):
        stream.create("application/json")
    for bad in ("ftp://x", "localhost:1"):
        with pytest.raises(ValueError):
            Server(bad).request("GET", "/")
    with pytest.raises(ValueError):
        server.follow("a/*", live="long-poll")
    with pytest.raises(ValueError):
        server.follow("a", live="pigeon")


# ---- producers ----


def test_producers_take_over_from_one_another(r):
    stream = client(r).stream("producers/a")
    stream.create("text/plain")
    first = stream.producer("p")
    first.append("1")
    second = stream.producer("p")
    if second.epoch == first.epoch:
        second.epoch += 1
    second.append("2")
    with pytest.raises(Fenced):
        first.append("lost")
    ahead = stream.producer("p", epoch=1 << 52)
    ahead.append("3")
    behind = stream.producer("p")  # its clock is behind
    behind.append("4")
    assert behind.epoch == (1 << 52) + 1
    assert b"".join(p.data for p in stream.read()) == b"1234"
    behind.append("5", close=True)
    with pytest.raises(Closed):
        behind.append("6")
    assert stream.head().closed and b"".join(p.data for p in stream.read()) == b"12345"
    behind.stream.close()
    pieces = list(stream.follow(live="long-poll"))
    assert pieces[-1].closed and b"".join(p.data for p in pieces) == b"12345"
    assert b"".join(p.data for p in stream.follow()) == b"12345"


def test_what_had_no_answer_is_settled_first():
    with Ringside(workers=1) as r:
        server = client(r, patience=0.3, timeout=0.3)
        stream = server.stream("settle")
        stream.create("text/plain")
        producer = stream.producer("p")
        producer.append("1 ")
        pid = r.worker("sse-0")["pid"]
        os.kill(pid, 19)  # SIGSTOP: it takes the connection, and says nothing
        try:
            with pytest.raises(Unanswered):
                producer.append("2 ")
            with pytest.raises(Unanswered):
                stream.append("unnumbered", "text/plain")
        finally:
            os.kill(pid, 18)
        server.patience, server.timeout = 60, 30
        producer.append("3 ")
        text = b"".join(p.data for p in stream.read()).decode().replace("unnumbered", "")
        assert text == "1 2 3 "


# ---- a game ----


def play(game, number, pause=0.0):
    """One source-driven duel; its id."""
    cycle = f"{number:08x}-0000-4000-8000-{game.epoch:012x}"
    duel = f"streaming-{cycle}"
    one, two = ({"id": name, "name": name.title(), "hp": 30, "maxHp": 30} for name in ("red", "blue"))
    assert game.post("cycle", cycleId=cycle, agent1=one, agent2=two)["duelId"] == duel
    game.post("positions", duelId=duel, agent1=[-1, 0, 0], agent2=[1, 0, 0])
    game.post("phase", duelId=duel, phase="COUNTDOWN")
    game.post("phase", duelId=duel, phase="FIGHTING")
    for _ in range(5):
        game.post("damage", duelId=duel, attackerId="red", amount=2.5)
        time.sleep(pause)
    game.batch([{"type": "damage", "duelId": duel, "attackerId": "red", "amount": 17.5},
                {"type": "death", "duelId": duel, "ids": ["blue"]}])
    assert game.wait("RESOLUTION", duel)["duel"]["agent1"]["damageDealtThisFight"] == 30
    game.post("phase", duelId=duel, phase="IDLE")
    assert game.wait("FIGHTING", duel) is None
    return duel


def test_facts_count_once_over_kills():
    print(f"SEED={SEED}")
    dice = random.Random(SEED)
    with Ringside(*KILLABLE, "--feeds-source-driven=arena", "--feeds-scheduled=", workers=2, bridge=1) as r:
        game = client(r).source("arena")
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        stopping, kills, end = threading.Event(), [], time.monotonic() + SECONDS

        def kill():
            while not stopping.wait(dice.uniform(0.3, 0.9)) and time.monotonic() < end:
                kills.append(r.kill_some_worker(dice))

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        duels = []
        while time.monotonic() < end:
            duels.append(play(game, len(duels), 0.05))
        stopping.set()
        killer.join()
        wait_for(lambda: r.request("GET", "/readyz")[0] == 200, "ready again")
        frames = frames_of(r)
        assert check_frames(frames) == set(duels)
        assert all(f["agent1"]["damageDealtThisFight"] == 30 for f in frames if f["terminal"])
        print(f"kills={sum(kills)} duels={len(duels)} facts={game.seq} repeats={game.repeats}")
        with pytest.raises(Refused) as refused:
            game.post("phase", duelId="streaming-x", phase="FIGHTING")
        assert refused.value.status in (409, 422)
        seq = game.seq
        game.post("alive")
        assert game.seq == seq + 1
        client(r).source("arena", epoch=game.epoch + 1).post("alive")
        with pytest.raises(Refused) as refused:
            game.post("alive")
        assert refused.value.status == 409 and "is over" in refused.value.reason


def test_a_game_that_thinks_is_kept_alive():
    with Ringside("--feeds-source-driven=arena", "--feeds-scheduled=", "--feeds-source-silence=1s", workers=1, bridge=1) as r:
        game = client(r).source()
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        with game.keep_alive() as alive:
            wait_for(lambda: game.seq >= 5, "five posts that say nothing")
            before = game.state()["sourceSeq"]
            game.post("alive")
            wait_for(lambda: game.state()["sourceSeq"] > before + 1, "and it goes on")
            assert alive.error is None
            client(r).source(epoch=game.epoch + 1).post("alive")
            wait_for(lambda: alive.error, "the end of whoever was superseded")


# ---- conversations ----


def test_an_answer_loses_no_word_over_kills():
    print(f"SEED={SEED}")
    dice = random.Random(SEED)
    with Ringside(*KILLABLE, workers=2) as r:
        server = client(r)
        ann = server.conversation("talk", actor="ann")
        words, kills = [f"{n} " for n in range(400)], 0
        done = threading.Event()

        def agent():
            bot = client(r).conversation("talk", actor="bot")
            with bot.inbox() as inbox:
                for item in inbox:
                    assert (item.type, item.text, item.value["actorId"]) == ("message", "count", "ann")
                    with bot.reply() as reply:
                        for word in words:
                            reply.write(word)
                    done.set()
                    return

        ann.say("count", message_id="m1")
        ann.say("count", message_id="m1")  # the same, once
        thread = threading.Thread(target=agent, daemon=True)
        watcher = Following(ann.events())
        thread.start()
        while not done.is_set():  # always somewhere in it
            said = len(watcher.got)
            kills += r.kill_some_worker(dice)
            wait_for(lambda: done.is_set() or len(watcher.got) > said + dice.randrange(60), "more of it", 60)
        wait_for(lambda: len(watcher.got) >= len(words) + 1, "all of it", 60)
        got = watcher.stop()
        assert [item.text for item in got] == ["count"] + words
        assert [item.value["value"]["seq"] for item in got] == [0] + list(range(len(words)))
        print(f"kills={kills}")


def test_an_agent_goes_on_where_it_was_and_stops_when_told(r):
    talk = client(r).conversation("talk-2", actor="bot")
    talk.create()
    reply = talk.reply("g1")
    reply.write("a")
    reply.write("b")
    again = talk.reply("g1")
    assert again.said() == "ab" and again.seq == 2
    again.write("c")
    assert talk.reply("g1").said() == "abc"
    reply.write("not twice")  # its number is there: it has been said
    assert talk.reply("g1").said() == "abc"
    with pytest.raises(Refused) as refused:
        talk.reply("g2").write("meanwhile")
    assert refused.value.status == 409
    talk.say("wait")
    talk.stop("g1")
    with pytest.raises(Refused):
        again.write("d")
    assert again.stopped
    inbox = talk.inbox()
    first, second = next(inbox), next(inbox)
    inbox.close()
    assert (first.type, first.text, second.type) == ("message", "wait", "stop")
    assert next(talk.inbox(first.place)).type == "stop"
    talk.delete()
    talk.delete()


# ---- the hub ----


def echo(channel):
    for message in channel:
        channel.send(message)


def talk_to(server, agent, message):
    """A dashboard of its own."""
    socket = WebSocket(server, f"/ws/agent/{agent}?strict=1")
    socket.send(message)
    answer = socket.receive()
    socket.close()
    return answer


def test_agents_are_found_and_talked_to():
    with Ringside(*KILLABLE, workers=2) as r:
        server = client(r)
        roster = server.roster()
        assert next(roster)["event"] == "init" and roster.nodes == {}
        with server.agent("echo", serve=echo).wait(30) as agent, server.agent("other", serve=echo).wait(30):
            while len(roster.nodes) < 2:
                next(roster)
            assert {node["status"] for node in roster.nodes.values()} == {"active"}
            for message in ("hello", b"\0\1", "", "x" * 300000, os.urandom(200000)):
                assert talk_to(server, "echo", message) == message
            # Every worker goes once; the agent comes back by itself, and so does who watches.
            for name in ("sse-0", "sse-1"):
                connects = agent.connects
                r.kill(r.worker(name)["pid"])
                wait_for(lambda: r.request("GET", "/readyz")[0] == 200, "ready")

                def answered():
                    try:
                        agent.wait(30)
                        return talk_to(server, "echo", "again") == "again"
                    except (Refused, WebSocketClosed, OSError):
                        return False
                wait_for(answered, "an answer")
                assert agent.connects >= connects
        while roster.nodes:
            next(roster)
        with pytest.raises(Refused) as refused:
            WebSocket(server, "/ws/agent/echo?strict=1")
        assert refused.value.status == 404
        roster.close()


# ---- who asks ----


def test_a_token_may_be_another_each_time(tmp_path):
    tokens = ["reader-token-of-the-client-test", "writer-token-of-the-client-test"]
    environment = {"RINGSIDE_AUTH_SUBSCRIBE_TOKENS": tokens[0], "RINGSIDE_AUTH_PUBLISH_TOKENS": tokens[1]}
    with Ringside(workers=1, environment=environment, start=False) as r:
        r.flags.remove("--dev")
        r.start()
        asked = []

        def token():
            asked.append(tokens[len(asked) % 2])
            return asked[-1]

        stream = client(r, token=token).stream("tokens")
        with pytest.raises(Refused) as refused:
            stream.create("text/plain")
        assert refused.value.status == 403
        stream.create("text/plain")
        with pytest.raises(Refused) as refused:
            client(r).stream("tokens").head()
        assert refused.value.status == 401


# ---- the package ----


def test_it_installs_into_a_venv_without_a_network(tmp_path):
    """With what Debian packages: pip, setuptools, wheel, venv."""
    tree = shutil.copytree(CLIENT, tmp_path / "tree", ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--system-site-packages", tmp_path / "venv"], check=True, timeout=120)
    python = tmp_path / "venv/bin/python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-index", "--no-build-isolation", "--disable-pip-version-check", tree],
                   check=True, timeout=300)
    done = subprocess.run([python, "-c", "import ringside_client; print(ringside_client.__file__)"], check=True, cwd=tmp_path,
                          capture_output=True, text=True, timeout=60)
    assert str(tmp_path / "venv") in done.stdout
    assert os.path.exists(os.path.join(os.path.dirname(done.stdout.strip()), "py.typed"))


def test_its_pages_are_as_its_sources_say():
    done = subprocess.run([sys.executable, os.path.join(CLIENT, "reference.py")], check=True, capture_output=True, text=True, timeout=60)
    with open(os.path.join(CLIENT, "API.md")) as file:
        assert file.read() == done.stdout, "clients/python/reference.py >clients/python/API.md"
