"""Markets, ledger, oracle and the webhook operator: through real sockets, over kills and faults."""

import base64
import http.server
import json
import os
import random
import re
import socket
import ssl
import subprocess
import textwrap
import threading
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bettors import JSON, SETTLING, Bets, Bettor, announce, fight, fresh_game, get, market, wait_state
from duel_game import Duels, Game, check_frames, frames_of
from ringside import Ringside, wait_for
from test_kill import fixed_port

DUELS = int(os.environ.get("DUELS", "200"))


def test_an_empty_idempotency_key_is_refused():
    """A client that means to be safe and is not: its second post would count again."""
    with Ringside(workers=1, bridge=1) as r:
        for headers, status in (({"idempotency-key": ""}, 400), ({"idempotency-key": "  "}, 400),
                                ({"idempotency-key": "k"}, 201), ({}, 201)):
            got, _, body = r.request("POST", "/v1/ledger/accounts", b"{}", {**JSON, **headers})
            assert got == status and (status == 201 or b"Idempotency-Key" in body), (headers, body)


@pytest.fixture(scope="module")
def ringside():
    with Ringside("--feeds-scheduled=", "--feeds-source-driven=arena", workers=1, bridge=1) as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        yield r


@pytest.fixture
def g(ringside):
    return fresh_game(ringside)


def test_a_market_from_announcement_to_payout(ringside, g):
    duel = announce(g)
    opened = wait_state(ringside, duel, "open")
    assert opened["operator"] == "ledger" and opened["agent1Id"] == "alpha" and opened["takesBets"]
    anna, bert = Bettor(ringside, name="Anna"), Bettor(ringside, grant=500)
    assert anna.account["balance"] == 100000 and bert.account["balance"] == 500
    assert anna.bet(duel, "A", 3000)[0] == 201 and bert.bet(duel, "B", 500)[0] == 201
    assert bert.bet(duel, "B", 1)[0] == 402
    assert market(ringside, duel)["odds"] == {"A": 1.1667, "B": 7}
    fight(g, duel)
    wait_state(ringside, duel, "locked")
    assert anna.bet(duel, "A", 1)[0] == 409
    g.post("death", duelId=duel, ids=["alpha"])
    done = wait_state(ringside, duel, "resolved")
    assert done["winnerSide"] == "B" and done["paid"] == 3500
    assert anna.balance() == 97000 and bert.balance() == 3500
    assert [(b["paid"], b["net"]) for b in get(ringside, f"/v1/markets/{duel}/bets")["bets"]] == [(0, -3000), (3500, 3000)]
    assert told_of(ringside, duel) == ("paid", None)
    assert get(ringside, "/v1/ledger/sums")["balanced"]
    assert get(ringside, "/v1/markets")["markets"][0]["duelId"] == duel
    events = [m["event"] for m in frames_of(ringside, stream="audit") if m["duelId"] == duel]
    assert events == ["created", "opened", "locked", "outcome", "resolved"]
    odds = [m for m in frames_of(ringside, stream="odds") if m["duelId"] == duel]
    assert odds[0]["state"] == "open" and odds[-1]["state"] == "resolved" and odds[-1]["pools"] == {"A": 3000, "B": 500}


def told_of(r, duel):
    """What the market, the audit and the stream of odds say of its stakes: the same."""
    last = [m for m in frames_of(r, stream="audit") if m["duelId"] == duel][-1]
    odds = [m for m in frames_of(r, stream="odds") if m["duelId"] == duel]
    assert all(m["payout"] is None for m in odds if m["state"] not in ("resolved", "cancelled"))
    said = {(m["payout"], m["payoutReason"]) for m in (market(r, duel), last, odds[-1])}
    assert len(said) == 1
    return said.pop()


def test_nobody_backed_the_winner(ringside, g):
    """It was won all the same; what became of the stakes is said beside it."""
    duel = announce(g)
    wait_state(ringside, duel, "open")
    anna = Bettor(ringside)
    assert anna.bet(duel, "A", 300)[0] == 201
    assert market(ringside, duel)["payout"] is None
    fight(g, duel)
    g.post("death", duelId=duel, ids=["alpha"])
    done = wait_state(ringside, duel, "resolved")
    assert (done["outcome"], done["winnerSide"], done["reason"]) == ("win", "B", "kill")
    assert told_of(ringside, duel) == ("refunded", "nobody_backed_winner")
    assert anna.balance() == 100000
    assert [(b["paid"], b["net"]) for b in get(ringside, f"/v1/markets/{duel}/bets")["bets"]] == [(300, 0)]


def test_nobody_bet(ringside, g):
    duel = announce(g)
    wait_state(ringside, duel, "open")
    fight(g, duel)
    g.post("death", duelId=duel, ids=["alpha"])
    assert wait_state(ringside, duel, "resolved")["outcome"] == "win"
    assert told_of(ringside, duel) == ("none", "no_bets")


