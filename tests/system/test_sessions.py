"""Render sessions through sockets, with a real browser: orders, state by patches, input, signals, ends,
and what a killed worker leaves behind."""

import base64
import concurrent.futures
import functools
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request
import uuid

import jsonschema
import pytest

from browsers import family, program
from ringside import Ringside, wait_for
from session_client import Events, Follower
from test_kill import fixed_port

PAGES = os.path.join(os.path.dirname(__file__), "pages")
PATIENCE = 30


class Quiet(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/late.html":
            super().do_GET()
            return
        # Its document is there before its script is.
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>late</title>" + b" " * 65536)
        self.wfile.flush()
        time.sleep(1)
        self.wfile.write(b"""<script>
            const heard = {document: performance.timeOrigin};
            for (const kind of ["initialdata", "scene"])
                addEventListener("ringside:" + kind, e => { heard[kind] = e.detail; ringside.publish(heard); });
            </script>""")

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site():
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=PAGES))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


VIEWERS_PORT = fixed_port()  # a page of its own origin looks on, and is let in by name


def ringside(*flags, **options):
    if not any(f.startswith("--http-allowed-origin") for f in flags):
        flags = (f"--http-allowed-origin=http://127.0.0.1:{VIEWERS_PORT}", *flags)
    # Browsers of sessions that were ended may take a while to go.
    return Ringside("--capture-workers=1", "--capture-allow-private=*", "--sessions-per-principal=4",
                    "--capture-sessions=16",
                    "--sessions-state-bytes=32k",
                    *flags, **options)


@pytest.fixture(scope="module")
def r():
    with ringside() as r:
        yield r


def post(r, path, value, **headers):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    headers = {name.replace("_", "-"): text for name, text in headers.items()}
    return r.request("POST", path, body, {"content-type": "application/json", **headers}, timeout=30)


def create(r, site, page="session.html", **more):
    status, headers, body = post(r, "/stream", {
        "targetUrl": f"{site}/{page}", "renderOptions": {"resolution": "320x180"}, **more})
    assert status == 201, (status, body)
    answer = json.loads(body)
    assert headers["location"] == f"/stream/{answer['streamId']}"
    return answer["streamId"]


def delete(r, session, **headers):
    return r.request("DELETE", f"/stream/{session}",
                     headers={n.replace("_", "-"): v for n, v in headers.items()})[0]


def state_of(r, session):
    status, _, body = r.request("GET", f"/stream/{session}")
    assert status == 200, (status, body)
    return json.loads(body)


def wait_page(r, session):
    """Until the page runs and has said something."""
    return wait_for(lambda: (s := state_of(r, session))["status"] == "streaming" and s["metadata"] and s,
                    "the page", PATIENCE)


@pytest.fixture(scope="module")
def session(r, site):
    """One that is there for every test that does not end it."""
    session = create(r, site, initialData={"hello": ["w/orld", "~"]})
    wait_page(r, session)
    follower = Follower(r, session)
    yield session
    follower.stop()
    delete(r, session)


# ---- creating ----

def test_initial_state(r, site):
    status, headers, body = post(r, "/stream", {
        "targetUrl": f"{site}/session.html",
        "renderOptions": {"resolution": "640x360", "quality": "high", "odd": 1}})
    assert status == 201
    answer = json.loads(body)
    session = answer["streamId"]
    assert str(uuid.UUID(session)) == session
    assert answer["ignoredOptions"] == ["quality", "odd"]
    state = answer["initialState"]
    assert state["streamId"] == session and state["status"] == "initializing"
    assert state["instanceInfo"]["viewport"] == {"width": 640, "height": 360}
    assert state["clientConnected"] is False and state["error"] is None
    assert delete(r, session) == 204


@pytest.mark.parametrize("flags,sizes", [
    ((), {"/stream": (1280, 720), "/stream/session": (1920, 1080)}),
    (("--sessions-width=640", "--sessions-height=360"), {"/stream": (640, 360), "/stream/session": (640, 360)})])
def test_sizes_of_orders_that_name_none(flags, sizes):
    with ringside(*flags) as r:
        for path, (width, height) in sizes.items():
            status, _, body = post(r, path, {"targetUrl": "http://127.0.0.1:9/"})
            assert status == 201, body
            answer = json.loads(body)
            session = answer.get("streamId") or answer["sessionId"]
            assert state_of(r, session)["instanceInfo"]["viewport"] == {"width": width, "height": height}
            assert delete(r, session) == 204


def test_forms_are_as_published(r, session):
    """docs/schema says what comes and what may be sent, judged by somebody else's validator."""
    def schema(name):
        with open(os.path.join(os.path.dirname(__file__), f"../../docs/schema/session-{name}.json")) as file:
            value = json.load(file)
        jsonschema.Draft202012Validator.check_schema(value)
        return jsonschema.Draft202012Validator(value)
    schema("state").validate(state_of(r, session))
    order = {"targetUrl": "https://a/", "initialData": None,
             "renderOptions": {"resolution": "4k", "targetFps": 60, "quality": "high"}}
    schema("order").validate(order)
    assert not schema("order").is_valid({"targetUrl": "file:///"})
    schema("signal").validate({"type": "x", "to": "clients"})
    schema("input").validate({"type": "command", "data": {"command": "x", "args": [1]}})
    assert not schema("input").is_valid({"type": "interaction", "data": {}})
    assert post(r, f"/stream/{session}/input", {"type": "interaction", "data": {}})[0] == 400


def test_initial_data_reaches_the_page(r, session):
    wait_for(lambda: state_of(r, session)["metadata"].get("initial") == {"hello": ["w/orld", "~"]},
             "initialData")


@pytest.mark.parametrize("body, status, reason", [
    (b"{", 400, "no JSON"),
    (b"[]", 400, "the body is an object"),
    (b'{"targetUrl": 5}', 400, "targetUrl is a string"),
    (b'{"targetUrl": "http://a/", "targetUrl": "http://b/"}', 400, "duplicate"),
    (b'{"targetUrl": "file:///etc/passwd"}', 422, "https"),
    (b'{"targetUrl": "http://169.254.169.254/"}', 422, ""),
    (b'{"targetUrl": "https://a/", "renderOptions": {"resolution": "1x1"}}', 422, "16x16"),
    (b'{"targetUrl": "https://a/", "renderOptions": {"targetFps": 61}}', 422, "1 to 60"),
])
def test_bad_orders(r, body, status, reason):
    got, headers, text = post(r, "/stream", body)
    assert (got, reason in text.decode()) == (status, True), text
    assert headers["content-type"] == "text/plain"


def test_idempotency_key(r, site):
    order = {"targetUrl": f"{site}/session.html"}
    key = {"idempotency_key": str(uuid.uuid4())}
    first = post(r, "/stream", order, **key)
    again = post(r, "/stream", order, **key)
    assert first[0] == again[0] == 201
    session = json.loads(first[2])["streamId"]
    assert json.loads(again[2])["streamId"] == session
    assert post(r, "/stream", {**order, "initialData": {}}, **key)[0] == 422
    other = post(r, "/stream", order, idempotency_key=str(uuid.uuid4()))
    assert json.loads(other[2])["streamId"] != session
    delete(r, session)
    delete(r, json.loads(other[2])["streamId"])


