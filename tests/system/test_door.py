"""The door for browsers: who may come in from which page, with a cookie or a ticket, and how often."""

import json

import pytest

from ringside import Ringside, wait_for

FRIENDS = "https://app.example,HTTPS://Admin.example:8443"


def cors(headers):
    return {name.lower(): value for name, value in headers.items() if name.lower().startswith("access-control-")}


# ---- pages of other origins ----

@pytest.fixture(scope="module")
def listed():
    with Ringside("--dev=false", "--auth-publish-tokens=pub", f"--http-allowed-origin={FRIENDS}", bridge=1) as r:
        assert r.request("PUT", "/v1/stream/a", b"x", {"authorization": "Bearer pub", "content-type": "text/plain"})[0] == 201
        yield r


@pytest.mark.parametrize("origin, told", [
    ("https://app.example", "https://app.example"), ("https://admin.example:8443", "https://admin.example:8443"),
    ("https://app.example:443", "https://app.example"), ("http://app.example", None), ("https://app.example:8443", None),
    ("https://evil.example", None), ("https://app.example.evil.example", None), ("null", None), (None, None), ("", None)])
def test_listed_origins_are_echoed_and_others_are_told_nothing(listed, origin, told):
    sent = {"authorization": "Bearer pub", **({"origin": origin} if origin is not None else {})}
    for method, path, status in (("GET", "/v1/stream/a?offset=-1", 200), ("HEAD", "/v1/stream/a", 200), ("POST", "/v1/stream/no", 404),
                                 ("GET", "/metrics", 200), ("GET", "/nothing/here", 404), ("GET", "/v1/markets", 200),
                                 ("DELETE", "/metrics", 405), ("OPTIONS", "/v1/stream/a", 204)):
        got, headers, _ = listed.request(method, path, b"x" if method == "POST" else None,
                                         {**sent, **({"content-type": "text/plain"} if method == "POST" else {})})
        assert got == status, (method, path, got)
        assert headers["vary"] == "origin" and headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        if method == "OPTIONS" and origin is None:  # what anybody may know
            assert "access-control-allow-origin" not in headers and "authorization" in headers["access-control-allow-headers"]
        elif told is None:
            assert cors(headers) == {}, (method, path)
        else:
            assert headers["access-control-allow-origin"] == told and headers["access-control-allow-credentials"] == "true"


def test_a_star_never_goes_with_credentials():
    with Ringside("--dev=false", "--auth-publish-tokens=pub") as r:
        for origin in ("https://a.example", "null", None):
            for method, path in (("GET", "/healthz"), ("OPTIONS", "/v1/stream/a"), ("GET", "/v1/stream/a")):
                _, headers, _ = r.request(method, path, headers={"origin": origin} if origin else {})
                assert headers["access-control-allow-origin"] == "*"
                assert "access-control-allow-credentials" not in headers


@pytest.mark.parametrize("value, reason", [
    ("https://a.example, https://b.example", "origins with commas between"), ("*,https://a.example", "alone"),
    ("https://a.example/", "origins with commas"), ("a.example", "origins with commas"), ("https://*.example", "origins with commas")])
def test_what_is_no_list_of_origins_prevents_the_start(value, reason):
    r = Ringside(config=f"http: {{allowed_origin: '{value}'}}\n", start=False)
    r.spawn()
    assert r.wait_exit() != 0 and reason in r.log()


def test_a_list_in_the_file_is_one():
    with Ringside(config="http:\n  allowed_origin: [https://a.example, http://b.example:81]\n") as r:
        for origin in ("https://a.example", "http://b.example:81"):
            assert r.request("GET", "/healthz", headers={"origin": origin})[1]["access-control-allow-origin"] == origin


# ---- cookies and tickets ----

TOKENS = {"RINGSIDE_AUTH_PUBLISH_TOKENS": "publisher-0123456789", "RINGSIDE_AUTH_SUBSCRIBE_TOKENS": "subscriber-0123456789"}
PUB, SUB = ({"authorization": f"Bearer {token}"} for token in TOKENS.values())
TEXT = {"content-type": "text/plain"}


def closed(*flags, **options):
    """One that is not for development: nobody may anything without a token."""
    return Ringside("--dev=false", *flags, environment=TOKENS, **options)


def login(r, token=SUB):
    """The Cookie header that a browser would send from now on, and the Set-Cookie it came by."""
    status, headers, _ = r.request("POST", "/v1/login", b"", token)
    assert status == 204 and headers["cache-control"] == "no-store", status
    return {"cookie": headers["set-cookie"].partition(";")[0]}, headers["set-cookie"]


