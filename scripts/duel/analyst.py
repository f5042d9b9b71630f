#!/usr/bin/env python3
"""The engines of the duel as agents that can be asked: scripts/duel/analyst.py --url URL [--token-file FILE] NAME=COMMAND...

Each registers at the hub (docs/hub.md) under its name, and has the conversation engine-NAME under a lease
(docs/conversations.md), in which it answers: what it thinks of the position on the board, or of a move that the question names (e2e4, e7e8q), from its own search while that runs, depth by
depth, each a piece of the answer. `stop` in the conversation ends the search. Whatever of Ringside is killed
meanwhile: no word is lost or said twice. Needs clients/python, and a program that speaks UCI.
"""

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../clients/python/src"))

from ringside_client import Backoff, Refused, RingsideError, Server, WebSocketClosed  # noqa: E402

MOVE = re.compile(r"\b([a-h][1-8][a-h][1-8][qrbn]?)\b")
MATE = 100000


class Engine:
    """A program that speaks UCI, at its lowest priority: the duel comes first. One search at a time."""

    def __init__(self, command):
        self.lock = threading.Lock()
        self.searching = False
        self.process = subprocess.Popen(["nice", "-n", "19", *shlex.split(command)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1,
                                        start_new_session=True)  # gnuchess thinks in a process of its own
        self.say("uci")
        self.until("uciok")

    def say(self, line):
        self.process.stdin.write(line + "\n")

    def lines(self):
        for line in self.process.stdout:
            yield line.strip()
        raise EOFError("the engine has ended")

    def until(self, word):
        for line in self.lines():
            if line.split()[:1] == [word]:
                return line

    def search(self, position, go):
        """(depth, score, line of moves) of each depth as it is done; a move for the last."""
        self.say("isready")
        self.until("readyok")
        self.say(position)
        self.say(go)
        self.searching = True
        done, best = 0, None
        for line in self.lines():
            words = line.split()
            if words[:1] == ["bestmove"]:
                self.searching = False
                if best is not None and best[0] > done:
                    yield best
                return
            if words[:1] != ["info"] or "score" not in words or "pv" not in words or "depth" not in words:
                continue
            depth = int(words[words.index("depth") + 1])
            kind, value = words[words.index("score") + 1:words.index("score") + 3]
            score = int(value) if kind == "cp" else MATE - abs(int(value)) if int(value) > 0 else abs(int(value)) - MATE
            if best is not None and depth > best[0] > done:
                done = best[0]
                yield best
            best = (depth, score, words[words.index("pv") + 1:][:6])

    def interrupt(self):
        """From another thread: the search that is under way ends with what it has."""
        if self.searching:
            self.say("stop")

    def stop(self):
        """Ends a search that nobody reads any more."""
        if self.searching:
            self.say("stop")
            self.until("bestmove")
            self.searching = False

    def close(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


def is_legal(referee, fen, move):
    """As Stockfish sees it: of one move that may be searched it chooses that, of none any other."""
    with referee.lock:
        referee.say("isready")
        referee.until("readyok")
        referee.say(f"position fen {fen}")
        referee.say(f"go depth 1 searchmoves {move}")
        return referee.until("bestmove").split()[1] == move


def text_of(score):
    if abs(score) > MATE - 1000:
        return f"{'mate' if score > 0 else 'mated'} in {MATE - abs(score)}"
    return f"{score / 100:+.2f}"


def side_of(fen):
    return "White" if fen.split()[1] == "w" else "Black"


class Analyst:
    """One engine, its place at the hub, and its conversation."""

    def __init__(self, server, name, command, referee, options):
        self.server, self.name, self.referee, self.feed = server, name, referee, options.feed
        limits = {"depth": options.depth, "movetime": options.seconds * 1000}
        self.go = " ".join(["go", *(f"{limit} {value}" for limit, value in limits.items() if value)])
        if self.go == "go":
            self.go = "go infinite"
        self.command = command
        self.engine = Engine(command)
        self.talk = server.conversation(f"engine-{name}", actor=name)
        self.answering = None  # the message of the answer that is given
        self.listeners = {}  # who asked through the hub, by the message

    def start(self):
        self.lease = self.talk.lease()
        self.questions = []
        self.wake = threading.Condition()
        threading.Thread(target=self.listen, daemon=True).start()
        threading.Thread(target=self.work, daemon=True).start()
        self.agent = self.server.agent(self.name, serve=self.serve)
        return self

    def serve(self, channel):
        """Whoever comes through the hub: each text is a question, asked in the conversation, and heard there too."""
        for question in channel:
            if isinstance(question, str) and question.strip():
                message = str(uuid.uuid4())
                self.listeners[message] = channel
                self.talk.say(question, message_id=message)

    def tell(self, message, reply, text):
        reply.write(text)
        listener = self.listeners.get(message)
        try:
            if listener is not None:
                listener.send(text)
        except WebSocketClosed:
            self.listeners.pop(message)

    def listen(self):
        for item in self.lease.items(live=True, settle=False):
            with self.wake:
                if item.type == "message":
                    self.questions.append(item)
                    self.wake.notify()
                elif item.type == "stop" and item.value.get("messageId") in (None, self.answering):
                    self.engine.interrupt()

    def work(self):
        while True:
            with self.wake:
                self.wake.wait_for(lambda: self.questions)
                item = self.questions.pop(0)
            try:
                self.answer(item)
            except (RingsideError, OSError, ValueError) as error:
                print(f"analyst: {self.name}: {error}", file=sys.stderr, flush=True)
            self.listeners.pop(item.value["messageId"], None)

    def board(self):
        """The position on the board now; None between games."""
        frame = self.server.ask("GET", f"/v1/feeds/{self.feed}")
        scene = frame.get("scene") or {}
        return scene.get("fen")

    def answer(self, item):
        with self.lease.reply(item) as reply:
            self.answering = reply.message_id
            try:
                self.say_what_it_thinks(lambda said: self.tell(item.value["messageId"], reply, said), item.text)
            except Refused:
                if not reply.stopped or self.lease.lost:
                    raise
                self.lease.done(item)  # somebody has heard enough

    def say_what_it_thinks(self, say, text):
        fen = self.board()
        asked = MOVE.search(text)
        move = asked.group(1) if asked is not None else None
        if fen is None:
            say("There is nothing on the board at the moment.\n")
        elif move is not None and not is_legal(self.referee, fen, move):
            say(f"{move} cannot be played here.\n")
        else:
            say(f"{side_of(fen)} to move. {'After ' + move if move else 'The position'}, as {side_of(fen)} sees it:\n")
            try:
                self.think(say, fen, move)
            except (EOFError, BrokenPipeError):
                self.engine.close()
                self.engine = Engine(self.command)
                say("The engine has ended; another takes the next question.\n")

    def think(self, say, fen, move):
        position = f"position fen {fen}" + (f" moves {move}" if move else "")
        last = None
        with self.engine.lock:
            try:
                for depth, score, line in self.engine.search(position, self.go):
                    score, line = (-score, [move, *line]) if move else (score, line)
                    last = (score, line)
                    say(f"depth {depth}: {text_of(score)}, {' '.join(line)}\n")
            finally:
                if self.engine.process.poll() is None:
                    self.engine.stop()
        if last is None:
            say("There is nothing left to play.\n")
        elif len(last[1]) > (1 if move else 0):
            say(f"{text_of(last[0])}; I would play {last[1][1] if move else last[1][0]}{' against it' if move else ''}.\n")
        else:
            say(f"{text_of(last[0])}.\n")

    def close(self):
        self.lease.release()
        self.agent.close()
        self.engine.close()


def token_from(path):
    """Alone, or the member "publish" of a JSON object; read again each time: it may be another by then."""
    def read():
        with open(path) as file:
            text = file.read().strip()
        return json.loads(text)["publish"] if text.startswith("{") else text
    return read


def main():
    parser = argparse.ArgumentParser(description="the engines of a duel as agents that can be asked")
    parser.add_argument("--url", default="http://127.0.0.1:4437")
    parser.add_argument("--token-file")
    parser.add_argument("--feed", default="arena")
    parser.add_argument("--depth", type=int, default=24, help="how deep an answer searches; 0: as deep as it gets")
    parser.add_argument("--seconds", type=int, default=10, help="how long an answer searches; 0: until somebody stops it")
    parser.add_argument("--referee", default="stockfish", help="a Stockfish, to say which moves are legal")
    parser.add_argument("engines", nargs="+", metavar="NAME=COMMAND")
    options = parser.parse_args()
    os.environ["PATH"] += ":/usr/games"
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = Server(options.url, token_from(options.token_file) if options.token_file else None, patience=float("inf"),
                    backoff=Backoff(first=0.05, most=2))
    referee = Engine(options.referee)
    analysts = []
    for engine in options.engines:
        name, _, command = engine.partition("=")
        analysts.append(Analyst(server, name, command, referee, options).start())
    print("analyst: " + ", ".join(a.name for a in analysts) + " can be asked", file=sys.stderr, flush=True)
    try:
        told = set()
        while True:  # who is not at the hub is asked in the conversation all the same
            for analyst in analysts:
                if analyst.agent.error is not None and analyst.name not in told:
                    told.add(analyst.name)
                    print(f"analyst: {analyst.name} is not at the hub: {analyst.agent.error}", file=sys.stderr, flush=True)
            time.sleep(0.5)
    except KeyboardInterrupt:
        return 0
    finally:
        for analyst in analysts:
            analyst.close()
        referee.close()


if __name__ == "__main__":
    sys.exit(main())
