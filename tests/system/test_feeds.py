"""Duels and their feeds: the source API, the two modes, and kills at random moments."""

import json
import os
import random
import signal
import time

import pytest

from duel_game import Duels, Game, Refused, agents, check_frames, frames_of
from event_source import EventSource
from ringside import Ringside, wait_for
from test_bet_sync import text, v1_of
from test_kill import fixed_port

SHORT = ("--duel-announcement=150ms", "--duel-countdown=60ms", "--duel-fight=400ms", "--duel-end-warning=50ms",
         "--duel-resolution=80ms", "--duel-pause=20ms", "--duel-prep-timeout=200ms", "--duel-grace=100ms")
BET_SYNC_TOKEN = "token-of-the-bet-sync-feed"
BET_SYNC = (f"--bet-sync-token={BET_SYNC_TOKEN}", "--bet-sync-events-rate=100000")
DUELS = int(os.environ.get("DUELS", "200"))


@pytest.fixture(scope="module")
def ringside():
    with Ringside("--feeds-scheduled=arena, second", "--feeds-source-driven=game,other", *SHORT, workers=1,
                  bridge=1) as r:
        wait_for(lambda: r.request("GET", "/v1/source/game")[0] == 200, "the feeds")
        yield r


@pytest.fixture
def game(ringside):
    """A source of its own epoch on the source-driven feed, idle."""
    g = Game(ringside, "game", epoch=int(time.time() * 1000))
    state = g.state()
    if state["duel"]:
        g.post("abort" if not state["duel"]["outcome"] else "phase", duelId=state["duel"]["duelId"],
               **({"reason": "test"} if not state["duel"]["outcome"] else {"phase": "IDLE"}))
    return g


def test_a_feed_begins_with_an_idle_frame(ringside):
    wait_for(lambda: ringside.request("GET", "/v1/stream/feeds/other/frames")[0] == 200, "the first frame")
    first = frames_of(ringside, "other")
    assert len(first) == 1
    assert first[0]["seq"] == 1 and first[0]["phase"] is None and first[0]["duelId"] is None
    assert first[0]["rendererHealth"]["ready"] is False
    assert first[0]["rendererHealth"]["degradedReason"] == "capture_client_disconnected"


def test_scheduled_duel_runs_by_the_clock(ringside):
    g = Game(ringside, "arena", epoch=int(time.time() * 1000))
    g.post("cycle", announcementMs=1000, **agents())
    state = g.wait_phase("ANNOUNCEMENT")
    duel = state["duel"]["duelId"]
    assert state["duel"]["betCloseTime"] - state["duel"]["betOpenTime"] == 1000
    with pytest.raises(Refused) as refused:
        g.post("phase", duelId=duel, phase="COUNTDOWN")
    assert refused.value.status == 409
    g.post("positions", duelId=duel, agent1=[0, 0, 0], agent2=[1, 0, 0])
    g.wait_phase("FIGHTING", duel)
    g.post("damage", duelId=duel, attackerId="beta", amount=10)
    g.wait_phase("RESOLUTION", duel)
    wait_for(lambda: g.state()["duel"] is None, "idle")
    mine = [f for f in frames_of(ringside) if f["duelId"] == duel]
    assert [f["phase"] for f in mine if f["phaseVersion"]] == [
        "ANNOUNCEMENT", "ANNOUNCEMENT", "COUNTDOWN", "FIGHTING", "FIGHTING", "RESOLUTION"]
    end = mine[-1]
    assert end["terminal"] and (end["outcome"], end["winnerId"], end["loserId"], end["winReason"]) == (
        "win", "beta", "alpha", "hp_advantage")
    assert end["seed"].isdigit() and len(end["replayHash"]) == 64
    fight = next(f for f in mine if f["phase"] == "FIGHTING")
    countdown = next(f for f in mine if f["phase"] == "COUNTDOWN")
    assert countdown["fightStartTime"] is None and fight["fightStartTime"] >= countdown["plannedFightStartTime"]
    assert mine[0]["betCloseTime"] <= fight["fightStartTime"]
    assert [f["duelId"] for f in frames_of(ringside, stream="results")] == [duel]


