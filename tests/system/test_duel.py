"""ringside-duel: real engines, real games, and what becomes of them when something is killed or breaks down."""

import os
import random
import subprocess
import sys
import time

import pytest

from duel_game import check_frames, frames_of
from ringside import BUILD, Ringside, alive, wait_for
from test_kill import fixed_port

PROGRAM = os.path.join(BUILD, "scripts/duel/ringside-duel")
SHORT = ("--duel-announcement=100ms", "--duel-countdown=50ms", "--duel-resolution=50ms", "--duel-pause=10ms",
         "--duel-fight=2m")
DRAWS = {"stalemate", "insufficient_material", "fifty_moves", "threefold_repetition"}
# Speaks UCI until it is asked for a move; then it does `fault`.
BROKEN = """import sys, time
for line in sys.stdin:
    word = line.split()[0] if line.split() else ""
    answer = {"uci": "uciok", "isready": "readyok"}.get(word)
    if answer:
        print(answer, flush=True)
    if word == "go":
        FAULT
    if word == "quit":
        break
"""


@pytest.fixture(scope="module")
def ringside():
    with Ringside(*SHORT, f"--listen=127.0.0.1:{fixed_port()}", workers=1, bridge=1) as r:
        yield r


class Duel:
    def __init__(self, ringside, *flags):
        self.tokens = os.path.join(ringside.run_dir, "tokens.json")
        self.process = subprocess.Popen(
            [PROGRAM, f"--url={ringside.url}", f"--token-file={self.tokens}", "--pace=0ms", "--movetime=3ms", *flags],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self, patience=300):
        out, err = self.process.communicate(timeout=patience)
        assert self.process.returncode == 0, out + err
        return out, err

    def children(self):
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        with open(path) as file:
            return [int(pid) for pid in file.read().split()]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def results(ringside):
    if ringside.request("GET", "/v1/stream/feeds/arena/results")[0] != 200:
        return []
    return frames_of(ringside, stream="results")


def broken(tmp_path, fault):
    path = tmp_path / "engine.py"
    path.write_text(BROKEN.replace("FAULT", fault))
    return f"{sys.executable} {path},id=broken"


def test_two_engines_play_to_the_end(ringside):
    before = len(results(ringside))
    with Duel(ringside, "--games=2") as duel:
        out, _ = duel.finish()
    ends = results(ringside)[before:]
    assert len(ends) == 2 and out.count("game ") == 2
    assert {ends[0]["scene"]["white"], ends[1]["scene"]["white"]} == {"stockfish", "gnuchess"}
    for end in ends:
        frames = [f for f in frames_of(ringside) if f["duelId"] == end["duelId"]]
        moves = [f["scene"]["lastMove"] for f in frames if f["scene"] and f["scene"].get("lastMove")]
        assert end["scene"]["ply"] >= 8 and len(moves) >= end["scene"]["ply"]
        assert end["scene"]["end"] == end["detail"]
        if end["outcome"] == "win":
            assert (end["winReason"], end["detail"]) in (("kill", "checkmate"), ("forfeit", "resignation"))
            loser = next(end[a] for a in ("agent1", "agent2") if end[a]["id"] == end["loserId"])
            assert (loser["hp"] == 0) == (end["detail"] == "checkmate")
        else:
            assert end["outcome"] == "draw" and end["detail"] in DRAWS
    check_frames(frames_of(ringside))


@pytest.mark.parametrize("fault, detail", [
    ("time.sleep(60)", "flag_fall"),
    ("print('bestmove e2e5', flush=True)", "illegal_move"),
    ("sys.exit(1)", "engine_failure"),
])
def test_an_engine_that_breaks_down_forfeits(ringside, tmp_path, fault, detail):
    with Duel(ringside, "--games=1", "--clock=1s", f"--engine1={broken(tmp_path, fault)}") as duel:
        duel.finish()
    end = results(ringside)[-1]
    assert (end["outcome"], end["winnerId"], end["winReason"], end["detail"]) == (
        "win", "gnuchess", "forfeit", detail)


