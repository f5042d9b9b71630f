"""scripts/bettors: bots that bet on each duel, named as bots, with the same accounts after a restart."""

import http.server
import json
import os
import subprocess
import sys
import threading
import types

from bettors import announce, fresh_game, get, market
from duel_game import frames_of
from ringside import Ringside, wait_for

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
SURE = {"form (bot)", "crowd (bot)"}
NAMES = {*SURE, "judge (bot)", "contrarian (bot)"}


class Bots:
    def __init__(self, r, keep):
        command = [sys.executable, os.path.join(ROOT, "scripts/bettors"), "--url", r.url, "--keep", keep, "--within", "0.5"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr.readline().startswith("bettors: form (bot), ")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        said = self.process.communicate(timeout=60)[1]
        assert self.process.returncode == 0 and "Traceback" not in said, said


def who_bet(r, duel):
    market(r, duel)
    if r.request("GET", "/v1/stream/feeds/arena/bets?offset=now")[0] != 200:
        return set()
    return {bet["name"] for bet in frames_of(r, stream="bets") if bet["duelId"] == duel}


def fought(r, game, bots):
    """A duel on which bets are open until these have bet, won by alpha, who was ahead in it: who has bet."""
    duel = announce(game, announcementMs=600000)
    names = wait_for(lambda: bots <= (found := who_bet(r, duel)) and found, "bets")
    game.post("positions", duelId=duel, agent1=[0, 0, 0], agent2=[1, 0, 0])
    game.post("phase", duelId=duel, phase="COUNTDOWN")
    game.post("phase", duelId=duel, phase="FIGHTING")
    for chance in (0.7, 0.8, 0.9):
        game.post("scene", duelId=duel, scene={"chance": chance})
    game.post("death", duelId=duel, ids=["beta"])
    game.post("phase", duelId=duel, phase="IDLE")
    return names


def test_bots_bet_and_keep_their_accounts(tmp_path):
    keep = os.path.join(tmp_path, "accounts.json")
    with Ringside("--feeds-scheduled=", "--feeds-source-driven=arena", workers=1, bridge=1) as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        game = fresh_game(r)
        with Bots(r, keep):  # who knows nothing yet, or finds nothing staked, stays away
            names = fought(r, game, SURE) | fought(r, game, {*SURE, "judge (bot)"})
            assert names <= NAMES, names
        assert os.stat(keep).st_mode & 0o777 == 0o600
        accounts = get(r, "/v1/ledger/accounts")["accounts"]
        with Bots(r, keep):
            fought(r, game, SURE)
        again = get(r, "/v1/ledger/accounts")["accounts"]
        assert {a["id"] for a in again} == {a["id"] for a in accounts} and len(accounts) == 4
        with open(keep) as file:
            assert {a["id"] for a in json.load(file).values()} == {a["id"] for a in accounts}
        assert sum(a["bets"] for a in again) > sum(a["bets"] for a in accounts)


class Ledger(http.server.BaseHTTPRequestHandler):
    """Answers to whoever looks at an account what its server is told to, first to last, and opens new ones."""

    def answer(self, status, value):
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        if not self.path.startswith("/v1/ledger/accounts/"):
            return self.answer(403, {})
        self.server.asked += 1
        return self.answer(self.server.statuses.pop(0) if self.server.statuses else 200, {"balance": 1})

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.opened += self.path == "/v1/ledger/accounts"
        self.answer(201, {"id": f"new-{self.server.opened}", "secret": "s"})

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass


def test_an_account_is_given_up_only_where_its_ledger_is_another(tmp_path):
    """"Not now" is waited out; 404, 401 and 403 say that it is of another ledger."""
    keep = tmp_path / "accounts.json"
    names = ("form", "judge", "contrarian", "crowd")
    for statuses, opened in (([429, 503, 200], 0), ([404, 401, 403], 3)):
        keep.write_text(json.dumps({name: {"id": name, "secret": "s"} for name in names}))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ledger) as server:
            server.statuses, server.asked, server.opened = list(statuses), 0, 0
            threading.Thread(target=server.serve_forever, daemon=True).start()
            with Bots(types.SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}"), keep):
                pass
            server.shutdown()
            assert server.opened == opened and server.statuses == [], (statuses, server.opened)
