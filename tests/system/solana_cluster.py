"""A cluster of Solana for tests (solana_cluster.mjs), the accounts that a market's programs need to begin with, and
what they keep, read here a second time."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import urllib.request

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

HERE = os.path.dirname(os.path.abspath(__file__))
ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
SYSTEM = "1" * 32
DUEL = ("scheduled", "open", "locked", "proposed", "challenged", "resolved", "cancelled")
MARKET = ("open", "locked", "resolved", "cancelled")


def base58(data):
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = ALPHABET[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def unbase58(text):
    number = 0
    for digit in text:
        number = number * 58 + ALPHABET.index(digit)
    return number.to_bytes(32, "big")


PRIME = 2 ** 255 - 19
D = -121665 * pow(121666, -1, PRIME) % PRIME


def on_curve(data):
    y = (int.from_bytes(data, "little") & (2 ** 255 - 1)) % PRIME
    square = (y * y - 1) * pow(D * y * y + 1, -1, PRIME) % PRIME
    return square == 0 or pow(square, (PRIME - 1) // 2, PRIME) == 1


def derived(program, *seeds):
    """The address, and its bump."""
    for bump in range(255, -1, -1):
        data = hashlib.sha256(b"".join(seeds) + bytes([bump]) + unbase58(program) + b"ProgramDerivedAddress").digest()
        if not on_curve(data):
            return base58(data), bump
    raise AssertionError("no address")


def named(name):
    return hashlib.sha256(f"account:{name}".encode()).digest()[:8]


class Key:
    def __init__(self, seed):
        self.private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(seed.encode()).digest())
        raw = serialization.Encoding.Raw
        self.bytes = self.private.private_bytes(raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()) + \
            self.private.public_key().public_bytes(raw, serialization.PublicFormat.Raw)
        self.address = base58(self.bytes[32:])

    def write(self, path):
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(list(self.bytes), file)
        return path


class Cluster:
    """With the programs (oracle, market) as {address: file}; `key` is allowed everything."""

    def __init__(self, oracle, market, files, key, window=0, **settings):
        self.oracle, self.market, self.key = oracle, market, key
        self.process = subprocess.Popen(
            [shutil.which("node"), os.path.join(HERE, "solana_cluster.mjs"), *(f"{a}={f}" for a, f in files.items())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        said = self.process.stdout.readline().split()
        assert said[:1] == ["ready"], "the cluster did not start"
        self.url = f"http://127.0.0.1:{said[1]}/"
        self.call("test_set", settings)
        self.allow(key, window)
        self.fund(10 ** 10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def call(self, method, *params):
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            said = json.load(answer)
        assert "error" not in said, said
        return said["result"]

    def set(self, **values):
        return self.call("test_set", values)

    def counts(self):
        return self.call("test_counts")

    def account(self, address, owner, data, lamports=10 ** 8):
        self.call("test_account", address, {"owner": owner, "data": base64.b64encode(data).decode(), "lamports": lamports})

    def fund(self, lamports, key=None):
        self.account((key or self.key).address, SYSTEM, b"", lamports)

    def allow(self, key, window):
        who = unbase58(key.address)
        address, bump = derived(self.oracle, b"oracle_config")
        self.account(address, self.oracle, named("OracleConfig") + who * 4 + window.to_bytes(8, "little") + bytes([bump]))
        address, bump = derived(self.market, b"config")
        self.account(address, self.market, named("MarketConfig") + who * 4 + bytes(6) + bytes([bump]))

    # ---- what the programs keep ----

    def data(self, address, commitment="finalized"):
        value = self.call("getAccountInfo", address, {"encoding": "base64", "commitment": commitment})["value"]
        return value and base64.b64decode(value["data"][0])

    def places(self, duel_key):
        duel = derived(self.oracle, b"duel", bytes.fromhex(duel_key))[0]
        return duel, derived(self.market, b"market", unbase58(duel), b"\1")[0]

    def duel(self, duel_key, commitment="finalized"):
        data = self.data(self.places(duel_key)[0], commitment)
        if data is None:
            return None
        assert data[:8] == named("DuelState") and data[8:40].hex() == duel_key
        number = lambda at: int.from_bytes(data[at:at + 8], "little")  # noqa: E731
        return {"participants": (data[40:72].hex(), data[72:104].hex()), "status": DUEL[data[104]],
                "winner": (None, "A", "B")[data[105]], "open": number(106), "close": number(114), "start": number(122),
                "end": number(130), "seed": number(138), "result_hash": data[146:178].hex(),
                "replay_hash": data[178:210].hex(), "proposed": number(323)}

    def status(self, duel_key, commitment="finalized"):
        """Of the duel, and of its market."""
        duel = self.duel(duel_key, commitment)
        data = self.data(self.places(duel_key)[1], commitment)
        return (duel and duel["status"], data and MARKET[data[73]], data and (None, "A", "B")[data[74]])

    def challenge(self, duel_key):
        """As a challenger would: the account says so."""
        address = self.places(duel_key)[0]
        data = bytearray(self.data(address))
        data[104], data[331] = 4, 1
        self.account(address, self.oracle, bytes(data))
