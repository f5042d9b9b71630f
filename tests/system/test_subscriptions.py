"""Subscriptions: signed webhooks, pull-wake leases and fencing, over kill -9 of whoever is at work."""

import base64
import email.utils
import http.server
import json
import os
import re
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

import pytest

from ringside import Ringside, wait_for

JSON = {"content-type": "application/json"}


class Receiver(http.server.ThreadingHTTPServer):
    """A webhook's other end: keeps what came, answers as told."""

    def __init__(self, status=200, answer=None):
        self.got, self.status, self.answer = [], status, answer or {}
        self.headers, self.times = {}, []
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server_port}/hook"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append((self.headers["webhook-signature"], body))
        self.server.times.append(time.time())
        answer = json.dumps(self.server.answer).encode()
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value() if callable(value) else value)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def r():
    with Ringside("--webhook-retry-min=100ms", "--webhook-retry-max=400ms", workers=2, bridge=1) as ringside:
        wait_for(lambda: ringside.request("GET", "/v1/stream/__ds/jwks.json")[0] == 200, "the signing key")
        yield ringside


def call(r, method, path, body=None, token=None):
    headers = {**JSON, **({"authorization": f"Bearer {token}"} if token else {})}
    status, _, answer = r.request(method, f"/v1/stream/__ds/subscriptions/{path}",
                                  json.dumps(body).encode() if body is not None else None, headers)
    return status, json.loads(answer) if answer else None


def test_webhooks_reach_loopback_in_dev_or_where_a_setting_opens_it():
    """Outside of dev a token to publish is no way to what listens on this machine, or behind it: not for a new
    subscription, nor for one that a store still has. What is open is open on its port alone."""
    hook, other = Receiver(answer={"done": True}), Receiver(answer={"done": True})
    bearer = {**JSON, "authorization": "Bearer publisher"}

    def put(r, name, url):
        body = json.dumps({"type": "webhook", "pattern": "ev/*", "webhook": {"url": url}}).encode()
        return r.request("PUT", f"/v1/stream/__ds/subscriptions/{name}", body, bearer)[0]

    def start(r, *flags):
        r.flags = [f for f in r.flags if f != "--dev"] + ["--auth-publish-tokens=publisher", *flags]
        r.start()
        wait_for(lambda: r.request("GET", "/v1/stream/__ds/jwks.json")[0] == 200, "the signing key")
    with Ringside("--webhook-retry-min=50ms", "--webhook-retry-max=100ms", bridge=1) as r:
        assert put(r, "kept", hook.url) == 201
        r.stop()
        flags = list(r.flags)
        start(r)
        assert put(r, "new", other.url) == 400
        assert put(r, "new", other.url.replace("127.0.0.1", "localhost")) == 400
        assert r.request("PUT", "/v1/stream/ev/1", b'{"n":0}', bearer)[0] == 201
        r.wait_log("address refused.*address=127.0.0.1")
        assert hook.got == []
        r.stop()
        r.flags = flags
        start(r, f"--webhook-allow-private=127.0.0.1:{hook.server_port}")
        wait_for(lambda: hook.got, "what was opened")
        assert put(r, "new", other.url) == 400 and other.got == []


def put_stream(r, name, body=None):
    assert r.request("PUT", f"/v1/stream/{name}", body, JSON)[0] == 201


def append(r, name, value):
    assert r.request("POST", f"/v1/stream/{name}", json.dumps(value).encode(), JSON)[0] == 204


def tail(r, name):
    return r.request("HEAD", f"/v1/stream/{name}")[1]["stream-next-offset"]


def acked(r, sub, path):
    return next((s["acked_offset"] for s in call(r, "GET", sub)[1]["streams"] if s["path"] == path), None)


@pytest.mark.parametrize("path", ["feeds/arena/frames", "/feeds/arena/frames/", "sessions/x/events"])
def test_a_wake_stream_of_the_product_is_refused(r, path):
    """Whoever may publish would write into the betting feed by way of a subscription."""
    status, answer = call(r, "PUT", "w", {"type": "pull-wake", "pattern": "a/*", "wake_stream": path})
    assert status == 400 and "surface" in answer["error"]["message"]
    assert call(r, "GET", "w")[0] == 404
    assert r.request("PUT", f"/v1/stream/{path.strip('/')}", None, JSON)[0] == 403


