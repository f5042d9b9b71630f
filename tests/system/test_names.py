"""Names of streams: one canonical form for path, parameter, pattern and subscription, and none that can be written and not
be followed."""

import json
import re
from urllib.parse import quote, quote_plus

import pytest

from event_source import EventSource
from ringside import Ringside, wait_for

TEXT = {"content-type": "text/plain"}
JSON = {"content-type": "application/json"}
# As a program holds them; and what a path has raw of what may not stand there by the letter, as browsers and curl send it.
NAMES = ["a|b", "a[1]", "a^b", "a`b", "a{b}", "a b", "a+b c", "a+b", "duel:7@arena", "a%b", "50%25", "caf\u00e9", "a;b=c,d",
         'say "x"', "<a>", "back\\slash", "!$&'()*", "x~y_z.w-v", "\u6f22/\U0001f94a", "two//slashes", "end/"]
COMPONENT = "!*'()~"   # what encodeURIComponent leaves
PATH = "/:@!$&'()*+,;="  # what RFC 3986 leaves to a path


@pytest.fixture(scope="module")
def r():
    with Ringside(workers=2, bridge=1) as ringside:
        yield ringside


def raw(r, method, target, headers=(), body=b""):
    """Sends the target as it stands here."""
    with r.connect() as s:
        s.sendall(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n".encode()
                  + b"".join(f"{k}: {v}\r\n".encode() for k, v in headers)
                  + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        got = b""
        while more := s.recv(65536):
            got += more
    return int(got[9:12]), got.partition(b"\r\n\r\n")


def lower_hex(text):
    return re.sub("%[0-9A-F]{2}", lambda m: m.group().lower(), text)


def spellings(name):
    """Of a path, '%' encoded."""
    yield quote(name, safe=PATH)
    yield quote(name, safe=PATH + "|[]^")
    yield "/".join(quote(part, safe=COMPONENT) for part in name.split("/"))
    yield quote(name, safe="/")
    yield lower_hex(quote(name, safe="/"))
    yield "".join(f"%{ord(c):02X}" if c.isascii() and c.isalpha() else quote(c, safe=PATH) for c in name)


def as_parameter(name):
    """URLSearchParams, encodeURIComponent, and both with the path as it stands in its URL."""
    if not re.search("%[0-9A-Fa-f]{2}", name):  # in a name that is read as a path, that is an escape
        yield quote_plus(name)
        yield quote(name, safe=COMPONENT)
    for path in spellings(name):
        yield quote(path, safe=COMPONENT)
        yield quote_plus("/v1/stream/" + path)


@pytest.mark.parametrize("name", NAMES)
def test_every_stream_that_can_be_written_can_be_followed(r, name):
    paths = list(dict.fromkeys(f"/v1/stream/n/{p}" for p in spellings(name)))
    status, (head, _, _) = raw(r, "PUT", paths[0], TEXT.items(), b"first")
    assert status == 201
    location = re.search(rb"(?i)location: http://[^/]*(\S+)", head).group(1).decode()
    assert location == "/v1/stream/n/" + quote(name, safe=PATH), "the canonical form"
    for path in paths:
        assert raw(r, "PUT", path, TEXT.items())[0] == 200, path
        assert raw(r, "GET", path)[1][2] == b"first", path
    for parameter in dict.fromkeys(as_parameter("n/" + name)):
        source = EventSource(r, f"from=start&stream={parameter}")
        wait_for(lambda: source.messages() or source.over, parameter)
        assert source.over is None and source.messages() == ["first"], (parameter, source.over)
        source.stop()


def test_what_differs_only_in_encoding_is_one_stream(r):
    for i, path in enumerate(("one/%61|b", "one/a%7cb", "one/a%7Cb", "%6Fne/a|b")):
        assert raw(r, "PUT", "/v1/stream/" + path, TEXT.items())[0] == (200 if i else 201)
        assert raw(r, "POST", "/v1/stream/" + path, TEXT.items(), b"%d" % i)[0] == 204
    assert raw(r, "GET", "/v1/stream/one/a%7Cb")[1][2] == b"0123"
    assert raw(r, "PUT", "/v1/stream/one%2Fa%7Cb", TEXT.items())[0] == 201, "an escaped slash parts no segments"
    fork = (*TEXT.items(), ("stream-forked-from", "/v1/stream/one/a|b"))
    assert raw(r, "PUT", "/v1/stream/fork", fork)[0] == 201
    assert raw(r, "PUT", "/v1/stream/fork", (*TEXT.items(), ("stream-forked-from", "/v1/stream/%6fne/%61%7cb")))[0] == 200
    assert raw(r, "DELETE", "/v1/stream/one/%61%7Cb")[0] == 204


def test_a_blank_is_a_blank_and_a_plus_is_none(r):
    for name, text in (("plus/a+b", b"plus"), ("plus/a%20b", b"blank")):
        assert raw(r, "PUT", "/v1/stream/" + name, TEXT.items(), text)[0] == 201
    for parameter, text in (("plus/a+b", "blank"), ("plus/a%20b", "blank"), ("plus/a%2Bb", "plus"), ("plus/a%252Bb", "plus"),
                            ("plus/a%2520b", "blank")):
        source = EventSource(r, f"from=start&stream={parameter}")
        wait_for(lambda: source.messages() or source.over, parameter)
        assert source.messages() == [text], parameter
        source.stop()


def test_patterns_and_subscriptions_know_any_spelling(r):
    for path in ("p/a%7C1/x", "p/a|2/x", "p/b/x"):
        assert raw(r, "PUT", "/v1/stream/" + path, JSON.items(), json.dumps(path).encode())[0] == 201
    for pattern in ("p/a|*/x".replace("a|*", "*"), "p/**", "%70/*/x"):
        source = EventSource(r, f"from=start&stream={quote_plus(pattern)}")
        wait_for(lambda: len(source.messages()) == 3, pattern)
        source.stop()

    def sub(method, path, body):
        status, _, text = r.request(method, "/v1/stream/__ds/subscriptions/" + path, json.dumps(body).encode(), JSON)
        return status, json.loads(text) if text else None
    assert r.request("PUT", "/v1/stream/wakes", None, JSON)[0] == 201
    status, answer = sub("PUT", "s", {"type": "pull-wake", "pattern": "p/a|*/x", "wake_stream": "%77akes",
                                      "streams": ["p/b/%78", "/v1/stream/p/a%7c1/x"]})
    assert status == 201, answer
    assert sorted(s["path"] for s in answer["streams"]) == ["p/a%7C1/x", "p/a%7C2/x", "p/b/x"]
    assert answer["wake_stream"] == "wakes"
    same = {"type": "pull-wake", "pattern": "p/%61%7c*/x", "wake_stream": "wakes", "streams": ["p/b/x", "p/a|1/x"]}
    assert sub("PUT", "s", same)[0] == 200
    assert raw(r, "POST", "/v1/stream/p/a|2/x", JSON.items(), b"1")[0] == 204
    status, lease = wait_for(lambda: (lambda a: a if a[0] == 200 else None)(sub("POST", "s/claim", {"worker": "w"})), "work")
    tail = r.request("HEAD", "/v1/stream/p/a%7C2/x")[1]["stream-next-offset"]
    status, _, text = r.request("POST", "/v1/stream/__ds/subscriptions/s/ack", json.dumps({
        "wake_id": lease["wake_id"], "generation": lease["generation"], "done": True,
        "acks": [{"stream": "p/%61|2/x", "offset": tail}]}).encode(), {**JSON, "authorization": f"Bearer {lease['token']}"})
    assert status == 200 and json.loads(text)["next_wake"] is False, text


def test_what_is_reserved_or_owned_is_so_in_any_spelling(r):
    assert raw(r, "PUT", "/v1/stream/%5F%5fds/x", TEXT.items())[0] == 404
    for path in ("feeds/arena/x", "%66eeds/arena/x", "feed%73/arena/x", "sessions/x", "%73essions/x"):
        assert raw(r, "PUT", "/v1/stream/" + path, TEXT.items())[0] == 403, path
        status, _, _ = r.request("PUT", "/v1/stream/__ds/subscriptions/o", json.dumps({
            "type": "pull-wake", "pattern": "x/*", "wake_stream": path}).encode(), JSON)
        assert status == 400, path


def test_a_name_is_as_long_as_it_is_stored(r):
    for name, status in (("q" * 469, 201), ("q" * 470, 414), ("|" * 156, 201), ("|" * 157, 414), ("%71" * 160, 201)):
        assert raw(r, "PUT", "/v1/stream/" + name, TEXT.items())[0] == status, (name[:5], len(name))
