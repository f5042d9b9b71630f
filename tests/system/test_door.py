"""The door for browsers: who may come in from which page, with a cookie or a ticket, and how often."""

import base64
import hmac
import http.server
import base64
import json
import os
import threading
import time

import pytest

from page_browser import BROWSER, Browser
from ringside import Ringside, wait_for

chromium = pytest.mark.browser
if not os.path.exists(BROWSER):
    chromium = pytest.mark.skip(reason="no Chromium")

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
    assert name == "__Host-ringside" and rest.partition("; ")[2] == "Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=3196800"
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
        assert line.endswith("; Max-Age=604802")
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
    nobody = me()
    assert nobody.pop("tag") and nobody == {"subject": "", "kind": "anonymous", "rights": {}, "expiresAt": None}
    token = me(SUB)
    assert token["kind"] == "token" and "read" in token["rights"] and "append" not in token["rights"]
    cookie = me(login(door)[0])
    assert cookie["kind"] == "cookie" and cookie["rights"] == token["rights"] and cookie["expiresAt"].endswith("Z")
    mine = me(query="?ticket=" + ticket(door, read=["a"]))
    assert mine["kind"] == "ticket" and mine["rights"] == {"read": ["a"]} and mine["subject"] == ""
    assert door.request("GET", "/v1/me", headers={"authorization": "Bearer nobody"})[0] == 401
    assert door.request("GET", "/v1/me", headers={"cookie": "__Host-ringside=x"})[0] == 401


def test_the_tag_tells_owners_apart_that_have_no_name():
    """Two tokens of the old keys may the same and have no subject: what one of them was told is not the other's."""
    with Ringside("--dev=false", environment={**TOKENS, "RINGSIDE_AUTH_SUBSCRIBE_TOKENS": "one-0123456789,two-0123456789"}) as r:
        def tags(token):
            headers = {"authorization": f"Bearer {token}"}
            asked = (headers, login(r, headers)[0], headers)
            return {json.loads(r.request("GET", "/v1/me", headers=one)[2])["tag"] for one in asked}
        one, two, publisher = tags("one-0123456789"), tags("two-0123456789"), tags("publisher-0123456789")
        assert len(one) == len(two) == 1 and len(one | two | publisher) == 3  # of a token and of its cookie it is one


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


# ---- for a JWT ----

JWT_SECRET = "a-secret-that-signs-tokens-0123456789"


def jwt(secret=JWT_SECRET, seconds=600, **claims):
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    body = {"sub": "alice", "exp": int(time.time()) + seconds, "ringside": {"read": ["a", "b"]}, **claims}
    text = part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode()) + "." + part(json.dumps(body).encode())
    return {"authorization": f"Bearer {text}.{part(hmac.digest(secret.encode(), text.encode(), 'sha256'))}"}


def test_a_jwt_logs_in_and_its_passes_go_with_its_key():
    config = "auth: {{jwt_secret: {}}}\n"
    with Ringside("--dev=false", environment=TOKENS, config=config.format(JWT_SECRET), workers=2) as r:
        for name in ("a", "b", "c"):
            assert r.request("PUT", f"/v1/stream/{name}", b"x", {**PUB, **TEXT})[0] == 201
        token = jwt(seconds=100)
        cookie, line = login(r, token)
        assert 604800 < int(line.rpartition("=")[2]) <= 604800 + 131  # its end, the leeway, and a week
        by = {"token": token, "cookie": cookie, "ticket of it": {}, "ticket by cookie": {}}
        query = {"ticket of it": "?ticket=" + ticket(r, token, read=["a"]),
                 "ticket by cookie": "?ticket=" + ticket(r, {**cookie, **own(r)}, read=["a"])}
        for how, headers in by.items():
            for path, good in (("a", True), ("b", "ticket" not in how), ("c", False)):
                for _ in range(4):
                    status = r.request("GET", f"/v1/stream/{path}{query.get(how, '')}", headers=headers)[0]
                    assert status == (200 if good else 403), (how, path, status)
        me = [json.loads(r.request("GET", "/v1/me", headers=headers)[2]) for headers in (token, cookie)]
        assert me[0]["subject"] == me[1]["subject"] != "" and [m["kind"] for m in me] == ["jwt", "cookie"]
        assert me[0]["rights"] == me[1]["rights"]
        assert r.request("POST", "/v1/tickets", b'{"read":["c"]}', token)[0] == 403
        r.stop()
        r.start()
        assert r.request("GET", "/v1/stream/a", headers=cookie)[0] == 200
        r.write_config(config.format(JWT_SECRET + "-another"))
        r.ctl("reload")
        for how, headers in by.items():
            wait_for(lambda: r.request("GET", f"/v1/stream/a{query.get(how, '')}", headers=headers)[0] == 401, f"the end of {how}")


