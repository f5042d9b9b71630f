"""Standings: counted from terminal frames, in the same transaction, over kills; counted anew; used in frames; and past
duels, page by page."""

import json
import os
import random
import signal
import time

import pytest

from duel_game import Game, agents, frames_of
from event_source import EventSource
from ringside import Ringside, wait_for
from strict_consumer import check_frame

TOKEN = "consumer"
SHORT = ("--duel-resolution=80ms", "--duel-grace=100ms")


class Board:
    """What the frames say, counted here."""

    def __init__(self, frames):
        self.all, self.pairs = {}, {}
        for frame in frames:
            if frame["outcome"] in ("win", "draw"):
                self.take(frame)

    def take(self, frame):
        ids = [frame["agent1"]["id"], frame["agent2"]["id"]]
        for one, other in (ids, ids[::-1]):
            mine = self.all.setdefault(one, {"wins": 0, "losses": 0, "draws": 0, "streak": 0})
            pair = self.pairs.setdefault((one, other), [0, 0, 0])
            if frame["outcome"] == "draw":
                mine["draws"] += 1
                mine["streak"] = 0
                pair[2] += 1
            elif frame["winnerId"] == one:
                mine["wins"] += 1
                mine["streak"] = max(mine["streak"], 0) + 1
                pair[0] += 1
            else:
                mine["losses"] += 1
                mine["streak"] = min(mine["streak"], 0) - 1
                pair[1] += 1

    def ranked(self):
        def key(item):
            name, m = item
            decided = m["wins"] + m["losses"]
            return -(m["wins"] / decided if decided else 0), -m["wins"], m["losses"], -m["draws"], name
        return [(name, m["wins"], m["losses"], m["draws"], m["streak"])
                for name, m in sorted(self.all.items(), key=key)]


def standings(r, feed="game"):
    status, _, body = r.request("GET", f"/v1/feeds/{feed}/standings")
    return json.loads(body) if status == 200 else None


def listed(r, feed="game"):
    board = standings(r, feed)
    return board and [(s["id"], s["wins"], s["losses"], s["draws"], s["streak"]) for s in board["standings"]]


def fighter(name, **more):
    return {"id": name, "name": name.title(), "hp": 10, "maxHp": 10, **more}


def duel(game, one, other, outcome, **more):
    """`outcome`: an id, "draw" or "cancelled". The frames' number when it has ended."""
    game.post("cycle", agent1=fighter(one, **more), agent2=fighter(other))
    name = game.state()["duel"]["duelId"]
    if outcome == "cancelled":
        game.post("abort", duelId=name, reason="test")
        return name
    game.post("positions", duelId=name, agent1=[0, 0, 0], agent2=[1, 0, 0])
    game.post("phase", duelId=name, phase="COUNTDOWN")
    game.post("phase", duelId=name, phase="FIGHTING")
    if outcome == "draw":
        game.post("result", duelId=name, outcome="draw")
    else:
        game.post("result", duelId=name, outcome="win", winnerId=outcome)
    game.post("phase", duelId=name, phase="IDLE")
    return name


def play(game, dice, count, names=("ann", "bob", "cid", "dan")):
    for _ in range(count):
        one, other = dice.sample(names, 2)
        duel(game, one, other, dice.choice([one, other, "draw", "cancelled"]))


def open_game(r, feed="game"):
    wait_for(lambda: r.request("GET", f"/v1/stream/feeds/{feed}/frames")[0] == 200, "the feed")
    return Game(r, feed, epoch=int(time.time() * 1000))


def test_who_won_how_often_and_in_which_row():
    with Ringside("--feeds-source-driven=game", "--feeds-scheduled=", *SHORT, workers=2, bridge=1) as r:
        game = open_game(r)
        assert standings(r)["standings"] == []
        assert r.request("GET", "/v1/feeds/nothing/standings")[0] == 404
        play(game, random.Random(1), 24)
        board = Board(frames_of(r, "game"))
        assert listed(r) == board.ranked()
        whole = standings(r)
        assert [s["rank"] for s in whole["standings"]] == list(range(1, len(whole["standings"]) + 1))
        assert whole["duels"] == sum(f["outcome"] in ("win", "draw") for f in frames_of(r, "game", "results"))
        assert whole["contestants"] == len(board.all)
        first = whole["standings"][0]
        assert first["name"] == first["id"].title()
        assert first["winRate"] == pytest.approx(first["wins"] / (first["wins"] + first["losses"]))
        # It is as durable as the frames.
        r.kill_everything()
        r.start()
        wait_for(lambda: standings(r), "the standings")
        assert listed(r) == board.ranked()