def test_the_next_pair_may_be_named_while_a_result_is_shown(ringside):
    g = Game(ringside, "arena", epoch=int(time.time() * 1000))
    g.post("cycle", announcementMs=1000, **agents())
    duel = g.wait_phase("ANNOUNCEMENT")["duel"]["duelId"]
    g.post("positions", duelId=duel, agent1=[0, 0, 0], agent2=[1, 0, 0])
    g.wait_phase("FIGHTING", duel)
    g.post("batch", facts=[{"type": "death", "duelId": duel, "ids": ["alpha"]}, {"type": "cycle", **agents()}])
    g.post("cycle", announcementMs=1000, **agents(1))
    second = wait_for(lambda: (lambda s: s["duel"] and s["duel"]["duelId"] != duel and s["duel"])(g.state()),
                      "the next duel")
    g.post("abort", duelId=second["duelId"], reason="test")
    check_frames(frames_of(ringside))


def test_scheduled_duel_without_positions_is_cancelled(ringside):
    g = Game(ringside, "second", epoch=int(time.time() * 1000))
    g.post("cycle", **agents())
    before = len([f for f in frames_of(ringside, "second") if f["terminal"]])
    wait_for(lambda: len([f for f in frames_of(ringside, "second") if f["terminal"]]) > before, "the end")
    end = [f for f in frames_of(ringside, "second") if f["terminal"]][-1]
    assert (end["outcome"], end["cancellationReason"], end["phase"]) == (
        "cancelled", "contestant_prep_failed", "IDLE")
    assert end["cycleId"] and end["duelKey"] and end["agent1"]["id"] == "alpha"


def test_every_end(ringside, game):
    duels = Duels(game, 10, seed=1)
    duels.start()
    duels.finish()
    frames = frames_of(ringside, "game")
    check_frames(frames)
    got = {f["cycleId"]: (f["outcome"], f["winnerId"], f["cancellationReason"] if f["outcome"] == "cancelled"
                          else f["winReason"]) for f in frames if f["terminal"]}
    for cycle, expected in duels.expected.items():
        assert got[cycle] == expected


def test_posts_count_once_and_in_order(ringside, game):
    game.post("cycle", **agents())
    duel = game.state()["duel"]["duelId"]
    game.post("positions", duelId=duel, agent1=[0, 0, 0], agent2=[1, 0, 0])
    game.post("phase", duelId=duel, phase="COUNTDOWN")
    game.post("phase", duelId=duel, phase="FIGHTING")
    game.post("damage", duelId=duel, attackerId="alpha", amount=5)
    game.seq -= 1
    assert game.post("damage", duelId=duel, attackerId="alpha", amount=5)["duplicate"] is True
    assert game.state()["duel"]["agent2"]["hp"] == 75
    game.seq -= 1
    with pytest.raises(Refused) as other:
        game.post("damage", duelId=duel, attackerId="alpha", amount=6)
    assert other.value.status == 409 and "was another post" in other.value.reason
    game.seq += 2
    with pytest.raises(Refused) as gap:
        game.post("damage", duelId=duel, attackerId="alpha", amount=5)
    assert gap.value.status == 409 and f"sourceSeq must be {game.seq}," in gap.value.reason
    game.seq -= 1
    older = Game(ringside, "game", epoch=game.epoch - 1)
    with pytest.raises(Refused) as stale:
        older.post("abort", duelId=duel, reason="x")
    assert stale.value.status == 409 and "is over" in stale.value.reason
    newer = Game(ringside, "game", epoch=game.epoch + 1)
    newer.post("abort", duelId=duel, reason="x")
    with pytest.raises(Refused):
        game.post("scene", duelId=duel, scene={})


def test_a_change_that_changes_nothing_makes_no_frame(ringside, game):
    game.post("cycle", **agents())
    duel = game.state()["duel"]["duelId"]
    before = game.post("scene", duelId=duel, scene={"a": 0.1})["seq"]
    assert game.post("scene", duelId=duel, scene={"a": 0.1})["seq"] == before
    assert game.post("scene", duelId=duel, scene={"a": 0.2})["seq"] == before + 1
    game.post("abort", duelId=duel, reason="x")
    assert json.dumps(frames_of(ringside, "game")[-3]["scene"]) == '{"a": 0.2}'


