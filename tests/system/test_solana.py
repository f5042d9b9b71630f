"""The solana operator: each duel ends on the chain as its terminal frame says, over whatever a cluster does to those
who ask it, and over kills of the bridge.

The programs are small ones of the same instructions as those of the consumers (solana_programs.c), compiled here.
SOLANA_PROGRAMS=ORACLE=FILE.so,MARKET=FILE.so in the environment tries others."""

import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import time

import pytest

from bettors import SETTLING, announce, fight, get, market, wait_state
from duel_game import Duels, Game, frames_of
from recompute import Public, check
from ringside import BUILD, Ringside, wait_for
from solana_cluster import HERE, Cluster, Key, base58

OURS, STRANGER = Key("ours"), Key("stranger")


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """(oracle, market, {address: file})"""
    given = os.environ.get("SOLANA_PROGRAMS")
    if given:
        files = dict(one.split("=") for one in given.split(","))
        return (*files, files)
    clang = shutil.which("clang-14") or shutil.which("clang")
    assert clang is not None, "clang compiles the programs of the chain (scripts/test installs it)"
    directory = tmp_path_factory.mktemp("programs")
    pack = os.path.join(os.path.abspath(BUILD), "tests/system/solana_pack")
    addresses = [base58(hashlib.sha256(name.encode()).digest()) for name in ("oracle", "market")]
    files = {}
    for name, address in zip(("ORACLE", "MARKET"), addresses):
        made, packed = directory / f"{name}.o", directory / f"{name}.so"
        subprocess.run([clang, "-target", "bpf", "-O2", "-fno-builtin", f"-D{name}", "-c",
                        os.path.join(HERE, "solana_programs.c"), "-o", made], check=True)
        subprocess.run([pack, made, packed], check=True)
        files[address] = str(packed)
    return (*addresses, files)


@pytest.fixture
def cluster(programs):
    with Cluster(*programs, OURS) as one:
        yield one


def ringside(cluster, tmp_path, *flags, key=OURS, **options):
    return Ringside("--feeds-scheduled=", "--feeds-source-driven=arena", "--market-operator=solana",
                    f"--solana-rpc-url={cluster.url}", f"--solana-key-file={key.write(tmp_path / 'key.json')}",
                    f"--solana-oracle-program={cluster.oracle}", f"--solana-market-program={cluster.market}",
                    "--solana-poll=50ms", "--solana-watch=100ms", "--solana-balance-every=100ms", "--market-retry-min=20ms",
                    "--market-retry-max=200ms", "--market-retry-after-max=1s", "--worker-restart-limit=64",
                    "--worker-restart-window=1s", "--worker-restart-delay-max=50ms", *flags, workers=1, bridge=1, **options)


def started(r):
    wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
    return Game(r)


def win(g, duel, loser="alpha"):
    fight(g, duel)
    g.post("death", duelId=duel, ids=[loser])


def terminal(r, duel):
    return next(f for f in frames_of(r) if f["duelId"] == duel and f["terminal"])


