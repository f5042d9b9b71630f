"""Wire version 3 of the bet-sync feed as a strict consumer takes it, and version 1 as it has always been."""

import json
import os
import random
import subprocess
import threading
import time

import jsonschema
import pytest

from duel_game import ENDS, Duels, Game, agents, frames_of
from event_source import EventSource
from ringside import BUILD, Ringside, wait_for
from strict_consumer import MEMBERS, StrictConsumer

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOKEN = "token.of.the.strict"
STATE, EVENTS = "/api/internal/bet-sync/state", "/api/internal/bet-sync/events"
BEARER = {"authorization": f"Bearer {TOKEN}"}
FLAGS = (f"--bet-sync-token={TOKEN}", "--feeds-scheduled=", "--feeds-source-driven=arena", "--bet-sync-state-rate=1000000",
         "--bet-sync-events-rate=1000000", "--http-sse-keepalive=500ms")
EMPTY = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
with open(os.path.join(ROOT, "docs/schema/bet-sync-v3.json"), encoding="utf-8") as schema_file:
    SCHEMA = jsonschema.Draft202012Validator(json.load(schema_file))


@pytest.fixture(scope="module")
def ringside():
    with Ringside(*FLAGS, workers=2, bridge=1) as r:
        wait_for(lambda: r.request("GET", "/v1/stream/feeds/arena/frames")[0] == 200, "the feed")
        yield r


@pytest.fixture
def g(ringside):
    game = Game(ringside, epoch=int(time.time() * 1000))
    duel = game.state()["duel"]
    if duel and not duel["outcome"]:
        game.post("abort", duelId=duel["duelId"], reason="test")
    elif duel:
        game.post("phase", duelId=duel["duelId"], phase="IDLE")
    return game


def state(r, query="?schemaVersion=3"):
    status, _, body = r.request("GET", STATE + query, headers=BEARER)
    assert status == 200, body
    return body.decode()


def newest(r):
    consumer = StrictConsumer()
    frame = consumer.take(state(r))
    SCHEMA.validate(frame)
    return frame


def follow(r, query="schemaVersion=3", **options):
    return EventSource(r, query, path=EVENTS, headers=BEARER, **options)


def take_all(source, count):
    wait_for(lambda: source.over or len(source.messages("betting")) >= count, f"{count} frames", 60)
    assert source.over is None and not source.messages("reset")
    consumer = StrictConsumer()
    frames = [consumer.take(m) for m in source.messages("betting")]
    for frame in frames:
        SCHEMA.validate(frame)
    return frames, consumer


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA.schema)
    assert tuple(SCHEMA.schema["required"]) == MEMBERS == tuple(SCHEMA.schema["properties"])


def test_every_end_of_a_duel(ringside, g):
    first = frames_of(ringside)[-1]["seq"]
    source = follow(ringside, f"schemaVersion=3&since={first}")
    duels = Duels(g, 2 * len(ENDS), seed=11)
    duels.start()
    duels.finish()
    frames = [f for f in frames_of(ringside) if f["seq"] > first]
    got, consumer = take_all(source, len(frames))
    assert [e.last_id for e in source.events if e.name == "betting"] == [str(f["seq"]) for f in frames]
    assert {f["outcome"] for f in got} == {None, "win", "draw", "cancelled"}
    assert {f["phase"] for f in got} == {None, "IDLE", "ANNOUNCEMENT", "COUNTDOWN", "FIGHTING", "RESOLUTION"}
    for mine, theirs in zip(got, frames):
        for name in set(MEMBERS) & set(theirs) - {"schemaVersion", "agent1", "agent2", "arenaPositions", "rendererHealth"}:
            if name != "competitiveSnapshot":
                assert mine[name] == theirs[name], name
    for cycle, (outcome, winner, reason) in duels.expected.items():
        frame = consumer.over[f"streaming-{cycle}"]
        assert (frame["outcome"], frame["winnerId"]) == (outcome, winner)
        assert reason == (frame["winReason"] or frame["cancellationReason"])
    source.stop()