@pytest.mark.parametrize("path", ["__ds/x", "/__ds/x", "%5F%5Fds/x"])
def test_a_wake_stream_that_nobody_can_read_is_refused(r, path):
    status, answer = call(r, "PUT", "w", {"type": "pull-wake", "pattern": "a/*", "wake_stream": path})
    assert status == 400 and "__ds/" in answer["error"]["message"]
    assert call(r, "GET", "w")[0] == 404
    assert r.request("PUT", f"/v1/stream/{path.strip('/')}", None, JSON)[0] == 404


def kill_worker(r, name):
    pid = r.worker(name)["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: (r.worker(name) or {}).get("pid") not in (pid, 0, None), f"{name} back")


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def signature_holds(r, header, body):
    fields = dict(part.split("=", 1) for part in header.split(","))
    keys = json.loads(r.get("/v1/stream/__ds/jwks.json"))["keys"]
    key = next(k for k in keys if k["kid"] == fields["kid"])
    with tempfile.TemporaryDirectory() as d:
        def path(name, content):
            with open(os.path.join(d, name), "wb") as f:
                f.write(content)
            return os.path.join(d, name)
        public = path("key", bytes.fromhex("302a300506032b6570032100") + decode(key["x"]))
        message = path("message", fields["t"].encode() + b"." + body)
        signature = path("signature", decode(fields["ed25519"]))
        return subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", public,
                               "-rawin", "-in", message, "-sigfile", signature],
                              capture_output=True, check=False).returncode == 0


def test_webhook_is_signed_and_done_acknowledges(r):
    receiver = Receiver(answer={"done": True})
    assert call(r, "PUT", "w", {"type": "webhook", "pattern": "ev/*", "webhook": {"url": receiver.url}})[0] == 201
    put_stream(r, "ev/1", b'{"n":0}')
    wait_for(lambda: receiver.got, "a delivery")
    header, body = receiver.got[0]
    assert signature_holds(r, header, body) and not signature_holds(r, header, body + b" ")
    wait_for(lambda: acked(r, "w", "ev/1") == tail(r, "ev/1"), "acknowledged")
    for i in range(5):
        append(r, "ev/1", i)
    wait_for(lambda: acked(r, "w", "ev/1") == tail(r, "ev/1"), "acknowledged again")


def test_failing_webhook_is_retried_over_a_kill(r):
    receiver = Receiver(status=500)
    call(r, "PUT", "f", {"type": "webhook", "pattern": "x/**", "webhook": {"url": receiver.url}})
    put_stream(r, "x/a/b", b"1")
    wait_for(lambda: len(receiver.got) >= 2, "retries")
    assert call(r, "GET", "f")[1]["status"] == "failed"
    wake = {json.loads(b)["wake_id"] for _, b in receiver.got}
    kill_worker(r, "bridge-0")
    before = len(receiver.got)
    wait_for(lambda: len(receiver.got) > before, "retried after the kill")
    assert {json.loads(b)["wake_id"] for _, b in receiver.got} == wake  # one wake, tried again
    receiver.status, receiver.answer = 200, {"done": True}
    wait_for(lambda: acked(r, "f", "x/a/b") == tail(r, "x/a/b"), "acknowledged in the end")
    assert call(r, "GET", "f")[1]["status"] == "active"


def test_no_wake_is_lost_over_kills(r):
    receiver = Receiver(answer={"done": True})
    call(r, "PUT", "k", {"type": "webhook", "pattern": "k/*", "webhook": {"url": receiver.url}})
    for i in range(12):
        put_stream(r, f"k/{i}", b"1")
        if i % 4 == 1:
            kill_worker(r, "bridge-0")
        if i % 4 == 3:
            kill_worker(r, f"sse-{i % 2}")
    for i in range(12):
        wait_for(lambda i=i: acked(r, "k", f"k/{i}") == tail(r, f"k/{i}"), f"k/{i} acknowledged")


def claim(r, worker="one"):
    return call(r, "POST", "p/claim", {"worker": worker})