def test_a_scene_holds_whatever_is_valid_json(ringside, game):
    """A number beyond 64 bits or U+0000 in it is no fault of the fact, and nothing behind it stumbles."""
    game.post("cycle", **agents())
    duel = game.state()["duel"]["duelId"]
    game.post("scene", duelId=duel, scene={"big": 10 ** 19, "fine": 0.12345678901234568, "text": "a\0b", "half": "x\ud800"})
    scene = {"big": 10 ** 19, "fine": 0.12345678901234568, "text": "a\0b", "half": "x\ufffd"}
    assert game.state()["duel"]["scene"] == scene
    assert frames_of(ringside, "game")[-1]["scene"] == scene
    game.post("abort", duelId=duel, reason="x")


def test_a_batch_is_all_or_nothing(ringside, game):
    game.post("cycle", **agents())
    duel = game.state()["duel"]["duelId"]
    seq = game.state()["seq"]
    with pytest.raises(Refused) as refused:
        game.post("batch", facts=[{"type": "positions", "duelId": duel, "agent1": [0, 0, 0], "agent2": [1, 0, 0]},
                                  {"type": "damage", "duelId": duel, "attackerId": "alpha", "amount": 1}])
    assert refused.value.status == 409 and refused.value.reason.startswith("/facts/1: ")
    assert game.state()["seq"] == seq
    answer = game.post("batch", facts=[
        {"type": "abort", "duelId": duel, "reason": "x"}, {"type": "cycle", **agents()}])
    assert answer["phase"] == "ANNOUNCEMENT" and answer["duelId"] != duel
    assert answer["seq"] == seq + 3  # the terminal frame, the idle one, the new duel
    game.post("abort", duelId=answer["duelId"], reason="x")


@pytest.mark.parametrize("kind, body, status", [
    ("cycle", b"{", 400), ("cycle", b"[]", 400), ("cycle", b'{"sourceEpoch":1,"sourceEpoch":1}', 400),
    ("nothing", b"{}", 404), ("abort", b'{"sourceEpoch":1,"sourceSeq":1,"duelId":"x"}', 400),
    ("abort", b'{"sourceEpoch":1,"sourceSeq":1,"duelId":"x","reason":" "}', 422),
    ("abort", b'{"sourceEpoch":-1,"sourceSeq":1,"duelId":"x","reason":"x"}', 422),
])
def test_bad_posts(ringside, kind, body, status):
    got, _, text = ringside.request("POST", f"/v1/source/game/{kind}", body, {"content-type": "application/json"})
    assert got == status and text.strip()


def test_bad_requests(ringside):
    js = {"content-type": "application/json"}
    assert ringside.request("POST", "/v1/source/nowhere/cycle", b"{}", js)[0] == 404
    assert ringside.request("POST", "/v1/source/game/cycle", b"{}", {"content-type": "text/plain"})[0] == 415
    assert ringside.request("POST", "/v1/source/game/cycle", b" " * 300000, js)[0] == 413
    assert ringside.request("POST", "/v1/source/game", b"{}", js)[0] == 405
    assert ringside.request("PUT", "/v1/stream/feeds/game/frames", None, js)[0] == 403
    assert ringside.request("POST", "/v1/stream/feeds/game/frames", b"[1]", js)[0] == 403


def test_schemas_have_a_tag_by_which_they_are_not_sent_again(ringside):
    _, headers, _ = ringside.request("GET", "/v1/source/schemas")
    tag = headers["etag"]
    assert tag and tag == ringside.request("GET", "/v1/source/schemas")[1]["etag"]
    status, headers, body = ringside.request("GET", "/v1/source/schemas", None, {"if-none-match": tag})
    assert (status, headers["etag"], body) == (304, tag, b"")
    assert ringside.request("GET", "/v1/source/schemas/cycle.json", None, {"if-none-match": tag})[0] == 200