def test_a_market_may_wait_with_its_payment():
    with Ringside("--feeds-scheduled=", "--feeds-source-driven=arena", "--market-resolution-delay=3s", workers=1,
                  bridge=1) as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        g = Game(r)
        duel = announce(g)
        wait_state(r, duel, "open")
        anna = Bettor(r)
        assert anna.bet(duel, "B", 300)[0] == 201
        fight(g, duel)
        g.post("death", duelId=duel, ids=["alpha"])
        wait_for(lambda: market(r, duel)["outcome"] == "win", "the outcome")
        wait_for(lambda: market(r, duel)["state"] == "locked", "the lock")
        r.kill(r.worker("bridge-0")["pid"])
        done = wait_state(r, duel, "resolved")
        assert done["settledAt"] >= done["outcomeAt"] + 3000 and anna.balance() == 100000


@pytest.mark.parametrize("end", ["draw", "abort", "abort_announcement"])
def test_stakes_go_back(ringside, g, end):
    duel = announce(g)
    wait_state(ringside, duel, "open")
    anna, bert = Bettor(ringside), Bettor(ringside)
    assert anna.bet(duel, "A", 777)[0] == 201 and bert.bet(duel, "B", 1)[0] == 201
    if end == "abort_announcement":
        g.post("abort", duelId=duel, reason="x")
    else:
        fight(g, duel)
        if end == "draw":
            g.post("result", duelId=duel, outcome="draw", detail="stalemate")
        else:
            g.post("abort", duelId=duel, reason="x")
    assert wait_state(ringside, duel, "cancelled")["reason"] == ("draw" if end == "draw" else "x")
    assert anna.balance() == bert.balance() == 100000


def test_bets_end_with_the_announced_time(ringside, g):
    duel = announce(g, announcementMs=1000)
    wait_state(ringside, duel, "open")
    assert wait_state(ringside, duel, "locked")["lockedAt"] >= market(ringside, duel)["betCloseTime"]
    assert g.state()["duel"]["phase"] == "ANNOUNCEMENT"  # by the clock, not by an event
    assert Bettor(ringside).bet(duel, "A", 1)[0] == 409


def test_a_bet_counts_once(ringside, g):
    duel = announce(g)
    wait_state(ringside, duel, "open")
    anna = Bettor(ringside)
    first = anna.bet(duel, "A", 10, key="k")
    again = anna.bet(duel, "A", 10, key="k")
    assert first[0] == 201 and again[0] == 200 and json.loads(first[1]) == json.loads(again[1])
    assert anna.bet(duel, "B", 10, key="k")[0] == 422
    assert anna.balance() == 99990


def test_who_may_bet(ringside, g):
    duel = announce(g)
    wait_state(ringside, duel, "open")
    anna, bert = Bettor(ringside), Bettor(ringside)
    body = json.dumps({"account": anna.id, "side": "A", "amount": 1}).encode()
    path = f"/v1/markets/{duel}/bets"
    assert ringside.request("POST", path, body, JSON)[0] == 401
    assert ringside.request("POST", path, body, bert.headers())[0] == 403
    for bad, status in ((b"{", 400), (b"{}", 400), (b'{"account":"x","side":"A","amount":1.5}', 400),
                        (json.dumps({"account": anna.id, "side": "C", "amount": 1}).encode(), 422),
                        (json.dumps({"account": anna.id, "side": "A", "amount": 0}).encode(), 422),
                        (json.dumps({"account": anna.id, "side": "A", "amount": 1, "x": 1}).encode(), 400),
                        (json.dumps({"account": "@issue", "side": "A", "amount": 1}).encode(), 403)):
        assert ringside.request("POST", path, bad, anna.headers())[0] == status, bad
    assert ringside.request("POST", "/v1/markets/streaming-none/bets", body, anna.headers())[0] == 404
    assert ringside.request("POST", "/v1/ledger/accounts", b'{"grant":-1}', JSON)[0] == 422
    assert get(ringside, "/v1/ledger/accounts/acc_none") == 404


NO_AMOUNTS = ("0", "-1", "1.5", "1e3", "1e400", '"1"', "true", "null", "[1]", "{}", "9007199254740992",
              "9223372036854775808", "-9223372036854775809", "18446744073709551616", "1" * 400, "10.0", "NaN",
              "Infinity", "01", "+1", "0x10", "-0")