def test_pull_wake_leases_and_fencing(r):
    put_stream(r, "wakes", b"[]")
    body = {"type": "pull-wake", "pattern": "jobs/*", "wake_stream": "wakes", "lease_ttl_ms": 1000}
    assert call(r, "PUT", "p", body)[0] == 201
    assert claim(r)[1]["error"]["code"] == "NO_PENDING_WORK"
    put_stream(r, "jobs/1", b"1")
    events = wait_for(lambda: json.loads(r.get("/v1/stream/wakes")), "a wake event")
    assert [e["subscription_id"] for e in events] == ["p"]
    status, lease = claim(r)
    assert status == 200
    assert claim(r, "two")[1]["error"]["current_holder"] == "one"
    wrong = {"wake_id": lease["wake_id"], "generation": lease["generation"],
             "acks": [{"stream": "jobs/1", "offset": "9999999999999999_9999999999999999"}]}
    assert call(r, "POST", "p/ack", wrong, lease["token"])[1]["error"]["code"] == "INVALID_OFFSET"
    assert call(r, "POST", "p/ack", wrong, "1.2.3")[1]["error"]["code"] == "TOKEN_INVALID"
    assert call(r, "POST", "p/ack", wrong)[0] == 401
    time.sleep(1.3)  # the lease runs out: another worker gets the work under a new generation
    kill_worker(r, "bridge-0")
    status, second = wait_for(lambda: (lambda a: a if a[0] == 200 else None)(claim(r, "two")), "the lease ran out")
    assert second["generation"] > lease["generation"]
    late = {"wake_id": lease["wake_id"], "generation": lease["generation"], "done": True,
            "acks": [{"stream": "jobs/1", "offset": tail(r, "jobs/1")}]}
    assert call(r, "POST", "p/ack", late, lease["token"])[1]["error"]["code"] == "FENCED"
    good = {**late, "wake_id": second["wake_id"], "generation": second["generation"]}
    assert call(r, "POST", "p/ack", good, second["token"]) == (200, {"ok": True, "next_wake": False})
    assert claim(r)[1]["error"]["code"] == "NO_PENDING_WORK"


@pytest.mark.parametrize("body,code", [
    ({"type": "other", "pattern": "a"}, "INVALID_REQUEST"),
    ({"type": "webhook", "webhook": {"url": "https://example.org/"}}, "INVALID_REQUEST"),
    ({"type": "pull-wake", "pattern": "a"}, "INVALID_REQUEST"),
    ({"type": "webhook", "pattern": "a", "webhook": {"url": "https://example.org/"}, "lease_ttl_ms": 5}, "INVALID_REQUEST"),
    *[({"type": "webhook", "pattern": "a", "webhook": {"url": url}}, "WEBHOOK_URL_REJECTED") for url in (
        "http://10.0.0.1/", "http://example.org/", "https://192.168.1.1/", "https://169.254.169.254/latest",
        "https://127.0.0.1/", "https://[::1]/", "https://[fd00::1]/", "ftp://example.org/", "https://user@10.0.0.1/",
        "https://localhost/", "https://[::ffff:10.0.0.1]/", "http://127.0.0.1@10.0.0.1/",
        *(f"{scheme}:{port}/" for scheme in ("http://127.0.0.1", "http://localhost", "https://example.org", "https://[2600::1]")
          for port in ("0", "00", "65536", "99999", "4294967376", "-1", "8a")))],
])
def test_bad_requests(r, body, code):
    status, answer = call(r, "PUT", "bad", body)
    assert status == 400 and answer["error"]["code"] == code


class FickleHandler(http.server.BaseHTTPRequestHandler):
    """Keeps connections; cuts those that ask for /cut, and resets those that ask for /reset."""
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.server.posts.append(self.path)
        if self.path == "/ok":
            self.server.together.wait(30)
            self.send_response(200)
            self.send_header("content-length", "13")
            self.end_headers()
            self.wfile.write(b'{"done":true}')
            return
        if self.path == "/reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("way", ["cut", "reset"])
def test_an_attempt_of_a_webhook_is_one_post(way):
    """A receiver that takes the POST and closes has had it: what is sent again over another connection is another wake
    to it. Deliveries before have left as many connections as there are to be had."""
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), FickleHandler)
    receiver.daemon_threads, receiver.posts, receiver.together = True, [], threading.Barrier(6)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{receiver.server_port}"

    def failures(r):
        text = r.get("/metrics")
        return sum(int(n) for n in re.findall(r"^ringside_webhook_failures_total{[^}]*} (\d+)$", text, re.M))
    with Ringside("--webhook-retry-min=5m", "--webhook-retry-max=5m", workers=1, bridge=1) as r:
        wait_for(lambda: r.request("GET", "/v1/stream/__ds/jwks.json")[0] == 200, "the signing key")
        for i in range(6):
            assert call(r, "PUT", f"w{i}", {"type": "webhook", "pattern": f"w/{i}", "webhook": {"url": url + "/ok"}})[0] == 201
        assert call(r, "PUT", way, {"type": "webhook", "pattern": "x/*", "webhook": {"url": f"{url}/{way}"}})[0] == 201
        for i in range(6):
            put_stream(r, f"w/{i}", b'{"n":0}')
        wait_for(lambda: receiver.posts.count("/ok") == 6, "deliveries at the same time")
        wait_for(lambda: all(call(r, "GET", f"w{i}")[1]["streams"][0]["acked_offset"] == tail(r, f"w/{i}")
                             for i in range(6)), "their answers")
        put_stream(r, "x/1", b'{"n":0}')
        wait_for(lambda: failures(r) >= 1, "the attempt that fails")
        assert failures(r) == 1 and receiver.posts.count(f"/{way}") == 1
    receiver.shutdown()