def test_an_engine_that_ends_is_started_again_and_the_game_goes_on(ringside, tmp_path):
    """gnuchess does so now and then; which engine, why and after what is told on stderr."""
    lives = tmp_path / "lives"
    lives.write_text("")
    weak = broken(tmp_path, "sys.exit(7)").split(",")[0].split()[1]
    engine = tmp_path / "twice.py"
    engine.write_text(f"""import os, sys
with open({str(lives)!r}, "a+") as file:
    file.write("x")
    file.seek(0)
    lives = len(file.read())
os.environ["PATH"] += ":/usr/games"
os.execvp(*(({sys.executable!r}, [{sys.executable!r}, {weak!r}]) if lives < 3 else ("stockfish", ["stockfish"])))
""")
    with Duel(ringside, "--games=1", f"--engine1={sys.executable} {engine},id=twice,resign=1500") as duel:
        _, err = duel.finish()
    assert err.count("engine 'twice' ended with status 7 ") == 2 and "after it was told 'go movetime 3'" in err
    end = results(ringside)[-1]
    assert len(lives.read_text()) == 3 and end["detail"] != "engine_failure"


def test_an_engine_that_does_not_start_is_named(ringside, tmp_path):
    for command, reason, patience in (("/nowhere/engine", "could not be started", "60s"),
                                      ("sleep 60", "has not said uciok", "50ms")):
        with Duel(ringside, f"--engine-timeout={patience}", f"--engine1={command},id=mute") as duel:
            _, err = duel.process.communicate(timeout=60)
        assert duel.process.returncode == 1
        assert f"engine 'mute' {reason}" in err and "after it was told 'uci'" in err


def test_sigterm_cancels_the_duel_and_ends_the_engines(ringside):
    before = len(results(ringside))
    with Duel(ringside, "--pace=50ms") as duel:
        wait_for(lambda: (frames_of(ringside)[-1]["scene"] or {}).get("ply", 0) >= 2, "the second move")
        engines = duel.children()
        assert len(engines) == 2
        duel.process.terminate()
        duel.finish()
    assert not any(alive(pid) for pid in engines)
    end = results(ringside)[before:]
    assert [(e["outcome"], e["cancellationReason"]) for e in end] == [("cancelled", "game_stopped")]


def test_a_killed_source_is_succeeded(ringside):
    before = len(results(ringside))
    with Duel(ringside, "--pace=50ms") as duel:
        wait_for(lambda: (frames_of(ringside)[-1]["scene"] or {}).get("ply", 0) >= 2, "the second move")
        engines = duel.children()
        duel.process.kill()
    wait_for(lambda: not any(alive(pid) for pid in engines), "the engines' end")
    with Duel(ringside, "--games=1") as duel:
        _, err = duel.finish()
    assert "was left unfinished" in err
    ends = results(ringside)[before:]
    assert [e["cancellationReason"] for e in ends[:1]] == ["game_restarted"]
    assert len(ends) == 2 and ends[1]["outcome"] in ("win", "draw")


def test_ringside_may_be_killed_at_any_move(ringside):
    """Workers, and all of it, while two games are played: every move is there once, in order."""
    dice = random.Random(7)
    before = len(results(ringside))
    with Duel(ringside, "--games=2", "--pace=10ms") as duel:
        kills = 0
        while duel.process.poll() is None:
            time.sleep(dice.uniform(0.1, 0.5))  # when it strikes is what the test is about
            if kills % 4 == 3:
                ringside.kill_everything()
                ringside.start()
            else:
                ringside.kill_some_worker(dice)
            kills += 1
            wait_for(lambda: ringside.request("GET", "/readyz")[0] == 200 if ringside.process.poll() is None
                     else False, "ready")
        out, err = duel.finish()
    assert kills >= 3 and out.count("game ") == 2, out + err
    frames = frames_of(ringside)
    check_frames(frames)
    ends = results(ringside)[before:]
    assert [e["outcome"] in ("win", "draw") for e in ends] == [True, True]
    for end in ends:
        plies = [f["scene"]["ply"] for f in frames if f["duelId"] == end["duelId"] and f["scene"]]
        assert plies == sorted(plies) and set(plies) == set(range(end["scene"]["ply"] + 1))