def test_idempotency_under_a_burst(r, site):
    """Many at once with one key make one session."""
    order, key = {"targetUrl": f"{site}/session.html"}, str(uuid.uuid4())
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(r, "/stream", order, idempotency_key=key), range(8)))
    assert {a[0] for a in answers} <= {201, 409}
    ids = {json.loads(a[2])["streamId"] for a in answers if a[0] == 201}
    assert len(ids) == 1
    delete(r, ids.pop())


def test_events_at_once(r, site):
    """POST with Accept: text/event-stream: the first event carries the id."""
    body = json.dumps({"targetUrl": f"{site}/session.html"})
    with Events(r, "/stream", method="POST", body=body,
                headers={"content-type": "application/json"}) as events:
        assert events.status == 201
        assert events.headers["content-type"] == "text/event-stream"
        last_id, event, data = next(events)
        assert event == "state"
        session = json.loads(data)["state"]["streamId"]
        assert events.headers["location"] == f"/stream/{session}"
        assert events.until("state_patch")
        assert delete(r, session) == 204
        assert events.until("end") == {"reason": "deleted"}
        with pytest.raises(StopIteration):
            next(events)


def test_events_at_once_refused(r):
    with Events(r, "/stream", method="POST", body="{}",
                headers={"content-type": "application/json"}) as events:
        assert events.status == 400


# ---- reading ----

def test_state_has_an_etag(r, session):
    status, headers, body = r.request("GET", f"/stream/{session}")
    assert status == 200 and headers["content-type"] == "application/json"
    assert r.request("HEAD", f"/stream/{session}")[0] == 200
    wait_for(lambda: r.request("GET", f"/stream/{session}", headers={
        "if-none-match": r.request("GET", f"/stream/{session}")[1]["etag"]})[0] == 304, "304")


def test_unknown_and_wrong(r, session):
    unknown = str(uuid.uuid4())
    for path in (f"/stream/{unknown}", f"/stream/{unknown}/sse", "/stream/odd", f"/stream/{session}/odd"):
        assert r.request("GET", path, headers={"accept": "text/event-stream"})[0] == 404, path
    assert delete(r, unknown) == 404
    assert post(r, f"/stream/{unknown}/input", {})[0] == 404
    assert post(r, f"/stream/{session}/odd", {})[0] == 404
    assert post(r, f"/stream/{session}", {})[0] == 405
    assert r.request("PUT", f"/stream/{session}", b"{}")[0] == 405
    assert r.request("GET", "/stream")[0] == 405


def test_accept(r, session):
    path = f"/stream/{session}/sse"
    assert r.request("GET", path)[0] == 406
    assert r.request("GET", path, headers={"accept": "application/json"})[0] == 406
    for accept in ("text/event-stream", "text/*;q=0.5", "a/b, */*"):
        with Events(r, path, headers={"accept": accept}) as events:
            assert events.status == 200


def test_clients_may_not_write_the_events(r, session):
    path = f"/v1/stream/sessions/{session}/events"
    for method in ("POST", "PUT", "DELETE"):
        assert r.request(method, path, b"{}", {"content-type": "application/json"})[0] == 403


# ---- state ----

def test_connected_while_somebody_follows(r, site):
    session = create(r, site)
    assert state_of(r, session)["clientConnected"] is False
    with Events(r, f"/stream/{session}/sse") as events:
        assert events.until("state")["state"]["streamId"] == session
        wait_for(lambda: state_of(r, session)["clientConnected"], "a consumer")
    wait_for(lambda: not state_of(r, session)["clientConnected"], "no consumer")
    delete(r, session)


def test_ten_thousand_changes(r, session):
    """Clients that stay and clients that come and go all end with the server's state, by an RFC 6902
    library that is not ours."""
    steady = [Follower(r, session) for _ in range(2)]
    restless = [Follower(r, session, restless=8, seed=seed) for seed in range(4)]
    for f in steady:
        f.wait(lambda f: f.state, "a snapshot")
    begun = time.monotonic()
    status, _, body = post(r, f"/stream/{session}/input",
                           {"type": "command", "data": {"command": "mutate", "args": [7, 10000, 12]}})
    assert status == 204, body
    for f in steady + restless:
        f.wait(lambda f: f.state and f.state["metadata"].get("step") == 10000, "10000 changes", 60)
    state = state_of(r, session)
    for f in steady + restless:
        f.wait(lambda f: f.state == state, "the server's state")
        f.stop()
    taken = time.monotonic() - begun
    assert steady[0].snapshots == 1 and steady[0].connects == 1
    assert all(f.connects > 3 for f in restless)
    # Both saw the same bytes, and not more often than configured (10 a second).
    shared = dict(steady[1].log)
    assert all(shared.get(last_id, data) == data for last_id, data in steady[0].log)
    assert 5 <= steady[0].patches <= taken * 10 + 10


def test_resumed_by_id(r, session):
    """Whoever was at an id gets exactly what came after it."""
    all_events = Follower(r, session)
    all_events.wait(lambda f: f.state, "a snapshot")
    post(r, f"/stream/{session}/input", {"type": "command", "data": {"command": "mutate", "args": [3, 1600, 8]}})
    all_events.wait(lambda f: f.state["metadata"].get("step") == 1600 and len(f.log) > 3, "changes")
    log = list(all_events.log)
    for at in range(len(log) - 1):
        with Events(r, f"/stream/{session}/sse", last_id=log[at][0]) as events:
            for expected in log[at + 1:]:
                last_id, event, data = next(events)
                assert (event, (last_id, data)) == ("state_patch", expected)
    all_events.stop()


def test_old_events_go(site):
    """A stream keeps about sessions.replay_bytes: who is further behind gets a snapshot, who follows
    notices nothing."""
    with ringside("--sessions-replay-bytes=4k", "--sessions-state-interval=10ms") as r:
        session = create(r, site)
        wait_page(r, session)
        follower = Follower(r, session)
        follower.wait(lambda f: f.state, "a snapshot")
        first_id = follower.last_id
        for size in range(3000, 3020):
            post(r, f"/stream/{session}/input", {"type": "command", "data": {"command": "big", "args": [size]}})
            follower.wait(lambda f: len(f.state["metadata"].get("big", "")) == size, "a change")
        assert follower.snapshots == 1 and follower.connects == 1
        follower.stop()
        path = f"/v1/stream/sessions/{session}/events"
        body = r.request("GET", path + "?offset=-1")[2]
        assert json.loads(body)[0]["rev"] > 1, "the first ones are gone"
        assert len(body) < 32 * 1024
        with Events(r, f"/stream/{session}/sse", last_id=first_id) as events:
            assert next(events)[1] == "state"
        # From there, too, patches lead to the server's state.
        late = Follower(r, session)
        post(r, f"/stream/{session}/input",
             {"type": "command", "data": {"command": "mutate", "args": [12, 200, 10]}})
        late.wait(lambda f: f.state and f.state["metadata"].get("step") == 200
                  and f.state == state_of(r, session), "the server's state")
        late.stop()