@pytest.mark.parametrize("retry_after", [lambda: "3", lambda: email.utils.formatdate(time.time() + 4, usegmt=True)],
                         ids=["seconds", "date"])
def test_retry_after_of_a_receiver_is_kept(retry_after):
    receiver = Receiver(status=429)
    receiver.headers["retry-after"] = retry_after
    with Ringside("--webhook-retry-min=50ms", "--webhook-retry-max=50ms", workers=1, bridge=1) as r:
        wait_for(lambda: r.request("GET", "/v1/stream/__ds/jwks.json")[0] == 200, "the signing key")
        call(r, "PUT", "a", {"type": "webhook", "pattern": "a/*", "webhook": {"url": receiver.url}})
        put_stream(r, "a/1", b'{"n":0}')
        wait_for(lambda: len(receiver.got) >= 2, "the second attempt")
        assert receiver.times[1] - receiver.times[0] >= 3, "not sooner than was asked for"


@pytest.mark.parametrize("seconds", ["86400", "9" * 30], ids=["a day", "more than 64 bits"])
def test_retry_after_is_bounded_and_outlives_the_bridge(seconds):
    receiver = Receiver(status=503)
    receiver.headers["retry-after"] = seconds
    flags = "--webhook-retry-min=50ms", "--webhook-retry-max=50ms"
    with Ringside(*flags, "--webhook-retry-after-max=1s", workers=1, bridge=1) as r:
        wait_for(lambda: r.request("GET", "/v1/stream/__ds/jwks.json")[0] == 200, "the signing key")
        call(r, "PUT", "a", {"type": "webhook", "pattern": "a/*", "webhook": {"url": receiver.url}})
        put_stream(r, "a/1", b'{"n":0}')
        wait_for(lambda: len(receiver.got) >= 2, "the bound")
        assert receiver.times[1] - receiver.times[0] > 0.9
    with Ringside(*flags, workers=1, bridge=1) as r:
        wait_for(lambda: r.request("GET", "/v1/stream/__ds/jwks.json")[0] == 200, "the signing key")
        other = Receiver(status=503)
        other.headers["retry-after"] = seconds
        call(r, "PUT", "a", {"type": "webhook", "pattern": "a/*", "webhook": {"url": other.url}})
        call(r, "PUT", "b", {"type": "webhook", "pattern": "b/*", "webhook": {"url": receiver.url}})
        put_stream(r, "a/1", b'{"n":0}')
        wait_for(lambda: call(r, "GET", "a")[1]["status"] == "failed", "the first attempt's answer")
        kill_worker(r, "bridge-0")
        receiver.got.clear()
        put_stream(r, "b/1", b'{"n":0}')
        wait_for(lambda: receiver.got, "the next bridge delivers")
        assert len(other.got) == 1


