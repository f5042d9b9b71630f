"""The door for browsers: who may come in from which page, with a cookie or a ticket, and how often."""

import json

import pytest

from ringside import Ringside

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
