"""Rows of the store that this release cannot read (another release's, or damaged) are not taken for absent: what
they belong to stands still and says so, and a release that can read them goes on where it stood."""

import json
import os
import subprocess
import time

import pytest

from duel_game import Game, agents
from ringside import BUILD, Ringside, wait_for
from test_market import JSON, Bettor, announce, fight, get, market, wait_state
from test_subscriptions import Receiver, call, put_stream

ROW = os.environ.get("ROW_TOOL", os.path.join(BUILD, "tests/faults/row"))
ENVIRONMENT = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}


class Rows:
    """The rows of an instance that is stopped meanwhile."""

    def __init__(self, ringside):
        self.r = ringside

    def __enter__(self):
        self.r.stop()
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.r.start()
            wait_for(lambda: self.r.request("GET", "/v1/markets")[0] == 200, "the bridge")

    def run(self, *words):
        done = subprocess.run([ROW, self.r.data_dir, *words], capture_output=True, text=True, env=ENVIRONMENT)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def get(self, key):
        return self.run("get", key)[:-1]

    def put(self, key, text):
        self.run("put", key, text)

    def move(self, key, to):
        self.run("move", key, to)

    def without(self, key, member):
        """Takes a member out, as if the release that wrote it had not known it yet."""
        row = json.loads(self.get(key))
        del row[member]
        self.put(key, json.dumps(row, separators=(",", ":")))
        return row


