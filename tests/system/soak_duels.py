"""Many duels, while the bridge is killed, the disk of time is short, and a game dies in every phase; people bet, or a receiver
or a chain keeps the markets. In the end recompute.py, which knows none of Ringside, reads what the public is told and finds
nothing wrong. Run it by scripts/soak duels."""

import argparse
import json
import random
import signal
import sys
import time

from bettors import SETTLING, Bets, get
from client_python import Refused
from duel_game import Game
from recompute import Public, check
from ringside import Ringside, wait_for

FEE = 25000
LIVES = ("announced", "placed", "counting", "fighting", "hurt", "ended")  # in which a game may die
PEOPLE = ("ann", "bob", "cid", "dan", "eve")
FLAGS = ("--feeds-scheduled=", "--feeds-source-driven=arena", "--feeds-source-silence=1s", "--duel-grace=200ms",
         "--duel-resolution=100ms", f"--ledger-fee-ppm={FEE}", "--worker-restart-limit=64", "--worker-restart-window=1s",
         "--worker-restart-delay-max=50ms", "--market-retry-min=20ms", "--market-retry-max=200ms", "--market-attempts-max=100")


class Died(Exception):
    """The game, in the phase that it was to die in."""


class Games:
    """One game after the other plays the duels; those that die are replaced by one that knows nothing."""

    def __init__(self, r, seed):
        self.r, self.dice, self.epoch = r, random.Random(seed), 0
        self.deaths = dict.fromkeys(LIVES, 0)
        self.game = None
        self.begin()

    def begin(self):
        """A new game looks at what there is, again where that was over while it looked."""
        while True:
            try:
                return self.look()
            except Refused as refused:
                if refused.status != 409:
                    raise

    def look(self):
        self.epoch += 1
        self.game = Game(self.r, epoch=self.epoch)
        duel = self.game.state()["duel"]
        if duel and duel["outcome"]:
            self.game.post("phase", duelId=duel["duelId"], phase="IDLE")
        elif duel and self.dice.random() < 0.5:
            self.play_on(duel["duelId"], duel["phase"], [duel[a]["id"] for a in ("agent1", "agent2")], None)
        elif duel:
            self.game.post("abort", duelId=duel["duelId"], reason="game_lost")
            self.idle()

    def idle(self):
        duel = self.game.state()["duel"]
        if duel and duel["outcome"] and duel["phase"] != "IDLE":
            self.game.post("phase", duelId=duel["duelId"], phase="IDLE")

    def moment(self, life, dies):
        time.sleep(self.dice.uniform(0, 0.03))
        if life == dies:
            self.deaths[life] += 1
            raise Died

    def one(self):
        """A duel, which its game survives, or not."""
        names, dies = self.dice.sample(PEOPLE, 2), self.dice.choice(LIVES) if self.dice.random() < 0.2 else None
        one, other = ({"id": n, "name": n.title(), "hp": 50, "maxHp": 50} for n in names)
        try:
            duel = self.game.post("cycle", agent1=one, agent2=other)["duelId"]
            self.moment("announced", dies)
            self.play_on(duel, "ANNOUNCEMENT", names, dies)
        except Died:
            time.sleep(self.dice.choice((0, 0.3, 1.5)))  # back at once, in time, or too late
            self.begin()
        except Refused as refused:  # it was too slow, and the duel is over
            if refused.status != 409:
                raise
            self.begin()

    def play_on(self, duel, phase, names, dies):
        g, winner = self.game, self.dice.choice(names)
        loser = next(n for n in names if n != winner)
        if phase == "ANNOUNCEMENT":
            time.sleep(self.dice.uniform(0, 0.1))
            g.post("positions", duelId=duel, agent1=[0, 0, 0], agent2=[1, 0, 0])
            self.moment("placed", dies)
            g.post("phase", duelId=duel, phase="COUNTDOWN")
            self.moment("counting", dies)
        if phase in ("ANNOUNCEMENT", "COUNTDOWN"):
            g.post("phase", duelId=duel, phase="FIGHTING")
        self.moment("fighting", dies)
        g.post("damage", duelId=duel, attackerId=winner, amount=5)
        self.moment("hurt", dies)
        end = self.dice.randrange(6)
        if end == 0:
            g.post("result", duelId=duel, outcome="draw")
        elif end == 1:
            g.post("abort", duelId=duel, reason="arena_flooded")
        elif end == 2:
            g.post("forfeit", duelId=duel, id=loser)
        else:
            g.post("death", duelId=duel, ids=[loser])
        self.moment("ended", dies)
        self.idle()


def settled(r):
    """No market is under way."""
    markets = get(r, "/v1/markets")
    return isinstance(markets, dict) and all(m["state"] in ("resolved", "cancelled") for m in markets["markets"])


def play(r, count, seed, every, bets=None):
    """`count` duels, while the bridge is killed every so many seconds; (deaths by phase, kills)."""
    dice, kills, games = random.Random(seed), 0, Games(r, seed)
    due = time.monotonic() + every
    for number in range(count):
        games.one()
        if time.monotonic() >= due:
            kills += bool(r.kill_some_worker(dice, "bridge"))
            due = time.monotonic() + dice.uniform(0, 2 * every)
        if number % 50 == 49:
            print(json.dumps({"duels": number + 1, "kills": kills, "deaths": sum(games.deaths.values())}), flush=True)
    if bets is not None:
        bets.finish()
    wait_for(lambda: settled(r), "every market to settle", SETTLING)
    return games.deaths, kills


def recompute(r, chain=None):
    findings, counts = check(Public(lambda path: r.request("GET", path), "arena"), FEE, chain)
    assert not findings, "\n".join(findings[:20])
    return counts


def run(count, seed, every):
    """By the ledger."""
    with Ringside(*FLAGS, workers=1, bridge=1) as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        bets = Bets(r, 5, seed)
        bets.start()
        deaths, kills = play(r, count, seed, every, bets)
        counts = recompute(r)
        sums = get(r, "/v1/ledger/sums")
        assert sums["balanced"] and sums["pools"] == 0, sums
        assert sum(p.balance() for p in bets.people) == 5 * 100000 - counts["fees"] - counts["rounding"], counts
        listed = {(b["duelId"], b["number"]): (b["account"], b["side"], b["amount"])
                  for duel in {d for d, _ in bets.taken} for b in get(r, f"/v1/markets/{duel}/bets")["bets"]}
        assert listed == bets.taken, "a bet that was answered is there, and no other"
        return {**counts, "kills": kills, "deaths": deaths}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--every", type=float, default=2, help="seconds between two kills of the bridge")
    parser.add_argument("--seed", type=int, default=random.randrange(10 ** 6))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(f"SEED {options.seed}", flush=True)
    began = time.monotonic()
    counts = run(options.count, options.seed, options.every)
    print(json.dumps({**counts, "seconds": round(time.monotonic() - began)}), flush=True)


if __name__ == "__main__":
    main()
