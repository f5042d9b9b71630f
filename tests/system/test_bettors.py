"""scripts/bettors: bots that bet on each duel, named as bots, with the same accounts after a restart."""

import json
import os
import subprocess
import sys

from bettors import announce, fresh_game, get, market
from duel_game import frames_of
from ringside import Ringside, wait_for

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
NAMES = {"form (bot)", "judge (bot)", "contrarian (bot)", "crowd (bot)"}


class Bots:
    def __init__(self, r, keep):
        self.process = subprocess.Popen([sys.executable, os.path.join(ROOT, "scripts/bettors"), "--url", r.url, "--keep", keep],
                                        stderr=subprocess.PIPE, text=True)
        assert self.process.stderr.readline().startswith("bettors: form (bot), ")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        said = self.process.communicate(timeout=60)[1]
        assert self.process.returncode == 0 and "Traceback" not in said, said


def bets_on(r, duel):
    market(r, duel)
    return [bet for bet in frames_of(r, stream="bets") if bet["duelId"] == duel]


def fought(r, game, bots):
    """A duel that is announced, bet on and won by alpha, who was ahead in it: the bets on it."""
    duel = announce(game, announcementMs=1500)
    bets = wait_for(lambda: r.request("GET", "/v1/stream/feeds/arena/bets?offset=now")[0] == 200 and
                    len(found := bets_on(r, duel)) >= bots and found, "bets")
    game.post("positions", duelId=duel, agent1=[0, 0, 0], agent2=[1, 0, 0])
    game.post("phase", duelId=duel, phase="COUNTDOWN")
    game.post("phase", duelId=duel, phase="FIGHTING")
    for chance in (0.7, 0.8, 0.9):
        game.post("scene", duelId=duel, scene={"chance": chance})
    game.post("death", duelId=duel, ids=["beta"])
    game.post("phase", duelId=duel, phase="IDLE")
    return bets


def test_bots_bet_and_keep_their_accounts(tmp_path):
    keep = os.path.join(tmp_path, "accounts.json")
    with Ringside("--feeds-scheduled=", "--feeds-source-driven=arena", workers=1, bridge=1) as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        game = fresh_game(r)
        with Bots(r, keep):
            names = set()
            for _ in range(4):  # who knows nothing yet, or finds nothing staked, stays away
                names |= {bet["name"] for bet in fought(r, game, 2)}
                if names == NAMES:
                    break
            assert names <= NAMES and len(names) >= 3, names
        assert os.stat(keep).st_mode & 0o777 == 0o600
        accounts = get(r, "/v1/ledger/accounts")["accounts"]
        with Bots(r, keep):
            fought(r, game, 2)
        again = get(r, "/v1/ledger/accounts")["accounts"]
        assert {a["id"] for a in again} == {a["id"] for a in accounts} and len(accounts) == 4
        with open(keep) as file:
            assert {a["id"] for a in json.load(file).values()} == {a["id"] for a in accounts}
        assert sum(a["bets"] for a in again) > sum(a["bets"] for a in accounts)
