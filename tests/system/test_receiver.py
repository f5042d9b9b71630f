"""The receiver of webhooks that is shipped to start from, asked by a real market and by others."""

import http.server
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
import types
import urllib.error
import urllib.request

import pytest

from bettors import announce, fight, market, wait_state
from duel_game import Game
from ringside import wait_for
from test_kill import fixed_port
from test_market import webhook_ringside

RECEIVER = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "clients/webhook/receiver.py")


class Receiver:
    def __init__(self, directory, port, url):
        self.command = [sys.executable, RECEIVER, "--ringside", url, "--data", f"{directory}/venue.sqlite", "--listen", f"127.0.0.1:{port}"]
        self.url, self.data = f"http://127.0.0.1:{port}/markets", f"{directory}/venue.sqlite"
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert "listens" in self.process.stdout.readline()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def rows(self, query):
        with sqlite3.connect(self.data) as db:
            return db.execute(query).fetchall()


@pytest.fixture
def receiver(tmp_path):
    port = fixed_port()
    with webhook_ringside(types.SimpleNamespace(url=f"http://127.0.0.1:{port}/markets")) as r:
        receiver = Receiver(tmp_path, port, r.url)
        receiver.ringside = r
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        yield receiver
        receiver.kill()


def test_each_step_has_its_effect_once(receiver):
    """Also when the receiver is killed in the middle of a market."""
    r, g = receiver.ringside, Game(receiver.ringside)
    duel = announce(g)
    wait_state(r, duel, "open")
    receiver.kill()
    fight(g, duel)
    g.post("death", duelId=duel, ids=["alpha"])
    wait_for(lambda: market(r, duel)["outcome"] == "win", "the outcome")
    receiver.start()
    assert wait_state(r, duel, "resolved")["winnerSide"] == "B"
    assert receiver.rows("SELECT * FROM market") == [(duel, "resolved", "B")]
    assert sorted(key for key, in receiver.rows("SELECT key FROM taken")) == [f"{duel}:{step}" for step in ("create", "lock", "resolve")]


def ask(receiver, body=None, **headers):
    request = urllib.request.Request(f"{receiver.url}?duel=nobody", body, {name.replace("_", "-"): text for name, text in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_nobody_else_is_heard(receiver):
    body = json.dumps({"step": "create", "market": {"duelId": "forged", "winnerSide": ""}}).encode()
    wait_state(receiver.ringside, announce(Game(receiver.ringside)), "open")
    kid = json.loads(receiver.ringside.get("/v1/stream/__ds/jwks.json"))["keys"][0]["kid"]
    forged = f"t={int(time.time())},kid={kid},ed25519={'A' * 86}"
    for signature in ({}, {"webhook_signature": "t=x"}, {"webhook_signature": forged}, {"webhook_signature": "t=1,kid=none,ed25519=AA"}):
        assert ask(receiver, body, idempotency_key="forged:create", ringside_fence="99", **signature) == 401
        assert ask(receiver, **signature) == 401
    assert receiver.rows("SELECT count(*) FROM market WHERE duel = 'forged'") == [(0,)]


def receiver_module():
    sys.path.insert(0, os.path.dirname(RECEIVER))
    import receiver  # pylint: disable=import-outside-toplevel
    sys.path.pop(0)
    return receiver


class KeyList(http.server.BaseHTTPRequestHandler):
    """Serves what its server has, or fails where that is nothing; counts how often it was asked."""

    def do_GET(self):
        self.server.asked += 1
        self.send_response(200 if self.server.text else 500)
        self.end_headers()
        self.wfile.write(self.server.text)

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass


def test_keys_are_fetched_no_more_often_than_that():
    """Whoever invents ids costs no fetch each, not even while fetches fail; and a key of another kind in the list is passed over."""
    receiver = receiver_module()
    rows = [{"kid": "other", "kty": "RSA", "n": "AQAB", "e": "AQAB"},
            {"kid": "ours", "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]
    with http.server.HTTPServer(("127.0.0.1", 0), KeyList) as server:
        server.asked, server.text = 0, b""
        threading.Thread(target=server.serve_forever, daemon=True).start()
        keys = receiver.Keys(f"http://127.0.0.1:{server.server_port}", "")
        for _ in range(3):
            with pytest.raises(OSError):  # not None, which would be 401: nobody knows
                keys.get("ours")
        assert server.asked == 1
        keys.fetched -= receiver.KEYS_AGE_MIN + 1
        server.text = json.dumps({"keys": rows}).encode()
        assert keys.get("ours") is not None and keys.get("other") is None and keys.get("forged") is None
        assert server.asked == 2
        server.shutdown()


def test_a_replaced_bridge_is_refused(tmp_path):
    venue = receiver_module().Venue(str(tmp_path / "venue.sqlite"))
    made = {"duelId": "d", "winnerSide": ""}
    assert [venue.post("d:create", 2, "create", made), venue.post("d:lock", 1, "lock", made)] == [200, 409]
    assert venue.view("d")["state"] == "open"
    assert [venue.post("d:lock", 3, "lock", made), venue.post("d:create", 3, "create", made)] == [200, 200]
    assert venue.view("d")["state"] == "locked", "what is repeated changes nothing"
