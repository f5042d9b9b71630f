"""--dev and the web pages in the developer's browser: foreign ones act on nothing and read nothing, and what somebody put
into a stream runs no script in our origin."""

import http.server
import json
import os
import threading

import pytest

from page_browser import BROWSER, Browser
from ringside import Ringside, wait_for

JSON = {"content-type": "application/json"}
AGENT = {"user-agent": "Mozilla/5.0 (a browser)"}
STORED = b'<title>x</title><body><script>document.title="ran in "+location.origin;parent.postMessage(1,"*")</script>'
EVIL = """<!doctype html><title>busy</title><script>
const T = %s, out = [];
const attempt = async (name, path, options) => {
	try { const r = await fetch(T + path, options); out.push([name, r.type, r.status, (await r.text()).length]); }
	catch (e) { out.push([name, "blocked"]); }
};
const listen = name => new Promise(done => {
	const socket = new WebSocket(T.replace("http", "ws") + "/v1/signal/00000000-0000-4000-8000-000000000000?token=x");
	socket.onopen = () => done(out.push([name, "open"])); socket.onerror = () => done(out.push([name, "blocked"]));
});
(async () => {
	await attempt("account", "/v1/ledger/accounts", { method: "POST", body: "{}" });
	await attempt("session", "/stream", { method: "POST", headers: { "content-type": "text/plain" }, body: "{}" });
	await attempt("put", "/v1/stream/evil", { method: "PUT", headers: { "content-type": "text/html" }, body: "x" });
	await attempt("fact", "/v1/source/arena/cycle", { method: "POST", body: "{}" });
	await attempt("blind", "/v1/stream/held", { method: "POST", mode: "no-cors", body: "evil" });
	for (const path of ["/metrics", "/v1/stream/held?offset=-1", "/v1/events?stream=held&from=start", "/v1/markets"])
		await attempt(path, path);
	await listen("socket");
	const image = new Image();
	image.onload = image.onerror = e => { out.push(["image", e.type]); document.title = JSON.stringify(out); };
	image.src = T + "/v1/stream/picture?offset=-1";
})();
</script>"""
PICTURE = (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>')


@pytest.fixture(scope="module")
def r():
    with Ringside(workers=1, bridge=1) as ringside:
        for name, kind, body in (("held", "text/plain", b"secret"), ("page.html", "text/html", STORED),
                                 ("picture", "image/svg+xml", PICTURE)):
            assert ringside.request("PUT", f"/v1/stream/{name}", body, {"content-type": kind})[0] == 201
        yield ringside


def accounts(r):
    """What all of them have: another sum when another was opened."""
    return json.loads(r.request("GET", "/v1/ledger/sums")[2])["accounts"]


@pytest.mark.parametrize("host, welcome", [
    ("127.0.0.1", True), ("localhost:{port}", True), ("LocalHost", True), ("[::1]:{port}", True), ("a.localhost", True),
    ("evil.example", False), ("evil.example:{port}", False), ("127.0.0.1.evil.example:{port}", False), ("evil", False),
    ("localhost.evil.example", False), ("10.0.0.1", False)])
def test_only_this_machines_names_are_answered(r, host, welcome):
    """A name that a page's owner points here (DNS rebinding) makes our answers its own."""
    host = {"host": host.format(port=r.address()[1]), **AGENT}
    before = accounts(r)
    for method, path in (("GET", "/metrics"), ("GET", "/v1/stream/held"), ("GET", "/"), ("OPTIONS", "/v1/stream/held"),
                         ("POST", "/v1/ledger/accounts")):
        status, _, body = r.request(method, path, b"{}" if method == "POST" else None, {**JSON, **host})
        assert (status in (200, 201, 204)) == welcome and (welcome or status == 421), (host, path, status, body)
    assert (accounts(r) != before) == welcome


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:1", "null", "https://127.0.0.1:{port}",
                                    "http://127.0.0.1.evil.example:{port}"])