def test_schemas_hold_for_what_is_accepted(ringside):
    import jsonschema
    schemas = json.loads(ringside.get("/v1/source/schemas"))
    one = json.loads(ringside.get("/v1/source/schemas/cycle.json"))
    assert one == schemas["cycle"]
    with open(os.path.join(os.path.dirname(__file__), "../../docs/source-api.schema.json")) as file:
        assert json.load(file) == schemas, "docs/source-api.schema.json is not what is served"
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    place = {"sourceEpoch": 1, "sourceSeq": 1}
    jsonschema.validate({**place, **agents()}, schemas["cycle"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**place, **agents(), "more": 1}, schemas["cycle"])
    jsonschema.validate({**place, "facts": [{"type": "death", "duelId": "d", "ids": ["a"]}]}, schemas["batch"])


def test_numbers_are_written_as_by_javascript(ringside, game):
    places = [[0.00003, 1e-7, -1.5e-8], [1e9, -0.1, 0.000001]]
    game.post("cycle", **agents())
    duel = game.state()["duel"]["duelId"]
    game.post("positions", duelId=duel, agent1=places[0], agent2=places[1])
    body = ringside.get("/v1/stream/feeds/game/frames?offset=-1")
    newest = [part.partition("]")[0] for part in body.rpartition('"arenaPositions":')[2].split("[")[1:3]]
    assert newest == ["0.00003,1e-7,-1.5e-8", "1000000000,-0.1,0.000001"]
    assert text(places) == '[[0.00003,1e-7,-1.5e-8],[1000000000,-0.1,0.000001]]'
    game.post("abort", duelId=duel, reason="x")


class Watchers:
    """Who follows the feed over all kills: the frames' stream, and both versions of the bet-sync wire."""

    def __init__(self, r, feed):
        wait_for(lambda: r.request("GET", f"/v1/stream/feeds/{feed}/frames")[0] == 200, "the first frame")
        self.frames = EventSource(r, f"stream=feeds/{feed}/frames&from=start")
        bet_sync = {"path": "/api/internal/bet-sync/events",
                    "headers": {"authorization": f"Bearer {BET_SYNC_TOKEN}"}}
        self.v1 = EventSource(r, f"feed={feed}", **bet_sync)
        self.v2 = EventSource(r, f"feed={feed}&schemaVersion=2", **bet_sync)
        # Who has no id yet begins with whatever is the newest.
        wait_for(lambda: all(s.messages("message", "betting") for s in (self.frames, self.v1, self.v2)),
                 "the first frame at every consumer")

    def check(self, frames):
        for source in (self.frames, self.v1, self.v2):
            name = "message" if source is self.frames else "betting"
            wait_for(lambda: source.over or len(source.messages(name)) >= len(frames),
                     f"{source.query}: {len(source.messages(name))} of {len(frames)}", 30)
            assert source.over is None
            got = [json.loads(m) for m in source.messages(name)]
            assert not source.messages("reset")
            wanted = [text(v1_of(f)) for f in frames] if source is self.v1 else frames
            if source is self.v1:
                got = source.messages(name)  # byte by byte
            for at, (had, want) in enumerate(zip(got, wanted)):
                assert had == want, f"{source.query}: message {at} of {len(got)}, {len(wanted)} frames"
            assert len(got) == len(wanted)
            source.stop()


def settle(r, duels, source, feed):
    duels.finish()
    frames = frames_of(r, feed)
    over = check_frames(frames)
    assert over == {f"streaming-{cycle}" for cycle in duels.expected}
    terminal = [f for f in frames if f["terminal"]]
    assert len(terminal) == len(duels.expected)
    for f in terminal:
        reason = f["cancellationReason"] if f["outcome"] == "cancelled" else f["winReason"]
        assert (f["outcome"], f["winnerId"], reason) == duels.expected[f["cycleId"]]
    assert frames_of(r, feed, "results") == terminal
    source.check(frames)


def test_kill_workers_while_duels_are_fought():
    """No frame is missed or repeated, every duel ends once, as the game said."""
    seed = int(os.environ.get("SEED", random.randrange(10 ** 6)))
    print("SEED", seed)
    dice = random.Random(seed)
    with Ringside("--feeds-source-driven=game", "--worker-restart-limit=64", "--worker-restart-window=1s", "--worker-restart-delay-max=50ms", *BET_SYNC,
                  workers=2, bridge=1) as r:
        source = Watchers(r, "game")
        duels = Duels(Game(r, "game"), DUELS, seed, pause=0.01)
        duels.start()
        kills = 0
        while duels.is_alive():
            time.sleep(dice.uniform(0.05, 0.4))
            kills += r.kill_some_worker(dice)
        assert kills > 3
        settle(r, duels, source, "game")