def test_no_body_is_misread(ringside, g):
    duel = announce(g)
    wait_state(ringside, duel, "open")
    anna = Bettor(ringside)
    bodies = [f'{{"account":"{anna.id}","side":"A","amount":{amount}}}' for amount in NO_AMOUNTS]
    bodies += [f'{{"account":"{anna.id}","side":"{side}","amount":1}}' for side in ("", "a", "AB", "A\\u0000")]
    bodies += [f'{{"account":"{anna.id}","side":"A","amount":1,{more}}}' for more in (
        '"amount":1', f'"account":"{anna.id}"', '"side":"B"', '"x":null')]
    bodies += ["", "[]", "null", "{", "{}x", "[" * 2000, f'{{"account":"{anna.id}\\ud800","side":"A","amount":1}}',
               f'\ufeff{{"account":"{anna.id}","side":"A","amount":1}}']
    for body in bodies:
        status, _, text = ringside.request("POST", f"/v1/markets/{duel}/bets", body.encode(), anna.headers())
        assert status in (400, 422) and text, body[:80]
    assert anna.bet(duel, "A", 2 ** 53 - 1)[0] == 402
    assert anna.bet(duel, "A", 1, key="k" * 257)[0] == 400
    assert anna.balance() == 100000 and market(ringside, duel)["bets"] == 0


