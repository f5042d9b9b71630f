"""People who bet on duels, and what they see of markets; with a game that plays them."""

import json
import random
import threading
import time

from duel_game import Game, agents
from ringside import PATIENCE, wait_for

JSON = {"content-type": "application/json"}
SETTLING = 3 * PATIENCE  # over restarts and faults, on a machine that has other things to do


def get(r, path):
    """What is there, or the status; waits while the worker that knows is being replaced."""
    for _ in range(1000):
        status, _, body = r.request("GET", path)
        if status != 503:
            break
        time.sleep(0.01)
    return json.loads(body) if status == 200 else status


def market(r, duel):
    return get(r, f"/v1/markets/{duel}")


def wait_state(r, duel, *states):
    return wait_for(lambda: (m := market(r, duel)) != 404 and m["state"] in states and m, f"{duel} {states}", SETTLING)


def announce(g, **members):
    return g.post("cycle", **{**agents(), **members})["duelId"]


def fight(g, duel):
    g.post("positions", duelId=duel, agent1=[0, 0, 0], agent2=[1, 0, 0])
    g.post("phase", duelId=duel, phase="COUNTDOWN")
    g.post("phase", duelId=duel, phase="FIGHTING")


def fresh_game(r):
    """A game with nothing behind it: what another had begun is over."""
    game = Game(r, epoch=int(time.time() * 1000))
    duel = game.state()["duel"]
    if duel and not duel["outcome"]:
        game.post("abort", duelId=duel["duelId"], reason="test")
    elif duel:
        game.post("phase", duelId=duel["duelId"], phase="IDLE")
    return game


class Bettor:
    def __init__(self, r, **body):
        status, _, text = r.request("POST", "/v1/ledger/accounts", json.dumps(body).encode(), JSON)
        assert status == 201, text
        self.r, self.account = r, json.loads(text)
        self.id, self.secret = self.account["id"], self.account["secret"]

    def headers(self, key=None):
        return {**JSON, "authorization": f"Bearer {self.secret}", **({"idempotency-key": key} if key else {})}

    def bet(self, duel, side, amount, key=None):
        status, _, text = self.r.request("POST", f"/v1/markets/{duel}/bets", json.dumps(
            {"account": self.id, "side": side, "amount": amount}).encode(), self.headers(key))
        return status, text.decode()

    def balance(self):
        return json.loads(self.r.request("GET", f"/v1/ledger/accounts/{self.id}", headers=self.headers())[2])["balance"]


class Bets(threading.Thread):
    """Bets on whatever is open, each with a key of its own and repeated until it is answered."""

    def __init__(self, r, count, seed):
        super().__init__(daemon=True)
        self.r, self.dice, self.stopping = r, random.Random(seed), False
        self.people = [Bettor(r) for _ in range(count)]
        self.taken = {}
        self.error = None

    def run(self):
        number = 0
        while not self.stopping:
            try:
                open_now = [m["duelId"] for m in get(self.r, "/v1/markets")["markets"] if m["takesBets"]]
                if not open_now:
                    continue
                person, number = self.dice.choice(self.people), number + 1
                side, amount, status = self.dice.choice("AB"), self.dice.randrange(1, 300), 503
                while status == 503:
                    try:
                        status, text = person.bet(open_now[0], side, amount, key=f"{number}")
                    except OSError:
                        status = 503
                        time.sleep(0.01)
                if status in (200, 201):
                    bet = json.loads(text)
                    self.taken[(bet["duelId"], bet["number"])] = (person.id, side, amount)
                elif status not in (402, 409):
                    self.error = (status, text)
                    return
            except (OSError, TypeError, ValueError):
                time.sleep(0.01)

    def finish(self):
        self.stopping = True
        self.join(60)
        assert not self.is_alive() and self.error is None, self.error
