"""A consumer of wire version 3 that takes nothing else: exactly the members that there are, the order of times, the shape of
each outcome, and a sequence without a gap. Written from docs/bet-sync.md alone; whatever is wrong raises."""

import hashlib
import json
import re

MEMBERS = ("schemaVersion", "sourceEpoch", "seq", "emittedAt", "phaseVersion", "duelId", "duelKey", "competitiveSnapshotVersion",
           "competitiveSnapshotDigest", "competitiveSnapshot", "phase", "betOpenTime", "betCloseTime", "fightStartTime",
           "duelEndTime", "winnerId", "outcome", "cancellationReason", "winReason", "seed", "replayHash", "agent1", "agent2",
           "arenaPositions", "winnerName", "rendererHealth")
CONTESTANT = ("id", "name", "provider", "model", "hp", "maxHp", "combatLevel", "wins", "losses", "damageDealtThisFight", "rank",
              "headToHeadWins", "headToHeadLosses")
LIVE = ("ANNOUNCEMENT", "COUNTDOWN", "FIGHTING")
HEX64 = re.compile(r"[0-9a-f]{64}")
TOKEN = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,127}")


def whole(value, least=0):
    return type(value) is int and least <= value <= 2 ** 53 - 1


def word(value):
    return isinstance(value, str) and value == value.strip() and 0 < len(value) <= 256


def canonical(value):
    """As RFC 8785 has it, for what JSON.parse makes of it."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{json.dumps(n, ensure_ascii=False)}:{canonical(value[n])}" for n in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, float) and value == int(value) and abs(value) < 1e21:
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)


def check_contestant(agent):
    assert tuple(agent) == CONTESTANT
    assert all(word(agent[name]) for name in CONTESTANT[:4])
    assert all(whole(agent[name]) for name in CONTESTANT[4:])
    assert agent["maxHp"] >= 1 and agent["hp"] <= agent["maxHp"] and agent["combatLevel"] >= 1


def check_idle(f):
    said = ("schemaVersion", "sourceEpoch", "seq", "emittedAt", "phaseVersion", "rendererHealth")
    assert f["phaseVersion"] == 0
    assert {name for name in MEMBERS if f[name] is not None} == set(said), f


def check_end(f):
    names = {f[a]["id"]: f[a]["name"] for a in ("agent1", "agent2")}
    ended = (f["seed"], f["replayHash"], f["duelEndTime"], f["winReason"], f["cancellationReason"])
    if f["outcome"] is None:
        assert f["phase"] in LIVE and set(ended) == {None} and f["winnerId"] is None and f["winnerName"] is None
        assert (f["fightStartTime"] is not None) == (f["phase"] == "FIGHTING")
        return
    assert f["duelEndTime"] >= (f["fightStartTime"] or f["betOpenTime"]) and f["duelEndTime"] <= f["emittedAt"]
    if f["outcome"] == "cancelled":
        assert TOKEN.fullmatch(f["cancellationReason"]) and f["phase"] == "IDLE"
        assert f["winReason"] is f["seed"] is f["replayHash"] is f["winnerId"] is f["winnerName"] is None
        return
    assert f["phase"] == "RESOLUTION"
    assert re.fullmatch(r"0|[1-9][0-9]{0,19}", f["seed"]) and int(f["seed"]) < 2 ** 64 and HEX64.fullmatch(f["replayHash"])
    if f["outcome"] == "draw":
        assert f["winReason"] == f["cancellationReason"] == "draw" and f["winnerId"] is f["winnerName"] is None
    else:
        assert f["outcome"] == "win" and f["cancellationReason"] is None
        assert f["winReason"] in ("kill", "forfeit", "hp_advantage", "damage_advantage")
        assert f["winnerName"] == names[f["winnerId"]]


def check_frame(f):
    assert tuple(f) == MEMBERS, set(f) ^ set(MEMBERS)
    assert f["schemaVersion"] == 3
    assert all(whole(f[name], 1) for name in ("sourceEpoch", "seq", "emittedAt"))
    health = f["rendererHealth"]
    assert tuple(health) == ("ready", "degradedReason", "updatedAt") and whole(health["updatedAt"], 1)
    assert (health["degradedReason"] is None) == (health["ready"] is True)
    if f["duelId"] is None:
        check_idle(f)
        return
    assert HEX64.fullmatch(f["duelKey"]) and whole(f["phaseVersion"], 1)
    for name in ("agent1", "agent2"):
        check_contestant(f[name])
    assert f["betOpenTime"] < f["betCloseTime"] and f["betOpenTime"] <= f["emittedAt"]
    if f["fightStartTime"] is not None:
        assert f["betCloseTime"] <= f["fightStartTime"] <= f["emittedAt"]
    if f["arenaPositions"] is None:
        assert f["outcome"] == "cancelled"
    else:
        assert tuple(f["arenaPositions"]) == ("agent1", "agent2")
        assert all(len(place) == 3 and all(type(x) in (int, float) for x in place) for place in f["arenaPositions"].values())
    assert f["competitiveSnapshotVersion"] == 1
    text = canonical(f["competitiveSnapshot"])
    assert hashlib.sha256(text.encode()).hexdigest() == f["competitiveSnapshotDigest"], text
    check_end(f)


class StrictConsumer:
    """Takes one frame after the other, polled or as an event."""

    def __init__(self):
        self.last = None
        self.over = {}  # duelId: its terminal frame

    def take(self, text):
        f = json.loads(text)
        check_frame(f)
        last = self.last
        if last is not None and f["seq"] == last["seq"]:
            assert f == last, "one number, two frames"
            return f
        assert f["duelId"] not in self.over, "a frame about a duel after its terminal one"
        if last is not None:
            assert f["sourceEpoch"] == last["sourceEpoch"] and f["seq"] == last["seq"] + 1
            assert f["emittedAt"] >= last["emittedAt"]
            if last["duelId"] is not None and last["outcome"] is None:
                assert f["duelId"] == last["duelId"], "a duel that ends without a word"
            if f["duelId"] is not None and f["duelId"] == last["duelId"]:
                same = ("duelKey", "competitiveSnapshotDigest", "competitiveSnapshot", "betOpenTime")
                assert all(f[name] == last[name] for name in same)
                assert f["betCloseTime"] <= last["betCloseTime"]
                assert f["phaseVersion"] - last["phaseVersion"] in (0, 1)
        if f["outcome"] is not None:
            self.over[f["duelId"]] = f
        self.last = f
        return f