def test_a_foreign_origin_acts_on_nothing_and_reads_nothing(r, origin):
    headers = {"origin": origin.format(port=r.address()[1]), **AGENT}
    before = accounts(r)
    for method, path, body in (
            ("POST", "/v1/ledger/accounts", b"{}"), ("POST", "/stream", b'{"targetUrl":"http://127.0.0.1:9/"}'),
            ("PUT", "/v1/stream/evil", b"x"), ("POST", "/v1/stream/held", b"x"), ("DELETE", "/v1/stream/held", None),
            ("POST", "/v1/source/arena/cycle", b"{}"), ("PUT", "/v1/outputs/x", b'{"url":"rtmp://127.0.0.1:9/x"}'),
            ("PUT", "/v1/stream/__ds/subscriptions/x", b"{}"), ("GET", "/metrics", None), ("GET", "/v1/stream/held", None),
            ("GET", "/v1/events?stream=held", None), ("GET", "/v1/markets", None), ("GET", "/v1/feeds/arena", None)):
        status, answer, text = r.request(method, path, body, {"content-type": "text/plain", **headers})
        assert status == 403 and b"http.allowed_origin" in text, (path, status, text)
        assert "access-control-allow-origin" not in answer
    assert accounts(r) == before and r.request("GET", "/v1/stream/held")[2] == b"secret"
    status, answer, _ = r.request("OPTIONS", "/v1/stream/held", headers={**headers, "access-control-request-method": "PUT"})
    assert status == 204 and "access-control-allow-origin" not in answer


def test_our_own_page_and_who_is_named_are_let_in(r):
    port = r.address()[1]
    for origin in (f"http://127.0.0.1:{port}", f"http://localhost:{port}"):
        assert r.request("POST", "/v1/ledger/accounts", b"{}", {**JSON, "origin": origin, **AGENT})[0] == 201
        assert r.request("GET", "/metrics", headers={"origin": origin, **AGENT})[0] == 200
    with Ringside("--http-allowed-origin=http://localhost:5173") as own:
        friend = {"origin": "http://localhost:5173", **AGENT}
        status, answer, _ = own.request("PUT", "/v1/stream/a", headers={**JSON, **friend})
        assert status == 201 and answer["access-control-allow-origin"] == "http://localhost:5173"
        assert own.request("PUT", "/v1/stream/a", headers={**JSON, "origin": "http://localhost:5174", **AGENT})[0] == 403


@pytest.mark.parametrize("query", ["?offset=-1", "?offset=now", "", "?offset=-1&live=long-poll", "?offset=-1&live=sse"])
def test_bodies_of_streams_are_sandboxed(r, query):
    if "sse" in query:
        with r.connect() as s:
            s.sendall(f"GET /v1/stream/page.html{query} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
            head = s.recv(4096).decode().lower()
        assert "content-security-policy: sandbox\r\n" in head and "x-content-type-options: nosniff\r\n" in head
        return
    for method in ("GET", "HEAD"):
        _, headers, _ = r.request(method, f"/v1/stream/page.html{query}")
        assert headers["content-security-policy"] == "sandbox" and headers["x-content-type-options"] == "nosniff"


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (EVIL % json.dumps(self.server.target)).encode()
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.mark.skipif(not os.path.exists(BROWSER), reason="no Chromium")
def test_in_a_real_browser(r):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.target = r.url.rstrip("/")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    before = accounts(r)
    with Browser() as browser:
        browser.open(f"http://127.0.0.1:{server.server_port}/")
        out = json.loads(wait_for(lambda: (t := browser.run("document.title")).startswith("[") and t, "the evil page", 60))
        assert [name for name, what, *_ in out if what not in ("blocked", "opaque", "error")] == [], out
        browser.open(f"{server.target}/v1/stream/page.html")
        wait_for(lambda: browser.run("document.readyState") == "complete", "the stored page")
        assert browser.run("document.title") == "x", "a script of a stored page ran"
        browser.open(server.target + "/")
        wait_for(lambda: browser.run("!!document.querySelector('main, header, h1')"), "our own page")
    server.shutdown()
    assert accounts(r) == before and r.request("GET", "/v1/stream/held")[2] == b"secret"
    assert r.request("HEAD", "/v1/stream/evil")[0] == 404
