"""Durable Streams where the reference servers are known to be wrong, over several workers, and at the
limits. The published suite (tests/conformance) covers the protocol itself."""

import concurrent.futures
import json
import re
import threading
import time

import pytest

from ringside import Ringside
from sse_reader import SseReader

TEXT = {"content-type": "text/plain"}
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def r():
    with Ringside("--http-long-poll-timeout=2s", workers=2) as ringside:
        yield ringside


@pytest.fixture
def path(r, request):
    name = re.sub(r"\W", "-", request.node.name)
    return f"/v1/stream/t/{name}"


def test_append_and_close_racing_a_reader(r, path):
    """The final data reaches every reader before the end, whatever the timing (reference: 10 of 10 lost)."""
    for i, delay in enumerate(range(0, 100, 8)):
        stream = f"{path}/{i}"
        r.request("PUT", stream, headers=TEXT)
        for live in ("sse", "long-poll"):
            results = []
            offset = r.request("HEAD", stream)[1]["stream-next-offset"]
            thread = threading.Thread(target=lambda o=offset, l=live: results.append(
                r.request("GET", f"{stream}?offset={o}&live={l}")))
            if live == "sse":
                thread.start()
                time.sleep(delay / 1000)
                assert r.request("POST", stream, b"last", {**TEXT, "stream-closed": "true"})[0] == 204
                thread.join(10)
                body = results[0][2].decode()
                assert "data:last" in body and '"streamClosed":true' in body
                r.request("DELETE", stream)
                r.request("PUT", stream, headers=TEXT)
            else:
                thread.start()
                time.sleep(delay / 1000)
                r.request("POST", stream, b"last", {**TEXT, "stream-closed": "true"})
                thread.join(10)
                assert results[0][0] == 200 and results[0][2] == b"last"
                assert results[0][1]["stream-closed"] == "true"


def test_forks_racing_appends_keep_their_references(r, path):
    """(reference: 8 of 20 lose one)"""
    r.request("PUT", path, b"start", TEXT)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        appends = [pool.submit(r.request, "POST", path, b"x", TEXT) for _ in range(40)]
        forks = [pool.submit(r.request, "PUT", f"{path}-fork-{i}", None,
                             {"stream-forked-from": path}) for i in range(20)]
        assert {f.result()[0] for f in appends} == {204}
        assert {f.result()[0] for f in forks} == {201}
    assert r.request("DELETE", path)[0] == 204
    assert r.request("GET", path)[0] == 410
    for i in range(20):
        assert r.request("GET", f"{path}-fork-{i}")[2].startswith(b"start")
        assert r.request("DELETE", f"{path}-fork-{i}")[0] == 204
    assert r.request("GET", path)[0] == 404


def test_concurrent_creates_do_not_disturb_each_other(r, path):
    """(reference: 83 of 3200 answered 404)"""
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda i: r.request("PUT", f"{path}/{i}", b'{"a":1}', JSON)[0], range(400)))
    assert set(made) == {201}
    assert all(r.request("GET", f"{path}/{i}")[2] == b'[{"a":1}]' for i in range(0, 400, 37))


def test_read_your_writes_over_workers(r, path):
    r.request("PUT", path, headers=TEXT)
    for i in range(200):
        assert r.request("POST", path, b"x", TEXT)[0] == 204
        assert len(r.request("GET", path)[2]) == i + 1  # another connection, perhaps another worker


def test_json_is_kept_as_sent(r, path):
    r.request("PUT", path, headers=JSON)
    raw = b'[{"n":12345678901234567890, "f":1.0,"f":2e5} , "\\u00e9\\n" ,[1, 2],null]'
    assert r.request("POST", path, raw, JSON)[0] == 204
    assert r.request("GET", path)[2] == \
        b'[{"n":12345678901234567890, "f":1.0,"f":2e5},"\\u00e9\\n",[1, 2],null]'
    for bad in (b"", b" ", b"{", b"[1,]", b"[]", b"1 2", b"nul", b'"\x01"', b'"\xff"', b"01", b"1.",
                b'{"a" 1}', b"[1\x00]", b"[" * 600 + b"]" * 600):
        assert r.request("POST", path, bad, JSON)[0] == 400, bad
    marked = b"\xef\xbb\xbf7"
    assert r.request("POST", path, marked, JSON)[0] == 204


def test_utf8_split_over_appends_arrives_whole_in_catch_up(r, path):
    r.request("PUT", path, headers=TEXT)
    r.request("POST", path, "é".encode()[:1], TEXT)
    r.request("POST", path, "é".encode()[1:], TEXT)
    assert r.request("GET", path)[2] == "é".encode()


def test_offsets_of_a_predecessor_are_gone(r, path):
    r.request("PUT", path, b"aaaa", TEXT)
    old = r.request("HEAD", path)[1]["stream-next-offset"]
    r.request("DELETE", path)
    r.request("PUT", path, b"bbbbbbbb", TEXT)
    assert r.request("GET", f"{path}?offset={old}")[0] == 410
    assert r.request("GET", f"{path}?offset=0000000000000000_0000000000000000")[2] == b"bbbbbbbb"


