#!/usr/bin/env python3
"""A receiver of Ringside's market webhooks, to start from (docs/market.md, "The webhook operator").

    receiver.py --ringside http://127.0.0.1:4437 --data venue.sqlite [--listen 127.0.0.1:8080] [--token-file FILE]

It checks who calls, takes each step's effect once, durably before it answers, refuses bridges that were replaced, and says its
view. A market of one's own goes into `take`, in the same transaction. Needs python3-cryptography; answers plain HTTP, so that
market.webhook_url is on loopback, or https at a proxy in front."""

import argparse
import base64
import http.server
import json
import sqlite3
import threading
import time
import urllib.parse
import urllib.request

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

STATES = {"create": "open", "lock": "locked", "resolve": "resolved", "cancel": "cancelled"}
SECONDS_OFF_MAX = 300  # of the two clocks, and of the way
BODY_BYTES_MAX = 1 << 20
KEYS_AGE_MIN = 10  # seconds: who invents key ids makes us fetch no more often


class Keys:
    """Of Ringside, by id; fetched when an unknown one is shown."""

    def __init__(self, base, token):
        self.request = urllib.request.Request(f"{base}/v1/stream/__ds/jwks.json",
                                              headers={"authorization": f"Bearer {token}"} if token else {})
        self.keys, self.fetched, self.failed, self.lock = {}, None, False, threading.Lock()

    def get(self, kid):
        """None: there is none of that id. Unavailable: that is not known at the moment."""
        if kid in self.keys:
            return self.keys[kid]
        with self.lock:
            if self.fetched is None or time.monotonic() - self.fetched > KEYS_AGE_MIN:
                self.fetched, self.failed = time.monotonic(), True  # before it is tried: a fetch that fails counts too
                with urllib.request.urlopen(self.request, timeout=10) as answer:
                    self.keys = keys_of(answer.read())
                self.failed = False
            elif self.failed:
                raise Unavailable("the last fetch of the keys failed")
            return self.keys.get(kid)


class Unavailable(OSError):
    """Who calls is to repeat it."""


def keys_of(text):
    """Those that sign as Ringside does; others may stand beside them."""
    try:
        return {row["kid"]: Ed25519PublicKey.from_public_bytes(unpadded(row["x"]))
                for row in json.loads(text)["keys"] if row.get("kty") == "OKP" and row.get("crv") == "Ed25519"}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Unavailable("that is no list of keys") from error


def unpadded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def signed(keys, header, body):
    """Webhook-Signature: t=SECONDS,kid=ID,ed25519=SIGNATURE, over "SECONDS.BODY"."""
    parts = dict(part.partition("=")[::2] for part in (header or "").split(","))
    try:
        key = keys.get(parts["kid"])
        if key is None or abs(time.time() - int(parts["t"])) > SECONDS_OFF_MAX:
            return False
        key.verify(unpadded(parts["ed25519"]), parts["t"].encode() + b"." + body)
        return True
    except (KeyError, ValueError, InvalidSignature):
        return False


class Venue:
    """What was taken: a row for each key, one for each market, and the highest fence."""

    def __init__(self, path):
        self.lock = threading.Lock()
        self.db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self.db.executescript("""
            PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
            CREATE TABLE IF NOT EXISTS taken (key TEXT PRIMARY KEY, fence INTEGER);
            CREATE TABLE IF NOT EXISTS market (duel TEXT PRIMARY KEY, state TEXT, winner TEXT);
            CREATE TABLE IF NOT EXISTS fence (only INTEGER PRIMARY KEY CHECK (only = 1), highest INTEGER);
            INSERT OR IGNORE INTO fence VALUES (1, 0);""")

    def post(self, key, fence, step, market):
        """The status."""
        with self.lock:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                status = self.take_once(key, fence, step, market)
                self.db.execute("COMMIT")
                return status
            except BaseException:
                self.db.execute("ROLLBACK")
                raise

    def take_once(self, key, fence, step, market):
        if fence < self.db.execute("SELECT highest FROM fence").fetchone()[0]:
            return 409
        self.db.execute("UPDATE fence SET highest = ?", (fence,))
        if self.db.execute("INSERT OR IGNORE INTO taken VALUES (?, ?)", (key, fence)).rowcount:
            self.take(step, market)
        return 200

    def take(self, step, market):
        """Once for each key, with what is written here or not at all."""
        self.db.execute("INSERT INTO market VALUES (?, ?, ?) ON CONFLICT (duel) DO UPDATE SET state = excluded.state, winner = excluded.winner",
                        (market["duelId"], STATES[step], market.get("winnerSide", "")))

    def view(self, duel):
        with self.lock:
            row = self.db.execute("SELECT state, winner FROM market WHERE duel = ?", (duel,)).fetchone()
        return row and {"state": row[0], "winnerSide": row[1]}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_POST(self):
        size = int(self.headers.get("content-length") or 0)
        if not 0 < size <= BODY_BYTES_MAX:
            self.close_connection = True
            return self.answer(413)
        body = self.rfile.read(size)
        if not self.is_ringside(body):
            return None
        asked, key = json.loads(body), self.headers["idempotency-key"]
        if asked["step"] not in STATES or key != f"{asked['market']['duelId']}:{asked['step']}":
            return self.answer(422)
        return self.answer(self.server.venue.post(key, int(self.headers["ringside-fence"]), asked["step"], asked["market"]))

    def do_GET(self):
        if not self.is_ringside(b""):
            return None
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        view = self.server.venue.view(query.get("duel", [""])[0])
        return self.answer(200 if view else 404, view)

    def is_ringside(self, body):
        """Who calls. Else it is answered: 401, or 503 where that cannot be told."""
        try:
            if signed(self.server.keys, self.headers.get("webhook-signature"), body):
                return True
            self.answer(401)
        except OSError:
            self.answer(503)
        return False

    def answer(self, status, value=None):
        text = json.dumps(value or {}).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ringside", required=True, help="where its keys are")
    parser.add_argument("--data", required=True, help="SQLite file of what was taken")
    parser.add_argument("--listen", default="127.0.0.1:8080")
    parser.add_argument("--token-file", help="a token for the keys, where they are not public")
    options = parser.parse_args()
    token = ""
    if options.token_file:
        with open(options.token_file, encoding="ascii") as file:
            token = file.read().strip()
    host, _, port = options.listen.rpartition(":")
    server = http.server.ThreadingHTTPServer((host, int(port)), Handler)
    server.daemon_threads = True
    server.keys, server.venue = Keys(options.ringside.rstrip("/"), token), Venue(options.data)
    print(f"receiver listens on {host}:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