def at_once(count, action):
    got = []
    threads = [threading.Thread(target=lambda i=i: got.append(action(i)[0])) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return sorted(got)


def test_nothing_is_spent_twice(ringside, g):
    duel = announce(g)
    wait_state(ringside, duel, "open")
    anna, bert = Bettor(ringside, grant=100), Bettor(ringside)
    assert at_once(20, lambda i: anna.bet(duel, "A", 60, key=f"{i}")) == [201] + [402] * 19
    got = at_once(20, lambda i: bert.bet(duel, "B", 1 + i % 2, key="the same"))
    assert got == [200] * 9 + [201] + [422] * 10
    assert anna.balance() == 40 and market(ringside, duel)["poolA"] == 60 and market(ringside, duel)["bets"] == 2
    assert get(ringside, "/v1/ledger/sums")["balanced"]


def test_no_more_is_granted_than_can_be_counted():
    most = 2 ** 53 - 1
    with Ringside("--feeds-scheduled=", "--feeds-source-driven=arena", f"--ledger-grant-max={most}", workers=1,
                  bridge=1) as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        g = Game(r)
        duel = announce(g)
        wait_state(r, duel, "open")
        anna, bert = Bettor(r, grant=most - 1000), Bettor(r, grant=1000)
        assert r.request("POST", "/v1/ledger/accounts", b'{"grant":1}', JSON)[0] == 507
        assert anna.bet(duel, "A", 1)[0] == 201 and bert.bet(duel, "B", 1000)[0] == 201
        fight(g, duel)
        g.post("death", duelId=duel, ids=["beta"])
        wait_state(r, duel, "resolved")
        assert anna.balance() == most and bert.balance() == 0
        assert get(r, "/v1/ledger/sums")["balanced"]


def test_operators_have_their_token():
    tokens = {"RINGSIDE_AUTH_LEDGER_TOKEN": "led", "RINGSIDE_AUTH_SOURCE_TOKEN": "src",
              "RINGSIDE_AUTH_SUBSCRIBE_TOKENS": "sub"}
    with Ringside("--dev=false", environment=tokens, workers=1, bridge=1) as r:
        for header, status in ((None, 401), ("sub", 403), ("led", 201)):
            headers = {**JSON, **({"authorization": f"Bearer {header}"} if header else {})}
            assert r.request("POST", "/v1/ledger/accounts", b"{}", headers)[0] == status
        assert r.request("GET", "/v1/ledger/sums", headers={"authorization": "Bearer sub"})[0] == 403
        assert r.request("GET", "/v1/markets")[0] == 401
        assert r.request("GET", "/v1/markets", headers={"authorization": "Bearer sub"})[0] == 200
        assert r.request("GET", "/v1/source/arena", headers={"authorization": "Bearer sub"})[0] == 403
        assert r.request("GET", "/v1/source/arena", headers={"authorization": "Bearer src"})[0] == 200


def unpadded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def verify(r, jws):
    """What docs/market.md tells a stranger to do."""
    head, body, signature = jws.split(".")
    kid = json.loads(unpadded(head))["kid"]
    key = next(k for k in get(r, "/v1/oracle/keys")["keys"] if k["kid"] == kid)
    Ed25519PublicKey.from_public_bytes(unpadded(key["x"])).verify(unpadded(signature), f"{head}.{body}".encode())
    return json.loads(unpadded(body))


def test_every_end_is_attested(ringside, g):
    duels = Duels(g, 10, seed=3)
    duels.start()
    duels.finish()
    terminal = {f["duelId"]: f for f in frames_of(ringside) if f["terminal"]}
    for cycle in duels.expected:
        duel = f"streaming-{cycle}"
        wait_for(lambda: get(ringside, f"/v1/oracle/{duel}") != 404, "the attestation")
        said = verify(ringside, get(ringside, f"/v1/oracle/{duel}")["jws"])
        for member in ("duelId", "duelKey", "outcome", "winnerId", "seed", "replayHash", "seq", "sourceEpoch"):
            assert said[member] == terminal[duel][member]
    with open(os.path.join(os.path.dirname(__file__), "..", "..", "docs", "market.md")) as file:
        block = re.search(r"\n((?:    .*\n|\n)+?)\n    python3 verify.py", file.read()).group(1)
    script = textwrap.dedent(block)
    assert len(script.split("\n")) <= 14
    shown = subprocess.run(["/usr/bin/python3", "-c", script, ringside.url, duel], check=True, capture_output=True)
    assert json.loads(shown.stdout) == said
    streamed = [a["duelId"] for a in frames_of(ringside, stream="attestations")]
    assert len(streamed) == len(set(streamed)) == len(terminal)
    head, body, signature = get(ringside, f"/v1/oracle/{duel}")["jws"].split(".")
    with pytest.raises(Exception):
        verify(ringside, f"{head}.{body[:-1]}A.{signature}")


def test_ringsidectl(ringside, g):
    duel = announce(g)
    wait_state(ringside, duel, "open")
    out = ringside.ctl("duels", "ls")[0]
    assert duel in out and "ANNOUNCEMENT" in out and "capture_client_disconnected" in out and 'Alpha "α"' in out
    assert json.loads(ringside.ctl("duels", "show")[0])["duel"]["duelId"] == duel
    assert duel in ringside.ctl("markets", "ls")[0]
    assert json.loads(ringside.ctl("markets", "show", duel)[0])["state"] == "open"
    assert json.loads(ringside.ctl("markets", "bets", duel)[0])["bets"] == []
    assert "no market" in ringside.ctl("markets", "show", "streaming-none", code=1)[1]
    assert "say --manual" in ringside.ctl("markets", "resolve", duel, "A", "because of that", code=2)[1]
    assert "not in manual_review" in ringside.ctl("markets", "resolve", duel, "--manual", "A", "because of it",
                                                  code=1)[1]
    assert "a reason is one word" in ringside.ctl("duels", "abort", "arena", "No Way", code=1)[1]
    assert "no such feed" in ringside.ctl("duels", "abort", "nowhere", "x", code=1)[1]
    assert "cancelled" in ringside.ctl("duels", "abort", "arena", "ring_collapsed")[0]
    assert wait_state(ringside, duel, "cancelled")["reason"] == "ring_collapsed"
    assert "no duel" in ringside.ctl("duels", "abort", "arena", "x", code=1)[1]
    assert "ring_collapsed" in ringside.ctl("feed", "tail")[0]
    for wrong in (("duels",), ("markets", "show"), ("feed",), ("duels", "abort", "arena")):
        ringside.ctl(*wrong, code=2)


# ---- kills ----

def settle(r, duels, bets):
    duels.finish()
    bets.finish()
    frames = frames_of(r)
    check_frames(frames)
    for cycle, (outcome, winner, _) in duels.expected.items():
        duel = f"streaming-{cycle}"
        m = wait_for(lambda: (m := market(r, duel)) != 404 and m["state"] in ("resolved", "cancelled") and m,
                     f"{duel} settled", SETTLING)
        # Never opened at all: the whole duel was over before a bridge saw it.
        assert m["state"] == ("resolved" if outcome == "win" and m["openedAt"] else "cancelled"), m
        made = get(r, f"/v1/markets/{duel}/bets")["bets"]
        assert all(b["at"] <= m["betCloseTime"] for b in made), "a close that comes nearer is there for bets at once"
        assert sum(b["amount"] for b in made) == m["poolA"] + m["poolB"]
        assert all(b["paid"] is not None for b in made) and sum(b["paid"] for b in made) == m["paid"]
        side = "A" if winner == "alpha" else "B"
        won = m["state"] == "resolved" and any(b["side"] == side for b in made)
        for b in made:
            if not won:
                assert b["paid"] == b["amount"]
            elif b["side"] != side:
                assert b["paid"] == 0
        steps = [a["event"] for a in frames_of(r, stream="audit") if a["duelId"] == duel]
        assert steps.count("created") == 1 and len([s for s in steps if s in ("resolved", "cancelled")]) == 1
    listed = {(b["duelId"], b["number"]): (b["account"], b["side"], b["amount"])
              for cycle in duels.expected for b in get(r, f"/v1/markets/streaming-{cycle}/bets")["bets"]}
    assert listed == bets.taken, "a bet that was answered is there, and no other"
    sums = get(r, "/v1/ledger/sums")
    assert sums["balanced"] and sums["pools"] == 0, sums
    total = sum(p.balance() for p in bets.people)
    assert total == sums["accounts"] == -sums["house"]
    attested = [a["duelId"] for a in frames_of(r, stream="attestations")]
    assert sorted(attested) == sorted(f"streaming-{c}" for c in duels.expected)


def test_kill_workers_while_people_bet():
    seed = int(os.environ.get("SEED", random.randrange(10 ** 6)))
    print("SEED", seed)
    dice = random.Random(seed)
    with Ringside("--feeds-scheduled=", "--feeds-source-driven=arena", "--worker-restart-limit=64",
                  "--worker-restart-window=1s", "--worker-restart-delay-max=50ms", workers=2, bridge=1) as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        bets = Bets(r, 5, seed)
        bets.start()
        duels = Duels(Game(r), DUELS, seed, pause=0.02)
        duels.start()
        while duels.is_alive():
            time.sleep(dice.uniform(0.05, 0.5))
            r.kill_some_worker(dice)
        settle(r, duels, bets)


def test_kill_everything_while_people_bet():
    seed = int(os.environ.get("SEED", random.randrange(10 ** 6)))
    print("SEED", seed)
    dice = random.Random(seed)
    with Ringside("--feeds-scheduled=", "--feeds-source-driven=arena", workers=1, bridge=1,
                  listen=f"127.0.0.1:{fixed_port()}") as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        bets = Bets(r, 5, seed)
        bets.start()
        duels = Duels(Game(r), DUELS, seed, pause=0.02)
        duels.start()
        while duels.is_alive():
            time.sleep(dice.uniform(0.3, 0.8))
            r.kill_everything()
            os.truncate(r.log_path, 0)
            r.start()
        settle(r, duels, bets)


# ---- the webhook operator ----

STATES = {"create": "open", "lock": "locked", "resolve": "resolved", "cancel": "cancelled"}


class Venue(http.server.ThreadingHTTPServer):
    """Somebody's market service: takes each step once by its Idempotency-Key, and fails as it is told to."""

    def __init__(self, faults=(), seed=0, views=False):
        self.dice, self.faults = random.Random(seed), faults
        self.views, self.view, self.reads = views, {}, 0
        self.padding, self.retry_after, self.times = 0, None, []
        self.effects, self.calls, self.signatures = {}, [], []
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), VenueHandler)
        self.daemon_threads = True
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server_port}/markets"


class VenueHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        venue = self.server
        body = self.rfile.read(int(self.headers["content-length"]))
        asked = json.loads(body)
        key, duel = self.headers["idempotency-key"], asked["market"]["duelId"]
        with venue.lock:
            venue.times.append(time.time())
            fault = venue.dice.choice(venue.faults) if venue.faults else None
            venue.calls.append((key, int(self.headers["ringside-fence"])))
            venue.signatures.append((self.headers["webhook-signature"], body))
        assert key == f"{duel}:{asked['step']}"
        if fault == "500":
            return self.answer(500)
        if fault == "429":
            return self.answer(429)
        if fault == "cut_before":
            return self.cut()
        with venue.lock:
            venue.effects.setdefault(key, 0)
            if venue.effects[key] == 0:
                venue.effects[key] = 1
                venue.view[duel] = {"state": STATES[asked["step"]], "winnerSide": asked["market"]["winnerSide"]}
        if fault == "refuse":
            return self.answer(422)
        if fault == "cut_after":
            return self.cut()
        if fault == "timeout_after":
            time.sleep(0.7)
        return self.answer(200)

    def do_GET(self):
        venue = self.server
        with venue.lock:
            venue.reads += 1
            duel = self.path.partition("?duel=")[2]
            view = venue.view.get(duel)
        self.answer(501 if not venue.views else 200 if view else 404, json.dumps(view).encode())

    def answer(self, status, text=b"{}"):
        text += b" " * self.server.padding
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        if self.server.retry_after and status in (429, 503):
            self.send_header("retry-after", self.server.retry_after)
        self.end_headers()
        try:
            self.wfile.write(text)
        except OSError:
            pass

    def cut(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_):
        pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except (OSError, ValueError):
            self.close_connection = True


def webhook_ringside(venue, *flags, **options):
    return Ringside("--feeds-scheduled=", "--feeds-source-driven=arena", "--market-operator=webhook",
                    f"--market-webhook-url={venue.url}", "--market-webhook-timeout=400ms", "--market-retry-min=20ms",
                    "--market-retry-max=200ms", "--market-attempts-max=200", "--worker-restart-limit=64",
                    "--worker-restart-window=1s", "--worker-restart-delay-max=50ms", *flags, workers=1, bridge=1, **options)


def check_effects(r, venue, duels):
    for cycle, (outcome, _, _) in duels.expected.items():
        duel = f"streaming-{cycle}"
        wait_for(lambda: (m := market(r, duel)) != 404 and m["state"] in ("resolved", "cancelled"), duel, SETTLING)
        steps = [key.rpartition(":")[2] for key in venue.effects if key.startswith(duel)]
        if market(r, duel)["openedAt"] == 0:
            assert steps == [], "nothing is opened in hindsight"
        elif outcome == "win":
            assert steps == ["create", "lock", "resolve"]
        else:
            assert steps in (["create", "cancel"], ["create", "lock", "cancel"])
    assert set(venue.effects.values()) <= {1}
    order = {}
    for key, _ in venue.calls:
        duel, _, step = key.rpartition(":")
        seen = order.setdefault(duel, [])
        assert step not in seen[:-1], "a step comes after the one before it has taken effect, never again later"
        if seen[-1:] != [step]:
            seen.append(step)


FAULTS = ("500", "429", "cut_before", "cut_after", "timeout_after", None, None, None)