@pytest.mark.parametrize("last_id", ["", "odd", "1", "1-1", "99999999-3", "{lineage}-99999999", "{lineage}-0.9",
                                     "{lineage}-", "0-0"])
def test_a_strange_id_gets_a_snapshot(r, session, last_id):
    with Events(r, f"/stream/{session}/sse") as events:
        next(events)
        lineage = events.last_id.partition("-")[0]
    with Events(r, f"/stream/{session}/sse", last_id=last_id.format(lineage=lineage)) as events:
        assert next(events)[1] == "state"


@pytest.mark.parametrize("size", [40000, 200000])
def test_state_too_large_is_said(r, site, size):
    session = create(r, site)
    before = wait_page(r, session)
    assert post(r, f"/stream/{session}/input",
                {"type": "command", "data": {"command": "big", "args": [size]}})[0] == 204
    state = wait_for(lambda: (s := state_of(r, session)).get("metadataError") and s, "metadataError")
    assert "sessions.state_bytes" in state["metadataError"]
    assert "big" not in state["metadata"]
    assert state["metadata"]["step"] == before["metadata"]["step"]
    post(r, f"/stream/{session}/input", {"type": "command", "data": {"command": "big", "args": [0]}})
    wait_for(lambda: "metadataError" not in state_of(r, session), "a state that fits")
    delete(r, session)


# ---- input, signals, changes ----

def test_input(r, session):
    click = {"type": "interaction", "data": {"action": "click", "position": {"x": 30, "y": 40}}}
    assert post(r, f"/stream/{session}/input", click)[0] == 204
    assert post(r, f"/stream/{session}/input",
                {"type": "interaction", "data": {"action": "keypress", "key": "q"}})[0] == 204
    wait_for(lambda: [30, 40, True] in state_of(r, session)["metadata"]["clicks"], "a trusted click")
    wait_for(lambda: "q" in state_of(r, session)["metadata"]["keys"], "a key")
    click["data"]["position"]["x"] = 5000
    assert post(r, f"/stream/{session}/input", click)[0] == 422
    assert post(r, f"/stream/{session}/input", {"type": "odd"})[0] == 400
    assert post(r, f"/stream/{session}/input", b"{")[0] == 400


def test_signals(r, session):
    with Events(r, f"/stream/{session}/sse") as events:
        next(events)
        sdp = {"type": "sdp_answer", "peer": "p1", "payload": {"sdp": "v=0"}}
        assert post(r, f"/stream/{session}/signal", sdp)[0] == 204
        assert events.until("custom_signal") == {"type": "echo", "payload": sdp}
        for_all = {"type": "bye", "payload": None, "to": "clients"}
        assert post(r, f"/stream/{session}/signal", for_all)[0] == 204
        assert events.until("custom_signal") == {"type": "bye", "payload": None}
        last_id = events.last_id
    assert post(r, f"/stream/{session}/signal", {**for_all, "type": "next"})[0] == 204
    with Events(r, f"/stream/{session}/sse", last_id=last_id) as events:
        assert events.until("custom_signal")["type"] == "next"
    assert post(r, f"/stream/{session}/signal", {"payload": 1})[0] == 400
    assert post(r, f"/stream/{session}/signal", {"type": "x", "to": "moon"})[0] == 422


def test_patch(r, session):
    def patch(value):
        status, _, body = r.request("PATCH", f"/stream/{session}", json.dumps(value).encode(),
                                    {"content-type": "application/json"})
        return status, body
    status, body = patch({"sceneData": {"map": "a", "__proto__": {"x": 1}}})
    assert status == 200 and json.loads(body)["state"]["streamId"] == session
    scene = wait_for(lambda: state_of(r, session)["metadata"].get("scene"), "the scene")
    assert scene == {"map": "a", "__proto__": {"x": 1}}
    assert patch({"renderOptions": {"resolution": "nothing"}})[0] == 422
    assert patch({"renderOptions": 1})[0] == 400
    assert patch([])[0] == 400


def test_a_page_that_listens_late_is_told_what_it_begins_with(r, site):
    session = create(r, site, "late.html", initialData={"early": 1})
    first = wait_for(lambda: state_of(r, session)["metadata"], "the initial data", PATIENCE)
    assert first["initialdata"] == {"early": 1}
    assert r.request("PATCH", f"/stream/{session}", b'{"sceneData":{"n":7}}',
                     {"content-type": "application/json"})[0] == 200
    os.kill(r.worker("capture-0")["pid"], signal.SIGKILL)
    wait_for(lambda: (m := state_of(r, session)["metadata"])["document"] != first["document"] and
             m == {"document": m["document"], "initialdata": {"early": 1}, "scene": {"n": 7}}, "both again", PATIENCE)
    assert delete(r, session) == 204


def test_another_size_is_the_same_page(r, site):
    """What the page holds and what was typed into it survive; pictures come in the new size."""
    session = create(r, site, initialData={"kept": True})
    wait_page(r, session)
    assert post(r, f"/stream/{session}/input", {"type": "command", "data": {"command": "mutate", "args": [3, 50, 1]}})[0] == 204
    before = wait_for(lambda: (s := state_of(r, session))["metadata"]["step"] == 50 and s, "what it did")
    for resolution, size in (("480x270", (480, 270)), ("640x360", (640, 360))):
        assert r.request("PATCH", f"/stream/{session}",
                         json.dumps({"renderOptions": {"resolution": resolution}}).encode())[0] == 200
        wait_for(lambda: (a := r.request("GET", f"/stream/{session}/frame.jpg"))[0] == 200 and jpeg_size(a[2]) == size,
                 "a picture of that size", PATIENCE)
        state = state_of(r, session)
        assert state["instanceInfo"]["viewport"] == dict(zip(("width", "height"), size))
        assert state["instanceInfo"]["startTime"] == before["instanceInfo"]["startTime"]
        assert state["status"] == "streaming" and state["metadata"]["step"] == 50
    delete(r, session)


# ---- pictures ----

def jpeg_size(jpeg):
    """Width and height from the frame header (ITU T.81, B.2.2)."""
    assert jpeg[:2] == b"\xff\xd8" and jpeg[-2:] == b"\xff\xd9"
    at = 2
    while jpeg[at + 1] not in (0xC0, 0xC1, 0xC2):
        at += 2 + int.from_bytes(jpeg[at + 2:at + 4], "big")
    return int.from_bytes(jpeg[at + 7:at + 9], "big"), int.from_bytes(jpeg[at + 5:at + 7], "big")


def test_picture(r, session):
    def look():
        status, headers, body = r.request("GET", f"/stream/{session}/frame.jpg")
        assert status == 200 or headers["retry-after"]
        return status == 200 and (headers, body)
    headers, jpeg = wait_for(look, "a picture")
    assert headers["content-type"] == "image/jpeg" and jpeg_size(jpeg) == (320, 180)
    wait_for(lambda: look()[1] != jpeg, "another picture")
    assert r.request("GET", f"/stream/{uuid.uuid4()}/frame.jpg")[0] == 404


