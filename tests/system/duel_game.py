"""A game that duels are made with: posts to the source API as a real one would, repeating every post until it
is answered."""

import json
import random
import threading
import time

from client_python import Backoff, Refused, Server, Source

ENDS = ("kill", "both", "forfeit", "result", "draw", "time", "abort_announcement", "abort_countdown",
        "abort_fight", "lost")


class Game(Source):
    """One feed's source, of a Ringside that may move. `seq` may be set: a game that has lost its place."""

    def __init__(self, ringside, feed="arena", token=None, epoch=1):
        super().__init__(Server(lambda: ringside.url, token, timeout=15, backoff=Backoff(first=0.01, most=0.05, heeds=False)), feed, epoch=epoch)

    def wait_phase(self, phase, duel_id=None, patience=60):
        """Until the duel is in that phase; its state. None: it has ended before."""
        return self.wait(phase, duel_id, patience=patience, pause=0.005)


def agents(number=0):
    return {"agent1": {"id": "alpha", "name": "Alpha \"α\"", "provider": "p", "model": "m", "hp": 99.5, "maxHp": 99.5,
                       "combatLevel": 3, "wins": number, "losses": 0, "rank": 1, "headToHeadWins": 1,
                       "headToHeadLosses": 2},
            "agent2": {"id": "beta", "name": "Beta", "hp": 80, "maxHp": 80}}


class Duels(threading.Thread):
    """Plays `count` source-driven duels with ends drawn from `dice`, and keeps what each must have come to:
    expected[cycleId] = (outcome, winnerId, winReason or cancellationReason)."""

    def __init__(self, game, count, seed, pause=0.0):
        super().__init__(daemon=True)
        self.game, self.count, self.dice, self.pause = game, count, random.Random(seed), pause
        self.expected = {}
        self.error = None
        self.played = 0

    def run(self):
        try:
            for number in range(self.count):
                self.one(number)
                self.played += 1
        except Exception as error:  # noqa: BLE001 - the test that waits for us shows it
            self.error = error

    def cycle_id(self):
        digits = f"{self.dice.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"

    def one(self, number):
        g, end, cycle = self.game, ENDS[number % len(ENDS)], self.cycle_id()
        duel = f"streaming-{cycle}"
        winner = self.dice.choice(("alpha", "beta"))
        loser = "beta" if winner == "alpha" else "alpha"
        g.post("cycle", cycleId=cycle, **agents(number))
        time.sleep(self.pause)
        if end == "abort_announcement":
            g.post("abort", duelId=duel, reason="game_stopped")
            self.expected[cycle] = ("cancelled", None, "game_stopped")
            return
        if end == "lost":
            g.post("forfeit", duelId=duel, id=loser)
            self.expected[cycle] = ("cancelled", None, "agent_lost_before_fight")
            return
        g.post("positions", duelId=duel, agent1=[0, 0.5, 0], agent2=[3, 0.5, self.dice.random()])
        g.post("phase", duelId=duel, phase="COUNTDOWN")
        if end == "abort_countdown":
            g.post("abort", duelId=duel, reason="arena_teleport_failed")
            self.expected[cycle] = ("cancelled", None, "arena_teleport_failed")
            return
        g.post("phase", duelId=duel, phase="FIGHTING")
        for _ in range(self.dice.randrange(4)):
            g.post("damage", duelId=duel, attackerId=winner, amount=round(self.dice.uniform(0.1, 9), 3))
        g.post("scene", duelId=duel, scene={"move": number, "x": self.dice.random()})
        time.sleep(self.pause)
        if end == "abort_fight":
            g.post("abort", duelId=duel, reason="both_agents_missing")
            self.expected[cycle] = ("cancelled", None, "both_agents_missing")
            return
        if end == "kill":
            g.post("death", duelId=duel, ids=[loser], detail="checkmate")
            self.expected[cycle] = ("win", winner, "kill")
        elif end == "forfeit":
            g.post("forfeit", duelId=duel, id=loser, detail="resignation")
            self.expected[cycle] = ("win", winner, "forfeit")
        elif end == "draw":
            g.post("result", duelId=duel, outcome="draw", detail="stalemate")
            self.expected[cycle] = ("draw", None, "draw")
        elif end == "both":
            g.post("batch", facts=[{"type": "damage", "duelId": duel, "attackerId": winner, "amount": 50},
                                   {"type": "death", "duelId": duel, "ids": [loser, winner]}])
            self.expected[cycle] = ("win", winner, "damage_advantage")
        else:
            g.post("result", duelId=duel, outcome="win", winnerId=winner, winReason="hp_advantage")
            self.expected[cycle] = ("win", winner, "hp_advantage")
        g.post("phase", duelId=duel, phase="IDLE")

    def finish(self, patience=120):
        self.join(patience)
        assert not self.is_alive(), "the game hangs"
        if self.error is not None:
            raise self.error


def frames_of(ringside, feed="arena", stream="frames"):
    """All there are, read by catch-up."""
    frames, offset = [], "-1"
    while True:
        status, headers, body = ringside.request("GET", f"/v1/stream/feeds/{feed}/{stream}?offset={offset}")
        assert status == 200, body
        frames += json.loads(body)
        if headers.get("stream-up-to-date") == "true":
            return frames
        offset = headers["stream-next-offset"]


def check_frames(frames):
    """Gapless, one epoch, one terminal frame for each duel, nothing about a duel after it."""
    over, last = set(), None
    for frame in frames:
        assert frame["schemaVersion"] == 2
        if last is not None:
            assert frame["sourceEpoch"] == last["sourceEpoch"]
            assert frame["seq"] == last["seq"] + 1 and frame["previousSeq"] == last["seq"]
            assert frame["emittedAt"] >= last["emittedAt"]
            if frame["duelId"] is not None and frame["duelId"] == last["duelId"]:
                assert frame["phaseVersion"] - last["phaseVersion"] in (0, 1)
        else:
            assert frame["seq"] == 1 and frame["previousSeq"] == 0
        if frame["duelId"] is not None:
            assert frame["duelId"] not in over, "a frame about a duel after its terminal one"
            assert frame["terminal"] == (frame["outcome"] is not None)
        if frame["terminal"]:
            over.add(frame["duelId"])
        last = frame
    return over