@pytest.mark.parametrize("views", [True, False])
def test_webhook_steps_take_effect_once_whatever_fails(views):
    venue = Venue(FAULTS, seed=5, views=views)
    with webhook_ringside(venue) as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        duels = Duels(Game(r), 20, seed=5, pause=0.05)
        duels.start()
        duels.finish()
        check_effects(r, venue, duels)
        assert venue.reads > 0
        jwks = get(r, "/v1/stream/__ds/jwks.json")["keys"]
        for signature, body in venue.signatures[:20]:
            parts = dict(p.split("=", 1) for p in signature.split(","))
            key = next(k for k in jwks if k["kid"] == parts["kid"])
            Ed25519PublicKey.from_public_bytes(unpadded(key["x"])).verify(
                unpadded(parts["ed25519"]), parts["t"].encode() + b"." + body)
    venue.shutdown()


@pytest.mark.parametrize("views", [True, False])
def test_who_says_what_it_did_is_not_told_again(views):
    venue = Venue(("cut_after",), views=views)
    # Long enough for any machine: nothing here is decided by time.
    with webhook_ringside(venue, "--market-webhook-timeout=30s") as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        g = Game(r)
        duel = announce(g)
        if not views:
            wait_for(lambda: len(venue.calls) > 1, "the same step again")
            venue.faults = ()
        wait_state(r, duel, "open")
        fight(g, duel)
        g.post("death", duelId=duel, ids=["alpha"])
        wait_state(r, duel, "resolved")
        assert venue.reads > 0
        if views:
            assert [key.rpartition(":")[2] for key, _ in venue.calls] == ["create", "lock", "resolve"]
            audit = [m["event"] for m in frames_of(r, stream="audit") if m["duelId"] == duel]
            assert audit.count("attempt_failed") == 3 and audit[-1] == "resolved"
    venue.shutdown()


def test_webhook_steps_over_kills_of_the_bridge():
    seed = int(os.environ.get("SEED", random.randrange(10 ** 6)))
    print("SEED", seed)
    dice = random.Random(seed)
    venue = Venue(FAULTS, seed=seed, views=True)
    with webhook_ringside(venue) as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        duels = Duels(Game(r), 30, seed=seed, pause=0.05)
        duels.start()
        while duels.is_alive():
            time.sleep(dice.uniform(0.1, 0.5))
            r.kill_some_worker(dice, "bridge")
        duels.finish()
        check_effects(r, venue, duels)
        fences = [fence for _, fence in venue.calls]
        assert fences == sorted(fences) and fences[-1] > fences[0]
    venue.shutdown()