def test_what_a_long_jwt_says_does_not_fit_into_a_cookie():
    with closed(f"--auth-jwt-secret={JWT_SECRET}") as r:
        token = jwt(ringside={"read": [f"stream-{i}/with/a/rather/long/name/{i}" for i in range(120)]})
        status, _, body = r.request("POST", "/v1/login", b"", token)
        assert status == 422 and b"cookie" in body


# ---- limits ----

BAD = {"authorization": "Bearer nobody-0123456789"}


def limited(r, limit):
    """How many were refused, by all workers together."""
    text = r.request("GET", "/metrics", headers=SUB)[2].decode()
    return sum(int(line.split()[-1]) for line in text.splitlines()
               if line.startswith("ringside_limited_total{") and f'limit="{limit}"' in line)


def refused(answer, setting):
    status, headers, body = answer
    assert status == 429 and setting.encode() in body and 1 <= int(headers["retry-after"]) <= 60, (status, body)
    assert headers["cache-control"] == "no-store"


def test_logins_are_counted_by_all_workers():
    with closed("--limits-logins=3", workers=2) as r:
        for _ in range(3):
            login(r)
        for token in (SUB, PUB, BAD):
            refused(r.request("POST", "/v1/login", b"", token), "limits.logins")
        assert limited(r, "logins") == 3
        assert r.request("GET", "/v1/me", headers=SUB)[0] == 200


def test_whoever_guesses_is_told_no_more_and_does_not_log_in():
    with closed("--limits-bad-credentials=7", workers=2, bridge=1) as r:
        assert r.request("PUT", "/v1/stream/a", b"", {**PUB, **TEXT})[0] == 201
        for _ in range(20):  # none at all is no guess
            assert r.request("GET", "/v1/stream/a")[0] == 401
        for method, path, credential in (
                ("GET", "/v1/stream/a", BAD), ("POST", "/v1/stream/a", BAD), ("GET", "/metrics", BAD), ("POST", "/v1/login", BAD),
                ("GET", "/v1/me", BAD), ("GET", "/v1/stream/a", {"cookie": "__Host-ringside=x"}), ("GET", "/v1/stream/a?ticket=x", {})):
            status = r.request(method, path, b"" if method == "POST" else None, {**TEXT, **credential})[0]
            assert status == 401, (path, status)
        for method, path in (("GET", "/v1/stream/a"), ("POST", "/v1/stream/a"), ("GET", "/v1/me")):
            refused(r.request(method, path, b"" if method == "POST" else None, {**TEXT, **BAD}), "limits.bad_credentials")
        refused(r.request("POST", "/v1/login", b"", SUB), "limits.bad_credentials")
        assert r.request("GET", "/v1/stream/a", headers=SUB)[0] == 200
        assert limited(r, "bad_credentials") == 4


def test_an_address_is_what_the_trusted_proxy_says():
    with closed("--limits-logins=1", "--http-trust-forwarded=true") as r:
        for address, welcome in (("192.0.2.1", True), ("192.0.2.1", False), ("203.0.113.9, 192.0.2.1", False), ("192.0.2.2", True),
                                 ("2001:db8:1:2::3", True), ("2001:db8:1:2:ffff::4", False), ("2001:db8:1:3::3", True)):
            status = r.request("POST", "/v1/login", b"", {**SUB, "x-forwarded-for": address})[0]
            assert status == (204 if welcome else 429), address