def check_chain(cluster, r, duel):
    """The chain says what the terminal frame says."""
    frame, key = terminal(r, duel), market(r, duel)["duelKey"]
    assert frame["duelKey"] == key
    if frame["outcome"] != "win":
        expected = ("cancelled", "cancelled", None)
        assert cluster.status(key) in (expected, (None, None, None))
        return
    side = "A" if frame["winnerId"] == frame["agent1"]["id"] else "B"
    assert cluster.status(key) == ("resolved", "resolved", side)
    kept = cluster.duel(key)
    assert str(kept["seed"]) == frame["seed"] and kept["replay_hash"] == frame["replayHash"]
    assert kept["participants"] == tuple(
        hashlib.sha256(f"hyperscape:duel-arena:participant:{frame[a]['id']}".encode()).hexdigest()
        for a in ("agent1", "agent2"))
    said = json.dumps({"duelKeyHex": key, "winnerSide": side, "seed": frame["seed"],
                       "replayHashHex": frame["replayHash"]}, separators=(",", ":"))
    assert kept["result_hash"] == hashlib.sha256(said.encode()).hexdigest()
    assert kept["end"] == max(frame["duelEndTime"] // 1000, kept["close"])
    assert 0 < kept["open"] < kept["close"] <= kept["start"]


def audit(r, duel):
    return [m for m in frames_of(r, stream="audit") if m["duelId"] == duel]


def metric(r, name):
    return sum(float(one) for one in re.findall(rf"^ringside_{name}(?:{{[^}}]*}})? (\S+)$", r.get("/metrics"), re.M))


# ---- one duel ----

def test_a_duel_from_announcement_to_result(cluster, tmp_path):
    cluster.allow(OURS, 2)
    with ringside(cluster, tmp_path, "--http-public-url=https://arena.example") as r:
        g = started(r)
        duel = announce(g)
        key = wait_state(r, duel, "open")["duelKey"]
        assert cluster.status(key) == ("open", "open", None)
        fight(g, duel)
        wait_state(r, duel, "locked")
        assert cluster.status(key) == ("locked", "locked", None)
        g.post("death", duelId=duel, ids=["alpha"])
        waiting = wait_for(lambda: (m := market(r, duel)).get("stepPart") and m, "the proposal", SETTLING)
        assert waiting["state"] == "resolving" and waiting["step"] == "resolve"
        assert cluster.status(key)[0] in ("proposed", "resolved")
        done = wait_state(r, duel, "resolved")
        check_chain(cluster, r, duel)
        # Nobody could finalize before the window was over.
        assert cluster.duel(key)["proposed"] + 2 <= done["settledAt"] / 1000 + 1
        shown = json.loads(r.ctl("markets", "show", duel)[0])
        effects = [e for e in audit(r, duel) if "transaction" in e]
        assert [e["event"] for e in effects] == ["opened", "locked", "part_done", "resolved"]
        for event, name in zip(effects, ("create", "lock", "propose", "resolve")):
            assert shown[f"{name}Transaction"] == event["transaction"] and shown[f"{name}Slot"] > 0
            status = cluster.call("getSignatureStatuses", [event["transaction"]])["value"][0]
            assert status["slot"] == shown[f"{name}Slot"] and status["err"] is None
        named = get(r, f"/v1/oracle/{duel}")
        assert named["transaction"] == {"signature": shown["resolveTransaction"], "slot": shown["resolveSlot"]}
        assert cluster.counts()["included"] == 4
        assert 0 < metric(r, "solana_balance_lamports") < 10 ** 10


def test_what_is_aborted_is_cancelled(cluster, tmp_path):
    with ringside(cluster, tmp_path) as r:
        g = started(r)
        for early in (True, False):
            duel = announce(g)
            key = wait_state(r, duel, "open")["duelKey"]
            if not early:
                fight(g, duel)
                wait_state(r, duel, "locked")
            g.post("abort", duelId=duel, reason="game_stopped")
            wait_state(r, duel, "cancelled")
            assert cluster.status(key) == ("cancelled", "cancelled", None)
            assert market(r, duel)["cancelTransaction"] == get(r, f"/v1/oracle/{duel}")["transaction"]["signature"]


def test_a_draw_is_cancelled(cluster, tmp_path):
    with ringside(cluster, tmp_path) as r:
        g = started(r)
        duel = announce(g)
        wait_state(r, duel, "open")
        fight(g, duel)
        g.post("result", duelId=duel, outcome="draw")
        wait_state(r, duel, "cancelled")
        check_chain(cluster, r, duel)


def test_a_chain_whose_clock_is_behind_is_waited_for(cluster, tmp_path):
    """By our clock the window is over; the program says 6017 until its own says so."""
    cluster.allow(OURS, 3600)
    cluster.call("test_clock", -10 ** 6)
    with ringside(cluster, tmp_path) as r:
        g = started(r)
        duel = announce(g)
        wait_state(r, duel, "open")
        win(g, duel)
        waiting = wait_for(lambda: (m := market(r, duel)).get("stepPart") and m, "the proposal", SETTLING)
        assert waiting["notBefore"] > time.time() * 1000 + 3000 * 1000
        cluster.call("test_clock", 3599)
        assert market(r, duel)["state"] == "resolving"
        cluster.call("test_clock", 2)
        wait_state(r, duel, "resolved")
        check_chain(cluster, r, duel)
        assert not [e for e in audit(r, duel) if e["event"] == "manual_review"]


# ---- what is for a person ----

def test_what_is_challenged_is_for_a_person(cluster, tmp_path):
    cluster.allow(OURS, 3600)
    with ringside(cluster, tmp_path) as r:
        g = started(r)
        duel = announce(g)
        key = wait_state(r, duel, "open")["duelKey"]
        win(g, duel)
        wait_for(lambda: market(r, duel).get("stepPart"), "the proposal", SETTLING)
        cluster.challenge(key)
        reviewed = wait_state(r, duel, "manual_review")
        assert "challenged" in reviewed["error"]
        # The programs know no result after a challenge: a person who decides one is told so.
        r.ctl("markets", "resolve", duel, "--manual", "B", "it was right as it was proposed")
        wait_for(lambda: "can only be cancelled" in market(r, duel)["error"], "the reason", SETTLING)
        assert market(r, duel)["state"] == "manual_review" and cluster.status(key)[0] == "challenged"
        # He takes it back.
        r.ctl("markets", "resolve", duel, "--manual", "cancelled", "somebody proved that it was wrong")
        wait_state(r, duel, "cancelled")
        assert cluster.status(key) == ("cancelled", "cancelled", None)


def test_who_may_not_report_is_told_so(cluster, tmp_path):
    cluster.fund(10 ** 10, STRANGER)
    with ringside(cluster, tmp_path, key=STRANGER) as r:
        g = started(r)
        duel = announce(g)
        reviewed = wait_state(r, duel, "manual_review")
        assert "6000" in reviewed["error"] and cluster.status(reviewed["duelKey"]) == (None, None, None)
        assert cluster.counts()["included"] == 0
        # Who is allowed now takes it up where it was.
        cluster.allow(STRANGER, 0)
        r.ctl("markets", "retry", duel, "the oracle knows us now")
        wait_state(r, duel, "open")
        win(g, duel)
        wait_state(r, duel, "resolved")
        check_chain(cluster, r, duel)


def test_somebody_elses_result_is_for_a_person(cluster, tmp_path):
    """The account says something else than the frame."""
    cluster.allow(OURS, 3600)
    with ringside(cluster, tmp_path) as r:
        g = started(r)
        duel = announce(g)
        key = wait_state(r, duel, "open")["duelKey"]
        win(g, duel, loser="alpha")
        wait_for(lambda: market(r, duel).get("stepPart"), "the proposal", SETTLING)
        address = cluster.places(key)[0]
        data = bytearray(cluster.data(address))
        data[242] = 1  # the pending winner: A
        cluster.account(address, cluster.oracle, bytes(data))
        assert "another result" in wait_state(r, duel, "manual_review")["error"]


# ---- funds ----

def test_without_funds_it_alerts_and_waits(cluster, tmp_path):
    cluster.fund(1000)
    with ringside(cluster, tmp_path, "--market-attempts-max=2") as r:
        g = started(r)
        duel = announce(g)
        wait_state(r, duel, "created")
        r.wait_log(r"error bridge-0 solana operator needs funds address=" + OURS.address)
        wait_for(lambda: metric(r, "solana_poor_total") == 1 and metric(r, "solana_balance_lamports") == 1000, "the metric")
        wait_for(lambda: "fee payer" in market(r, duel)["error"], "the reason", SETTLING)
        wait_for(lambda: cluster.counts()["refused"] > 5, "more attempts than may fail", SETTLING)
        assert market(r, duel)["state"] == "created"
        cluster.fund(10 ** 10)
        wait_state(r, duel, "open")
        win(g, duel)
        wait_state(r, duel, "resolved")
        check_chain(cluster, r, duel)
        assert len([e for e in audit(r, duel) if e["event"] == "attempt_failed"]) < 10, "said once, not each time"


# ---- what a cluster does ----

def test_what_expires_is_signed_anew(cluster, tmp_path):
    """Nothing gets into a slot until the first blockhash is past: another transaction, and one effect."""
    cluster.set(paused=True, valid_slots=10)
    with ringside(cluster, tmp_path) as r:
        g = started(r)
        duel = announce(g)
        wait_state(r, duel, "created")
        attempts = lambda: {e["reference"] for e in audit(r, duel) if e["event"] == "attempt"}  # noqa: E731
        wait_for(lambda: len(attempts()) >= 2, "a second signature", SETTLING)
        assert metric(r, "solana_expired_total") >= 1
        cluster.set(paused=False, valid_slots=60)
        opened = wait_state(r, duel, "open")
        assert opened["createTransaction"] in attempts()
        assert cluster.counts()["included"] == 1


def test_what_a_fork_takes_back_is_sent_again(cluster, tmp_path):
    cluster.set(finalize_slots=40, valid_slots=400)
    with ringside(cluster, tmp_path) as r:
        g = started(r)
        duel = announce(g)
        wait_for(lambda: cluster.counts()["included"] == 1, "the transaction", SETTLING)
        assert cluster.call("test_fork") == 1
        wait_for(lambda: cluster.counts()["included"] == 2, "the same again", SETTLING)
        cluster.set(finalize_slots=6)
        wait_state(r, duel, "open")
        counts = cluster.counts()
        assert counts["forked"] == 1 and counts["distinct"] == 1, "the same bytes: no second signature"
        win(g, duel)
        wait_state(r, duel, "resolved")
        check_chain(cluster, r, duel)


def test_what_counted_too_early_is_made_good(cluster, tmp_path):
    """solana.commitment: confirmed. A fork takes the create with it that had counted: the next step brings it along."""
    cluster.set(finalize_slots=1000, valid_slots=400)
    with ringside(cluster, tmp_path, "--solana-commitment=confirmed") as r:
        g = started(r)
        duel = announce(g)
        key = wait_state(r, duel, "open")["duelKey"]
        assert cluster.call("test_fork") == 1 and cluster.status(key, "confirmed") == (None, None, None)
        cluster.set(finalize_slots=6)
        fight(g, duel)
        wait_state(r, duel, "locked")
        assert cluster.status(key, "confirmed") == ("locked", "locked", None)
        g.post("death", duelId=duel, ids=["alpha"])
        wait_state(r, duel, "resolved")
        check_chain(cluster, r, duel)


def test_a_busy_node_is_left_alone(cluster, tmp_path):
    cluster.set(busy=1, retry_after=1)
    with ringside(cluster, tmp_path) as r:
        g = started(r)
        duel = announce(g)
        wait_state(r, duel, "created")
        wait_for(lambda: cluster.counts()["busy"] >= 3, "three refusals", SETTLING)
        assert "429" in wait_for(lambda: market(r, duel)["error"], "why", SETTLING)
        cluster.set(busy=0)
        wait_state(r, duel, "open")
        asked = cluster.counts()["busy"]
        assert asked < 40, "it said when to come back"


# ---- everything at once ----

FAULTS = {"drop": 0.3, "busy": 0.05, "behind": 0.1, "silent": 0.05, "deaf": 0.1}


def settle(cluster, r, duels):
    for cycle in duels.expected:
        wait_state(r, f"streaming-{cycle}", "resolved", "cancelled", "manual_review")
    cluster.set(**dict.fromkeys(FAULTS, 0))
    for cycle, (outcome, _, _) in duels.expected.items():
        duel = f"streaming-{cycle}"
        done = market(r, duel)
        assert done["state"] == ("resolved" if outcome == "win" else "cancelled"), done
        if done["openedAt"] == 0:
            assert cluster.status(done["duelKey"]) == (None, None, None), "nothing is opened in hindsight"
        else:
            check_chain(cluster, r, duel)
    # And once more, by whoever knows nothing but what the public is told, and the chain.
    findings, counts = check(Public(lambda path: r.request("GET", path), "arena"), chain=cluster.status)
    assert not findings and counts["duels"] == len(duels.expected), findings


def test_duels_end_as_their_frames_say_whatever_fails(cluster, tmp_path):
    cluster.set(**FAULTS)
    with ringside(cluster, tmp_path, "--market-attempts-max=100") as r:
        duels = Duels(started(r), 10, seed=5, pause=0.3)
        duels.start()
        duels.join()
        assert duels.error is None
        settle(cluster, r, duels)
        counts = cluster.counts()
        assert counts["dropped"] > 0 and counts["deaf"] > 0


def test_duels_end_as_their_frames_say_over_kills_of_the_bridge(cluster, tmp_path):
    seed = int(os.environ.get("SEED", random.randrange(10 ** 6)))
    print("SEED", seed)
    dice = random.Random(seed)
    cluster.allow(OURS, 1)
    cluster.set(**{name: share / 3 for name, share in FAULTS.items()})
    with ringside(cluster, tmp_path) as r:
        duels = Duels(started(r), int(os.environ.get("DUELS", "10")), seed=seed, pause=0.3)
        duels.start()
        while duels.is_alive():
            time.sleep(dice.uniform(0.1, 0.6))
            r.kill_some_worker(dice, "bridge")
            if dice.random() < 0.1:
                cluster.call("test_fork")
        for _ in range(20):  # what they began is still on its way
            time.sleep(dice.uniform(0.1, 0.6))
            r.kill_some_worker(dice, "bridge")
        assert duels.error is None
        settle(cluster, r, duels)
        assert not [e for e in frames_of(r, stream="audit") if e["event"] == "manual_review"]
