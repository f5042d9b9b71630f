"""Findings of the reviews of other registries that are about no single request (docs/conversations.md has the table)."""

import glob
import json
import os
import re

import pytest

from ringside import Ringside
from test_conversations import JSON, ask, message, stream

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def test_every_finding_has_tests_that_are_there():
    rows = re.findall(r"^\| (F?\d+) \|.*\| ([^|]*) \|$", read("docs/conversations.md"), re.M)
    assert [name for name, _ in rows] == [str(n) for n in range(1, 14)] + [f"F{n}" for n in range(1, 24)]
    sources = "".join(read(path) for path in glob.glob("tests/system/*.py", root_dir=ROOT))
    for number, tests in rows:
        names = re.findall(r"\b(test_\w+)(?!\w*\.py)\b", tests)
        assert names or re.search(r"\.[cp]y?\b|_fuzz|the same|as F4", tests), number
        assert all(f"def {name}(" in sources or os.path.exists(os.path.join(ROOT, f"tests/system/{name}.py")) for name in names), number


def test_an_image_fetches_nothing_of_other_registries():
    text = read("docs/Containerfile")
    assert "apt-get" in text
    assert not re.search(r"\b(npm|yarn|pnpm|bun|pip|cargo|wget)\b", re.sub(r"#.*", "", text))


def test_fences_name_their_language():
    pages = ["README.md", *glob.glob("docs/*.md", root_dir=ROOT), *glob.glob("clients/*/README.md", root_dir=ROOT)]
    for page in pages:
        fences = re.findall(r"^```(.*)$", read(page), re.M)
        assert all(fences[::2]) and not any(fences[1::2]), page


def test_what_is_said_to_functions_has_names():
    """Of those that speak to a conversation: three arguments by their place at most, all else in one object."""
    for path in (f"clients/js/types/{name}.d.ts" for name in ("agent", "connection", "inbox", "lease")):
        text = re.sub(r"/\*.*?\*/", "", read(path), flags=re.S)
        for name, arguments in re.findall(r"^\s*(?:export (?:declare )?(?:async )?function\*? |)(constructor|\w+)\(([^()]*)\)", text, re.M):
            places = re.sub(r"[{<\[][^{}<>\[\]]*[}>\]]", "", arguments).split(",")
            assert len(places) <= 3, (path, name, arguments)


@pytest.fixture
def r():
    with Ringside(workers=1) as ringside:
        yield ringside


def metric(r, name):
    return float(re.search(rf"^{name}(?:{{[^}}]*}})? (\S+)$", r.get("/metrics"), re.M).group(1))


def test_one_registration_costs_what_it_is_however_many_there_are(r):
    """A file that is written whole each time would cost more with each."""
    def cost(name):
        before = metric(r, "ringside_log_durable_bytes")
        assert ask(r, "POST", "/sessions", {"sessionId": name, "title": "T"})[0] == 201
        return metric(r, "ringside_log_durable_bytes") - before
    first = cost("a-0000")
    for n in range(1, 300):
        ask(r, "POST", "/sessions", {"sessionId": f"a-{n:04}", "title": "T"})
    assert 0 < cost("a-0300") <= first


def test_nothing_of_the_way_is_handed_on(r):
    """There is no proxy, and so nothing that waits for one: what belongs to a connection comes back from nowhere."""
    way = {"connection": "x-hop, keep-alive", "x-hop": "of-the-way", "te": "trailers", "keep-alive": "timeout=7",
           "proxy-authorization": "of-the-way", "x-actor-id": "ann"}
    status, headers, body = r.request("POST", "/v1/sessions/c/messages", json.dumps(message("hi", "m1")).encode(), {**JSON, **way})
    assert status == 202
    for path in ("/v1/stream/sessions/c?offset=-1", "/v1/stream/conversations/c/inbox?offset=-1", "/sessions", "/streams/none"):
        _, got, text = r.request("GET", path, None, way)
        assert b"of-the-way" not in text + str(got).encode() and got["keep-alive"] is None and got["te"] is None, path
    assert stream(r, "sessions/c")[0]["value"]["actorId"] == "ann"