def test_tickets_are_counted_by_subject():
    with closed("--limits-tickets=2", workers=2) as r:
        for token in (SUB, PUB):
            ticket(r, token, read=["a"])
            ticket(r, {**login(r, token)[0], **own(r)}, read=["a"])  # his cookie is he
            refused(r.request("POST", "/v1/tickets", b'{"read":["a"]}', token), "limits.tickets")
        assert limited(r, "tickets") == 2


def test_accounts_are_not_opened_without_end():
    with Ringside("--dev=false", "--limits-accounts=2", environment={**TOKENS, "RINGSIDE_AUTH_LEDGER_TOKEN": "house-0123456789"},
                  bridge=1) as r:
        house = {"authorization": "Bearer house-0123456789", "content-type": "application/json"}
        ids = []
        for _ in range(2):
            status, _, body = r.request("POST", "/v1/ledger/accounts", b"{}", house)
            assert status == 201, body
            ids.append(json.loads(body)["id"])
        refused(r.request("POST", "/v1/ledger/accounts", b"{}", house), "limits.accounts")
        assert r.request("GET", f"/v1/ledger/accounts/{ids[0]}", headers=house)[0] == 200
        assert limited(r, "accounts") == 1


def test_nobody_is_many_by_names_that_nobody_has_asked_for():
    """Another name and password each time, as an Authorization that is not looked into."""
    with Ringside("--dev=false", "--limits-accounts=2", "--auth-public=bet=**", environment=TOKENS, bridge=1) as r:
        def open_one(name):
            basic = base64.b64encode(f"{name}:password".encode()).decode()
            return r.request("POST", "/v1/ledger/accounts", b"{}", {"authorization": f"Basic {basic}", "content-type": "application/json"})
        assert [open_one(name)[0] for name in ("ann", "bob")] == [201, 201]
        refused(open_one("eve"), "limits.accounts")
        assert limited(r, "accounts") == 1


def test_appends_of_one_subject():
    """Two hundred in one piece; however slow this machine is, they are more than five a second."""
    with closed("--limits-appends=5") as r:
        assert r.request("PUT", "/v1/stream/a", b"", {**PUB, **TEXT})[0] == 201
        one = (f"POST /v1/stream/a HTTP/1.1\r\nhost: x\r\nauthorization: {PUB['authorization']}\r\n"
               "content-type: text/plain\r\ncontent-length: 1\r\n\r\nx").encode()
        with r.connect() as s:
            s.sendall(one * 199 + one.replace(b"host: x", b"host: x\r\nconnection: close"))
            answers = b"".join(iter(lambda: s.recv(65536), b""))
        stored, many = answers.count(b"HTTP/1.1 204 "), answers.count(b"HTTP/1.1 429 ")
        assert stored + many == 200 and stored >= 5 and many > 0
        assert len(r.request("GET", "/v1/stream/a?offset=-1", headers=SUB)[2]) == stored
        assert limited(r, "appends") == many


def test_readers_without_a_token():
    with closed("--auth-public=read=a", "--limits-anonymous-readers=2", workers=2) as r:
        assert r.request("PUT", "/v1/stream/a", b"", {**PUB, **TEXT})[0] == 201

        def reader(more=""):
            s = r.connect()
            s.sendall(f"GET /v1/events?stream=a HTTP/1.1\r\nhost: x\r\n{more}\r\n".encode())
            return s, s.recv(4096).split(b" ")[1]
        first, second = reader(), reader()
        assert first[1] == second[1] == b"200"
        for path in ("/v1/events?stream=a", "/v1/stream/a?offset=-1&live=sse", "/v1/stream/a?offset=now&live=long-poll"):
            status, _, body = r.request("GET", path)
            assert status == 429 and b"limits.anonymous_readers" in body, path
        assert r.request("GET", "/v1/stream/a")[0] == r.request("HEAD", "/v1/events?stream=a")[0] == 200
        assert reader(f"authorization: {SUB['authorization']}\r\n")[1] == b"200"  # whoever is somebody is not counted
        first[0].close()

        def again():
            s, status = reader()
            if status != b"200":
                s.close()
            return status == b"200"
        wait_for(again, "the place of the one who left")
        for pid in r.worker_pids():
            r.kill(pid)
        wait_for(lambda: back(r, reader), "the places of workers that were killed")