def ticket(r, token=SUB, **order):
    status, headers, body = r.request("POST", "/v1/tickets", json.dumps(order).encode(), token)
    assert status == 201 and headers["cache-control"] == "no-store", (status, body)
    return json.loads(body)["ticket"]


def own(r):
    return {"origin": r.url.rstrip("/")}


@pytest.fixture(scope="module")
def door():
    with closed(f"--http-allowed-origin={FRIENDS}", workers=2, bridge=1) as r:
        for name in ("a", "b", "deep/c"):
            assert r.request("PUT", f"/v1/stream/{name}", b"hello", {**PUB, **TEXT})[0] == 201
        yield r


def test_a_cookie_is_as_good_as_its_token(door):
    cookie, line = login(door)
    name, _, rest = line.partition("=")
    assert name == "__Host-ringside" and rest.partition("; ")[2] == "Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=2592000"
    for _ in range(8):  # by any worker
        assert door.request("GET", "/v1/stream/a?offset=-1", headers=cookie)[2] == b"hello"
    assert door.request("GET", "/v1/stream/a", headers={"cookie": "x=y; " + cookie["cookie"] + "; z=1"})[0] == 200
    assert door.request("GET", "/v1/stream/a")[0] == 401
    assert door.request("GET", "/metrics", headers=cookie)[0] == 200
    assert door.request("POST", "/v1/stream/a", b"x", {**cookie, **TEXT, **own(door)})[0] == 403  # a reader's
    writer, _ = login(door, PUB)
    assert door.request("POST", "/v1/stream/b", b"x", {**writer, **TEXT, **own(door)})[0] == 204


@pytest.mark.parametrize("token, status", [
    ({}, 401), ({"authorization": "Bearer nobody"}, 401), ({"authorization": "Basic YTpi"}, 401), ({"authorization": "Bearer"}, 401)])
def test_only_a_token_logs_in(door, token, status):
    got, headers, _ = door.request("POST", "/v1/login", b"", token)
    assert got == status and "set-cookie" not in headers and headers["www-authenticate"].startswith("Bearer ")
    cookie, _ = login(door)
    assert door.request("POST", "/v1/login", b"", {**cookie, **own(door)})[0] == 401
    assert door.request("GET", "/v1/login", headers=SUB)[0] == 405


@pytest.mark.parametrize("origin, welcome", [
    ("own", True), ("https://app.example", True), ("https://admin.example:8443", True), ("https://evil.example", False),
    ("null", False), (None, False), ("", False), ("https://app.example.evil.example", False)])
def test_a_cookie_acts_for_known_pages_only(door, origin, welcome):
    """A form, a fetch without CORS and a WebSocket of any page bring the cookie along, and say whose page it is."""
    cookie, _ = login(door, PUB)
    page = own(door) if origin == "own" else {"origin": origin} if origin is not None else {}
    upgrade = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
               "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    for method, path, body, more, good in (
            ("PUT", "/v1/stream/made", b"", TEXT, (200, 201)), ("POST", "/v1/stream/a", b"x", {"content-type": "text/plain"}, (204,)),
            ("POST", "/v1/stream/a", b"x=y", {"content-type": "application/x-www-form-urlencoded"}, (409,)),
            ("POST", "/v1/tickets", b'{"read":["a"]}', {"content-type": "text/plain"}, (201,)),
            ("DELETE", "/v1/stream/made", None, {}, (204,)), ("POST", "/v1/logout", b"", {}, (204,)),
            ("GET", "/v1/signal/00000000-0000-4000-8000-000000000000?token=x", None, upgrade, (404,))):
        got, _, text = door.request(method, path, body, {**cookie, **page, **more})
        assert got in (good if welcome else (403,)), (method, path, got, text)
        assert welcome or b"http.allowed_origin" in text
    assert door.request("GET", "/v1/stream/a", headers={**cookie, **page})[0] == 200
    # Whoever can send a Bearer needs no cookie, and it is what counts.
    assert door.request("POST", "/v1/stream/a", b"x", {**cookie, **page, **PUB, **TEXT})[0] == 204
    assert door.request("POST", "/v1/stream/a", b"x", {**cookie, **own(door), **SUB, **TEXT})[0] == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_no_foreign_page_logs_its_visitor_in_or_out(door, origin):
    for path, token in (("/v1/login", PUB), ("/v1/logout", {})):
        status, headers, _ = door.request("POST", path, b"", {**token, "origin": origin, "content-type": "text/plain"})
        assert status == 403 and "set-cookie" not in headers


