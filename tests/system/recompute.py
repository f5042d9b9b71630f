"""What became of duels, computed from what the public is told, and by nothing of Ringside's own: run against a server, it reads
the streams of a feed and says where something does not add up.

    python3 recompute.py URL FEED [--fee PPM] [--token TOKEN]

From the frames: each duel's one end. From it and the bets: who is paid what, what the market and the audit must say, and the
standings. Attestations are checked by the published keys (python3-cryptography). Where a chain keeps the markets, `check()`
is given what its accounts show."""

import argparse
import base64
import collections
import json
import sys
import urllib.error
import urllib.request
from fractions import Fraction

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Public:
    """Reads, and nothing else. `fetch(path)` is (status, headers, body)."""

    def __init__(self, fetch, feed):
        self.fetch, self.feed = fetch, feed

    def json(self, path):
        status, _, body = self.fetch(path)
        return json.loads(body) if status == 200 else None

    def stream(self, name):
        """All messages that are kept; [] where nothing was ever said."""
        messages, offset = [], "-1"
        while True:
            status, headers, body = self.fetch(f"/v1/stream/feeds/{self.feed}/{name}?offset={offset}")
            if status == 404:
                return []
            assert status == 200, (name, status, body)
            messages += json.loads(body)
            if headers.get("stream-up-to-date") == "true":
                return messages
            offset = headers["stream-next-offset"]


def by_http(url, token=None):
    def fetch(path):
        request = urllib.request.Request(url + path, headers={"authorization": f"Bearer {token}"} if token else {})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, {}, error.read()
    return fetch


class Findings(list):
    def wrong(self, duel, what, got, expected):
        if got != expected:
            self.append(f"{duel}: {what} is {got!r}, and should be {expected!r}")


# ---- frames ----

def ends_of(frames, findings):
    """duelId -> its terminal frame."""
    ends, last = {}, None
    for frame in frames:
        if last is not None:
            findings.wrong(frame["duelId"], "the number", (frame["sourceEpoch"], frame["seq"], frame["previousSeq"]),
                           (last["sourceEpoch"], last["seq"] + 1, last["seq"]))
            if frame["emittedAt"] < last["emittedAt"]:
                findings.append(f"frame {frame['seq']} was emitted before the one before it")
        last, duel = frame, frame["duelId"]
        if duel in ends:
            findings.append(f"{duel}: frame {frame['seq']} comes behind its terminal one")
        if frame["terminal"]:
            ends[duel] = frame
    begun = {f["duelId"] for f in frames if f["duelId"]}
    findings += [f"{duel}: it has no end" for duel in begun - set(ends) - {last and last["duelId"]}]
    return ends


def side_of(end):
    return None if end["outcome"] != "win" else "A" if end["winnerId"] == end["agent1"]["id"] else "B"


# ---- money ----

def payouts(end, opened, bets, fee_ppm):
    """What each bet brings, the fee, and what rounding leaves; by fractions."""
    pool, side = sum(b["amount"] for b in bets), side_of(end)
    winning = sum(b["amount"] for b in bets if b["side"] == side)
    if side is None or not opened or winning == 0:
        return [b["amount"] for b in bets], 0, 0
    fee = int(Fraction(pool * fee_ppm, 1000000))
    paid = [int(Fraction(b["amount"] * (pool - fee), winning)) if b["side"] == side else 0 for b in bets]
    return paid, fee, pool - fee - sum(paid)


def check_market(public, duel, end, told, bets, fee_ppm, findings):
    """Its lines of the audit, its row, and its bets; what it cost everybody."""
    opened = "opened" in [line["event"] for line in told]
    last = [line for line in told if line["event"] in ("resolved", "cancelled")]
    findings.wrong(duel, "the number of settlements", len(last), 1)
    if len(last) != 1:
        return 0, 0
    paid, fee, rest = payouts(end, opened, bets, fee_ppm)
    side = side_of(end)
    findings.wrong(duel, "the settlement", last[0]["event"], "resolved" if side and opened else "cancelled")
    findings.wrong(duel, "its outcome", (last[0]["outcome"], last[0]["winnerSide"] or None), (end["outcome"], side))
    findings.wrong(duel, "its pool", last[0]["pool"], sum(b["amount"] for b in bets))
    findings.wrong(duel, "what it paid", last[0]["paid"], sum(paid))
    shown = public.json(f"/v1/markets/{duel}/bets")
    if shown is not None:  # else its time is over (market.keep)
        findings.wrong(duel, "who is paid what", [(b["number"], b["side"], b["amount"], b["paid"]) for b in shown["bets"]],
                       [(b["number"], b["side"], b["amount"], p) for b, p in zip(bets, paid)])
    findings.wrong(duel, "the numbers of its bets", [b["number"] for b in bets], list(range(1, len(bets) + 1)))
    return fee, rest