@pytest.fixture
def r():
    with Ringside("--feeds-scheduled=", "--feeds-source-driven=arena", workers=1, bridge=1) as ringside:
        wait_for(lambda: ringside.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        yield ringside


@pytest.fixture
def g(r):
    return Game(r, epoch=int(time.time() * 1000))


def unreadable(r, worker="bridge-0"):
    return r.worker(worker)["counters"]["rows_unreadable"]


def test_a_market_row_that_lacks_a_later_member_keeps_its_pools(r, g):
    duel = announce(g)
    wait_state(r, duel, "open")
    anna = Bettor(r)
    assert anna.bet(duel, "A", 10)[0] == 201
    with Rows(r) as rows:
        for member in ("feePpm", "nextAttemptAt", "unknown"):
            rows.without(f"market/arena/{duel}", member)
    g.post("positions", duelId=duel, agent1=[-1, 0, 0], agent2=[1, 0, 0])
    assert wait_state(r, duel, "open")["poolA"] == 10
    assert anna.bet(duel, "B", 7)[0] == 201
    assert [b["amount"] for b in get(r, f"/v1/markets/{duel}/bets")["bets"]] == [10, 7]
    assert get(r, "/v1/ledger/sums")["balanced"] and unreadable(r) == 0


def test_a_market_row_that_cannot_be_read_stops_that_market_alone(r, g):
    duel = announce(g)
    key = f"market/arena/{duel}"
    wait_state(r, duel, "open")
    anna, bert = Bettor(r), Bettor(r)
    assert anna.bet(duel, "A", 30)[0] == 201 and bert.bet(duel, "B", 12)[0] == 201
    with Rows(r) as rows:
        good = rows.get(key)
        rows.without(key, "poolA")
        bad = rows.get(key)
    status, _, body = r.request("GET", f"/v1/markets/{duel}")
    assert status == 503 and b"cannot read it" in body
    assert anna.bet(duel, "A", 1)[0] == 503
    assert r.request("POST", f"/v1/markets/{duel}/retry",
                     json.dumps({"actor": "tester", "reason": "let us see what happens"}).encode(), JSON)[0] == 503
    fight(g, duel)
    g.post("death", duelId=duel, ids=["beta"])
    g.post("phase", duelId=duel, phase="IDLE")
    other = announce(g)  # the next duel has its market
    wait_state(r, other, "open")
    assert get(r, "/v1/markets")["unreadable"] == [{"feed": "arena", "duelId": duel}]
    assert not get(r, "/v1/ledger/sums")["balanced"]
    assert unreadable(r) >= 1 and f"key={key}" in r.log()
    assert "cannot be read" in r.ctl("status")[0] and duel in r.ctl("markets", "ls")[0]
    with Rows(r) as rows:  # a release that can read it
        assert rows.get(key) == bad
        rows.put(key, good)
    done = wait_state(r, duel, "resolved")  # by the frames of its duel that it had not seen
    assert done["winnerSide"] == "A" and done["paid"] == 42
    assert anna.balance() == 100012 and bert.balance() == 99988
    assert get(r, "/v1/ledger/sums")["balanced"] and get(r, "/v1/markets")["unreadable"] == []


def test_an_account_that_cannot_be_read_keeps_what_it_is_owed(r, g):
    duel = announce(g)
    wait_state(r, duel, "open")
    anna, bert = Bettor(r), Bettor(r)
    assert anna.bet(duel, "A", 30)[0] == 201 and bert.bet(duel, "B", 12)[0] == 201
    key = f"ledger/account/{bert.id}"
    with Rows(r) as rows:
        good = rows.get(key)
        rows.put(key, '{"version":2,"balances":{"play":99988}}')
    assert anna.bet(duel, "A", 1)[0] == 201
    assert bert.bet(duel, "B", 1)[0] == 503
    fight(g, duel)
    g.post("result", duelId=duel, outcome="draw", detail="x")
    review = wait_state(r, duel, "manual_review")
    assert key in review["error"] and review["settledBets"] == 1
    decision = {"actor": "tester", "reason": "she was first, it seems"}
    assert r.request("POST", f"/v1/markets/{duel}/resolve",
                     json.dumps({**decision, "outcome": "win", "winnerSide": "B"}).encode(), JSON)[0] == 409
    with Rows(r) as rows:
        assert rows.get(key) == '{"version":2,"balances":{"play":99988}}'
        rows.put(key, good)
    assert r.request("POST", f"/v1/markets/{duel}/retry", json.dumps(decision).encode(), JSON)[0] == 200
    wait_state(r, duel, "cancelled")
    assert anna.balance() == bert.balance() == 100000


@pytest.mark.parametrize("key", ["market/lease", "market/cursor/arena", "market/recent/arena", "feed/arena",
                                 "feeds/lease/arena", "oracle/key", "ledger/accounts", "ledger/account/@issue"])
def test_a_row_that_cannot_be_read_is_not_written_over(r, g, key):
    other = "another release's"
    first = announce(g)
    wait_state(r, first, "open")
    Bettor(r)
    g.post("abort", duelId=first, reason="x")
    wait_state(r, first, "cancelled")
    wait_for(lambda: r.request("GET", f"/v1/oracle/{first}")[0] == 200, "the attestation")
    with Rows(r) as rows:
        rows.move(key, "aside")
        rows.put(key, other)
    if key in ("feed/arena", "feeds/lease/arena"):
        wait_for(lambda: b"cannot read" in r.request("GET", "/v1/source/arena")[2], "the feed to say so")
        assert "unreadable" in r.ctl("duels", "ls")[0]
    else:
        duel = announce(g)
        g.post("abort", duelId=duel, reason="x")
        r.request("POST", "/v1/ledger/accounts", b"{}", JSON)
        if key in ("market/recent/arena", "oracle/key", "ledger/accounts", "ledger/account/@issue"):
            wait_state(r, duel, "cancelled")
    wait_for(lambda: unreadable(r) == 1, "the alert")
    with Rows(r) as rows:
        assert rows.get(key) == other
        rows.move("aside", key)
    again = Game(r, epoch=g.epoch + 1)
    duel = announce(again)
    wait_state(r, duel, "open")
    assert market(r, first)["state"] == "cancelled" and unreadable(r) == 0


def test_a_subscription_that_cannot_be_read_stands_still(r):
    put_stream(r, "jobs/a", b"[1]")
    wanted = {"type": "pull-wake", "streams": ["jobs/a"], "wake_stream": "wakes"}
    put_stream(r, "wakes")
    assert call(r, "PUT", "pool", wanted)[0] == 201
    with Rows(r) as rows:
        rows.without("sub/pool", "snapshot")  # has a default
        rows.without("sub/pool", "status")
    assert call(r, "GET", "pool")[1]["status"] == "active"
    with Rows(r) as rows:
        row = json.loads(rows.get("sub/pool"))
        row["phase"] = "parked"
        bad = json.dumps(row)
        rows.put("sub/pool", bad)
    for method, path, body in (("PUT", "pool", wanted), ("GET", "pool", None),
                               ("POST", "pool/claim", {"worker": "w"})):
        assert call(r, method, path, body)[0] == 503, (method, path)
    assert r.request("POST", "/v1/stream/jobs/a", b"[2]", JSON)[0] < 300
    wait_for(lambda: unreadable(r) == 1 and unreadable(r, "sse-0") == 1, "the alerts")
    with Rows(r) as rows:
        assert rows.get("sub/pool") == bad


def test_a_subscription_that_cannot_be_read_can_be_deleted_by_who_may():
    wanted = {"type": "pull-wake", "streams": ["jobs/a"], "wake_stream": "wakes"}
    path = "/v1/stream/__ds/subscriptions/pool"
    with Ringside("--dev=false", "--auth-publish-tokens=writer", "--auth-subscribe-tokens=reader", bridge=1) as r:
        headers = {**JSON, "authorization": "Bearer writer"}
        assert r.request("PUT", path, json.dumps(wanted).encode(), headers)[0] == 201
        r.stop()
        bad = subprocess.run([ROW, r.data_dir, "put", "sub/pool", "another release's"], env=ENVIRONMENT)
        assert bad.returncode == 0
        r.start()
        for token, status in (("reader", (403,)), ("writer", (204,)), ("writer", (204,))):
            assert r.request("DELETE", path, None, {"authorization": f"Bearer {token}"})[0] in status, token
        assert r.request("GET", path, None, {"authorization": "Bearer reader"})[0] == 404
        assert r.request("PUT", path, json.dumps(wanted).encode(), headers)[0] == 201


SESSION = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def capturing():
    """A session and outputs whose rows another release wrote; no browser is needed for what it is refused."""
    with Ringside("--capture-workers=1") as ringside:
        wait_for(lambda: ringside.request("DELETE", f"/stream/{SESSION}")[0] == 404, "the capture worker")
        ringside.stop()
        for key, text in ((f"session/{SESSION}", "another release's"), ("output/arena/bad", '{"hls":["/tmp"]}'),
                          ("output/arena/web", '{"added":false,"digest":"x","hls":"/nowhere"}'),
                          ("output/pit/web", "[]")):
            assert subprocess.run([ROW, ringside.data_dir, "put", key, text], env=ENVIRONMENT).returncode == 0
        ringside.start()
        yield ringside


def refused(r, method, path, body=None):
    status, headers, _ = r.request(method, path, body, JSON if body is not None else {})
    assert status != 503 or headers["retry-after"]
    return status


def test_a_session_that_cannot_be_read_is_not_called_absent(capturing):
    r, other = capturing, SESSION[:-1] + "2"

    def calls(session):
        return [refused(r, method, f"/stream/{session}{rest}", body) for method, rest, body in (
            ("DELETE", "", None), ("PATCH", "", b"{}"), ("POST", "/input", b"{}"), ("GET", "/frame.jpg", None))]
    wait_for(lambda: calls(other) == [404] * 4, "the capture worker")
    assert calls(SESSION) == [503] * 4
    assert refused(r, "DELETE", f"/stream/session/{SESSION}") == 503
    assert r.worker("capture-0")["counters"]["rows_unreadable"] >= 1


def test_signalling_does_not_call_an_unreadable_session_absent(capturing):
    def status(session):
        return refused(capturing, "GET", f"/v1/signal/{session}?token=x")
    assert status(SESSION[:-1] + "2") == 404
    assert status(SESSION) == 503
    assert unreadable(capturing, "sse-0") == 1


def test_hls_does_not_call_an_unreadable_output_absent(capturing):
    def status(path):
        return refused(capturing, "GET", f"/v1/hls/{path}/index.m3u8")
    assert status("other") == status("arena/other") == 404
    assert status("arena/web") == 404  # it has no file yet
    assert status("arena/bad") == status("pit/web") == status("pit") == 503
    assert status("arena") == 503  # which is the first cannot be told, and another's video is not shown for it
    assert unreadable(capturing, "sse-0") == 2


def test_what_the_store_cannot_read_is_not_called_absent():
    """Nothing of it is in memory, and data.mdb is cut short under the workers."""
    wanted = {"type": "pull-wake", "streams": ["jobs/a"], "wake_stream": "wakes"}
    with Ringside("--capture-workers=1", "--store-checkpoint=50ms") as r:
        put_stream(r, "jobs/a", b"[1]")
        assert call(r, "PUT", "pool", wanted)[0] == 201
        r.ctl("store", "check")  # applies the log
        r.stop()
        r.start()
        os.truncate(f"{r.data_dir}/data.mdb", 2 * 4096)
        root = "/v1/stream/__ds/subscriptions"
        for method, path, body in (("GET", f"{root}/pool", None), ("DELETE", f"{root}/pool", None),
                                   ("PUT", f"{root}/pool", json.dumps(wanted).encode()),
                                   ("POST", f"{root}/pool/claim", b'{"worker":"w"}'),
                                   ("POST", f"{root}/pool/streams", b'{"streams":["jobs/a"]}'),
                                   ("POST", f"{root}/pool/ack", b"{}"),
                                   ("GET", "/v1/events?stream=jobs/*", None),
                                   ("GET", f"/v1/signal/{SESSION}?token=x", None),
                                   ("GET", "/v1/hls/arena/index.m3u8", None),
                                   ("GET", "/v1/hls/arena/web/index.m3u8", None)):
            assert refused(r, method, path, body) == 503, (method, path)
        wait_for(lambda: refused(r, "DELETE", f"/stream/{SESSION}") == 503, "the capture worker")


def test_a_webhook_waits_while_the_secrets_cannot_be_read():
    """Its token would have been made with nothing, and of no use to whoever got it."""
    receiver = Receiver(answer={"done": True})
    with Ringside(f"--webhook-allow-private=127.0.0.1:{receiver.server_port}", workers=1, bridge=1) as r:
        assert call(r, "PUT", "w", {"type": "webhook", "pattern": "ev/*", "webhook": {"url": receiver.url}})[0] == 201
        for name in ("ds/secret", "ds/signing"):
            with Rows(r) as rows:
                rows.move(name, "kept")
                rows.put(name, "")
            put_stream(r, f"ev/{name[3:]}", b"[1]")
            wait_for(lambda: unreadable(r) == 1, "the alert")
            wait_for(lambda: f"row unreadable key={name}" in r.log(), "its line in the log")
            time.sleep(1.5)  # it is looked at each second
            assert not receiver.got
            with Rows(r) as rows:
                rows.move("kept", name)
            wait_for(lambda: receiver.got, "the delivery")
            receiver.got.clear()
