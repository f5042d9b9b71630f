"""scripts/duel/analyst.py: the engines are at the hub and answer from their own search, and no word is lost or said twice
over kill -9 of workers in the middle of an answer."""

import json
import os
import random
import re
import signal
import subprocess
import threading
import time

import pytest

from client_python import Server, WebSocket
from duel_game import Game
from ringside import Ringside, wait_for

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.join(ROOT, "scripts/duel/analyst.py")
SEED = int(os.environ.get("SEED", random.randrange(1 << 30)))
FEN = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1"
FLAGS = ("--feeds-source-driven=arena", "--feeds-scheduled=", "--worker-restart-limit=64", "--worker-restart-window=1s")

pytestmark = pytest.mark.skipif(not os.path.exists("/usr/games/stockfish"), reason="no engines")


class Analyst:
    def __init__(self, r, *options):
        self.process = subprocess.Popen([PROGRAM, "--url", r.url, *options, "stockfish=stockfish", "gnuchess=gnuchess --uci"],
                                        stderr=subprocess.PIPE, text=True)
        self.said = []
        threading.Thread(target=self.listen, daemon=True).start()
        wait_for(lambda: any("can be asked" in line for line in self.said), "the engines")

    def listen(self):
        for line in self.process.stderr:
            self.said.append(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0, self.said


@pytest.fixture(scope="module")
def r():
    with Ringside(*FLAGS, workers=2, bridge=1) as ringside:
        wait_for(lambda: ringside.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        yield ringside


@pytest.fixture(scope="module")
def analyst(r):
    with Analyst(r, "--seconds=3") as analyst:
        yield analyst


def position(r, fen):
    """On the board, in a duel of its own."""
    game = Game(r, epoch=time.time_ns() // 1000000)
    agents = {f"agent{n}": {"id": name, "name": name, "hp": 1, "maxHp": 1} for n, name in ((1, "stockfish"), (2, "gnuchess"))}
    duel = game.post("cycle", **agents)["duelId"]
    game.post("positions", duelId=duel, agent1=[0, 0, 0], agent2=[1, 0, 0])
    game.post("phase", duelId=duel, phase="COUNTDOWN")
    game.post("phase", duelId=duel, phase="FIGHTING")
    game.post("scene", duelId=duel, scene={"game": "chess", "fen": fen})
    return game, duel


def end(game, duel):
    game.post("abort", duelId=duel, reason="game_stopped")


def answer(talk, message, patience=60):
    """The texts of all pieces of the answer, once it is whole."""
    whole = talk.reply(f"re-{message}")

    def pieces():
        return [(json.loads(piece.value["value"]["chunk"])["type"], piece) for piece in whole._pieces()]
    wait_for(lambda: pieces() and pieces()[-1][0] in ("finish", "stop"), "the answer", patience)
    said = [piece for _, piece in pieces()]
    assert [piece.value["value"]["seq"] for piece in said] == list(range(len(said)))
    return [piece.text for piece in said if piece.text]


def test_both_are_at_the_hub(r, analyst):
    with Server(r.url).roster() as roster:
        next(roster)
        while set(roster.nodes) != {"stockfish", "gnuchess"}:
            next(roster)
        assert {node["status"] for node in roster.nodes.values()} == {"active"}


@pytest.mark.parametrize("name", ["stockfish", "gnuchess"])
def test_what_they_say(r, analyst, name):
    talk = Server(r.url).conversation(f"engine-{name}", actor="ann")
    assert answer(talk, talk.say("And now?")) == ["There is nothing on the board at the moment.\n"]
    game, duel = position(r, FEN)
    assert answer(talk, talk.say("What of e2e5?")) == ["e2e5 cannot be played here.\n"]
    for question, first, move in (("And now?", "White to move. The position, as White sees it:\n", r"[a-h][1-8][a-h][1-8]"),
                                  ("What of e2e4, say?", "White to move. After e2e4, as White sees it:\n", "e2e4")):
        said = answer(talk, talk.say(question))
        assert said[0] == first
        depths = [re.fullmatch(rf"depth (\d+): [+-]\d+\.\d\d, {move}( [a-h][1-8][a-h][1-8][qrbn]?)*\n", line) for line in said[1:-1]]
        assert all(depths), said
        numbers = [int(depth.group(1)) for depth in depths]
        assert len(numbers) >= 5 and numbers == sorted(set(numbers))
        assert "I would play" in said[-1]
    end(game, duel)


def test_no_word_is_lost_over_kills(r, analyst):
    print(f"SEED={SEED}")
    dice = random.Random(SEED)
    server = Server(lambda: r.url)
    talk = server.conversation("engine-stockfish", actor="ann")
    game, duel = position(r, FEN)
    question = talk.say("What of d2d4?")
    heard, kills = [], 0
    watcher = server.conversation("engine-stockfish").events()
    for item in watcher:
        value = item.value.get("value", {})
        if value.get("messageId") != f"re-{question}":
            continue
        heard.append(item.text)
        if len(heard) > 1 and kills < 6:  # in the middle of it
            kills += r.kill_some_worker(dice, "sse")
        if "against it" in item.text:
            break
    watcher.close()
    assert kills > 0 and heard == answer(talk, question)
    numbers = [int(line.split()[1].rstrip(":")) for line in heard[1:-1]]
    assert numbers == sorted(set(numbers)) and len(numbers) >= 5
    print(f"kills={kills} pieces={len(heard)}")
    end(game, duel)


def test_they_are_asked_through_the_hub(r, analyst):
    game, duel = position(r, FEN)
    dashboard = WebSocket(Server(r.url), "/ws/agent/gnuchess?strict=1")
    dashboard.send("What of e2e5?")
    assert dashboard.receive() == "e2e5 cannot be played here.\n"
    dashboard.send("What of e2e4?")
    heard = [dashboard.receive()]
    while "against it" not in heard[-1]:
        heard.append(dashboard.receive())
    assert len(heard) >= 5 and all(line.startswith("depth ") for line in heard[1:-1])
    dashboard.close()
    end(game, duel)


def test_a_stop_ends_the_search(r):
    """Of one that would go on for ever."""
    with Analyst(r, "--depth=0", "--seconds=0"):
        talk = Server(r.url).conversation("engine-stockfish", actor="ann")
        game, duel = position(r, FEN)
        question = talk.say("And now?")
        for item in talk.events():
            if item.value.get("value", {}).get("messageId") == f"re-{question}" and item.text.startswith("depth"):
                break
        talk.stop(f"re-{question}")
        assert answer(talk, talk.say("What of e2e5?"))[-1] == "e2e5 cannot be played here.\n"  # it takes the next question
        end(game, duel)


def test_what_was_asked_while_they_were_away_is_answered(r):
    talk = Server(r.url).conversation("engine-gnuchess", actor="ann")
    with Analyst(r):
        assert answer(talk, talk.say("And now?")) == ["There is nothing on the board at the moment.\n"]
    question = talk.say("And now?")
    with Analyst(r):
        assert answer(talk, question) == ["There is nothing on the board at the moment.\n"]