def test_polled_and_pushed_are_the_same(ringside, g):
    """While duels are fought, each polled state is a frame that events have, byte by byte."""
    since = frames_of(ringside)[-1]["seq"]
    source, polled, over = follow(ringside, f"schemaVersion=3&since={since}"), {}, threading.Event()

    def poll():
        while not over.is_set():
            body = state(ringside)
            polled[json.loads(body)["seq"]] = body
    thread = threading.Thread(target=poll)
    thread.start()
    duels = Duels(g, 10, seed=3, pause=0.02)
    duels.start()
    duels.finish()
    over.set()
    thread.join()
    take_all(source, frames_of(ringside)[-1]["seq"] - since)
    pushed = {json.loads(m)["seq"]: m for m in source.messages("betting")}
    assert len(set(polled) & set(pushed)) > 5
    assert all(polled[seq] == pushed[seq] for seq in set(polled) & set(pushed))
    source.stop()


def test_a_duel_of_no_time_at_all(ringside, g):
    """Begun, fought and over in one transaction: its times are in their order all the same."""
    first = frames_of(ringside)[-1]["seq"]
    for number, end in enumerate(("win", "draw", "abort", "forfeit", "countdown")):
        cycle = f"00000000-0000-4000-8000-{time.time_ns() % 10 ** 12:012d}"
        duel = f"streaming-{cycle}"
        facts = [{"type": "cycle", "cycleId": cycle, **agents(number)},
                 {"type": "positions", "duelId": duel, "agent1": [0, 0, 0], "agent2": [1, 0, 0]},
                 {"type": "phase", "duelId": duel, "phase": "COUNTDOWN"},
                 {"type": "phase", "duelId": duel, "phase": "FIGHTING"}]
        last = {"win": [*facts, {"type": "death", "duelId": duel, "ids": ["beta"]}],
                "draw": [*facts, {"type": "result", "duelId": duel, "outcome": "draw"}],
                "abort": [facts[0], {"type": "abort", "duelId": duel, "reason": "enough"}],
                "forfeit": [*facts[:3], {"type": "forfeit", "duelId": duel, "id": "alpha"}],
                "countdown": [*facts[:3], {"type": "abort", "duelId": duel, "reason": "enough"}]}[end]
        if end in ("win", "draw", "forfeit"):
            last.append({"type": "phase", "duelId": duel, "phase": "IDLE"})
        g.post("batch", facts=last)
        newest(ringside)
    count = frames_of(ringside)[-1]["seq"] - first
    source = follow(ringside, f"schemaVersion=3&since={first}")
    frames, consumer = take_all(source, count)
    assert len(consumer.over) == 5
    assert any(f["betCloseTime"] == f["betOpenTime"] + 1 for f in frames if f["duelId"])
    source.stop()