def test_counted_once_over_kills():
    dice = random.Random(2)
    with Ringside("--feeds-source-driven=game", "--feeds-scheduled=", *SHORT, "--worker-restart-delay-min=10ms",
                  workers=1, bridge=1) as r:
        game = open_game(r)
        for _ in range(4):
            play(game, dice, 5)
            os.kill(r.worker("bridge-0")["pid"], signal.SIGKILL)
            play(game, dice, 3)
        assert listed(r) == Board(frames_of(r, "game")).ranked()


def test_history_is_counted_anew():
    with Ringside("--feeds-source-driven=game", "--feeds-scheduled=", *SHORT, workers=1, bridge=1) as r:
        game = open_game(r)
        play(game, random.Random(3), 100)  # more than one step of counting
        board = Board(frames_of(r, "game"))
        assert listed(r) == board.ranked()
        assert "counted anew" in r.ctl("duels", "recount", "game")[0]

        def counted():
            state = game.state()["standings"]
            return state["stage"] == "current" and state["duels"] == sum(sum(p) for p in board.pairs.values()) / 2
        wait_for(counted, "the count")
        wait_for(lambda: listed(r) == board.ranked(), "the list")
        duel(game, "ann", "bob", "ann")
        assert listed(r) == Board(frames_of(r, "game")).ranked()
        assert r.request("POST", "/v1/duels/nothing/recount", b"")[0] == 404
        assert r.request("GET", "/v1/duels/game/recount")[0] == 405


def test_whoever_fought_longest_ago_is_forgotten():
    with Ringside("--feeds-source-driven=game", "--feeds-scheduled=", *SHORT, "--feeds-standings-contestants=3",
                  "--feeds-standings-pairs=2", "--feeds-standings-listed=2", workers=1, bridge=1) as r:
        game = open_game(r)
        duel(game, "ann", "bob", "ann")
        duel(game, "ann", "cid", "ann")
        duel(game, "dan", "ann", "dan")
        board = standings(r)
        assert board["contestants"] == 3 and [s["id"] for s in board["standings"]] == ["dan", "ann"]
        r.kill_everything()  # what is forgotten is so in the store, too
        r.start()
        game = open_game(r)
        duel(game, "bob", "dan", "dan")
        board = standings(r)
        assert board["contestants"] == 3 and board["standings"][0]["wins"] == 2


def test_frames_have_what_the_game_does_not_say():
    with Ringside("--feeds-source-driven=game,quiet", "--feeds-scheduled=", *SHORT, "--feeds-count-standings=true",
                  workers=1, bridge=1) as r:
        game = open_game(r)
        for winner in ("ann", "ann", "bob"):
            duel(game, "ann", "bob", winner)
        duel(game, "cid", "ann", "draw")
        duel(game, "ann", "bob", "draw", wins=50)
        frame = frames_of(r, "game", "results")[-1]
        ann, bob = frame["agent1"], frame["agent2"]
        # Said by the game, and as it was when the duel began.
        assert (ann["wins"], ann["losses"], ann["rank"]) == (50, 1, 1)
        assert (ann["headToHeadWins"], ann["headToHeadLosses"]) == (2, 1)
        assert (bob["wins"], bob["losses"], bob["rank"]) == (1, 2, 2)
        assert (bob["headToHeadWins"], bob["headToHeadLosses"]) == (1, 2)
        # A contestant's own post beats it later, too.
        game.post("cycle", agent1=fighter("ann"), agent2=fighter("dan"))
        name = game.state()["duel"]["duelId"]
        assert game.state()["duel"]["agent2"]["rank"] is None
        game.post("contestant", duelId=name, id="dan", rank=7)
        assert game.state()["duel"]["agent2"]["rank"] == 7
        game.post("abort", duelId=name, reason="test")


