"""A game that says nothing in a fight: nobody is paid for it, and who comes back in time goes on."""

import os
import signal
import time

import pytest

from duel_game import Game, agents, frames_of
from ringside import Ringside, wait_for
from test_market import Bettor, get, market, wait_state

TIMES = ("--duel-announcement=1s", "--duel-countdown=50ms", "--duel-end-warning=0ms", "--duel-resolution=50ms",
         "--duel-pause=10ms", "--duel-grace=50ms")


def begin(r):
    """A fight with 100 on alpha and 900 on beta; alpha has struck once."""
    wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
    g = Game(r, epoch=int(time.time() * 1000))
    g.post("cycle", **agents())
    duel = g.wait_phase("ANNOUNCEMENT")["duel"]["duelId"]
    wait_state(r, duel, "open")
    anna, bert = Bettor(r), Bettor(r)
    assert anna.bet(duel, "A", 100)[0] == 201 and bert.bet(duel, "B", 900)[0] == 201
    g.post("positions", duelId=duel, agent1=[0, 0, 0], agent2=[1, 0, 0])
    g.wait_phase("FIGHTING", duel)
    g.post("damage", duelId=duel, attackerId="alpha", amount=1)
    return g, duel, anna, bert


def ends_of(r, duel):
    return [f for f in frames_of(r) if f["duelId"] == duel and f["terminal"]]


def terminal_of(r, duel):
    return wait_for(lambda: ends_of(r, duel), "its end")[0]


def check_refund(r, duel, anna, bert):
    end = terminal_of(r, duel)
    assert (end["outcome"], end["cancellationReason"], end["winnerId"]) == ("cancelled", "source_silent", None)
    settled = wait_state(r, duel, "cancelled")
    assert settled["outcome"] == "cancelled" and settled["reason"] == "source_silent"
    assert anna.balance() == bert.balance() == 100000 and get(r, "/v1/ledger/sums")["balanced"]


@pytest.mark.parametrize("fight", ["1s", "1h"])
def test_a_game_that_dies_in_a_fight_pays_nobody(fight):
    """Whether the fight's time is over before the wait is, or not."""
    with Ringside(*TIMES, f"--duel-fight={fight}", "--feeds-source-silence=2s", workers=1, bridge=1) as r:
        g, duel, anna, bert = begin(r)
        assert g.state()["sourceSilenceMs"] == 2000 and g.state()["sourceHeardAt"] <= int(time.time() * 1000)
        check_refund(r, duel, anna, bert)
        warned = [f["rendererHealth"] for f in frames_of(r) if f["duelId"] == duel and f["phase"] == "FIGHTING"]
        assert any(h["degradedReason"] == "source_silent" and h["source"] == "guardrail" for h in warned)


def test_a_source_driven_fight_is_cancelled_too():
    with Ringside("--feeds-scheduled=", "--feeds-source-driven=arena", "--feeds-source-silence=1s", workers=1,
                  bridge=1) as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        g = Game(r)
        duel = g.post("cycle", **agents())["duelId"]
        g.post("positions", duelId=duel, agent1=[0, 0, 0], agent2=[1, 0, 0])
        g.post("phase", duelId=duel, phase="COUNTDOWN")
        g.post("phase", duelId=duel, phase="FIGHTING")
        assert terminal_of(r, duel)["cancellationReason"] == "source_silent"


def test_alive_is_enough():
    with Ringside(*TIMES, "--duel-fight=6s", "--feeds-source-silence=3s", workers=1, bridge=1) as r:
        g, duel, anna, bert = begin(r)
        while not (f := ends_of(r, duel)):
            g.post("alive")
            time.sleep(0.2)
        assert (f[0]["outcome"], f[0]["winnerId"]) == ("win", "alpha")
        assert wait_state(r, duel, "resolved")["winnerSide"] == "A"
        assert anna.balance() == 100900 and bert.balance() == 99100


def test_who_comes_back_goes_on():
    with Ringside(*TIMES, "--duel-fight=1h", "--feeds-source-silence=20s", workers=1, bridge=1) as r:
        g, duel, anna, bert = begin(r)
        silent = lambda: any(f["rendererHealth"]["degradedReason"] == "source_silent" for f in frames_of(r))
        wait_for(silent, "the guardrail")
        g.post("alive", duelId=duel)
        wait_for(lambda: frames_of(r)[-1]["rendererHealth"]["degradedReason"] != "source_silent", "its end")
        g.post("death", duelId=duel, ids=["beta"])
        assert wait_state(r, duel, "resolved")["winnerSide"] == "A"
        assert anna.balance() == 100900 and bert.balance() == 99100


@pytest.mark.parametrize("how", ["kill", "pause"])
def test_our_own_absence_is_not_its_silence(how):
    with Ringside(*TIMES, "--duel-fight=1h", "--feeds-source-silence=6s", "--worker-hang-timeout=1m", workers=1,
                  bridge=1) as r:
        g, duel, anna, bert = begin(r)
        bridge = r.worker("bridge-0")["pid"]
        time.sleep(1)
        os.kill(bridge, signal.SIGSTOP)
        time.sleep(7)  # longer than the wait
        os.kill(bridge, signal.SIGKILL if how == "kill" else signal.SIGCONT)
        g.wait_phase("FIGHTING", duel)  # asked of whoever is there now
        assert market(r, duel)["outcome"] == ""
        g.post("death", duelId=duel, ids=["beta"])
        assert wait_state(r, duel, "resolved")["winnerSide"] == "A"


def test_a_source_is_described_in_the_words_of_its_frames():
    with Ringside("--feeds-scheduled=", "--feeds-source-driven=arena", workers=1, bridge=1) as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        g = Game(r)
        assert g.state()["sourceHeardAt"] is None and g.state()["duel"] is None
        g.post("cycle", **agents())
        check = lambda: {k: v for k, v in g.state()["duel"].items() if k not in ("phaseStartTime", "cycleStartTime")}
        frame = lambda: frames_of(r)[-1]
        others = {"schemaVersion", "feed", "sourceEpoch", "seq", "previousSeq", "emittedAt", "terminal", "rendererHealth"}
        assert check() == {k: v for k, v in frame().items() if k not in others}
        assert check()["winnerId"] is None and check()["outcome"] is None and check()["fightStartTime"] is None
        duel = check()["duelId"]
        g.post("positions", duelId=duel, agent1=[0, 0.5, 0], agent2=[1, 0, 0])
        g.post("phase", duelId=duel, phase="COUNTDOWN")
        g.post("forfeit", duelId=duel, id="alpha")  # RESOLUTION
        assert check() == {k: v for k, v in frame().items() if k not in others} and check()["winnerId"] == "beta"