def changed(text, at):
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1:]


def test_a_bad_cookie_is_refused_and_taken_away(door):
    value = login(door)[0]["cookie"].partition("=")[2]
    one = ticket(door, read=["a"])
    for bad in ("", "x", value[:-1], changed(value, 4), changed(value, 60), changed(value, len(value) - 2), "rsc_" + value[4:8], one,
                "rsc_" + one[4:]):
        status, headers, _ = door.request("GET", "/v1/stream/a", headers={"cookie": f"__Host-ringside={bad}"})
        assert status == 401 and 'error="invalid_token"' in headers["www-authenticate"], bad
        assert headers["set-cookie"] == "__Host-ringside=; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=0"
        assert door.request("GET", "/healthz", headers={"cookie": f"__Host-ringside={bad}"})[0] == 200  # asks nobody
        status, headers, _ = door.request("POST", "/v1/logout", b"", {"cookie": f"__Host-ringside={bad}", **own(door)})
        assert status == 204 and "Max-Age=0" in headers["set-cookie"]
        assert door.request("GET", "/v1/stream/a", headers={"cookie": f"__Host-ringside={bad}", **SUB})[0] == 200  # Bearer wins
    assert door.request("GET", "/v1/stream/a", headers={"cookie": f"ringside={value}"})[0] == 401  # its name is another
    assert "set-cookie" not in door.request("GET", "/v1/stream/a")[1]


def test_a_ticket_reads_what_it_is_for(door):
    one = ticket(door, read=["a", "deep/**"])
    for path, status in (("/v1/stream/a?offset=-1&", 200), ("/v1/stream/a?", 200), ("/v1/stream/deep/c?", 200), ("/v1/stream/b?", 403),
                         ("/v1/stream/%61?", 200), ("/metrics?", 403), ("/v1/markets?", 403)):
        for method in ("GET", "HEAD"):
            assert door.request(method, f"{path}ticket={one}")[0] == status, (method, path)
    for method, body in (("POST", b"x"), ("PUT", b""), ("DELETE", None)):  # it is none there: nobody asks
        assert door.request(method, f"/v1/stream/a?ticket={one}", body, TEXT)[0] == 401
    assert door.request("POST", f"/v1/login?ticket={one}", b"")[0] == 401
    for bad in ("", "x", one[:-1], changed(one, 30), login(door)[0]["cookie"].partition("=")[2]):
        status, headers, _ = door.request("GET", f"/v1/stream/a?ticket={bad}")
        assert status == 401 and "set-cookie" not in headers
    assert door.request("GET", f"/v1/stream/b?ticket={one}", headers=SUB)[0] == 200  # Bearer wins


@pytest.mark.parametrize("order, status", [
    ({}, 400), ({"read": []}, 400), ([], 400), ({"read": "a"}, 400), ({"read": [1]}, 400), ({"read": ["a"], "append": ["a"]}, 400),
    ({"read": ["a"], "expiresIn": 0}, 400), ({"read": ["a"], "expiresIn": -1}, 400), ({"read": ["a"], "expiresIn": 3601}, 400),
    ({"read": ["a"], "expiresIn": "60"}, 400), ({"read": ["a"], "expiresIn": 1e3}, 400), ({"read": ["%2A"]}, 400),
    ({"read": ["/metrics"]}, 201), ({"read": ["a"], "expiresIn": 3600}, 201), ({"view": ["/v1/hls/**"]}, 201), ({"view": ["/stream/x"]}, 403),
    ({"read": ["a"] * 300}, 201), ({"read": [f"s{i}" for i in range(300)]}, 400), ({"read": ["a" * 4000]}, 400)])
def test_what_a_ticket_may_be(door, order, status):
    got, _, body = door.request("POST", "/v1/tickets", json.dumps(order).encode(), SUB)
    assert got == status, body


def test_a_ticket_takes_a_token(door):
    for token in ({}, {"authorization": "Bearer nobody"}, {"cookie": "__Host-ringside=x", **own(door)}):
        assert door.request("POST", "/v1/tickets", b'{"read":["a"]}', token)[0] == 401
    one = ticket(door, {**login(door)[0], **own(door)}, read=["a"])  # by cookie
    assert door.request("GET", f"/v1/stream/a?ticket={one}")[0] == 200


