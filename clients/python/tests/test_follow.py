"""What is cut out of answers, without a server."""

import json

import pytest

from ringside_client import Backoff, Piece, Refused, Server
from ringside_client.follow import _items, _texts
from ringside_client.server import retry_after, stream_name, stream_path


@pytest.mark.parametrize("array", ["[]", " [ ] ", "[1]", '[1.10,"a]",{"x":[1,2]},[],null ,true]', '["\\"", "\\\\"]', "[1e400]"])
def test_elements_keep_their_text(array):
    texts = _texts(array)
    assert [json.loads(text) for text in texts] == json.loads(array)
    assert all(text in array for text in texts)


def piece(text, offset="9", content_type="application/json"):
    return Piece(text.encode(), offset, True, False, content_type)


def test_places_between_messages():
    assert _items(piece("[1,2,3]"), "5", 0) == ([("1", ("5", 1)), ("2", ("5", 2)), ("3", ("9", 0))], 0)
    assert _items(piece("[1,2,3]"), "5", 2) == ([("3", ("9", 0))], 0)
    assert _items(piece("[1,2,3]"), "5", 3) == ([(None, ("9", 0))], 0)
    assert _items(piece("[1,2,3]"), "5", 5) == ([(None, ("9", 2))], 2)  # that answer held fewer than the one before
    assert _items(piece("[]"), "5", 0) == ([(None, ("9", 0))], 0)
    assert _items(piece("é", content_type="text/plain"), "5", 0) == ([("é", ("9", 0))], 0)
    assert _items(piece("x", content_type="image/png"), "5", 0) == ([(b"x", ("9", 0))], 0)


def test_paths_and_names():
    assert stream_path("feeds/arena/frames") == "/v1/stream/feeds/arena/frames"
    assert stream_path("/v1/stream/a b/é%2F*") == "/v1/stream/a%20b/%C3%A9%2F*"
    assert stream_name(stream_path("a/b")) == "a/b"


def test_pauses_grow_and_are_bounded():
    backoff = Backoff(first=0.1, most=2)
    assert backoff.delay(0) == 0
    for failures in range(1, 2000):
        whole = min(2, 0.1 * 2 ** min(failures - 1, 20))
        assert whole / 2 <= backoff.delay(failures) <= whole


@pytest.mark.parametrize("text, seconds", [("3", 3), ("99999", 3600), ("", 0), ("-1", 0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
                                           ("\u0663", 0), ("9" * 50, 0)])
def test_retry_after(text, seconds):
    assert retry_after({"retry-after": text}) == seconds


def test_a_server_that_is_not_there_is_refused_for_good():
    server = Server("http://127.0.0.1:1", patience=0.2, backoff=Backoff(first=0.01, most=0.02))
    with pytest.raises(Exception) as error:
        server.request("GET", "/")
    assert error.type.__name__ == "Unanswered" and server.unreachable > 1
    with pytest.raises(Refused):
        server.stream("a").append("x")