def test_a_webhooks_url_is_a_secret():
    """Path and query are what many receivers know their callers by. Whoever may change the subscription sees them;
    log, readers, settings and errors have scheme, host and an id, the same everywhere."""
    refused, failing = Receiver(), Receiver(status=500)
    secret = [f"http://127.0.0.1:{server.server_port}/s3cret/path?key=s3cret" for server in (refused, failing)]
    publisher, reader = ({**JSON, "authorization": f"Bearer {name}"} for name in ("publisher", "reader"))

    def put(r, name, url, body=None):
        body = json.dumps({"type": "webhook", "pattern": "ev/*", "webhook": {"url": url}, **(body or {})}).encode()
        return r.request("PUT", f"/v1/stream/__ds/subscriptions/{name}", body, publisher)

    def shown(r, name, who):
        return json.loads(r.request("GET", f"/v1/stream/__ds/subscriptions/{name}", headers=who)[2])["webhook"]["url"]
    with Ringside("--webhook-retry-min=50ms", "--webhook-retry-max=100ms", bridge=1) as r:
        assert put(r, "refused", secret[0])[0] == 201
        r.stop()
        r.flags = [f for f in r.flags if f != "--dev"] + [
            "--auth-publish-tokens=publisher", "--auth-subscribe-tokens=reader", "--market-operator=webhook",
            f"--market-webhook-url={secret[1].partition('?')[0]}", f"--sessions-validate-url={secret[1]}",
            f"--webhook-allow-private=127.0.0.1:{failing.server_port}"]
        r.start()
        wait_for(lambda: r.request("GET", "/v1/stream/__ds/jwks.json")[0] == 200, "the signing key")
        assert json.loads(put(r, "failing", secret[1])[2])["webhook"]["url"] == secret[1]
        assert r.request("PUT", "/v1/stream/ev/1", b'{"n":0}', publisher)[0] == 201
        outside = [shown(r, name, reader) for name in ("refused", "failing")]
        for url, whole, server in zip(outside, secret, (refused, failing)):
            assert re.fullmatch(rf"http://127\.0\.0\.1:{server.server_port}/#[0-9a-f]{{8}}", url)
        assert [shown(r, name, publisher) for name in ("refused", "failing")] == secret
        r.wait_log("address refused.*url=" + re.escape(outside[0]))
        r.wait_log("webhook failed.*url=" + re.escape(outside[0]))
        r.wait_log("webhook failed.*url=" + re.escape(outside[1]))
        settings = r.ctl("settings")[0]
        assert settings.count(outside[1]) == 1 and settings.count(outside[1].partition("#")[0] + "#") == 2
        answers = [r.request("GET", "/v1/stream/__ds/subscriptions/failing", headers=reader)[2],
                   put(r, "failing", secret[1].replace("http", "ftp"))[2], put(r, "bad", secret[0])[2],
                   put(r, "failing", secret[1], {"pattern": "other"})[2]]
        for text in (r.log(), settings, r.ctl("status")[0], r.ctl("events")[0], *(a.decode() for a in answers)):
            assert "s3cret" not in text


def test_streams_of_a_pattern_come_and_go():
    """Those that are gone make room: a pattern over duels works for ever, however few streams it may link at a time."""
    with Ringside("--limits-subscription-streams=3", workers=1, bridge=1) as r:
        assert call(r, "PUT", "p", {"type": "pull-wake", "pattern": "duels/*", "wake_stream": "wakes"})[0] == 201
        for i in range(12):
            put_stream(r, f"duels/{i}", b'{"n":0}')

            def claimed():
                status, lease = call(r, "POST", "p/claim", {"worker": "me"})
                return status == 200 and lease
            lease = wait_for(claimed, f"the wake of {i}")
            end = tail(r, f"duels/{i}")
            assert call(r, "POST", "p/ack", {
                "generation": lease["generation"], "wake_id": lease["wake_id"], "done": True,
                "acks": [{"stream": f"duels/{i}", "offset": end}]}, token=lease["token"])[0] in (200, 204)
            if i >= 2:
                assert r.request("DELETE", f"/v1/stream/duels/{i - 2}")[0] == 204
        linked = {s["path"] for s in call(r, "GET", "p")[1]["streams"]}
        assert "duels/11" in linked and len(linked) <= 3
        # Full with what is there: said once, refused where somebody asks.
        for name in ("a", "b", "c"):
            put_stream(r, f"duels/{name}", b'{"n":0}')
        r.wait_log("subscription has no room for more streams")
        status, answer = call(r, "PUT", "q", {"type": "pull-wake", "pattern": "**", "wake_stream": "wakes"})
        assert status == 400 and "limits.subscription_streams" in json.dumps(answer)


def test_a_pattern_over_a_thousand_streams(r):
    assert call(r, "PUT", "many", {"type": "pull-wake", "pattern": "many/*", "wake_stream": "wakes"})[0] == 201
    for i in range(1000):
        put_stream(r, f"many/{i}", b'{"n":0}')

    def all_linked():
        return len(call(r, "GET", "many")[1]["streams"]) == 1000
    wait_for(all_linked, "all links", 60)
    status, lease = call(r, "POST", "many/claim", {"worker": "me"})
    assert status == 200 and lease["generation"] >= 1