def test_passes_outlive_a_restart_and_end_with_their_token():
    with closed(workers=2) as r:
        assert r.request("PUT", "/v1/stream/a", b"hello", {**PUB, **TEXT})[0] == 201
        cookie, one = login(r)[0], ticket(r, read=["a"])
        r.stop()
        r.start()
        for _ in range(8):
            assert r.request("GET", "/v1/stream/a", headers=cookie)[0] == 200
            assert r.request("GET", f"/v1/stream/a?ticket={one}")[0] == 200
        r.stop()
        r.environment["RINGSIDE_AUTH_SUBSCRIBE_TOKENS"] = "another-0123456789"
        r.start()
        status, headers, _ = r.request("GET", "/v1/stream/a", headers=cookie)
        assert status == 401 and "Max-Age=0" in headers["set-cookie"]
        assert r.request("GET", f"/v1/stream/a?ticket={one}")[0] == 401


def test_passes_of_another_store_are_none():
    with closed() as r, closed() as other:
        assert r.request("GET", "/v1/me", headers=login(other)[0])[0] == 401
        assert r.request("GET", "/v1/me", headers=login(r)[0])[0] == 200


def test_they_end_when_they_say():
    with closed("--auth-cookie-max=2s", "--auth-ticket-max=2s") as r:
        assert r.request("PUT", "/v1/stream/a", b"hello", {**PUB, **TEXT})[0] == 201
        cookie, line = login(r)
        assert line.endswith("; Max-Age=2")
        one = ticket(r, read=["a"])
        assert r.request("GET", "/v1/stream/a", headers=cookie)[0] == r.request("GET", f"/v1/stream/a?ticket={one}")[0] == 200
        wait_for(lambda: r.request("GET", "/v1/stream/a", headers=cookie)[0] == 401, "the cookie's end")
        wait_for(lambda: r.request("GET", f"/v1/stream/a?ticket={one}")[0] == 401, "the ticket's end")
        status, _, body = r.request("GET", f"/v1/stream/a?ticket={one}")
        assert b"expired" in body


def test_who_am_i(door):
    def me(headers=None, query=""):
        status, answer, body = door.request("GET", f"/v1/me{query}", headers=headers or {})
        assert status == 200 and answer["cache-control"] == "no-store", body
        return json.loads(body)
    assert me() == {"subject": "", "kind": "anonymous", "rights": {}, "expiresAt": None}
    token = me(SUB)
    assert token["kind"] == "token" and "read" in token["rights"] and "append" not in token["rights"]
    cookie = me(login(door)[0])
    assert cookie["kind"] == "cookie" and cookie["rights"] == token["rights"] and cookie["expiresAt"].endswith("Z")
    mine = me(query="?ticket=" + ticket(door, read=["a"]))
    assert mine["kind"] == "ticket" and mine["rights"] == {"read": ["a"]} and mine["subject"] == ""
    assert door.request("GET", "/v1/me", headers={"authorization": "Bearer nobody"})[0] == 401
    assert door.request("GET", "/v1/me", headers={"cookie": "__Host-ringside=x"})[0] == 401


def test_under_dev_in_the_clear_the_cookie_has_a_name_that_browsers_keep():
    with Ringside(environment=TOKENS) as r:
        cookie, line = login(r)
        assert line.startswith("ringside=rsc_") and "Secure" not in line and "HttpOnly; SameSite=Lax" in line
        me = json.loads(r.request("GET", "/v1/me", headers=cookie)[2])
        assert me["dev"] is True and me["kind"] == "cookie"
        assert json.loads(r.request("GET", "/v1/me")[2])["dev"] is True
        assert r.request("POST", "/v1/login", b"", {"authorization": "Bearer nobody"})[0] == 401
        assert r.request("PUT", "/v1/stream/a", b"", {**cookie, **TEXT})[0] == 403  # whose page?
        assert r.request("PUT", "/v1/stream/a", b"", {**cookie, **TEXT, **own(r)})[0] == 201
        assert r.request("POST", "/v1/logout", b"", {**cookie, **own(r)})[1]["set-cookie"].startswith("ringside=; ")
    with Ringside("--http-trust-forwarded=true", environment=TOKENS) as r:  # behind a proxy that speaks TLS
        headers = r.request("POST", "/v1/login", b"", {**SUB, "x-forwarded-proto": "https"})[1]
        assert headers["set-cookie"].startswith("__Host-ringside=") and "; Secure;" in headers["set-cookie"]
