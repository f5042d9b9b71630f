"""Issuers of JSON Web Tokens: jose signs (jwt_maker.mjs), and an HTTP server publishes the keys."""

import http.server
import json
import os
import subprocess
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))


class Maker:
    """jose in a process of its own."""

    def __init__(self):
        self.process = subprocess.Popen(["node", os.path.join(HERE, "jwt_maker.mjs")], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, cwd=HERE)

    def ask(self, **question):
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert "error" not in answer, answer
        return answer

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)


class Key:
    """One key pair. `jwk` is what is published of it."""
    count = 0

    def __init__(self, maker, alg, kid=None, **more):
        Key.count += 1
        self.maker, self.alg, self.kid, self.name = maker, alg, kid, f"key-{Key.count}"
        made = maker.ask(make=self.name, alg=alg, kid=kid, **more)
        self.jwk, self.pem = made["jwk"], made["pem"]

    def token(self, claims=None, header=None, alg=None, **more):
        named = {"kid": self.kid} if self.kid is not None else {}
        return self.maker.ask(sign=self.name, alg=alg or self.alg, header={**named, **(header or {})}, claims=claims,
                              **more)["token"]


class Secret(Key):
    """The same of HS256."""

    def __init__(self, maker, text):
        Key.count += 1
        self.maker, self.alg, self.kid, self.name = maker, "HS256", None, f"key-{Key.count}"
        maker.ask(secret=self.name, text=text)


def claims(**more):
    now = int(time.time())
    return {"iss": "https://id.example", "sub": "ann", "aud": "arena", "iat": now, "exp": now + 600, **more}


def without(some, *names):
    return {name: value for name, value in some.items() if name not in names}


class Publisher(http.server.ThreadingHTTPServer):
    """What an issuer has at its jwks_uri: the keys of the moment."""

    def __init__(self, *keys):
        self.keys, self.status, self.headers, self.delay, self.body = list(keys), 200, {}, 0, None
        self.asked = []  # times
        super().__init__(("127.0.0.1", 0), Answers)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server_port}/jwks.json"

    def close(self):
        self.shutdown()
        self.server_close()


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.asked.append(time.monotonic())
        time.sleep(server.delay)
        body = server.body
        if body is None:
            body = json.dumps({"keys": [key.jwk for key in server.keys]}).encode()
        self.send_response(server.status)
        for name, value in server.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass
