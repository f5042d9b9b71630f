"""Who may do what, with real processes: tokens with rights of their own, rights that end or change in the middle of an
answer, what nobody may, and the spellings by which somebody might get around a right."""

import http.client
import json
import os
import threading
import time
from datetime import datetime, timezone

import pytest

from event_source import EventSource
from ringside import Ringside, wait_for
from session_client import Events
from test_sessions import site  # noqa: F401, a fixture

TEXT = {"content-type": "text/plain"}
JSON = {"content-type": "application/json"}


class Rows:
    """A Ringside whose tokens are rows of a file, and what may be done with it."""

    def __init__(self, tmp_path, rows, *flags, public="", **options):
        self.path = tmp_path / "rows"
        self.write(rows)
        self.ringside = Ringside("--dev=false", *flags, config=f"auth:\n  token_rows_file: {self.path}\n  public: '{public}'\n", **options)

    def write(self, rows):
        with open(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write("".join(row + "\n" for row in rows))

    def reload(self, rows):
        self.write(rows)
        return self.ringside.ctl("reload")[0]

    def ask(self, token, method, path, body=None, headers=None):
        return self.ringside.request(method, path, body, {**({"authorization": f"Bearer {token}"} if token else {}), **(headers or {})})

    def status(self, *arguments, **options):
        return self.ask(*arguments, **options)[0]

    def follow(self, token, query, **options):
        return EventSource(self.ringside, query, headers={"authorization": f"Bearer {token}"} if token else {}, **options)

    def __enter__(self):
        return self

    def __exit__(self, *what):
        return self.ringside.__exit__(*what)


def row(name, rights="", token=None, expires=None):
    return f"{name} token:{token or name + '-secret-token'} {rights}" + (f" expires={expires}" if expires else "")


def secret(name):
    return name + "-secret-token"


def rfc3339(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def names(source):
    """The streams that an EventSource was told it follows."""
    return {name for text in source.messages("streams") for name in (s["stream"] for s in json.loads(text))}


ROOT = row("root", "read=/** append=** create=** delete=** metrics=/metrics")


# ---- one right, one path ----

def test_a_token_does_what_its_row_says_and_nothing_else(tmp_path):
    rows = [ROOT, row("alice", "read=a/** append=a/log"), row("bob", "create=b/* delete=b/*"), row("game", "post=arena"),
            row("guest"), row("watch", "metrics=/metrics")]
    with Rows(tmp_path, rows, bridge=1) as r:
        for path in ("a/log", "a/b/c", "ab", "b/old"):
            assert r.status(secret("root"), "PUT", f"/v1/stream/{path}", b"x", TEXT) == 201
        for name, method, path, wanted in (
                ("alice", "GET", "a/log", 200), ("alice", "HEAD", "a/b/c", 200), ("alice", "GET", "ab", 403), ("alice", "GET", "b/old", 403),
                ("alice", "POST", "a/log", 204), ("alice", "POST", "a/b/c", 403), ("alice", "DELETE", "a/log", 403),
                ("alice", "PUT", "a/new", 403), ("bob", "PUT", "b/new", 201), ("bob", "GET", "b/new", 403), ("bob", "PUT", "b/c/d", 403),
                ("bob", "DELETE", "b/new", 204), ("guest", "GET", "a/log", 403), ("nobody", "GET", "a/log", 401), (None, "GET", "a/log", 401)):
            token = name and secret(name)
            status, headers, body = r.ask(token, method, f"/v1/stream/{path}", b"x" if method in ("PUT", "POST") else None, TEXT)
            assert status == wanted, (name, method, path, status, body)
            challenge = {401: 'error="invalid_token"' if name else "", 403: 'error="insufficient_scope"'}.get(status)
            if challenge is not None:
                assert headers["www-authenticate"].startswith('Bearer realm="ringside"') and challenge in headers["www-authenticate"]
                assert "error" in headers["www-authenticate"] or name is None
        wait_for(lambda: r.status(secret("game"), "GET", "/v1/source/arena") == 200, "the feed")
        assert r.status(secret("game"), "GET", "/v1/source/other") == 403
        assert r.status(secret("alice"), "GET", "/v1/source/arena") == 403
        assert r.status(secret("watch"), "GET", "/metrics") == 200 and r.status(secret("alice"), "GET", "/metrics") == 403
        # What nobody may at all says which setting is missing.
        for method, path, setting in (("GET", "/v1/outputs", b"auth.outputs_token"), ("POST", "/v1/ledger/accounts", b"auth.ledger_token"),
                                      ("GET", "/api/internal/bet-sync/state", b"bet_sync.token")):
            status, headers, body = r.ask(secret("alice"), method, path, b"{}" if method == "POST" else None, JSON)
            assert status == 503 and setting in body and "www-authenticate" not in headers, (path, status, body)
        for name in ("root", "alice", "bob", "game", "guest"):
            assert secret(name) not in r.ringside.log()


@pytest.mark.parametrize("path", [
    "/v1/stream/%73ecret/x", "/v1/stream/secret%2fx", "/v1/stream/open/../secret/x", "/v1/stream/./secret/x", "/v1/stream//secret/x",
    "/v1/stream/open%2F..%2Fsecret/x", "/v1/stream/secret/%78", "/v1/stream/%2573ecret/x", "/v1/stream/SECRET/x", "/v1/stream/secret/x?open=1",
    "/v1/stream/open%00/secret", "/v1/%73tream/secret/x", "/%761/stream/secret/x", "/v1/stream/secret/x#open", "/v1/stream/secret;open/x"])
def test_no_spelling_gets_around_a_right(spelled, path):
    status, _, body = spelled.ask(secret("carol"), "GET", path)
    assert status in (400, 403, 404) and b"hidden" not in body, (status, body)
    status, _, body = spelled.ask(secret("carol"), "POST", path, b"x", TEXT)
    assert status in (400, 403, 404, 405), (status, body)
    assert b"hidden" in spelled.ask(secret("root"), "GET", "/v1/stream/secret/x")[2]


@pytest.fixture(scope="module")
def spelled(tmp_path_factory):
    with Rows(tmp_path_factory.mktemp("rights"), [ROOT, row("carol", "read=open/** append=open/** create=open/**")]) as r:
        assert r.status(secret("root"), "PUT", "/v1/stream/secret/x", b"hidden", TEXT) == 201
        assert r.status(secret("root"), "PUT", "/v1/stream/open/%c3%a9", b"shown", TEXT) == 201
        yield r


@pytest.mark.parametrize("path", ["/v1/stream/open/%C3%A9", "/v1/stream/open/%c3%a9", "/v1/stream/%6fpen/%C3%a9"])
def test_every_spelling_of_what_one_may_read_is_read(spelled, path):
    assert spelled.ask(secret("carol"), "GET", path)[2] == b"shown"


def test_a_fork_needs_its_source(spelled):
    for source in ("/v1/stream/secret/x", "/v1/stream/%73ecret/x"):
        status, headers, body = spelled.ask(secret("carol"), "PUT", "/v1/stream/open/fork", None, {**TEXT, "stream-forked-from": source})
        assert status == 403 and 'error="insufficient_scope"' in headers["www-authenticate"], body
    assert spelled.status(secret("root"), "PUT", "/v1/stream/open/fork", None, {**TEXT, "stream-forked-from": "/v1/stream/secret/x"}) == 201


def test_a_producer_that_may_not_is_told_401(spelled):
    producer = {**TEXT, "producer-id": "p", "producer-epoch": "0", "producer-seq": "0"}
    status, headers, _ = spelled.ask(secret("carol"), "POST", "/v1/stream/secret/x", b"x", producer)
    assert status == 401 and 'error="insufficient_scope"' in headers["www-authenticate"]


# ---- patterns ----

def test_patterns_take_in_only_what_may_be_read_now_and_later(tmp_path):
    with Rows(tmp_path, [ROOT, row("dora", "read=x/*/open,y")]) as r:
        for path in ("x/1/open", "x/1/shut", "y", "z"):
            assert r.status(secret("root"), "PUT", f"/v1/stream/{path}", b"", TEXT) == 201
        source, everything = r.follow(secret("dora"), "stream=**"), r.follow(secret("root"), "stream=**")
        wait_for(lambda: names(source), "what is there")
        assert names(source) == {"x/1/open", "y"}
        wait_for(lambda: len(names(everything)) >= 4, "all of it")
        for path in ("x/2/shut", "w", "x/2/open"):
            assert r.status(secret("root"), "PUT", f"/v1/stream/{path}", b"", TEXT) == 201
        wait_for(lambda: "x/2/open" in names(source), "what came later")
        for path in ("x/1/shut", "z", "w", "x/2/shut", "x/1/open", "x/2/open", "y"):
            assert r.status(secret("root"), "POST", f"/v1/stream/{path}", path.encode(), TEXT) == 204
        wait_for(lambda: len(source.messages()) >= 3, "messages")
        wait_for(lambda: len(everything.messages()) >= 7, "all messages")
        assert sorted(source.messages()) == ["x/1/open", "x/2/open", "y"]
        assert names(source) == {"x/1/open", "x/2/open", "y"}
        # What is named must be allowed, and nobody is told whether it is there.
        for path in ("z", "nothing", "%7a"):
            assert r.status(secret("dora"), "GET", f"/v1/events?stream={path}") == 403
        assert r.status(secret("dora"), "GET", "/v1/events?stream=y&stream=z") == 403
        # With more rights the patterns take in more.
        r.reload([ROOT, row("dora", "read=x/**,y")])
        wait_for(lambda: "x/2/shut" in names(source), "what may be read by now")
        assert "z" not in names(source) and source.over is None
        source.stop()
        everything.stop()


def test_a_subscription_reaches_what_its_maker_may(tmp_path):
    rights = "read=s/**,__ds/subscriptions/*,/v1/markets/** append=s/wake,__ds/subscriptions/* create=__ds/subscriptions/mine* delete=__ds/subscriptions/mine*"
    with Rows(tmp_path, [ROOT, row("erin", rights)], bridge=1) as r:
        for path in ("s/a", "t"):
            assert r.status(secret("root"), "PUT", f"/v1/stream/{path}", b"", TEXT) == 201

        def put(name, **body):
            return r.ask(secret("erin"), "PUT", f"/v1/stream/__ds/subscriptions/{name}", json.dumps({"type": "pull-wake", **body}).encode(), JSON)
        assert put("mine", pattern="s/*", wake_stream="s/wake")[0] == 201
        assert put("mine2", streams=["s/a", "/v1/stream/s/b"], wake_stream="s/wake")[0] == 201
        for body in ({"pattern": "**", "wake_stream": "s/wake"}, {"pattern": "t", "wake_stream": "s/wake"}, {"pattern": "*/a", "wake_stream": "s/wake"},
                     {"streams": ["s/a", "t"], "wake_stream": "s/wake"}, {"streams": ["%74"], "wake_stream": "s/wake"},
                     {"pattern": "s/*", "wake_stream": "t"}, {"pattern": "/v1/stream//v1/markets/*", "wake_stream": "s/wake"}):
            status, headers, answer = put("mine3", **body)
            assert status == 403 and json.loads(answer)["error"]["code"] == "FORBIDDEN", (body, status, answer)
            assert 'error="insufficient_scope"' in headers["www-authenticate"]
        assert put("other", pattern="s/*", wake_stream="s/wake")[0] == 403
        at = "/v1/stream/__ds/subscriptions/mine"
        assert r.status(secret("erin"), "POST", at + "/streams", json.dumps({"streams": ["t"]}).encode(), JSON) == 403
        assert r.status(secret("erin"), "POST", at + "/streams", json.dumps({"streams": ["s/c"]}).encode(), JSON) in (200, 204)
        assert r.status(secret("erin"), "GET", at) == 200 and r.status(secret("erin"), "DELETE", at) == 204


# ---- in the middle of an answer ----

def answers(r, token, path, headers=None):
    """An answer that lasts, as (connection, answer)."""
    connection = http.client.HTTPConnection(*r.ringside.address(), timeout=30)
    connection.request("GET", path, headers={"authorization": f"Bearer {token}", **(headers or {})})
    return connection.getresponse()


def begin_all(r, name):
    """Every kind of answer that lasts, by name; and what its end is."""
    source = r.follow(secret(name), "stream=a&stream=p/*")
    stream = answers(r, secret(name), "/v1/stream/a?offset=-1&live=sse")
    poll = {}

    def wait():
        poll["answer"] = r.ask(secret(name), "GET", "/v1/stream/a?offset=now&live=long-poll")
    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_for(lambda: source.messages("streams"), "the streams")
    assert stream.status == 200 and stream.readline()
    return source, stream, waiting, poll


def assert_all_end(r, source, stream, waiting, poll):
    wait_for(lambda: source.over, "the EventSource's end")
    assert source.over[0] == 401 and source.messages("expired") == ["{}"] and source.connects == 1
    stream.read()  # to its end
    waiting.join(30)
    assert not waiting.is_alive()


def test_a_token_that_is_revoked_takes_its_answers_with_it_and_no_others(tmp_path):
    rows = [ROOT, row("frank", "read=a,p/**"), row("grace", "read=a,p/**")]
    with Rows(tmp_path, rows, "--http-long-poll-timeout=25s") as r:
        assert r.status(secret("root"), "PUT", "/v1/stream/a", b"first", TEXT) == 201
        generation = r.ringside.worker("sse-0")["generation"]
        frank, grace = begin_all(r, "frank"), begin_all(r, "grace")
        r.reload([ROOT, row("grace", "read=a,p/**")])
        assert_all_end(r, *frank)
        assert frank[3]["answer"][0] == 401
        assert r.status(secret("frank"), "GET", "/v1/stream/a") == 401
        # Nobody else notices, and no worker was restarted.
        assert grace[0].over is None and grace[0].connects == 1 and not grace[0].messages("expired")
        assert r.status(secret("root"), "POST", "/v1/stream/a", b"second", TEXT) == 204
        wait_for(lambda: "second" in grace[0].messages(), "what comes after")
        grace[2].join(30)
        assert grace[3]["answer"][0] == 200 and grace[3]["answer"][2] == b"second"
        assert r.ringside.worker("sse-0")["generation"] == generation
        # Less is like nothing, where it is what was followed.
        r.reload([ROOT, row("grace", "read=b")])
        wait_for(lambda: grace[0].over, "the end")
        assert grace[0].over[0] == 403 and grace[0].messages("expired")
        grace[0].stop()
        grace[1].close()


def test_a_token_that_ends_takes_its_answers_with_it(tmp_path):
    ends = int(time.time()) + 5
    with Rows(tmp_path, [ROOT, row("heidi", "read=a,p/**", expires=rfc3339(ends))]) as r:
        assert r.status(secret("root"), "PUT", "/v1/stream/a", b"first", TEXT) == 201
        heidi = begin_all(r, "heidi")
        assert_all_end(r, *heidi)
        assert time.time() >= ends
        assert heidi[3]["answer"][0] in (204, 401)
        status, headers, body = r.ask(secret("heidi"), "GET", "/v1/stream/a")
        assert status == 401 and b"expired" in body and 'error="invalid_token"' in headers["www-authenticate"]


def test_many_readers_end_without_holding_up_others(tmp_path):
    """A thousand of one token; another's request is answered meanwhile, and its reader stays."""
    with Rows(tmp_path, [ROOT, row("ivan", "read=a"), row("judy", "read=a")]) as r:
        assert r.status(secret("root"), "PUT", "/v1/stream/a", b"first", TEXT) == 201
        judy = r.follow(secret("judy"), "stream=a")
        many = []
        for _ in range(1000):
            many.append(r.ringside.connect(30))
            many[-1].sendall(b"GET /v1/events?stream=a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + secret("ivan").encode() + b"\r\n\r\n")
        for s in many:
            assert s.recv(65536).startswith(b"HTTP/1.1 200")
        wait_for(lambda: judy.messages("streams"), "the streams")
        r.reload([ROOT, row("judy", "read=a")])
        assert r.status(secret("judy"), "GET", "/v1/stream/a") == 200
        for s in many:
            tail = b""
            while b"0\r\n\r\n" not in tail:
                data = s.recv(65536)
                assert data, "cut, not ended"
                tail += data
            assert b"event: expired" in tail
            s.close()
        assert judy.over is None and judy.connects == 1
        judy.stop()


# ---- without a token ----

def test_what_is_public_needs_no_token(tmp_path):
    with Rows(tmp_path, [ROOT], public="read=open/**,/v1/markets", bridge=1) as r:
        for path in ("open/a", "shut"):
            assert r.status(secret("root"), "PUT", f"/v1/stream/{path}", b"x", TEXT) == 201
        assert r.status(None, "GET", "/v1/stream/open/a") == 200 and r.status(None, "GET", "/v1/stream/shut") == 401
        assert r.status(None, "POST", "/v1/stream/open/a", b"x", TEXT) == 401
        wait_for(lambda: r.status(None, "GET", "/v1/markets") == 200, "the bridge")
        # Whoever shows something is who that says, or nobody: never the public.
        assert r.status("nobodys-token", "GET", "/v1/stream/open/a") == 401
        anonymous = r.follow(None, "stream=**")
        wait_for(lambda: names(anonymous), "the streams")
        assert names(anonymous) == {"open/a"}
        r.ringside.write_config(f"auth:\n  token_rows_file: {r.path}\n  public: ''\n")
        r.ringside.ctl("reload")
        wait_for(lambda: anonymous.over, "the end")
        assert anonymous.over[0] == 401 and anonymous.messages("expired")


# ---- whose it is ----

def test_accounts_stay_their_owners_when_a_secret_becomes_a_token_with_a_name(tmp_path):
    with Rows(tmp_path, [ROOT, row("house", "operate=/v1/ledger/**")], bridge=1) as r:
        wait_for(lambda: r.status(secret("house"), "GET", "/v1/ledger/sums") == 200, "the bridge")
        status, _, body = r.ask(secret("house"), "POST", "/v1/ledger/accounts", b"{}", JSON)
        account = json.loads(body)
        at = f"/v1/ledger/accounts/{account['accountId'] if 'accountId' in account else account['id']}"
        assert status == 201 and r.status(account["secret"], "GET", at) == 200
        assert r.status("another-token", "GET", at) == 403 and r.status(None, "GET", at) == 401
        r.reload([ROOT, row("house", "operate=/v1/ledger/**"), row("kate", "read=k", token=account["secret"]), row("kate", "read=l", token="kates-second")])
        wait_for(lambda: r.status(account["secret"], "GET", "/v1/stream/k") == 404, "the name")
        assert r.status(account["secret"], "GET", at) == 200
        assert r.status("kates-second", "GET", at) == 200, "two tokens of one name are one subject"
        assert r.status("another-token", "GET", at) == 403
        assert r.status(secret("root"), "GET", at) == 403


def test_an_account_of_ones_own_is_one_and_has_no_secret(tmp_path):
    rows = [ROOT, row("house", "operate=/v1/ledger/**"), row("sam", "bet=accounts"), row("sam", "bet=**", token="sams-second"), row("tess", "bet=x")]
    with Rows(tmp_path, rows, bridge=1) as r:
        at = "/v1/ledger/accounts"
        wait_for(lambda: r.status(secret("house"), "GET", "/v1/ledger/sums") == 200, "the bridge")
        status, _, body = r.ask(secret("sam"), "POST", at, b'{"name": "Sam"}', JSON)
        account = json.loads(body)
        assert status == 201 and "secret" not in account and "owner" not in account
        for token in (secret("sam"), "sams-second"):
            status, _, body = r.ask(token, "POST", at, b"{}", JSON)
            assert status == 200 and json.loads(body)["id"] == account["id"]
            assert r.status(token, "GET", f"{at}/{account['id']}") == 200
        assert r.status(secret("sam"), "POST", at, b'{"grant": 5}', JSON) == 422
        assert r.status(secret("tess"), "POST", at, b"{}", JSON) == 403 and r.status(None, "POST", at, b"{}", JSON) == 401
        assert r.status("nobodys-token", "POST", at, b"{}", JSON) in (401, 403)
        assert r.status(secret("tess"), "GET", f"{at}/{account['id']}") == 403 and r.status(secret("sam"), "GET", "/v1/ledger/sums") == 403
        status, _, body = r.ask(secret("house"), "POST", at, b'{"grant": 5}', JSON)
        assert status == 201 and json.loads(body)["secret"]
        assert json.loads(r.ask(secret("house"), "GET", "/v1/ledger/sums")[2])["balanced"]


def test_a_guest_has_the_secret_of_his_account(tmp_path):
    """Where auth.public lets anybody bet: whoever has no name gets a secret, and what the house grants by itself."""
    with Rows(tmp_path, [ROOT], "--auth-public=bet=accounts", "--ledger-grant=700", bridge=1) as r:
        at = "/v1/ledger/accounts"
        wait_for(lambda: r.status(None, "GET", f"{at}/none") in (401, 404), "the bridge")
        made = [json.loads(r.ask(None, "POST", at, b'{"name": "Guest"}', JSON)[2]) for _ in range(2)]
        assert made[0]["id"] != made[1]["id"] and made[0]["balance"] == 700
        assert r.status(made[0]["secret"], "GET", f"{at}/{made[0]['id']}") == 200
        assert r.status(made[1]["secret"], "GET", f"{at}/{made[0]['id']}") in (401, 403)
        assert r.status(None, "GET", f"{at}/{made[0]['id']}") == 401
        assert r.status(None, "POST", at, b'{"grant": 5}', JSON) == 422


# ---- the betting services' frames ----

def test_frames_are_a_right_of_their_own(tmp_path):
    rows = [ROOT, row("bets", "frames=arena"), row("others", "frames=elsewhere")]
    with Rows(tmp_path, rows, bridge=1) as r:
        state = "/api/internal/bet-sync/state"
        wait_for(lambda: r.status(secret("bets"), "GET", state) == 200, "the feed")
        for token in (secret("others"), secret("root"), "nobodys-token", None):
            status, headers, body = r.ask(token, "GET", state)
            assert status == 401 and json.loads(body)["error"] == "Unauthorized", (token, status)
            assert headers["www-authenticate"] == 'Bearer realm="bet-sync"'
        assert r.status(secret("bets"), "GET", "/v1/stream/feeds/arena/frames") == 403
        assert r.status(secret("bets"), "GET", "/v1/feeds/arena") == 403
        source = r.follow(secret("bets"), "feed=arena", path="/api/internal/bet-sync/events")
        wait_for(lambda: source.messages("betting"), "a frame")
        r.reload([ROOT, row("bets", "frames=elsewhere")])
        wait_for(lambda: source.over, "the end")
        assert source.over[0] == 401 and json.loads(source.messages("bye")[0])["reason"] == "token_or_lifetime_over"


# ---- sessions: whose they are, and who may look ----

SESSIONS = ["--capture-workers=1", "--capture-allow-private=*", "--capture-sessions=8"]


def order(r, token, site, **headers):
    body = json.dumps({"targetUrl": f"{site}/session.html", "renderOptions": {"resolution": "320x180"}}).encode()
    headers = {name.replace("_", "-"): text for name, text in headers.items()}
    status, _, answer = r.ask(token, "POST", "/stream", body, {**JSON, **headers})
    return status, json.loads(answer)["streamId"] if status == 201 else answer


def test_to_look_is_a_right_of_its_own(tmp_path, site):
    rows = [ROOT, row("liam", "render=**"), row("mia", "render=**"), row("noah", "view=**"), row("olga", "view=none"), row("quinn", "view=**")]
    with Rows(tmp_path, rows, *SESSIONS) as r:
        status, session = order(r, secret("liam"), site)
        assert status == 201
        at = f"/stream/{session}"
        assert order(r, secret("noah"), site)[0] == 403
        wait_for(lambda: r.status(secret("noah"), "GET", at + "/frame.jpg") == 200, "a picture", 60)
        assert r.ask(secret("noah"), "GET", at + "/frame.jpg")[2][:2] == b"\xff\xd8"
        assert r.ask(secret("noah"), "GET", f"/stream/session/{session}/frame.jpg")[2][:2] == b"\xff\xd8"
        pictures = answers(r, secret("noah"), at + "/mjpeg")
        assert pictures.status == 200 and b"--frame" in pictures.readline()
        # He negotiates his own viewing, and nobody else does.
        status, headers, _ = wait_for(lambda: (a := r.ask(secret("noah"), "POST", at + "/whep"))[0] != 409 and a, "the page's offer", 60)
        assert status == 201
        viewer = headers["location"]
        assert r.status(secret("quinn"), "DELETE", viewer) == 404 and r.status(secret("mia"), "DELETE", viewer) == 404
        assert r.status(secret("noah"), "PATCH", viewer, b"nonsense", {"content-type": "application/sdp"}) in (400, 409)
        assert r.status(secret("noah"), "DELETE", viewer) == 200
        for method, rest in (("GET", ""), ("HEAD", ""), ("GET", "/sse"), ("DELETE", ""), ("PATCH", ""), ("POST", "/input"), ("POST", "/signal"),
                             ("POST", "/whep2"), ("GET", "/whep/../sse")):
            status, headers, body = r.ask(secret("noah"), method, at + rest, b"{}" if method in ("POST", "PATCH") else None, JSON)
            assert status == 403 or (status == 404 and ".." in rest), (method, rest, status, body)
        # Whoever may order has his own; who may look elsewhere may not look here.
        for rest in ("", "/sse", "/frame.jpg", "/whep"):
            assert r.status(secret("mia"), "GET", at + rest) == 404
        assert r.status(secret("olga"), "GET", at + "/frame.jpg") == 403 and r.status(None, "GET", at + "/frame.jpg") == 401
        # Revoked, it ends; the session does not.
        r.reload([row_ for row_ in rows if not row_.startswith("noah")])
        with pytest.raises(http.client.IncompleteRead):  # cut: it would have gone on
            pictures.read()
        assert r.status(secret("noah"), "GET", at + "/frame.jpg") == 401
        assert r.status(secret("liam"), "GET", at) == 200 and r.status(secret("liam"), "DELETE", at) in (200, 204)


def test_sessions_stay_their_owners_when_a_token_gets_a_name(tmp_path, site):
    """They were ordered with a token of auth.session_tokens, which is a row by now."""
    flags = [*SESSIONS, "--sessions-per-principal=2"]
    with Rows(tmp_path, [ROOT], *flags, environment={"RINGSIDE_AUTH_SESSION_TOKENS": "old-session-token"}) as r:
        status, session = order(r, "old-session-token", site, idempotency_key="one")
        assert status == 201
        for named in (False, True):
            if named:
                r.reload([ROOT, row("peter", "render=**", token="old-session-token"), row("peter", "render=**", token="peters-second"),
                          row("rose", "render=**")])
            for token in ["old-session-token"] + (["peters-second"] if named else []):
                assert r.status(token, "GET", f"/stream/{session}") == 200, token
                assert order(r, token, site, idempotency_key="one") == (201, session), token
                events = Events(r.ringside, f"/stream/{session}/sse", headers={"authorization": f"Bearer {token}"})
                assert events.status == 200 and events.until("state")
                events.close()
        assert r.status(secret("rose"), "GET", f"/stream/{session}") == 404
        # Those that were there count: two are his.
        assert order(r, "peters-second", site)[0] == 201
        assert order(r, "old-session-token", site)[0] == 429
        assert r.status("peters-second", "DELETE", f"/stream/{session}") in (200, 204)