def back(r, reader):
    try:
        return reader()[1] == b"200"
    except OSError:
        return False


def test_new_connections_of_one_address():
    """A hundred at once are more than two a second."""
    with closed("--limits-new-connections=2", workers=2) as r:
        sockets = [r.connect() for _ in range(100)]
        for s in sockets:
            s.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        statuses = [s.recv(4096).split(b" ")[1] for s in sockets]
        assert set(statuses) == {b"200", b"429"}, statuses
        for s in sockets:
            s.close()
        wait_for(lambda: r.request("GET", "/healthz")[0] == 200, "the next second")
        wait_for(lambda: r.request("GET", "/metrics", headers=SUB)[0] == 200 and limited_again(r), "the figures")


def limited_again(r):
    try:
        return limited(r, "new_connections") >= 1
    except (OSError, IndexError):
        return False


def test_a_limit_of_zero_is_none():
    with closed("--limits-logins=0", "--limits-bad-credentials=0", "--limits-tickets=0") as r:
        for _ in range(50):
            login(r)
            assert r.request("GET", "/v1/me", headers=BAD)[0] == 401


# ---- secrets ----

def test_no_secret_is_told():
    """What was used to get in stands in no log, no metric and no answer, not even where it was wrong."""
    with closed("--log-level=debug", workers=1, bridge=1) as r:
        assert r.request("PUT", "/v1/stream/a", b"x", {**PUB, **TEXT})[0] == 201
        cookie, one = login(r)[0], ticket(r, read=["a"])
        value = cookie["cookie"].partition("=")[2]
        said = []
        for path, headers in (("/v1/stream/a", cookie), (f"/v1/stream/a?ticket={one}", {}), (f"/v1/stream/no?ticket={one}", {}),
                              (f"/v1/events?stream=no&ticket={one}", {}), (f"/v1/markets?ticket={one}", {}),
                              (f"/v1/markets/x?y=z&ticket={one}", SUB), (f"/v1/ledger/accounts/x?ticket={one}", SUB),
                              (f"/nothing?ticket={one}", {}), (f"/v1/stream/a?offset=x&ticket={one}", {}),
                              (f"/v1/stream/a?ticket={one[:-1]}", {}), ("/v1/me", {"cookie": f"__Host-ringside={value[:-1]}"}),
                              (f"/v1/me?ticket={one}", {}), ("/metrics", SUB)):
            _, answer, body = r.request("GET", path, headers=headers)
            said.append(str(answer) + body.decode(errors="replace"))
        r.stop()
        for secret in (*(t.partition(" ")[2] for t in (PUB["authorization"], SUB["authorization"])), value, one, one[4:60]):
            assert secret not in r.log() and not any(secret in text for text in said), secret[:4]


# ---- in a real browser ----

class Site(http.server.BaseHTTPRequestHandler):
    """Somebody else's pages: blank, but for what a test runs in them."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>a page</title>")

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def sites():
    """Ports of two other servers: the first one's origin is listed."""
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield [server.server_port for server in servers]
    for server in servers:
        server.shutdown()


FOLLOW = """(async (url, options) => {
	window.got = []; window.ended = []; window.source?.close();
	window.source = new EventSource(url, options);
	for (const name of ["message", "expired", "reset"])
		source.addEventListener(name, e => (name === "message" ? got : ended).push(e.data));
	source.onerror = () => ended.push("error " + source.readyState);
	await new Promise(done => { source.onopen = done; setTimeout(done, 5000); });
	return source.readyState;
})"""