def tls_venue(tmp_path):
    """One with a certificate of its own, and the certificate."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate], check=True,
                   capture_output=True)
    venue = Venue()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    venue.socket = context.wrap_socket(venue.socket, server_side=True)
    venue.url = f"https://localhost:{venue.server_port}/markets"
    return venue, certificate


def test_the_venue_must_prove_who_it_is(tmp_path):
    """TLS is verified: a certificate that nobody vouches for gets nothing, one of tls.ca_file gets the call."""
    venue, certificate = tls_venue(tmp_path)
    with webhook_ringside(venue, "--market-attempts-max=3") as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        bad = wait_state(r, announce(Game(r)), "manual_review")
        assert "not sent" in bad["error"] and "failed too often" in bad["error"] and bad["openedAt"] == 0
        assert venue.calls == []
    with webhook_ringside(venue, f"--tls-ca-file={certificate}") as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        wait_state(r, announce(Game(r)), "open")
        assert len(venue.calls) == 1
    venue.shutdown()


def test_the_venue_is_called_after_a_reload(tmp_path):
    """A live reload leaves alone what has not changed: tls.ca_file is still read where it was."""
    venue, certificate = tls_venue(tmp_path)
    with webhook_ringside(venue, f"--tls-ca-file={certificate}", config="worker.drain_timeout: 25s\n",
                          environment={"MALLOC_PERTURB_": "165"}) as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        for seconds in (24, 23):
            r.write_config(f"worker.drain_timeout: {seconds}s\n")
            assert "worker.drain_timeout" in r.ctl("reload")[0]
        r.ctl("log-level", "debug")
        wait_state(r, announce(Game(r)), "open")
        assert r.worker("bridge-0")["restarts"] == 0
    venue.shutdown()


def test_a_refused_step_is_for_people_and_they_decide():
    venue = Venue(("refuse",))
    with webhook_ringside(venue) as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        g = Game(r)
        duel = announce(g)
        bad = wait_state(r, duel, "manual_review")
        assert "refused" in bad["error"] and "422" in bad["error"]
        r.wait_log("market needs a person")
        wait_for(lambda: "ringside_market_dead_letters_total{worker=\"bridge-0\"} 1" in r.get("/metrics"), "the count")
        venue.faults = ()
        status, _, _ = r.request("POST", f"/v1/markets/{duel}/retry", b'{"actor":"me","reason":"too short"}', JSON)
        assert status == 422
        body = json.dumps({"actor": "anna", "reason": "their side is repaired"}).encode()
        assert r.request("POST", f"/v1/markets/{duel}/retry", body, JSON)[0] == 200
        wait_state(r, duel, "open")
        venue.faults = ("refuse",)
        fight(g, duel)
        wait_state(r, duel, "manual_review")
        venue.faults = ()
        body = json.dumps({"actor": "anna", "reason": "agreed by telephone", "outcome": "cancelled"}).encode()
        assert r.request("POST", f"/v1/markets/{duel}/resolve", body, JSON)[0] == 200
        wait_state(r, duel, "cancelled")
        assert r.request("POST", f"/v1/markets/{duel}/resolve", body, JSON)[0] == 409
        audit = [m for m in frames_of(r, stream="audit") if m["duelId"] == duel]
        assert [m["actor"] for m in audit if m["event"] in ("retried", "decided")] == ["anna", "anna"]
    venue.shutdown()


def test_people_decide_by_ringsidectl():
    venue = Venue(("refuse",))
    with webhook_ringside(venue) as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        duel = announce(Game(r))
        wait_state(r, duel, "manual_review")
        assert "manual_review" in r.ctl("markets", "ls")[0]
        venue.faults = ()
        r.ctl("markets", "retry", duel, "their side is repaired")
        wait_state(r, duel, "open")
        venue.faults = ("refuse",)
        fight(Game(r, epoch=2), duel)
        wait_state(r, duel, "manual_review")
        venue.faults = ()
        r.ctl("markets", "resolve", duel, "--manual", "B", "agreed by telephone")
        assert wait_state(r, duel, "resolved")["winnerSide"] == "B"
        assert [key.rpartition(":")[2] for key in venue.effects] == ["create", "lock", "resolve"]
        told = [m for m in frames_of(r, stream="audit") if m["event"] in ("retried", "decided")]
        assert [m["reason"] for m in told] == ["their side is repaired", "agreed by telephone"]
    venue.shutdown()


def test_a_review_keeps_its_reason_when_the_duel_ends():
    venue = Venue()
    with webhook_ringside(venue) as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        g = Game(r)
        duel = announce(g)
        wait_state(r, duel, "open")
        venue.faults = ("refuse",)
        fight(g, duel)
        why = wait_state(r, duel, "manual_review")["error"]
        g.post("death", duelId=duel, ids=["alpha"])
        wait_for(lambda: market(r, duel)["outcome"] == "win", "the outcome")
        assert market(r, duel)["error"] == why == "lock was refused: answered 422"
        audit = [m["event"] for m in frames_of(r, stream="audit") if m["duelId"] == duel]
        assert audit.count("manual_review") == 1 and audit[-1] == "outcome"
        wait_for(lambda: "ringside_market_reviews_total{worker=\"bridge-0\"} 1" in r.get("/metrics"), "the count")
        venue.faults = ()
        body = json.dumps({"actor": "anna", "reason": "their side is repaired"}).encode()
        assert r.request("POST", f"/v1/markets/{duel}/retry", body, JSON)[0] == 200
        assert wait_state(r, duel, "resolved")["winnerSide"] == "B"
    venue.shutdown()


def test_what_was_never_created_can_be_closed():
    venue = Venue(("refuse",))
    with webhook_ringside(venue) as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        duel = announce(Game(r))
        wait_state(r, duel, "manual_review")
        venue.faults = ()
        body = json.dumps({"actor": "anna", "reason": "they never took it", "outcome": "cancelled"}).encode()
        assert r.request("POST", f"/v1/markets/{duel}/resolve", body, JSON)[0] == 200
        wait_state(r, duel, "cancelled")
        assert [key.rpartition(":")[2] for key, _ in venue.calls] == ["create", "cancel"]
    venue.shutdown()


def test_an_answer_may_be_long():
    venue = Venue()
    venue.padding = 100000
    with webhook_ringside(venue) as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        wait_state(r, announce(Game(r)), "open")
        assert len(venue.calls) == 1
    venue.shutdown()


def test_the_venue_says_when_to_come_back():
    """Retry-After: neither sooner, nor later than market.retry_after_max."""
    venue = Venue(("429",))
    venue.retry_after = "2"
    with webhook_ringside(venue) as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        duel = announce(Game(r))
        wait_for(lambda: len(venue.times) >= 2, "the second attempt")
        assert venue.times[1] - venue.times[0] >= 2
        venue.faults = ()
        wait_state(r, duel, "open")
    venue.shutdown()
    venue = Venue(("429",))
    venue.retry_after = "86400"
    with webhook_ringside(venue, "--market-retry-after-max=1s") as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        announce(Game(r))
        wait_for(lambda: len(venue.times) >= 2, "the bound")
        assert venue.times[1] - venue.times[0] >= 1
    venue.shutdown()


def test_a_receiver_that_ended_it_otherwise_is_for_people():
    venue = Venue(views=True)
    with webhook_ringside(venue) as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        g = Game(r)
        duel = announce(g)
        fight(g, duel)
        wait_state(r, duel, "locked")
        venue.faults = ("cut_before",)
        venue.view[duel] = {"state": "cancelled"}
        g.post("death", duelId=duel, ids=["alpha"])
        assert "ended otherwise" in wait_state(r, duel, "manual_review")["error"]
        assert f"{duel}:resolve" not in venue.effects
    venue.shutdown()


def test_too_many_in_review_open_no_more():
    venue = Venue(("refuse",))
    with webhook_ringside(venue, "--market-active-max=1") as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        g = Game(r)
        first = announce(g)
        wait_state(r, first, "manual_review")
        g.post("abort", duelId=first, reason="x")
        venue.faults = ()
        second = announce(g)
        assert "market.active_max" in wait_state(r, second, "cancelled")["error"]
        r.wait_log("market refused")
        g.post("abort", duelId=second, reason="x")
        body = json.dumps({"actor": "anna", "reason": "their side is repaired"}).encode()
        assert r.request("POST", f"/v1/markets/{first}/retry", body, JSON)[0] == 200
        wait_state(r, first, "cancelled")
        wait_state(r, announce(g), "open")
        assert not any(key.startswith(second) for key in venue.effects)
    venue.shutdown()


def metric(r, name):
    return sum(int(n) for n in re.findall(rf"^ringside_{name}(?:{{.*}})? (\d+)$", r.request("GET", "/metrics")[2].decode(), re.M))


def end_duel(g, duel):
    g.post("death", duelId=duel, ids=["alpha"])
    g.post("phase", duelId=duel, phase="IDLE")


def test_settled_markets_are_forgotten_after_their_time():
    with Ringside("--feeds-scheduled=", "--feeds-source-driven=arena", "--market-keep=1s", workers=1, bridge=1) as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        g = Game(r, epoch=int(time.time() * 1000))
        first = announce(g)
        wait_state(r, first, "open")
        anna, bert = Bettor(r), Bettor(r)
        assert anna.bet(first, "A", 300, key="k")[0] == 201 and bert.bet(first, "B", 100, key="k")[0] == 201
        assert all("keyHash" not in bet for bet in get(r, f"/v1/markets/{first}/bets")["bets"])
        fight(g, first)
        end_duel(g, first)
        wait_state(r, first, "resolved")
        assert get(r, f"/v1/oracle/{first}")["duelId"] == first
        time.sleep(2)  # the newest duel of a feed stays: another frame of it would begin another market
        assert market(r, first)["state"] == "resolved"
        second = announce(g)
        wait_for(lambda: market(r, first) == 404, "the first market to go")
        assert get(r, f"/v1/markets/{first}/bets") == 404 and get(r, f"/v1/oracle/{first}") == 404
        wait_for(lambda: metric(r, "markets_forgotten_total") == 1, "the count")
        assert anna.balance() == 100000 - 300 and bert.balance() == 100000 + 300
        sums = get(r, "/v1/ledger/sums")
        assert sums["balanced"] and sums["pools"] == 0
        assert [m["duelId"] for m in get(r, "/v1/markets")["markets"]] == [second]
        assert anna.bet(second, "B", 300, key="k")[0] == 201, "its key went with the bet"
        assert market(r, second)["state"] == "open"
        # What was published stays, as long as its stream keeps it.
        assert first in [m["duelId"] for m in frames_of(r, stream="attestations")]
        assert {m["event"] for m in frames_of(r, stream="audit") if m["duelId"] == first} >= {"created", "resolved"}


def test_forgetting_over_kills_of_the_bridge():
    with Ringside("--feeds-scheduled=", "--feeds-source-driven=arena", "--market-keep=1s", "--worker-restart-limit=64",
                  "--worker-restart-window=1s", workers=1, bridge=1) as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        g = Game(r, epoch=int(time.time() * 1000))
        people, duels = [Bettor(r) for _ in range(3)], []
        for _ in range(4):
            duel = announce(g)
            duels.append(duel)
            wait_state(r, duel, "open")
            for i in range(150):
                assert people[i % 3].bet(duel, "AB"[i % 2], 1 + i % 7, key=f"{duel}-{i}")[0] == 201
            fight(g, duel)
            end_duel(g, duel)
            wait_state(r, duel, "resolved")
        balances = [p.balance() for p in people]
        announce(g)
        end, gone = time.monotonic() + 60, False
        while not gone and time.monotonic() < end:
            r.kill(r.worker("bridge-0")["pid"])
            time.sleep(0.3)
            gone = all(market(r, duel) == 404 for duel in duels)
            assert get(r, "/v1/ledger/sums")["balanced"]
        assert gone, [market(r, duel) for duel in duels]
        assert [p.balance() for p in people] == balances
        assert r.ctl("store", "check")
