"""What the public is told adds up: a few duels with a bridge that is killed and a game that dies (500 by scripts/soak duels),
computed by a script that knows nothing of Ringside; and that script finds what is wrong."""

import json
import os
import random

import pytest

import soak_duels
from recompute import Findings, Public, check, ends_of, payouts, standings_of


def test_a_few_duels_over_kills_and_deaths():
    seed = int(os.environ.get("SEED", random.randrange(10 ** 6)))
    print("SEED", seed)
    counts = soak_duels.run(12, seed, 1)
    assert counts["duels"] >= 12 and counts["bets"] > 0


def agent(name):
    return {"id": name}


END = {"duelId": "d", "sourceEpoch": 1, "seq": 2, "previousSeq": 1, "emittedAt": 2, "terminal": True, "outcome": "win",
       "winnerId": "b", "agent1": agent("a"), "agent2": agent("b"), "duelKey": "k", "seed": "1", "replayHash": "h"}
BEGIN = {**END, "seq": 1, "previousSeq": 0, "emittedAt": 1, "terminal": False, "outcome": None, "winnerId": None}
BETS = [{"duelId": "d", "number": 1, "side": "A", "amount": 10}, {"duelId": "d", "number": 2, "side": "B", "amount": 3},
        {"duelId": "d", "number": 3, "side": "B", "amount": 4}]
PAID = [0, 7, 9]  # of 17 less a fee of 0: 3 * 17 / 7, 4 * 17 / 7


def test_who_is_paid_what():
    assert payouts(END, True, BETS, 0) == (PAID, 0, 1)
    assert payouts(END, True, BETS, 100000) == ([0, 6, 9], 1, 1)
    assert payouts(END, False, BETS, 0) == ([10, 3, 4], 0, 0)
    assert payouts({**END, "outcome": "draw"}, True, BETS, 100000) == ([10, 3, 4], 0, 0)
    assert payouts(END, True, BETS[:1], 0) == ([10], 0, 0)
    assert standings_of({"d": END, "e": {**END, "outcome": "draw"}}) == {"a": (0, 1, 1, 0), "b": (1, 0, 1, 0)}


def said(**changes):
    """A server that says this, and what check() thinks of it."""
    last = {"duelId": "d", "event": "resolved", "outcome": "win", "winnerSide": "B", "pool": 17, "paid": 16}
    streams = {"frames": [BEGIN, END], "results": [END], "audit": [{"duelId": "d", "event": "opened"}, last], "bets": BETS,
               "attestations": []}
    rows = {"/v1/oracle/keys": {"keys": []},
            "/v1/markets/d/bets": {"bets": [{**b, "paid": p} for b, p in zip(BETS, PAID)]},
            "/v1/feeds/f/standings": {"duels": 1, "standings": [{"id": "b", "wins": 1, "losses": 0, "draws": 0, "streak": 1},
                                                              {"id": "a", "wins": 0, "losses": 1, "draws": 0, "streak": -1}]}}
    streams.update({k: v for k, v in changes.items() if k in streams})
    rows.update({k: v for k, v in changes.items() if k in rows})

    def fetch(path):
        name = path.rpartition("/")[2].partition("?")[0]
        whole = streams.get(name) if path.startswith("/v1/stream/") else rows.get(path)
        return (404, {}, b"") if whole is None else (200, {"stream-up-to-date": "true"}, json.dumps(whole).encode())
    return check(Public(fetch, "f"))[0]


def test_what_adds_up_but_was_never_attested():
    assert said() == ["d: attested 0 times"]


LAST = {"duelId": "d", "event": "resolved", "outcome": "win", "winnerSide": "B", "pool": 17, "paid": 16}
OPENED = {"duelId": "d", "event": "opened"}


@pytest.mark.parametrize("changes", (
    {"audit": [OPENED, LAST, LAST]},
    {"audit": [OPENED, {**LAST, "winnerSide": "A"}]},
    {"audit": [OPENED, {**LAST, "paid": 17}]},
    {"audit": [OPENED]},
    {"frames": [BEGIN, END, {**END, "seq": 3, "previousSeq": 2}]},
    {"frames": [BEGIN, {**END, "seq": 3}]},
    {"results": []},
    {"bets": BETS[:2]},
    {"/v1/markets/d/bets": {"bets": [{**b, "paid": p} for b, p in zip(BETS, (0, 8, 9))]}},
    {"/v1/feeds/f/standings": {"duels": 1, "standings": []}},
))
def test_what_does_not_add_up_is_found(changes):
    assert len(said(**changes)) > 1


def test_a_duel_without_an_end():
    findings = Findings()
    ends_of([BEGIN, {**BEGIN, "duelId": "e", "seq": 2, "previousSeq": 1}], findings)
    assert findings == ["d: it has no end"]
