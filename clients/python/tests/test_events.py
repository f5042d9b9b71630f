"""The parser of events against its standard, cut at every byte."""

import pytest

from ringside_client import EventParser, RingsideError


def parse(text, step=None, last_id=None):
    parser, events, data = EventParser(last_id), [], text.encode() if isinstance(text, str) else text
    step = step or len(data) or 1
    for at in range(0, len(data), step):
        events += parser.feed(data[at:at + step])
    return parser, [(e.name, e.data, e.id) for e in events]


@pytest.mark.parametrize("text, events", [
    ("data: a\n\n", [("message", "a", None)]),
    ("data:a\ndata: b\n\n", [("message", "a\nb", None)]),
    ("data\n\n", [("message", "", None)]),
    ("data:  two blanks\n\n", [("message", " two blanks", None)]),
    ("event: x\ndata: 1\nid: 7\n\ndata: 2\n\n", [("x", "1", "7"), ("message", "2", "7")]),
    ("id: 7\n\nevent: lost\n\ndata: a\n\n", [("message", "a", "7")]),
    ("id: a\0b\ndata: x\n\n", [("message", "x", None)]),
    ("id: 1\ndata: x\n\nid\ndata: y\n\n", [("message", "x", "1"), ("message", "y", "")]),
    (": comment\nnonsense: 1\ndata: a\r\n\r\ndata: b\r\rdata: c\n\n",
     [("message", "a", None), ("message", "b", None), ("message", "c", None)]),
    ("\ufeffdata: \u00e9\u20ac\U0001f600\n\n", [("message", "\u00e9\u20ac\U0001f600", None)]),
    ("data: half", []),
    ("data: a\n", []),
])
def test_events_are_as_their_standard_has_them(text, events):
    for step in range(1, len(text.encode()) + 1):
        assert parse(text, step)[1] == events, step


def test_an_id_counts_when_its_event_has_ended():
    parser, events = parse("id: 1\ndata: a\n\nid: 2\ndata: b", last_id="0")
    assert events == [("message", "a", "1")] and parser.last_id == "1"
    parser.feed(b"\n\n")
    assert parser.last_id == "2"


def test_retry():
    assert parse("retry: 2500\n\n")[0].retry == 2.5
    for bad in ("retry: -1\n", "retry: 1.5\n", "retry:\n", "retry: \u0661\n", "retry: 99999999999\n"):
        assert parse(bad)[0].retry is None


def test_an_event_has_a_limit():
    parser = EventParser(limit=100)
    assert parser.feed(b"data: " + b"x" * 90 + b"\n\n")
    assert parser.feed(b"data: " + b"x" * 90 + b"\n\n")
    with pytest.raises(RingsideError):
        parser.feed(b"data: " + b"x" * 90)
        parser.feed(b"x" * 90)