def test_many_viewers_of_a_large_picture(r, site):
    """Twice what a link's queue holds is asked for in one moment; one picture crosses the bus for all."""
    session = create(r, site, "noise.html", renderOptions={"resolution": "1280x720"})
    path = f"/stream/{session}/frame.jpg"

    def look():
        status, _, jpeg = r.request("GET", path)
        return jpeg if status == 200 and len(jpeg) > 300_000 else None
    size = len(wait_for(look, "a large picture", PATIENCE))
    assert size < 1 << 20
    capture = r.worker("capture-0")["pid"]
    os.kill(capture, signal.SIGSTOP)  # so that all are asked for before the first is answered
    try:
        viewers = [r.connect(30) for _ in range(16_000_000 // size)]
        for viewer in viewers:
            viewer.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        for _ in range(5):
            r.get("/healthz")  # behind them
    finally:
        os.kill(capture, signal.SIGCONT)
    for viewer in viewers:
        with viewer, viewer.makefile("rb") as file:
            assert file.read().startswith(b"HTTP/1.1 200 ")
    assert r.request("GET", path)[0] == 200
    assert r.request("GET", "/readyz")[0] == 200
    assert "link full" not in r.log()
    assert delete(r, session) == 204


def test_pictures(r, site):
    """Each is another one, until the session ends."""
    session = create(r, site)
    wait_for(lambda: r.request("GET", f"/stream/{session}/frame.jpg")[0] == 200, "a picture", PATIENCE)
    with r.connect() as s, s.makefile("rwb") as stream:
        stream.write(f"GET /stream/{session}/mjpeg HTTP/1.0\r\n\r\n".encode())
        stream.flush()
        head = b"".join(iter(stream.readline, b"\r\n")).decode().lower()
        assert head.startswith("http/1.1 200") and "multipart/x-mixed-replace; boundary=frame" in head
        pictures = []
        for _ in range(6):
            assert stream.readline() == b"--frame\r\n"
            part = dict(line.decode().strip().split(": ") for line in iter(stream.readline, b"\r\n"))
            pictures.append(stream.read(int(part["content-length"])))
            assert stream.readline() == b"\r\n"
        assert {jpeg_size(p) for p in pictures} == {(320, 180)} and len(set(pictures)) == 6
        assert delete(r, session) == 204
        wait_for(lambda: not stream.read(65536), "the end")
    assert r.request("GET", f"/stream/{session}/mjpeg")[0] == 410


# ---- WHEP ----

class Viewers(http.server.ThreadingHTTPServer):
    """The viewer's page, and what its browser reports of itself."""

    def __init__(self):
        super().__init__(("127.0.0.1", VIEWERS_PORT), functools.partial(self.Handler, directory=PAGES))
        self.reports, self.browsers = [], []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    class Handler(Quiet):
        def do_POST(self):
            self.server.reports.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

    def open(self, whep, profile):
        """A browser that is none of ours."""
        self.browsers.append(subprocess.Popen(
            ["/usr/lib/chromium/chromium-headless-shell", "--no-sandbox", "--remote-debugging-port=0",
             f"--user-data-dir={profile}", "--autoplay-policy=no-user-gesture-required",
             f"http://127.0.0.1:{self.server_port}/viewer.html?whep={whep}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def close(self):
        for browser in self.browsers:
            browser.kill()
            browser.wait()
        self.shutdown()
        self.server_close()


@pytest.mark.parametrize("browser, page, source", [("", "session.html", "?source=tab"), ("", "moving.html", ""),
                                                   ("chromium", "session.html", "?source=tab")])
def test_whep_of_the_whole_tab(site, tmp_path, browser, page, source):
    """What the page shows, however it draws it, without its doing anything for it."""
    with ringside(f"--capture-browser={browser}") as r:
        session = create(r, site, page=page)
        wait_for(lambda: state_of(r, session)["status"] == "streaming", "the page", PATIENCE)
        viewers = Viewers()
        try:
            viewers.open(f"{r.url}/stream/{session}/whep{source}", tmp_path)
            report = wait_for(lambda: viewers.reports and viewers.reports[0], "decoded frames", PATIENCE)
            assert "error" not in report, report
            assert report["frames"] >= 30 and (report["width"], report["height"]) == (320, 180)
            wait_for(lambda: viewers.reports[1:], "a restart of ICE", PATIENCE)
            assert r.request("DELETE", report["session"])[0] == 200
        finally:
            viewers.close()


def test_whep(site, tmp_path):
    """Another browser gets the page's picture by WebRTC and decodes it."""
    with ringside("--sessions-viewers=1") as r:
        session = create(r, site)
        wait_page(r, session)
        viewers = Viewers()
        try:
            viewers.open(f"{r.url}/stream/{session}/whep", tmp_path)
            report = wait_for(lambda: viewers.reports and viewers.reports[0], "decoded frames", PATIENCE)
            assert "error" not in report, report
            assert report["frames"] >= 30 and (report["width"], report["height"]) == (320, 180)
            assert "a=sendonly" in report["sdp"] and "a=candidate:" in report["sdp"]
            wait_for(lambda: state_of(r, session)["webrtc"]["signalingState"] == "connected", "connected")
            assert state_of(r, session)["webrtc"]["iceCandidatesGathered"] > 0
            # Another rate: the page stays, and so does who looks (the restart below sees more pictures).
            start = state_of(r, session)["instanceInfo"]["startTime"]
            assert r.request("PATCH", f"/stream/{session}", b'{"renderOptions": {"targetFps": 20}}',
                             {"content-type": "application/json"})[0] == 200
            instance = state_of(r, session)["instanceInfo"]
            assert (instance["targetFps"], instance["startTime"]) == (20, start)
            assert state_of(r, session)["webrtc"]["signalingState"] == "connected"
            # The cap; then the viewer's end makes room.
            sdp = {"content-type": "application/sdp"}
            status, headers, _ = r.request("POST", f"/stream/{session}/whep", b"v=0\r\n", sdp)
            assert status == 503 and headers["retry-after"]
            path = report["session"]
            # ICE is restarted, and pictures go on over the new credentials.
            again = wait_for(lambda: viewers.reports[1:] and viewers.reports[1], "a restart of ICE", PATIENCE)
            assert "error" not in again and again["frames"] >= report["frames"] + 30, again
            assert (report["etag"], again["etag"]) == ('"0"', '"1"')
            fragment = {"content-type": "application/trickle-ice-sdpfrag"}
            other = b"a=ice-ufrag:other\r\na=ice-pwd:" + b"p" * 24 + b"\r\n"
            assert r.request("PATCH", path, other, fragment)[0] == 428
            assert r.request("PATCH", path, other, {**fragment, "if-match": report["etag"]})[0] == 412
            assert r.request("PATCH", path, b"a=ice-ufrag:none\r\n", {**fragment, "if-match": "*"})[0] == 400
            assert r.request("PATCH", path, b"", fragment)[0] == 204
            assert r.request("PATCH", path, b"", {**fragment, "if-match": again["etag"]})[0] == 204
            assert r.request("PATCH", path, b"", sdp)[0] == 409  # we made no offer
            assert r.request("PATCH", path, b"", {"content-type": "text/plain"})[0] == 415
            assert r.request("DELETE", path)[0] == 200
            assert r.request("DELETE", path)[0] == 404
            wait_for(lambda: state_of(r, session)["webrtc"]["signalingState"] == "idle", "idle")
            assert state_of(r, session)["webrtc"]["iceCandidatesGathered"] == 0
        finally:
            viewers.close()


@pytest.mark.parametrize("browser, page, source", [("", "session.html?tone", ""), ("", "session.html?tone", "?source=tab"),
                                                   ("chromium", "session.html?tone", "")])
def test_whep_has_the_sound(site, tmp_path, browser, page, source):
    """A tone that the page plays, heard by its pitch; so is it after its sound server has died."""
    def heard(since, what):
        wait_for(lambda: [x for x in viewers.reports[since:] if what(x.get("pitch", -1))], "a pitch", PATIENCE)

    with ringside(f"--capture-browser={browser}") as r:
        session = create(r, site, page=page)
        wait_page(r, session)
        viewers = Viewers()
        try:
            for again in range(2):
                since = len(viewers.reports)
                viewers.open(f"{r.url}/stream/{session}/whep{source}&sound", tmp_path / str(again))
                heard(since, lambda pitch: 400 < pitch < 480)
                assert next(x["frames"] for x in viewers.reports[since:] if "frames" in x) >= 30
                if again:
                    break
                # Browsers do not look for their sound server again: another one takes the place of this.
                [pulseaudio] = [p for p in family(r.worker("capture-0")["pid"]) if program(p) == "pulseaudio"]
                os.kill(pulseaudio, signal.SIGKILL)
                heard(len(viewers.reports), lambda pitch: pitch == 0)
                wait_for(lambda: "kind=rotation" in r.log(), "another browser", PATIENCE)
                viewers.browsers[0].kill()
        finally:
            viewers.close()


@pytest.mark.parametrize("stack", ["wrtc", "werift"])
def test_whep_by_npm_clients(r, session, stack):
    """Two WebRTC stacks from npm, one of which decodes."""
    here = os.path.dirname(os.path.abspath(__file__))
    if not os.path.isdir(os.path.join(here, "node_modules", "werift")):
        pytest.skip("npm's WebRTC stacks are not installed here")
    done = subprocess.run(["node", os.path.join(here, "whep_client.mjs"), stack, r.url, session],
                          capture_output=True, text=True, timeout=60)
    assert done.stdout, done.stderr
    got = json.loads(done.stdout)
    assert got["status"] == 201 and got["frames"] >= 30 and got["ended"] == 200, got
    assert stack == "werift" or (got["width"], got["height"]) == (320, 180)


@pytest.fixture
def turn(tmp_path):
    """A TURN server, which is a STUN server as well; its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    server = subprocess.Popen(
        ["turnserver", "-n", "--no-cli", "--no-tls", "--no-dtls", "--no-tcp", "--listening-ip=127.0.0.1",
         f"--listening-port={port}", "--relay-ip=127.0.0.1", "--lt-cred-mech", "--user=me:hush", "--realm=ringside",
         "--min-port=49160", "--max-port=49180", f"--userdb={tmp_path}/users", f"--pidfile={tmp_path}/pid",
         f"--log-file={tmp_path}/log", "--simple-log"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield port
    server.terminate()
    server.wait()


def test_ice_servers(turn, site):
    """They are asked by the session's browser and told to whoever wants to look; one that is not found takes nothing
    from the others."""
    servers = f"stun:127.0.0.1:{turn} turn:127.0.0.1:{turn}?transport=udp|me|hush stun:nowhere.invalid"
    with ringside(f"--sessions-ice-servers={servers}") as r:
        status, _, body = post(r, "/stream/session", {"renderUrl": f"{site}/session.html"})
        assert status == 201
        answer = json.loads(body)
        assert [s["urls"] for s in answer["iceServers"]] == servers.replace("|me|hush", "").split()
        assert (answer["iceServers"][1]["username"], answer["iceServers"][1]["credential"]) == ("me", "hush")
        wait_page(r, answer["sessionId"])

        def relayed():  # the server may just be starting
            status, headers, sdp = r.request("POST", f"/stream/{answer['sessionId']}/whep", timeout=30)
            assert status == 201, sdp
            link = headers["link"]
            assert link.count('rel="ice-server"') == 3 and 'username="me"; credential="hush"' in link
            assert r.request("DELETE", headers["location"])[0] == 200
            return b"typ relay" in sdp
        wait_for(relayed, "a candidate by TURN", PATIENCE)
        r.wait_log("sessions.ice_servers: not found host=nowhere.invalid")
        assert "hush" not in r.log() + r.ctl("settings")[0] + r.ctl("capture", "show", answer["sessionId"])[0]
    with ringside("--sessions-ice-servers=turns:x|me|hush") as r:
        r.wait_log("sessions.ice_servers not used reason=")
        assert post(r, "/stream/session", {"renderUrl": f"{site}/session.html"})[0] == 201
        assert "hush" not in r.log()


def test_the_page_has_no_webrtc(r, session):
    """Viewers need UDP; the page, which could leak by it, gets none of it, by no frame either."""
    rtc = wait_for(lambda: len(t := state_of(r, session)["metadata"]["rtc"]) >= 10 and t, "the frames")
    assert set(rtc) == {"undefined"}, rtc


def test_whep_refused(r, session, site):
    path, sdp = f"/stream/{session}/whep", {"content-type": "application/sdp"}
    assert r.request("POST", path, b"{}", {"content-type": "application/json"})[0] == 415
    assert r.request("POST", path, b"no sdp", sdp)[0] == 400
    assert r.request("POST", path, b"\xff\xfe", sdp)[0] == 400
    wait_for(lambda: state_of(r, session)["webrtc"]["signalingState"] == "idle", "nobody")
    status, headers, _ = r.request("HEAD", path)
    assert status == 200 and headers["content-type"] == headers["accept-post"] == "application/sdp"
    status, headers, _ = r.request("OPTIONS", path, headers={"origin": f"http://127.0.0.1:{VIEWERS_PORT}"})
    assert status == 200 and headers["accept-post"] == "application/sdp"
    assert "if-match" in headers["access-control-allow-headers"]
    assert "etag" in headers["access-control-expose-headers"]
    assert r.request("PATCH", path + "/" + "0" * 32, b"", sdp)[0] == 404
    status, headers, _ = r.request("POST", f"/stream/{uuid.uuid4()}/whep", b"", sdp)
    assert status == 404
    without = create(r, site, page="empty.html")
    wait_for(lambda: state_of(r, without)["status"] == "streaming", "the page", PATIENCE)
    assert r.request("POST", f"/stream/{without}/whep?source=moon", b"v=0\r\n", sdp)[0] == 400
    status, headers, _ = r.request("POST", f"/stream/{without}/whep?source=canvas", b"v=0\r\n", sdp)
    assert status == 409 and headers["retry-after"]
    delete(r, without)


# ---- ends ----

def test_deleted(r, site):
    session = create(r, site)
    follower = Follower(r, session)
    follower.wait(lambda f: f.state, "a snapshot")
    assert delete(r, session) == 204
    follower.wait(lambda f: f.reason, "the end")
    assert follower.reason == "deleted" and follower.state["status"] == "terminated"
    assert delete(r, session) == 204
    path = f"/stream/{session}"
    assert r.request("GET", path)[0] == 410
    assert r.request("GET", path + "/sse", headers={"accept": "text/event-stream"})[0] == 410
    assert post(r, path + "/input", {"type": "command", "data": {"command": "x"}})[0] == 410
    assert post(r, path + "/signal", {"type": "x"})[0] == 410
    assert r.request("PATCH", path, b"{}")[0] == 410


def test_times():
    """Without consumers it ends; with one it goes on until its lifetime; then it is forgotten."""
    with ringside("--sessions-idle-timeout=700ms", "--sessions-lifetime=4s",
                  "--sessions-remember=700ms") as r:
        nowhere = {"targetUrl": "http://127.0.0.1:9/"}
        watched = json.loads(post(r, "/stream", nowhere)[2])["streamId"]
        begun = time.monotonic()
        follower = Follower(r, watched)
        lonely = json.loads(post(r, "/stream", nowhere)[2])["streamId"]
        wait_for(lambda: r.request("GET", f"/stream/{lonely}")[0] == 410, "idle")
        follower.wait(lambda f: f.reason, "lifetime")
        assert follower.reason == "lifetime"
        assert time.monotonic() - begun > 3
        for session in (lonely, watched):
            wait_for(lambda: r.request("GET", f"/stream/{session}")[0] == 404, "forgotten")
            path = f"/v1/stream/sessions/{session}/events?offset=-1"
            assert r.request("GET", path)[0] == 404


def test_caps(site):
    tokens = "--auth-session-tokens=alice,bob"
    with ringside("--sessions-max=3", "--sessions-per-principal=2", tokens) as r:
        order = {"targetUrl": "http://127.0.0.1:9/"}
        alice, bob = {"authorization": "Bearer alice"}, {"authorization": "Bearer bob"}
        mine = [post(r, "/stream", order, **alice) for _ in range(2)]
        assert [a[0] for a in mine] == [201, 201]
        status, headers, _ = post(r, "/stream", order, **alice)
        assert status == 429 and int(headers["retry-after"]) > 0
        assert post(r, "/stream", order, **bob)[0] == 201
        status, headers, _ = post(r, "/stream", order, **bob)
        assert status == 503 and int(headers["retry-after"]) > 0
        # To anybody else it does not exist.
        session = json.loads(mine[0][2])["streamId"]
        for path in ("", "/sse"):
            assert r.request("GET", f"/stream/{session}{path}",
                             headers={**bob, "accept": "text/event-stream"})[0] == 404
        assert r.request("DELETE", f"/stream/{session}", headers=bob)[0] == 404
        assert r.request("GET", f"/stream/{session}", headers=alice)[0] == 200
        assert delete(r, session, **alice) == 204
        assert post(r, "/stream", order, **alice)[0] == 201


def test_tokens():
    """Outside of development: a session's token or a publish token, nothing else."""
    with ringside("--dev=false", "--auth-session-tokens=render", "--auth-publish-tokens=publish",
                  "--auth-subscribe-tokens=read") as r:
        order = {"targetUrl": "http://127.0.0.1:9/"}
        assert post(r, "/stream", order)[0] == 401
        assert post(r, "/stream", order, authorization="Bearer read")[0] == 403
        assert post(r, "/stream", order, authorization="Bearer publish")[0] == 201
        mine = {"authorization": "Bearer render"}
        session = json.loads(post(r, "/stream", order, **mine)[2])["streamId"]
        for path in ("", "/sse", "/frame.jpg", "/mjpeg"):
            path = f"/stream/{session}{path}"
            assert r.request("GET", path, headers={"accept": "text/event-stream"})[0] == 401
            assert r.request("GET", path, headers={
                "accept": "text/event-stream", "authorization": "Bearer publish"})[0] == 404
        with Events(r, f"/stream/{session}/sse", headers=mine) as events:
            assert events.until("state")["state"]["streamId"] == session


def test_without_a_capture_worker():
    with Ringside() as r:
        status, headers, body = post(r, "/stream", {"targetUrl": "http://127.0.0.1:9/"})
        assert status == 503 and headers["retry-after"], body


class Validator(http.server.ThreadingHTTPServer):
    """Somebody's server that says who may: `answers` by Authorization, `asked` is what it was asked."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.asked, self.answers = [], {}
        self.url = f"http://127.0.0.1:{self.server_port}/validate"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    class Handler(Quiet):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            question = json.loads(body)
            self.server.asked.append((question, self.headers["webhook-signature"], body))
            status, answer = self.server.answers.get(question.get("authorization"), (500, {}))
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)


def signature_holds(r, signature, body):
    """By Debian's python3-cryptography, with the key that is published for webhooks."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    parts = dict(part.split("=", 1) for part in signature.split(","))
    keys = json.loads(r.get("/v1/stream/__ds/jwks.json"))["keys"]
    key = next(k for k in keys if k["kid"] == parts["kid"])
    def raw(text):
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    Ed25519PublicKey.from_public_bytes(raw(key["x"])).verify(
        raw(parts["ed25519"]), parts["t"].encode() + b"." + body)
    return True


def test_validation_by_callback():
    validator = Validator()
    with ringside(f"--sessions-validate-url={validator.url}") as r:
        order = {"targetUrl": "http://127.0.0.1:9/"}
        validator.answers = {
            "Bearer yes": (200, {"authorized": True, "callerContext": {"user": 7}}),
            "Bearer no": (200, {"authorized": False, "status": 402, "error": "pay\nfirst"}),
            "Bearer odd": (200, {"authorized": "true", "status": 418}),
            None: (401, {"error": "who are you"}),
        }
        wait_for(lambda: r.request("GET", "/v1/stream/__ds/jwks.json")[0] == 200, "the key it signs with")
        status, _, body = wait_for(lambda: (a := post(r, "/stream", order, authorization="Bearer yes"))[0] != 503 and a,
                                   "an answer")
        assert status == 201, body
        question, signature, raw = validator.asked[-1]
        assert (question["action"], question["targetUrl"]) == ("create", order["targetUrl"])
        assert signature_holds(r, signature, raw)
        assert b"user" not in body, "callerContext stays here"
        assert post(r, "/stream", order, authorization="Bearer no")[::2] == (402, b"pay first\n")
        assert post(r, "/stream", order, authorization="Bearer odd")[0] == 403
        assert post(r, "/stream", order)[::2] == (401, b"who are you\n")
        status, headers, _ = post(r, "/stream", order, authorization="Bearer broken")
        assert status == 503 and headers["retry-after"]
        # Following is asked for too, and so may end while the session goes on.
        session = json.loads(body)["streamId"]
        mine = {"authorization": "Bearer yes"}
        with Events(r, f"/stream/{session}/sse", headers=mine) as events:
            assert events.status == 200 and events.until("state")
        question = validator.asked[-1][0]
        assert (question["action"], question["streamId"], question["callerContext"]) == (
            "follow", session, {"user": 7})
        validator.answers["Bearer yes"] = (200, {"authorized": False})
        with Events(r, f"/stream/{session}/sse", headers=mine) as events:
            assert events.status == 403
        assert r.request("GET", f"/stream/{session}", headers={"authorization": "Bearer no"})[0] == 404
        assert r.request("GET", f"/stream/{session}", headers=mine)[0] == 200
        assert delete(r, session, **mine) == 204
    validator.shutdown()


def test_errors_are_told():
    listener = Validator()
    with ringside(f"--sessions-error-url={listener.url}", "--capture-browser=/bin/false", "--capture-restart-limit=1",
                  "--capture-restart-delay-min=1ms") as r:
        wait_for(lambda: r.request("GET", "/v1/stream/__ds/jwks.json")[0] == 200, "the key it signs with")
        order = {"targetUrl": "http://127.0.0.1:9/"}
        session = json.loads(post(r, "/stream", order)[2])["streamId"]
        wait_for(lambda: state_of(r, session)["status"] == "error", "its end")
        wait_for(lambda: len(listener.asked) >= 2, "another try, as it was not taken")
        listener.answers[None] = (200, {})
        wait_for(lambda: len(listener.asked) >= 3, "a third")
        assert len({raw for _, _, raw in listener.asked}) == 1
        said, signature, raw = listener.asked[-1]
        assert signature_holds(r, signature, raw)
        assert (said["type"], said["streamId"], said["targetUrl"]) == ("session.error", session, order["targetUrl"])
        assert said["error"] == state_of(r, session)["error"] and said["at"] > 0
        # An order that finds no browser has no name yet.
        assert delete(r, session) == 204
    listener.shutdown()


def test_sessions_are_found_below_a_base_path(site):
    with ringside("--sessions-base-path=/render/here") as r:
        status, headers, body = post(r, "/render/here/stream", {"targetUrl": f"{site}/session.html"})
        session = json.loads(body)["streamId"]
        assert status == 201 and headers["location"] == f"/render/here/stream/{session}"
        assert r.request("GET", headers["location"])[0] == 200
        assert r.request("GET", f"/stream/{session}")[0] == 200
        with Events(r, headers["location"] + "/sse") as events:
            assert events.status == 200 and events.until("state")
        assert r.request("GET", f"/render/stream/{session}")[0] == 404
        assert r.request("GET", "/render/here/v1/me")[0] == 404
        assert r.request("DELETE", headers["location"])[0] == 204
        assert r.request("GET", f"/stream/{session}")[0] == 410


def test_a_base_path_shadows_nothing():
    for bad in ("render", "/", "/render/", "/v1", "/stream", "/a/../b", "/a b"):
        with Ringside(f"--sessions-base-path={bad}", start=False) as r:
            r.spawn()
            assert r.wait_exit() == 2 and "sessions.base_path" in r.log()


def test_browsers_get_arguments_of_a_list(site):
    for bad in ("--no-sandbox", "--lang=../x", "--remote-debugging-port=9"):
        with Ringside(f"--capture-browser-arguments={bad}", start=False) as r:
            r.spawn()
            assert r.wait_exit() == 2 and "capture.browser_arguments" in r.log()
    with ringside("--capture-browser-arguments=--lang=de --force-prefers-reduced-motion") as r:
        session = create(r, site, "motion.html")
        wait_for(lambda: state_of(r, session)["metadata"].get("reduced"), "the page to see it", PATIENCE)
        assert delete(r, session) == 204


@pytest.mark.parametrize("dev", [True, False])
def test_owners_are_told_apart_by_whatever_credentials_they_have(dev):
    """Whoever validates may take others than Bearer tokens: each is somebody, spaces make nobody else, and who has none
    owns nothing."""
    validator = Validator()
    basic = {name: "Basic " + base64.b64encode(f"{name}:pw".encode()).decode() for name in ("alice", "bob")}
    spelled = {"once": "Bearer token", "twice": "Bearer  token", "loud": "BEARER token"}
    validator.answers = {text: (200, {"authorized": True}) for text in (*basic.values(), *spelled.values(), None)}
    flags = (f"--sessions-validate-url={validator.url}", "--sessions-per-principal=1")
    with ringside(*flags, *(() if dev else ("--dev=false", "--auth-publish-tokens=p"))) as r:
        def order(**headers):
            return post(r, "/stream", {"targetUrl": "http://127.0.0.1:9/"}, **headers)
        wait_for(lambda: r.request("GET", "/v1/stream/__ds/jwks.json")[0] == 200, "the key it signs with")
        status, _, body = wait_for(lambda: (a := order(authorization=basic["alice"]))[0] != 503 and a, "an answer")
        assert status == 201
        session = json.loads(body)["streamId"]
        alice, bob = ({"authorization": basic[name]} for name in ("alice", "bob"))
        for other in (bob, {}, {"authorization": spelled["once"]}):
            assert r.request("GET", f"/stream/{session}", headers=other)[0] == 404
            assert r.request("GET", f"/stream/{session}/mjpeg", headers=other)[0] == 404
            assert r.request("DELETE", f"/stream/{session}", headers=other)[0] == 404
        assert r.request("GET", f"/stream/{session}", headers=alice)[0] == 200
        assert r.request("GET", f"/stream/{session}", headers={"authorization": alice["authorization"].replace(
            "Basic ", "basic   ")})[0] == 200
        with Events(r, f"/stream/{session}/sse", headers=alice) as events:
            assert events.status == 200 and events.until("state")
        # The quota counts owners, not spellings.
        assert order(**alice)[0] == 429 and order(**bob)[0] == 201
        assert order(authorization=spelled["once"])[0] == 201
        assert [order(authorization=spelled[name])[0] for name in spelled] == [429] * 3
        assert order()[0] == 401 and order(idempotency_key="k")[0] == 401
        assert delete(r, session, **alice) == 204
    validator.shutdown()


def test_what_is_valid_in_the_page_is_told(r, site):
    """Numbers beyond 64 bits, U+0000, half a surrogate pair: taken, or metadataError says what was not, and the rest is
    there. What cannot be told at all leaves the state as it was, with a word why."""
    session = create(r, site, "odd.html")
    wait_page(r, session)

    def publish(name):
        assert post(r, f"/stream/{session}/input", {"type": "command", "data": {"command": name}})[0] == 204

    def told(rest, error=False):
        return wait_for(lambda: (s := state_of(r, session))["metadata"].get("rest") == rest and
                        ("metadataError" in s) == error and s, f"the state {rest}")
    with Events(r, f"/stream/{session}/sse") as events:
        events.until("state")
        publish("big")
        m = told(1)["metadata"]
        assert (m["big"], m["low"], m["more"]) == (1e19, -1e19, 123456789012345680000.0) and m["max"] > 1e308
        publish("nul")
        assert told(2)["metadata"]["text"] == "a\0b"
        publish("key")
        assert "U+0000" in told(3, True)["metadataError"]
        publish("surrogate")
        state = told(4, True)
        assert (state["metadata"]["text"], state["metadata"]["pair"]) == ("x\ufffdy", "\U0001f600")
        assert "surrogate" in state["metadataError"]
        for name in ("deep", "bigint", "deep"):
            publish("plain")
            told(7)
            publish(name)
            assert "deeply" in told(7, True)["metadataError"]
        assert r.log().count("a page's message cannot be read") == 1
    # A scene is handed on as it is, and kept by the next worker.
    body = b'{"sceneData":{"big":100000000000000000000,"text":"a\\u0000b"}}'
    assert r.request("PATCH", f"/stream/{session}", body, {"content-type": "application/json"})[0] == 200
    scene = {"big": 1e20, "text": "a\0b"}
    wait_for(lambda: (m := state_of(r, session)["metadata"]).get("scene") == scene and m["length"] == 3, "the scene")
    publish("nul")
    told(2)
    os.kill(r.worker("capture-0")["pid"], signal.SIGKILL)
    wait_for(lambda: state_of(r, session)["metadata"].get("scene") == scene, "the scene again", PATIENCE)
    assert delete(r, session) == 204


# ---- kill -9 ----

def test_sessions_come_back(site):
    """The worker is killed in the middle of changes: states go on where they were, no revision is lost or
    told twice, the page is opened again with what it was ordered with."""
    with ringside() as r:
        key = str(uuid.uuid4())
        order = {"targetUrl": f"{site}/session.html", "initialData": {"n": 1}}
        session = json.loads(post(r, "/stream", order, idempotency_key=key)[2])["streamId"]
        gone = create(r, site)
        assert delete(r, gone) == 204
        wait_page(r, session)
        followers = [Follower(r, session, restless=n) for n in (0, 5)]
        followers[0].wait(lambda f: f.state, "a snapshot")
        for round in range(2):
            post(r, f"/stream/{session}/input",
                 {"type": "command", "data": {"command": "mutate", "args": [round + 1, 100000, 10]}})
            rev = followers[0].rev
            followers[0].wait(lambda f: f.rev > rev + 3, "changes")
            os.kill(r.worker("capture-0")["pid"], signal.SIGKILL)
            rev = followers[0].rev
            followers[0].wait(lambda f: f.rev > rev and f.state["status"] == "streaming"
                              and f.state["metadata"]["step"] == 0
                              and f.state["metadata"]["initial"] == {"n": 1}, "the page again", PATIENCE)
        assert post(r, f"/stream/{session}/input",
                    {"type": "command", "data": {"command": "mutate", "args": [9, 300, 10]}})[0] == 204
        for f in followers:
            f.wait(lambda f: f.state["metadata"]["step"] == 300 and f.state == state_of(r, session), "the end")
        assert followers[0].snapshots == 1, "no revision was lost"
        assert json.loads(post(r, "/stream", order, idempotency_key=key)[2])["streamId"] == session
        assert r.request("GET", f"/stream/{gone}")[0] == 410
        for f in followers:
            f.stop()


def test_sessions_outlive_everything(site):
    """Killed is all of it, at once: what was acknowledged is there again, and goes on."""
    with ringside(listen="127.0.0.1:0") as r:
        session = create(r, site, initialData={"n": 2})
        wait_page(r, session)
        ended = create(r, site)
        assert delete(r, ended) == 204
        with Events(r, f"/stream/{session}/sse") as events:
            events.until("state")
            last_id = events.last_id
        for pid in [r.process.pid, *r.worker_pids()]:
            os.kill(pid, signal.SIGKILL)
        r.wait_exit()
        r.start()
        with Events(r, f"/stream/{session}/sse", last_id=last_id) as events:
            assert events.until("state_patch")
        wait_for(lambda: (s := state_of(r, session))["status"] == "streaming"
                 and s["health"]["ready"] and s["metadata"]["initial"] == {"n": 2}, "the page", PATIENCE)
        assert r.request("GET", f"/stream/{ended}")[0] == 410
        assert delete(r, session) == 204


def test_followers_outlive_an_sse_worker(site):
    """Killed are the workers that carry the events: clients resume at another, nothing is missing."""
    with ringside(workers=2) as r:
        session = create(r, site)
        wait_page(r, session)
        followers = [Follower(r, session) for _ in range(4)]
        for f in followers:
            f.wait(lambda f: f.state, "a snapshot")
        post(r, f"/stream/{session}/input",
             {"type": "command", "data": {"command": "mutate", "args": [5, 3000, 6]}})
        os.kill(r.worker("sse-0")["pid"], signal.SIGKILL)
        for f in followers:
            f.wait(lambda f: f.state["metadata"].get("step") == 3000 and f.state == state_of(r, session),
                   "all changes", 60)
            assert f.snapshots == 1
            f.stop()


# ---- the words of the stream-kit web client ----

def test_web_client_aliases(r, site):
    """What createStreamClient() of stream-kit-web requests, as it requests it."""
    status, _, body = post(r, "/stream/session", {
        "renderUrl": f"{site}/session.html", "renderOptions": {"resolution": "320x180", "quality": "high",
                                                               "targetFps": 30}, "initialData": {"a": 1}})
    assert status == 201
    answer = json.loads(body)
    assert answer["status"] in ("initializing", "connecting") and isinstance(answer["iceServers"], list)
    session = answer["sessionId"]
    assert answer["signalingUrl"].startswith(r.url.replace("http", "ws") + f"/v1/signal/{session}?token=")
    wait_page(r, session)
    base = f"/stream/session/{session}"
    assert post(r, base + "/input", {"type": "interaction", "data": {
        "action": "click", "position": {"x": 5, "y": 6}}})[0] == 204
    assert post(r, base + "/input", {"type": "command", "data": {"command": "pause", "args": []}})[0] == 204
    status, _, _ = r.request("PATCH", base, json.dumps({"sceneData": {"level": 2}}).encode())
    assert status == 200
    wait_for(lambda: state_of(r, session)["metadata"].get("scene") == {"level": 2}, "the scene")
    assert r.request("DELETE", base)[0] == 204
    assert r.request("DELETE", f"/stream/session/{uuid.uuid4()}")[0] == 404


def test_a_session_that_is_followed_from_its_making_waits_for_the_answers_before_it(r, site):
    """Of one connection: what the first waits for takes longer than the making of a session."""
    session = create(r, site)
    wait_page(r, session)
    pids = r.worker_pids()
    body = json.dumps({"targetUrl": f"{site}/session.html", "renderOptions": {"resolution": "320x180"}}).encode()
    first = f"POST /stream/{session}/whep HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
    second = ("POST /stream HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n"
              f"Content-Length: {len(body)}\r\n\r\n")
    with r.connect(PATIENCE) as connection:
        connection.sendall(first.encode() + second.encode() + body)
        said = b""
        while b"event: state" not in said:
            piece = connection.recv(65536)
            assert piece, said
            said += piece
    assert said.startswith(b"HTTP/1.1 201") and said.count(b"HTTP/1.1 201") == 2 and b"application/sdp" in said
    assert r.worker_pids() == pids
    made = re.search(rb"location: /stream/([\w-]+)\r\n", said).group(1).decode()
    assert delete(r, made) in (200, 204) and delete(r, session) in (200, 204)