def test_what_is_not_known_has_a_value(ringside, g):
    bare = {"agent1": {"id": "a", "name": "A", "hp": 0.25, "maxHp": 7.5}, "agent2": {"id": "b", "name": "B", "hp": 3, "maxHp": 3}}
    duel = g.post("cycle", **bare)["duelId"]
    frame = newest(ringside)
    assert frame["arenaPositions"] == {"agent1": [-1, 0, 0], "agent2": [1, 0, 0]} and frame["phase"] == "ANNOUNCEMENT"
    assert frame["rendererHealth"]["ready"] is False and 0 < frame["rendererHealth"]["updatedAt"] <= frame["emittedAt"]
    agent = frame["agent1"]
    assert (agent["provider"], agent["model"]) == ("unknown", "unknown")
    assert (agent["hp"], agent["maxHp"], agent["combatLevel"], agent["rank"]) == (1, 8, 1, 0)
    assert frame["competitiveSnapshot"] == {} and frame["competitiveSnapshotDigest"] == EMPTY
    g.post("positions", duelId=duel, agent1=[0, 0.5, 0], agent2=[3, 0, 1e-7])
    assert newest(ringside)["arenaPositions"] == {"agent1": [0, 0.5, 0], "agent2": [3, 0, 1e-7]}
    g.post("phase", duelId=duel, phase="COUNTDOWN")
    assert newest(ringside)["fightStartTime"] is None
    g.post("phase", duelId=duel, phase="FIGHTING")
    g.post("damage", duelId=duel, attackerId="a", amount=1.75)
    frame = newest(ringside)
    assert (frame["agent1"]["damageDealtThisFight"], frame["agent2"]["hp"]) == (1, 2)
    g.post("abort", duelId=duel, reason="enough")
    seq = newest(ringside)["seq"]
    source = follow(ringside, f"schemaVersion=3&since={seq - 2}")
    frames, _ = take_all(source, 2)
    assert frames[0]["outcome"] == "cancelled" and frames[0]["arenaPositions"]["agent1"] == [0, 0.5, 0]
    assert frames[1]["duelId"] is None
    source.stop()
    duel = g.post("cycle", **bare)["duelId"]
    g.post("abort", duelId=duel, reason="enough")
    source = follow(ringside, f"schemaVersion=3&since={seq + 1}")
    frames, _ = take_all(source, 2)
    assert frames[0]["outcome"] == "cancelled" and frames[0]["arenaPositions"] is None, "nobody knows where they stood"
    source.stop()


def test_what_they_fight_with(ringside, g):
    loadouts = {"z": [{"slot": "weapon", "itemId": "iron_sword", "quantity": 1.0}], "\ue000": 1, "\U0001f600": 2, "a": {"é": None}}
    first = frames_of(ringside)[-1]["seq"]
    duel = g.post("cycle", competitiveSnapshot=loadouts, **agents())["duelId"]
    frame = newest(ringside)
    assert frame["competitiveSnapshot"] == loadouts and list(frame["competitiveSnapshot"]) == ["a", "z", "\U0001f600", "\ue000"]
    assert frames_of(ringside)[-1]["competitiveSnapshotDigest"] == frame["competitiveSnapshotDigest"] != EMPTY
    ringside.kill(ringside.worker("bridge-0")["pid"])
    g.post("positions", duelId=duel, agent1=[0, 0, 0], agent2=[1, 0, 0])
    g.post("phase", duelId=duel, phase="COUNTDOWN")
    g.post("phase", duelId=duel, phase="FIGHTING")
    g.post("death", duelId=duel, ids=["beta"])
    g.post("phase", duelId=duel, phase="IDLE")
    source = follow(ringside, f"schemaVersion=3&since={first}")
    frames, _ = take_all(source, frames_of(ringside)[-1]["seq"] - first)
    assert {f["competitiveSnapshotDigest"] for f in frames if f["duelId"]} == {frame["competitiveSnapshotDigest"]}
    source.stop()
    for bad in ([], "x", {"x": "y" * 16384}):
        body = json.dumps({"sourceEpoch": g.epoch, "sourceSeq": g.seq + 1, "competitiveSnapshot": bad, **agents()})
        assert ringside.request("POST", "/v1/source/arena/cycle", body.encode(),
                                {"content-type": "application/json"})[0] in (400, 422)


