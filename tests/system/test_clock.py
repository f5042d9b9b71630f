"""The wall clock is set while Ringside runs (an RTC that was wrong until NTP answered): what is under way lasts as
long as it would have. Only what the processes see of the clock is set."""

import json
import os
import struct
import subprocess
import tempfile
import time

import pytest

from duel_game import Game, agents, frames_of
from ringside import BUILD, Ringside, wait_for
from test_market import JSON, Bettor, get, market, wait_state
from test_subscriptions import Receiver, call, put_stream

HOUR = 3600 * 1000
SHIM = os.environ.get("CLOCK_SHIM", os.path.abspath(os.path.join(BUILD, "tests/faults/libset_clock.so")))


class Clock:
    def __init__(self, path):
        self.path = path
        self.set(0)

    def set(self, ms):
        """By how much the wall clock is wrong from now on."""
        with open(self.path, "r+b" if os.path.exists(self.path) else "wb") as file:
            file.write(struct.pack("q", ms))


@pytest.fixture
def place():
    with tempfile.TemporaryDirectory(prefix="ringside-clock-") as name:
        yield name


def with_clock(place, *flags):
    if b"libasan" in subprocess.run(["ldd", os.path.join(BUILD, "worker-sse/ringside-sse")],
                                    capture_output=True, check=True).stdout:
        pytest.skip("ASan's runtime must be loaded first; the release build is tested")
    clock = Clock(os.path.join(place, "clock"))
    preload = ":".join(filter(None, [os.environ.get("LD_PRELOAD"), SHIM]))
    return clock, Ringside("--store-checkpoint=100ms", *flags, workers=1, bridge=1, start=False,
                           environment={"LD_PRELOAD": preload, "CLOCK_FILE": clock.path})


TIMES = ("--duel-countdown=1s", "--duel-fight=3s", "--duel-end-warning=1s", "--duel-resolution=1s",
         "--duel-pause=100ms", "--duel-grace=1s")


def announced(r, ms):
    g = Game(r, epoch=int(time.time() * 1000))
    g.post("cycle", **agents(), announcementMs=ms)
    duel = g.wait_phase("ANNOUNCEMENT")["duel"]["duelId"]
    g.post("positions", duelId=duel, agent1=[0, 0, 0], agent2=[1, 0, 0])
    wait_for(lambda: market(r, duel) != 404 and market(r, duel)["takesBets"], "bets")
    return g, duel


def test_the_clock_is_set_back_while_a_duel_is_announced(place):
    clock, r = with_clock(place, *TIMES)
    with r.start():
        g, duel = announced(r, 4000)
        anna = Bettor(r)
        assert anna.bet(duel, "A", 10)[0] == 201
        clock.set(-HOUR)
        assert g.wait_phase("FIGHTING", duel)  # not in an hour
        assert wait_state(r, duel, "locked")["poolA"] == 10
        assert anna.bet(duel, "A", 1)[0] == 409
        clock.set(-2 * HOUR)
        wait_state(r, duel, "cancelled")  # a draw: the fight is not longer than it may be
        terminal = frames_of(r, stream="results")[-1]
        assert terminal["duelId"] == duel and terminal["winReason"] == "draw"
        lasted = terminal["duelEndTime"] - terminal["fightStartTime"]
        assert 0 <= lasted < 60000
        assert terminal["betCloseTime"] <= terminal["fightStartTime"]
        emitted = [f["emittedAt"] for f in frames_of(r)]
        assert emitted == sorted(emitted)
        assert get(r, "/v1/ledger/sums")["balanced"] and "the clock was set" in r.log()


def test_the_clock_is_set_forth_while_a_duel_is_fought(place):
    clock, r = with_clock(place, "--duel-countdown=100ms", "--duel-fight=100s", "--duel-grace=1s")
    with r.start():
        g, duel = announced(r, 2000)
        g.wait_phase("FIGHTING", duel)
        clock.set(HOUR)
        r.wait_log("the clock was set")
        seen = frames_of(r)[-1]["seq"]
        g.post("damage", duelId=duel, attackerId="alpha", amount=1)
        wait_for(lambda: frames_of(r)[-1]["seq"] > seen, "frames after the step")
        time.sleep(2)  # longer than duel.grace
        assert g.state()["duel"]["phase"] == "FIGHTING"
        g.post("death", duelId=duel, ids=["beta"])
        assert wait_state(r, duel, "resolved")["winnerSide"] == "A"
        terminal = frames_of(r, stream="results")[-1]
        assert 0 <= terminal["duelEndTime"] - terminal["fightStartTime"] < 100000


def test_bets_close_early_when_the_clock_is_set_forth(place):
    clock, r = with_clock(place, *TIMES)
    with r.start():
        g, duel = announced(r, 600000)
        close = market(r, duel)["betCloseTime"]
        clock.set(HOUR)
        wait_state(r, duel, "locked")
        assert market(r, duel)["betCloseTime"] <= close  # never later than it was promised
        assert g.wait_phase("FIGHTING", duel)


def test_the_clock_is_set_back_while_nobody_looks(place):
    clock, r = with_clock(place, *TIMES)
    clock.set(HOUR)
    with r.start():
        g, duel = announced(r, 4000)
        r.kill_everything()
        clock.set(0)
        r.start()
        assert g.wait_phase("FIGHTING", duel)
        wait_state(r, duel, "cancelled")


def test_streams_with_a_ttl_do_not_stand_still_after_a_step_forth_and_back(place):
    clock, r = with_clock(place)
    with r.start():
        def put(name):
            assert r.request("PUT", f"/v1/stream/{name}", b"1", {**JSON, "stream-ttl": "2"})[0] == 201

        clock.set(HOUR)
        r.request("PUT", "/v1/stream/other", b"1", JSON)  # the log's time is an hour ahead
        put("during")
        clock.set(0)
        put("after")
        for name in ("after", "during"):
            wait_for(lambda: f"/{name}\"" not in r.ctl("streams", "ls", "--json")[0], f"the end of {name}")
            assert r.request("HEAD", f"/v1/stream/{name}")[0] == 404


def test_leases_and_retries_end_after_the_clock_was_set_back(place):
    clock, r = with_clock(place, "--webhook-retry-min=100ms", "--webhook-retry-max=200ms")
    clock.set(HOUR)
    failing = Receiver(status=500)
    with r.start():
        wait_for(lambda: r.request("GET", "/v1/stream/__ds/jwks.json")[0] == 200, "the signing key")
        put_stream(r, "jobs")
        put_stream(r, "wakes")
        assert call(r, "PUT", "pool", {"type": "pull-wake", "streams": ["jobs"], "wake_stream": "wakes",
                                       "lease_ttl_ms": 2000})[0] == 201
        assert call(r, "PUT", "hook", {"type": "webhook", "streams": ["jobs"],
                                       "webhook": {"url": failing.url}})[0] == 201
        assert r.request("POST", "/v1/stream/jobs", b"1", JSON)[0] < 300
        wait_for(lambda: len(failing.got) > 1, "attempts")
        assert call(r, "POST", "pool/claim", {"worker": "dies"})[0] == 200
        clock.set(0)
        seen = len(failing.got)
        wait_for(lambda: len(failing.got) > seen + 2, "further attempts")
        wait_for(lambda: call(r, "POST", "pool/claim", {"worker": "lives"})[0] == 200, "the lease to end")
    failing.shutdown()