def at(r, host="localhost"):
    return f"http://{host}:{r.address()[1]}"


def follow(browser, url, **options):
    return browser.run(f"{FOLLOW}({json.dumps(url)}, {json.dumps(options)})")


def log_in(browser, r, token=SUB):
    """From a page of its own origin, which is not ours to script: it is text."""
    browser.open(at(r) + "/healthz")
    browser.wait("document.readyState === 'complete' && location.protocol === 'http:'")
    status = browser.run("fetch('/v1/login', {method: 'POST', headers: {authorization: '%s'}}).then(r => r.status)"
                         % token["authorization"])
    assert status == 204


def write(r, text, path="a"):
    status, _, body = r.request("POST", f"/v1/stream/{path}", text.encode(), {**PUB, **TEXT})
    assert status == 204, (status, body)


@pytest.fixture(scope="module")
def shop(sites):
    with closed(f"--http-allowed-origin=http://localhost:{sites[0]},http://127.0.0.1:{sites[0]}", "--http-events-retry=200ms",
                workers=1) as r:
        assert r.request("PUT", "/v1/stream/a", b"", {**PUB, **TEXT})[0] == 201
        yield r


@pytest.fixture(scope="module")
def browser():
    with Browser("--host-resolver-rules=MAP evil.example 127.0.0.1") as b:
        yield b


@chromium
@pytest.mark.parametrize("how", ["cookie", "ticket"])
def test_its_own_event_source_follows_over_reconnects(shop, browser, how):
    log_in(browser, shop)
    query = ""
    if how == "ticket":
        query = "&ticket=" + browser.run("fetch('/v1/tickets', {method: 'POST', body: '{\"read\":[\"a\"]}'}).then(r => r.json())"
                                         ".then(o => o.ticket)")
        browser.run("fetch('/v1/logout', {method: 'POST'})")
        assert browser.run("fetch('/v1/stream/a').then(r => r.status)") == 401
    assert follow(browser, "/v1/events?stream=a" + query) == 1
    write(shop, "one")
    browser.wait("got.includes('one')")
    for count in range(3):
        shop.kill(shop.worker("sse-0")["pid"])
        write_again(shop, f"after {count}")
        browser.wait(f"got.includes('after {count}')")
    assert browser.run("got.length === new Set(got).size && source.readyState === 1"), browser.run("got")
    browser.run("source.close()")


def write_again(r, text):
    """The worker has just been killed: somebody serves in a moment."""
    def attempt():
        try:
            return r.request("POST", "/v1/stream/a", text.encode(), {**PUB, **TEXT})[0] == 204
        except OSError:
            return False
    wait_for(attempt, "a worker")


@chromium
def test_pages_of_other_origins(shop, browser, sites):
    """Same site, so the cookie comes along: what tells a friend from a foe is the origin."""
    log_in(browser, shop)
    url, ask = at(shop), "fetch(%s, {credentials: 'include', ...%s}).then(r => r.status, () => 'refused')"
    for port, friend in ((sites[0], True), (sites[1], False)):
        browser.open(f"http://localhost:{port}/")
        browser.wait("document.title === 'a page'")
        assert browser.run(ask % (json.dumps(url + "/v1/stream/a"), "{}")) == (200 if friend else "refused")
        assert browser.run(ask % (json.dumps(url + "/v1/tickets"), "{method: 'POST', body: '{\"read\":[\"a\"]}'}")) == (
            201 if friend else "refused")
        assert browser.run(ask % (json.dumps(url + "/v1/stream/made"), "{method: 'PUT', body: 'x'}")) in ((403,) if friend else ("refused",))
        assert follow(browser, url + "/v1/events?stream=a", withCredentials=True) == (1 if friend else 2)
        write(shop, f"for {port}")
        if friend:
            browser.wait(f"got.includes('for {port}')")
        assert browser.run("got.length") == (1 if friend else 0)
        assert follow(browser, url + "/v1/events?stream=a") == 2  # without credentials: nobody
        one = ticket(shop, read=["a"])
        assert follow(browser, f"{url}/v1/events?stream=a&ticket={one}") == (1 if friend else 2)
        browser.run("source.close()")
    assert shop.request("GET", "/v1/stream/made", headers=SUB)[0] == 404