def test_frames_are_the_games_where_nobody_asked_for_more():
    with Ringside("--feeds-source-driven=game", "--feeds-scheduled=", *SHORT, workers=1, bridge=1) as r:
        game = open_game(r)
        duel(game, "ann", "bob", "ann")
        duel(game, "ann", "bob", "ann")
        ann = frames_of(r, "game", "results")[-1]["agent1"]
        assert (ann["wins"], ann["losses"], ann["rank"], ann["headToHeadWins"]) == (0, 0, None, 0)


def test_version_3_has_what_was_counted():
    """Whatever is asked for: a contestant of version 3 has his wins, losses, rank and head to head, as counted here from
    the terminal frames before his duel; what the game says goes before."""
    dice = random.Random(6)
    with Ringside("--feeds-source-driven=game", "--feeds-scheduled=", "--bet-sync-feed=game", f"--bet-sync-token={TOKEN}",
                  "--bet-sync-events-rate=100000", *SHORT, "--worker-restart-delay-min=10ms", workers=1, bridge=1) as r:
        game = open_game(r)
        consumer = EventSource(r, "schemaVersion=3", path="/api/internal/bet-sync/events",
                               headers={"authorization": f"Bearer {TOKEN}"})
        wait_for(lambda: consumer.messages("betting"), "version 3")
        play(game, dice, 12)
        os.kill(r.worker("bridge-0")["pid"], signal.SIGKILL)
        play(game, dice, 12)
        duel(game, "ann", "bob", "ann", wins=77, rank=9)
        ended = frames_of(r, "game", "results")
        seqs = {f["seq"] for f in ended}

        def seen():
            frames = [json.loads(text) for text in consumer.messages("betting")]
            return seqs <= {f["seq"] for f in frames} and {f["seq"]: f for f in frames}
        frames = wait_for(seen, "every end in version 3")
        for number, end in enumerate(ended):
            board = Board(ended[:number])
            ranks = {row[0]: rank for rank, row in enumerate(board.ranked(), 1)}
            for one, other in (("agent1", "agent2"), ("agent2", "agent1")):
                told, name, rival = frames[end["seq"]][one], end[one]["id"], end[other]["id"]
                mine, pair = board.all.get(name, {"wins": 0, "losses": 0}), board.pairs.get((name, rival), [0, 0, 0])
                expected = (mine["wins"], mine["losses"], ranks.get(name, 0), pair[0], pair[1])
                if number == len(ended) - 1 and one == "agent1":
                    expected = (77, expected[1], 9, *expected[3:])
                assert (told["wins"], told["losses"], told["rank"], told["headToHeadWins"],
                        told["headToHeadLosses"]) == expected, (number, one, end)
        for frame in frames.values():
            check_frame(frame)


def test_past_duels_page_by_page():
    with Ringside("--feeds-source-driven=game", "--feeds-scheduled=", *SHORT, workers=1, bridge=1) as r:
        game = open_game(r)
        assert json.loads(r.request("GET", "/v1/feeds/game/duels")[2]) == {"duels": [], "next": None}
        play(game, random.Random(4), 23)
        ended = [f["duelId"] for f in frames_of(r, "game", "results")][::-1]
        got, before = [], ""
        while before is not None:
            page = json.loads(r.request("GET", f"/v1/feeds/game/duels?limit=5{before and f'&before={before}'}")[2])
            got += page["duels"]
            assert len(page["duels"]) == 5 or page["next"] is None
            before = page["next"]
        assert [f["duelId"] for f in got] == ended
        assert got == frames_of(r, "game", "results")[::-1]
        assert len(json.loads(r.request("GET", "/v1/feeds/game/duels")[2])["duels"]) == 20
        for bad in ("limit=0", "limit=201", "limit=x", "before=-1", "before="):
            assert r.request("GET", f"/v1/feeds/game/duels?{bad}")[0] == 400, bad
        assert r.request("GET", "/v1/feeds/nothing/duels")[0] == 404