def test_over_restarts(ringside, g):
    """A consumer that comes back by its number, over kills of whoever serves it, misses nothing."""
    dice = random.Random(5)
    with Ringside(*FLAGS, "--worker-restart-limit=64", "--worker-restart-window=1s", "--worker-restart-delay-max=50ms",
                  workers=2, bridge=1) as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        wait_for(lambda: r.request("GET", STATE, headers=BEARER)[0] == 200, "a frame")
        source = follow(r)
        wait_for(lambda: source.messages("betting"), "the first frame")
        duels = Duels(Game(r), 20, seed=8, pause=0.02)
        duels.start()
        while duels.is_alive():
            time.sleep(dice.uniform(0.1, 0.3))
            r.kill_some_worker(dice)
        duels.finish()
        r.stop()
        r.start()
        duels = Duels(Game(r, epoch=2), 3, seed=9)
        duels.start()
        duels.finish()
        frames = frames_of(r)
        first = json.loads(source.messages("betting")[0])["seq"]
        got, consumer = take_all(source, len(frames) - first + 1)
        assert got[-1]["seq"] == frames[-1]["seq"] and len(consumer.over) == 23
        source.stop()


def test_nothing_with_data_but_frames(ringside):
    """Who takes version 3 takes whatever has data for a frame, but for heartbeats: a farewell is a comment."""
    with Ringside(*FLAGS, workers=1, bridge=1) as r:
        wait_for(lambda: r.request("GET", STATE, headers=BEARER)[0] == 200, "a frame")
        with r.connect() as s:
            s.settimeout(60)
            s.sendall(f"GET {EVENTS}?schemaVersion=3 HTTP/1.0\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\r\n".encode())
            got = b""
            while b"event: heartbeat" not in got:
                got += s.recv(65536)
            r.signal(15)
            while more := s.recv(65536):
                got += more
    blocks = got.partition(b"\r\n\r\n")[2].decode().split("\n\n")
    assert ":bye draining" in blocks
    names = {line for b in blocks for line in b.split("\n") if line.startswith("event: ")}
    assert names == {"event: betting", "event: heartbeat"}


def test_who_names_no_version_gets_the_configured_one(ringside):
    assert json.loads(state(ringside, ""))["schemaVersion"] == 1
    assert ringside.request("GET", STATE + "?schemaVersion=4", headers=BEARER)[0] == 400
    assert ringside.request("GET", STATE + "?schemaVersion=", headers=BEARER)[0] == 400
    with Ringside(*FLAGS, "--bet-sync-schema-version=3", workers=1, bridge=1) as r:
        wait_for(lambda: r.request("GET", STATE, headers=BEARER)[0] == 200, "a frame")
        StrictConsumer().take(state(r, ""))
        source = follow(r, "")
        wait_for(lambda: source.messages("betting"), "a frame")
        StrictConsumer().take(source.messages("betting")[0])
        source.stop()
        for version in (1, 2, 3):
            assert json.loads(state(r, f"?schemaVersion={version}"))["schemaVersion"] == version


# ---- kept ----

def kept(name):
    with open(os.path.join(ROOT, "tests/fixtures/bet-sync", name), encoding="utf-8") as file:
        return file.read()


def test_version_1_is_what_it_was():
    """Frames of a release before there was a version 3, and what that release sent of them as version 1."""
    lines = kept("frames.ndjson").splitlines()
    with Ringside(*FLAGS, workers=1, bridge=1) as r:
        r.stop()
        publish = os.path.join(BUILD, "tests/system/publish")
        for line in lines:
            subprocess.run([publish, r.data_dir, str(8 << 20), "/v1/stream/feeds/kept/frames", line], check=True)
        r.start()
        with r.connect() as s:
            s.settimeout(60)
            s.sendall(f"GET {EVENTS}?feed=kept&since=1 HTTP/1.0\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\r\n".encode())
            got = b""
            while b"event: heartbeat" not in got:
                got += s.recv(65536)
        blocks = [b for b in got.partition(b"\r\n\r\n")[2].decode().split("\n\n") if b.startswith("id: ")]
        assert "".join(f"{b}\n\n" for b in blocks) == kept("version-1.sse")
        source = follow(r, "feed=kept&schemaVersion=3&since=1")
        frames, consumer = take_all(source, len(lines) - 1)
        assert len(consumer.over) == len(ENDS) and {f["competitiveSnapshotDigest"] for f in frames} == {EMPTY, None}
        source.stop()