@chromium
def test_a_ticket_from_another_site(shop, browser, sites):
    """No cookie goes there; a ticket does."""
    browser.open(f"http://127.0.0.1:{sites[0]}/")
    browser.wait("document.title === 'a page'")
    one = ticket(shop, read=["a"])
    assert follow(browser, f"{at(shop)}/v1/events?stream=a&ticket={one}") == 1
    write(shop, "elsewhere")
    browser.wait("got.includes('elsewhere')")
    browser.run("source.close()")


FORM = """(action => {
	document.body.innerHTML = `<iframe name=f></iframe><form method=post target=f enctype=text/plain><input name=x value=y></form>`;
	const form = document.querySelector("form");
	form.action = action;
	return new Promise(done => { document.querySelector("iframe").onload = () => done(1); form.submit(); });
})"""


@chromium
def test_a_form_of_a_foreign_page_acts_on_nothing(shop, browser, sites):
    log_in(browser, shop, PUB)
    before = shop.request("GET", "/v1/stream/a?offset=-1", headers=SUB)[2]
    for host in ("localhost", "127.0.0.1"):
        browser.open(f"http://{host}:{sites[1]}/")
        browser.wait("document.title === 'a page'")
        for path in ("/v1/stream/a", "/v1/logout", "/v1/tickets", "/v1/ledger/accounts"):
            browser.run(f"{FORM}({json.dumps(at(shop) + path)})")
    assert shop.request("GET", "/v1/stream/a?offset=-1", headers=SUB)[2] == before
    browser.open(at(shop) + "/healthz")
    browser.wait("document.readyState === 'complete' && location.protocol === 'http:'")
    assert browser.run("fetch('/v1/me').then(r => r.json()).then(o => o.kind)") == "cookie", "still logged in"


@chromium
def test_a_name_that_is_pointed_here_is_nobody(shop, browser):
    """DNS rebinding: the page is of our address, and of another origin to the browser; no cookie of ours goes there."""
    log_in(browser, shop, PUB)
    browser.open(at(shop, "evil.example") + "/healthz")
    browser.wait("document.body.textContent.includes('ok')")
    assert browser.run("fetch('/v1/stream/a').then(r => r.status)") == 401
    assert browser.run("fetch('/v1/stream/a', {method: 'POST', body: 'x'}).then(r => r.status)") == 401
    with Ringside() as dev:
        browser.open(at(dev, "evil.example") + "/")
        browser.wait("document.body?.textContent.includes('own names only')")
        for options in ("{}", "{method: 'POST', body: '{}'}"):
            assert browser.run(f"fetch('/v1/ledger/accounts', {options}).then(r => r.status)") == 421


@chromium
@pytest.mark.parametrize("how", ["cookie", "ticket"])
def test_a_stream_ends_with_its_credential(browser, how):
    flags = ("--auth-public=read=a",)  # whoever is nobody might read on: whoever was somebody does not become nobody
    with closed("--auth-cookie-max=5s", "--auth-ticket-max=5s", "--http-events-retry=100ms", *flags) as r:
        assert r.request("PUT", "/v1/stream/a", b"", {**PUB, **TEXT})[0] == 201
        log_in(browser, r)
        query = "&ticket=" + ticket(r, read=["a"]) if how == "ticket" else ""
        assert follow(browser, "/v1/events?stream=a" + query) == 1
        write(r, "before")
        browser.wait("got.includes('before')")
        browser.wait("ended.length > 1 && source.readyState === 2")
        ended = browser.run("ended")
        assert ended[0] != "error 2" and ended[-1] == "error 2" and not ended[0].startswith("error"), ended
        write(r, "behind")
        assert browser.run("got") == ["before"]