def test_pages_are_cut_between_messages_and_add_up():
    with Ringside("--http-page-bytes=64k", "--store-checkpoint=50ms") as own:
        own.request("PUT", "/v1/stream/p", headers=JSON)
        for i in range(300):
            own.request("POST", "/v1/stream/p", json.dumps([{"i": i, "x": "y" * 700}] * 2).encode(), JSON)
        for _ in range(2):
            got, offset, pages = [], "-1", 0
            while True:
                _, headers, body = own.request("GET", f"/v1/stream/p?offset={offset}")
                got += json.loads(body)
                offset, pages = headers["stream-next-offset"], pages + 1
                if headers.get("stream-up-to-date"):
                    break
                assert "stream-closed" not in headers
            assert [m["i"] for m in got] == [i for i in range(300) for _ in (0, 1)]
            assert pages > 4
            time.sleep(0.3)  # again from LMDB


def test_many_readers_across_workers(r, path):
    r.request("PUT", path, headers=TEXT)
    readers = [SseReader(r, path) for _ in range(40)]
    for reader in readers:
        reader.start()
    want = ""
    for i in range(100):
        want += f"{i}\n"
        r.request("POST", path, f"{i}\n".encode(), TEXT)
    end = time.monotonic() + 20
    while any(len(x.text()) < len(want) for x in readers) and time.monotonic() < end:
        time.sleep(0.02)
    for reader in readers:
        reader.stop()
        assert reader.text() == want


def test_a_reader_that_reads_nothing_holds_nobody_up(r, path):
    r.request("PUT", path, headers=TEXT)
    with r.connect() as stuck:
        stuck.sendall(f"GET {path}?offset=-1&live=sse HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        time.sleep(0.2)
        reader = SseReader(r, path)
        reader.start()
        for _ in range(60):
            assert r.request("POST", path, b"x" * 100_000, TEXT)[0] == 204
        end = time.monotonic() + 20
        while len(reader.text()) < 6_000_000 and time.monotonic() < end:
            time.sleep(0.02)
        reader.stop()
        assert len(reader.text()) == 6_000_000


def test_a_stream_seq_that_is_too_low_is_called_a_sequence(r, path):
    """The word by which the official client's adapter knows this conflict from others."""
    assert r.request("PUT", path, headers=TEXT)[0] == 201
    for seq, status in (("b", 204), ("b", 409), ("a", 409), ("c", 204)):
        got, _, body = r.request("POST", path, b"x", {**TEXT, "stream-seq": seq})
        assert got == status and (status == 204 or b"sequence" in body), body


def test_limits_have_their_statuses():
    with Ringside("--limits-streams=3", "--limits-producers-per-stream=2", "--limits-path-bytes=64",
                  "--limits-content-type-bytes=32", "--limits-producer-id-bytes=8",
                  "--limits-stream-seq-bytes=4", "--limits-ttl-max=1h", "--limits-json-depth=8",
                  "--limits-connections=6") as own:
        def post(**headers):
            return own.request("POST", "/v1/stream/0", b"x", {**TEXT, **headers})[0]
        assert [own.request("PUT", f"/v1/stream/{i}", headers=TEXT)[0] for i in range(4)] == \
            [201, 201, 201, 507]
        producer = {"producer-epoch": "0", "producer-seq": "0"}
        assert [post(**producer, **{"producer-id": p}) for p in ("a", "b", "c")] == [200, 200, 429]
        assert post(**producer, **{"producer-id": "toolongid"}) == 400
        assert post(**{"stream-seq": "12345"}) == 400
        assert own.request("PUT", "/v1/stream/" + "x" * 80, headers=TEXT)[0] == 414
        assert own.request("PUT", "/v1/stream/t", headers={"content-type": "text/" + "x" * 40})[0] == 400
        assert own.request("PUT", "/v1/stream/t", headers={**TEXT, "stream-ttl": "3601"})[0] == 400
        held = [own.connect() for _ in range(6)]
        with own.connect() as one_more:
            assert one_more.recv(100).startswith(b"HTTP/1.1 503")
        for s in held:
            s.close()


@pytest.mark.parametrize("headers,status", [
    ({"stream-ttl": "abc"}, 400), ({"stream-ttl": "-1"}, 400), ({"stream-ttl": "007"}, 400),
    ({"stream-ttl": "1e3"}, 400), ({"stream-ttl": "5", "stream-expires-at": "2099-01-01T00:00:00Z"}, 400),
    ({"stream-expires-at": "tomorrow"}, 400), ({"stream-expires-at": "2099-02-30T00:00:00Z"}, 400),
    ({"stream-expires-at": "2099-01-01T00:00:00.123+02:00"}, 201), ({"stream-ttl": "0"}, 201),
    ({"stream-fork-sub-offset": "0"}, 400), ({"stream-forked-from": "/v1/stream/none"}, 404),
])
def test_create_headers(r, path, headers, status):
    assert r.request("PUT", path + str(hash(str(headers))), headers={**TEXT, **headers})[0] == status