def test_scheduled_duels_go_on_over_kills_of_the_bridge():
    """The same ids, the same times, whenever it dies."""
    seed = int(os.environ.get("SEED", random.randrange(10 ** 6)))
    print("SEED", seed)
    dice = random.Random(seed)
    with Ringside(*SHORT, "--worker-restart-limit=64", "--worker-restart-window=1s", "--worker-restart-delay-max=50ms",
                  *BET_SYNC, workers=1, bridge=1) as r:
        g, expected, source = Game(r), {}, Watchers(r, "arena")
        for number in range(12):
            g.post("cycle", announcementMs=1000, **agents(number))
            duel = g.wait_phase("ANNOUNCEMENT")["duel"]
            kinds = dice.sample(("before", "announcement", "fight", "end"), 2)

            def kill(when):
                if when in kinds:
                    r.kill(r.worker("bridge-0")["pid"])
            kill("before")
            g.post("positions", duelId=duel["duelId"], agent1=[0, 0, 0], agent2=[1, 0, 0])
            kill("announcement")
            fighting = g.wait_phase("FIGHTING", duel["duelId"])["duel"]
            assert fighting["betCloseTime"] == duel["betCloseTime"] <= fighting["fightStartTime"]
            kill("fight")
            if number % 2:
                g.post("death", duelId=duel["duelId"], ids=["beta"])
            kill("end")
            wait_for(lambda: (lambda d: d is None or d["duelId"] != duel["duelId"] or d["outcome"])(g.state()["duel"]),
                     "the end")
            expected[duel["duelId"]] = "kill" if number % 2 else "hp_advantage"
        wait_for(lambda: g.state()["duel"] is None, "idle")
        frames = frames_of(r)
        assert check_frames(frames) == set(expected)
        for f in frames:
            if f["terminal"]:
                assert (f["outcome"], f["winReason"]) in (("win", expected[f["duelId"]]), ("draw", "draw"))
        source.check(frames)


def test_a_pause_ends_no_fight():
    """Stopped over the end of a fight, the bridge reads what was posted before it looks at the clock."""
    with Ringside(*SHORT, "--duel-fight=1s", "--duel-end-warning=0ms", "--duel-grace=1m", "--worker-hang-timeout=1m",
                  workers=1, bridge=1) as r:
        g = Game(r)
        g.post("cycle", **agents())
        duel = g.wait_phase("ANNOUNCEMENT")["duel"]["duelId"]
        g.post("positions", duelId=duel, agent1=[0, 0, 0], agent2=[1, 0, 0])
        g.wait_phase("FIGHTING", duel)
        bridge = r.worker("bridge-0")["pid"]
        os.kill(bridge, signal.SIGSTOP)
        time.sleep(3.5)  # the fight's end, and longer than a turn can take
        os.kill(bridge, signal.SIGCONT)
        r.wait_log("feed was paused feed=arena")
        assert not g.state()["duel"]["outcome"]
        g.post("death", duelId=duel, ids=["beta"])
        assert [f["winReason"] for f in frames_of(r, stream="results")] == ["kill"]


def test_kill_everything_while_duels_are_fought():
    seed = int(os.environ.get("SEED", random.randrange(10 ** 6)))
    print("SEED", seed)
    dice = random.Random(seed)
    with Ringside("--feeds-source-driven=game", *BET_SYNC, workers=1, bridge=1, listen=f"127.0.0.1:{fixed_port()}") as r:
        source = Watchers(r, "game")
        duels = Duels(Game(r, "game"), DUELS, seed, pause=0.01)
        duels.start()
        kills = 0
        while duels.is_alive() and kills < 40:
            time.sleep(dice.uniform(0.2, 0.6))
            r.kill_everything()
            os.truncate(r.log_path, 0)
            r.start()
            kills += 1
        settle(r, duels, source, "game")