# ---- attestations ----

def raw(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def check_attestations(public, ends, findings):
    keys = {k["kid"]: Ed25519PublicKey.from_public_bytes(raw(k["x"])) for k in public.json("/v1/oracle/keys")["keys"]}
    attested = public.stream("attestations")
    counts = collections.Counter(a["duelId"] for a in attested)
    findings += [f"{duel}: attested {counts[duel]} times" for duel in ends if counts[duel] != 1]
    findings += [f"{duel}: attested, and it has not ended" for duel in counts if duel not in ends]
    for line in attested:
        head, body, signature = line["jws"].split(".")
        keys[json.loads(raw(head))["kid"]].verify(raw(signature), f"{head}.{body}".encode())
        said, end = json.loads(raw(body)), ends.get(line["duelId"], {})
        for member in ("duelId", "duelKey", "outcome", "winnerId", "seed", "replayHash", "seq", "sourceEpoch"):
            findings.wrong(line["duelId"], f"attested {member}", said[member], end.get(member))


# ---- standings ----

def standings_of(ends):
    """Of each contestant (wins, losses, draws, streak)."""
    board = {}
    for end in ends.values():
        if end["outcome"] not in ("win", "draw"):
            continue
        for agent in (end["agent1"]["id"], end["agent2"]["id"]):
            wins, losses, draws, streak = board.get(agent, (0, 0, 0, 0))
            if end["outcome"] == "draw":
                board[agent] = (wins, losses, draws + 1, 0)
            elif end["winnerId"] == agent:
                board[agent] = (wins + 1, losses, draws, max(streak, 0) + 1)
            else:
                board[agent] = (wins, losses + 1, draws, min(streak, 0) - 1)
    return board


def check_standings(public, ends, findings):
    shown = public.json(f"/v1/feeds/{public.feed}/standings")
    board = {s["id"]: (s["wins"], s["losses"], s["draws"], s["streak"]) for s in shown["standings"]}
    findings.wrong(public.feed, "the standings", board, standings_of(ends))
    findings.wrong(public.feed, "the number of duels that count", shown["duels"],
                   sum(end["outcome"] in ("win", "draw") for end in ends.values()))


# ---- all of it ----

def check(public, fee_ppm=0, chain=None):
    """Everything that is wrong, and what was looked at. `chain(duelKey)`: (status of the duel, of its market, side of the
    winner), None for what is not there."""
    findings = Findings()
    ends = ends_of(public.stream("frames"), findings)
    results = public.stream("results")
    findings.wrong(public.feed, "the results", [r["duelId"] for r in results], list(ends))
    for result in results:
        findings.wrong(result["duelId"], "its result", result, ends.get(result["duelId"]))
    told, bets = collections.defaultdict(list), collections.defaultdict(list)
    for line in public.stream("audit"):
        told[line["duelId"]].append(line)
    for bet in public.stream("bets"):
        bets[bet["duelId"]].append(bet)
    fees = rests = 0
    for duel, end in ends.items():
        fee, rest = check_market(public, duel, end, told[duel], bets[duel], fee_ppm, findings)
        fees, rests = fees + fee, rests + rest
        if chain is not None:
            opened = "opened" in [line["event"] for line in told[duel]]
            side = side_of(end) if opened else None
            expected = ("resolved", "resolved", side) if side else ("cancelled", "cancelled", None)
            shown = chain(end["duelKey"])
            findings.wrong(duel, "the chain", shown, expected if opened or shown[0] is not None else shown)
    findings += [f"{duel}: it was settled, and has not ended" for duel in told if duel not in ends and any(
        line["event"] in ("resolved", "cancelled") for line in told[duel])]
    check_attestations(public, ends, findings)
    check_standings(public, ends, findings)
    outcomes = collections.Counter(end["outcome"] for end in ends.values())
    return findings, {"duels": len(ends), **outcomes, "bets": sum(map(len, bets.values())),
                      "staked": sum(b["amount"] for all_of in bets.values() for b in all_of), "fees": fees, "rounding": rests}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("url")
    parser.add_argument("feed")
    parser.add_argument("--fee", type=int, default=0)
    parser.add_argument("--token")
    options = parser.parse_args()
    findings, counts = check(Public(by_http(options.url.rstrip("/"), options.token), options.feed), options.fee)
    print(*findings, json.dumps(counts), sep="\n")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
