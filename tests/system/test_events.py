"""GET /v1/events: the EventSource view, by a client of ours, by curl, by npm's eventsource and by a
real browser."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest
from event_source import EventSource
from ringside import PATIENCE, Ringside, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
JSON = {"content-type": "application/json"}
TEXT = {"content-type": "text/plain"}


@pytest.fixture(scope="module")
def ringside():
    with Ringside() as r:
        yield r


count = iter(range(10 ** 6))


@pytest.fixture
def name():
    return f"e{next(count)}"


def put(r, path, headers=None, body=None):
    status, _, text = r.request("PUT", "/v1/stream/" + path, body, headers or JSON)
    assert status in (200, 201), text


def post(r, path, value, headers=None):
    body = json.dumps(value).encode() if headers is None else value
    status, _, text = r.request("POST", "/v1/stream/" + path, body, headers or JSON)
    assert status in (200, 204), text


def numbers(source):
    return [json.loads(d) for d in source.messages()]


def wait_numbers(source, want):
    wait_for(lambda: len(source.messages()) >= len(want), f"{len(want)} messages")
    assert numbers(source) == want


# ---- one stream ----

def test_messages_with_ids(ringside, name):
    put(ringside, name)
    source = EventSource(ringside, f"stream={name}")
    wait_for(lambda: source.last_id, "the first id")
    assert source.server_retry == 2000 and source.messages() == []
    post(ringside, name, 1)
    post(ringside, name, [2, {"a": "b\nc"}])
    wait_for(lambda: len(source.messages()) == 3, "three messages")
    assert source.messages() == ["1", "2", '{"a": "b\\nc"}']
    assert len({e.last_id for e in source.events if e.name == "message"}) == 3
    source.stop()


def blocks_of(r, query, until):
    """The blocks of an answer, as they stand in it, until one of them holds `until`."""
    data = b""
    with r.connect() as s:
        s.sendall(f"GET /v1/events?{query} HTTP/1.0\r\nhost: localhost\r\n\r\n".encode())
        while until not in data or not data.endswith(b"\n\n"):
            more = s.recv(65536)
            assert more, data
            data += more
    return data.partition(b"\r\n\r\n")[2].decode().split("\n\n")[:-1]


@pytest.mark.parametrize("query", ["stream={0}/1", "stream={0}/1&stream={0}/2", "stream={0}/*", "stream={0}/none/*"])
def test_no_block_is_without_data(ringside, name, query):
    """Some clients hand a block without data to their user as an empty message, who then reconnects for ever."""
    for i in (1, 2):
        put(ringside, f"{name}/{i}", TEXT)
    first = blocks_of(ringside, query.format(name), b"\n\n")[0].split("\n")
    assert [line.partition(":")[0] for line in first] == ["retry", "id", "event", "data"]
    assert first[2] == "event: streams"
    followed = [s["stream"] for s in json.loads(first[3].partition(":")[2])]
    assert followed == {"1": [f"{name}/1"], "2": [f"{name}/1", f"{name}/2"], "*": [f"{name}/1", f"{name}/2"]}[
        query[-1]] if "none" not in query else followed == []


@pytest.mark.parametrize("path", ["{}", "/v1/stream/{}", "%2Fv1%2Fstream%2F{}"])
def test_forms_of_a_path(ringside, name, path):
    put(ringside, name + "/a%20b")
    post(ringside, name + "/a%20b", 5)
    for suffix in ("/a%20b", "%2Fa%2520b", "/a+b".replace("+", "%20")):
        source = EventSource(ringside, "from=start&stream=" + path.format(name) + suffix)
        wait_numbers(source, [5])
        source.stop()


def test_resumes_where_it_was_at_every_message(ringside, name):
    put(ringside, name)
    post(ringside, name, list(range(20)))
    source = EventSource(ringside, f"stream={name}&from=start")
    wait_numbers(source, list(range(20)))
    source.stop()
    for event in [e for e in source.events if e.name == "message"]:
        later = EventSource(ringside, f"stream={name}", last_id=event.last_id)
        wait_numbers(later, list(range(json.loads(event.data) + 1, 20)))
        later.stop()


def test_an_id_before_the_first_message_resumes(ringside, name):
    put(ringside, name)
    source = EventSource(ringside, f"stream={name}")
    wait_for(lambda: source.last_id, "the first id")
    source.stop()
    post(ringside, name, 1)
    later = EventSource(ringside, f"stream={name}", last_id=source.last_id)
    wait_numbers(later, [1])
    later.stop()


def test_header_beats_query(ringside, name):
    put(ringside, name)
    post(ringside, name, [1, 2, 3])
    source = EventSource(ringside, f"stream={name}&from=start")
    wait_numbers(source, [1, 2, 3])
    source.stop()
    first, second, _ = (e.last_id for e in source.events if e.name == "message")
    by_query = EventSource(ringside, f"stream={name}&lastEventId={second}")
    wait_numbers(by_query, [3])
    by_query.stop()
    both = EventSource(ringside, f"stream={name}&lastEventId={second}", last_id=first)
    wait_numbers(both, [2, 3])
    both.stop()


def test_text_and_binary(ringside, name):
    put(ringside, name + "/t", TEXT)
    put(ringside, name + "/b", {"content-type": "application/octet-stream"})
    text = EventSource(ringside, f"stream={name}/t")
    binary = EventSource(ringside, f"stream={name}/b")
    wait_for(lambda: text.last_id and binary.last_id, "both")
    post(ringside, name + "/t", b" two\r\nlines", TEXT)
    post(ringside, name + "/b", bytes(range(5)), {"content-type": "application/octet-stream"})
    wait_for(lambda: text.messages() and binary.messages(), "both")
    assert text.messages() == [" two\nlines"]
    assert binary.messages() == ["AAECAwQ="]
    assert json.loads(binary.messages("streams")[0]) == [{"stream": name + "/b", "encoding": "base64"}]
    text.stop()
    binary.stop()


def test_names(ringside, name):
    put(ringside, name)
    member = EventSource(ringside, f"stream={name}&event=member:type")
    stream = EventSource(ringside, f"stream={name}&event=stream")
    wait_for(lambda: member.last_id and stream.last_id, "both")
    post(ringside, name, [{"type": "hit"}, {"type": 5}, {"type": "a\nb"}, 7, {"type": "é"}])
    wait_for(lambda: len(member.events) == 6 and len(stream.events) == 6, "all")
    assert [e.name for e in member.events] == ["streams", "hit", "message", "message", "message", "é"]
    assert [e.name for e in stream.events] == ["streams"] + [name] * 5
    member.stop()
    stream.stop()


RESERVED = ("error", "open", "reset", "heartbeat", "streams")


def test_reserved_names_are_no_event_names(ringside, name):
    """EventSource has handlers of its own for some, and the others are ours."""
    put(ringside, name)
    for reserved in RESERVED:
        put(ringside, reserved)
    member = EventSource(ringside, f"stream={name}&event=member:type")
    streams = EventSource(ringside, "&".join("stream=" + n for n in RESERVED) + "&event=stream")
    wait_for(lambda: member.last_id and streams.last_id, "both")
    post(ringside, name, [{"type": n} for n in RESERVED] + [{"type": "Error"}])
    for reserved in RESERVED:
        post(ringside, reserved, [reserved])
    wait_for(lambda: len(member.events) == 7 and len(streams.events) == 6, "all")
    assert [e.name for e in member.events] == ["streams"] + ["message"] * 5 + ["Error"]
    assert [e.name for e in streams.events] == ["streams"] + ["message"] * 5
    assert sorted(json.loads(m) for m in streams.messages()) == sorted(RESERVED)
    member.stop()
    streams.stop()


@pytest.mark.parametrize("foreign", ["zzz", "42", "0", "x.y.z", "urn:uuid:5e94c686-2c0b-4f9b-958c-92ccc3bbb4eb",
                                     "null", "0000000000000320_0000000000000115", "a, b",
                                     pytest.param("9" * 3000, id="long")])
def test_an_unknown_id_resets(ringside, name, foreign):
    """Any error status would end a browser's EventSource for good."""
    put(ringside, name)
    post(ringside, name, [1, 2])
    for last_id, query in ((foreign, ""), (None, "&lastEventId=" + foreign.replace(", ", "%2C%20"))):
        now = EventSource(ringside, f"stream={name}{query}", last_id=last_id)
        start = EventSource(ringside, f"stream={name}&from=start{query}", last_id=last_id)
        wait_numbers(start, [1, 2])
        wait_for(lambda: now.messages("reset"), "the reset")
        for source in (now, start):
            assert [json.loads(m) for m in source.messages("reset")] == [{"stream": name, "reason": "unknown"}]
            assert [e.name for e in source.events[:2]] == ["streams", "reset"]
        assert now.messages() == []
        resumed = now.last_id
        now.stop()
        start.stop()
        later = EventSource(ringside, f"stream={name}", last_id=resumed)  # the reset's own id is a good one
        post(ringside, name, 3)
        wait_numbers(later, [3])
        assert not later.messages("reset")
        later.stop()
        ringside.request("DELETE", f"/v1/stream/{name}")
        put(ringside, name)
        post(ringside, name, [1, 2])


def test_an_id_within_a_message_resets(ringside, name):
    put(ringside, name)
    post(ringside, name, ["a message of some length"])
    source = EventSource(ringside, f"stream={name}&from=start")
    wait_for(lambda: source.messages(), "the message")
    source.stop()
    stream, _, position = source.last_id.partition(".")
    later = EventSource(ringside, f"stream={name}&from=start", last_id=f"{stream}.5")
    wait_for(lambda: later.messages(), "the message")
    assert position != "5" and json.loads(later.messages("reset")[0])["reason"] == "unknown"
    later.stop()


def test_closed_stream_ends_with_204(ringside, name):
    put(ringside, name)
    source = EventSource(ringside, f"stream={name}")
    wait_for(lambda: source.last_id, "the first id")
    post(ringside, name, 1)
    ringside.request("POST", "/v1/stream/" + name, None, {"stream-closed": "true"})
    wait_for(lambda: source.over, "the end")
    assert source.over[0] == 204 and source.messages() == ["1"]


def test_deleted_stream_says_so(ringside, name):
    put(ringside, name)
    source = EventSource(ringside, f"stream={name}")
    wait_for(lambda: source.last_id, "the first id")
    ringside.request("DELETE", "/v1/stream/" + name)
    wait_for(lambda: source.over, "the end")
    assert source.over[0] == 404
    assert json.loads(source.messages("reset")[0]) == {"stream": name, "reason": "deleted"}


def test_recreated_stream_resets(ringside, name):
    put(ringside, name)
    post(ringside, name, 1)
    source = EventSource(ringside, f"stream={name}&from=start")
    wait_numbers(source, [1])
    source.stop()
    ringside.request("DELETE", "/v1/stream/" + name)
    put(ringside, name)
    post(ringside, name, 2)
    later = EventSource(ringside, f"stream={name}", last_id=source.last_id)
    wait_numbers(later, [2])
    assert json.loads(later.messages("reset")[0])["reason"] == "recreated"
    assert [e.name for e in later.events] == ["streams", "reset", "message"]
    later.stop()


# ---- several streams, patterns ----

def test_several_streams_resume_together(ringside, name):
    paths = [f"{name}/{i}" for i in range(3)]
    for path in paths:
        put(ringside, path)
    query = "&".join("stream=" + p for p in paths)
    source = EventSource(ringside, query)
    wait_for(lambda: source.last_id, "the first id")
    want = []
    for i in range(60):
        path = random.choice(paths)
        post(ringside, path, [[path, i]])
        want.append([path, i])
        if i % 20 == 10:
            source.cut()
    wait_for(lambda: len(source.messages()) >= len(want), "all")
    assert source.connects > 1
    got = numbers(source)
    assert sorted(got, key=lambda m: m[1]) == want
    for path in paths:
        mine = [m for m in got if m[0] == path]
        assert mine == sorted(mine, key=lambda m: m[1])
    source.stop()


def test_pattern_includes_later_streams(ringside, name):
    put(ringside, f"{name}/1/feed")
    put(ringside, f"{name}/1/other")
    source = EventSource(ringside, f"stream={name}/*/feed")
    wait_for(lambda: source.messages("streams"), "the first list")
    assert json.loads(source.messages("streams")[0]) == [
        {"stream": f"{name}/1/feed", "encoding": "utf-8"}]
    post(ringside, f"{name}/1/feed", 1)
    post(ringside, f"{name}/1/other", 99)
    put(ringside, f"{name}/2/feed", body=b"[2]")
    wait_numbers(source, [1, 2])
    source.stop()
    # Made while nobody looked: included on resume, from its first message.
    put(ringside, f"{name}/3/feed", body=b"[3, 4]")
    post(ringside, f"{name}/2/feed", 5)
    later = EventSource(ringside, f"stream={name}/*/feed", last_id=source.last_id)
    wait_for(lambda: len(later.messages()) == 3, "three")
    assert sorted(numbers(later)) == [3, 4, 5]
    later.stop()


def test_finished_streams_of_a_pattern_do_not_come_again(ringside, name):
    put(ringside, f"{name}/1", body=b"[1]")
    source = EventSource(ringside, f"stream={name}/*&from=start")
    wait_numbers(source, [1])
    ringside.request("POST", f"/v1/stream/{name}/1", b"[2]", {**JSON, "stream-closed": "true"})
    wait_numbers(source, [1, 2])
    put(ringside, f"{name}/2", body=b"[3]")
    wait_numbers(source, [1, 2, 3])
    source.stop()
    assert len(source.last_id.split("-")) == 2, source.last_id  # the newest and one open stream
    later = EventSource(ringside, f"stream={name}/*&from=start", last_id=source.last_id)
    post(ringside, f"{name}/2", 4)
    wait_numbers(later, [4])
    later.stop()


def test_pattern_before_there_is_any_stream(ringside, name):
    source = EventSource(ringside, f"stream={name}/**")
    wait_for(lambda: source.last_id, "the first id")
    source.cut()
    put(ringside, f"{name}/a/b/c", body=b"[1]")
    wait_numbers(source, [1])
    source.stop()


def metric(r, name):
    return sum(float(line.split()[-1]) for line in r.get("/metrics").splitlines()
               if line.startswith((name + " ", name + "{")))


def test_pattern_finds_streams_that_are_only_in_the_tables():
    """A worker that starts after everything was checkpointed knows no stream until it looks one up."""
    with Ringside("--worker-restart-delay-max=100ms", workers=1) as r:
        for i in range(5):
            put(r, f"t/{i}", body=b"[0]")
        source = EventSource(r, "stream=t/*&from=start")
        wait_for(lambda: len(source.messages()) == 5, "the first messages")
        source.stop()
        for i in range(5):
            post(r, f"t/{i}", 1)
        wait_for(lambda: metric(r, "ringside_log_checkpoint_bytes") >= metric(r, "ringside_log_durable_bytes"),
                 "the checkpoint")
        before = r.worker("sse-0")
        os.kill(before["pid"], signal.SIGKILL)
        wait_for(lambda: r.worker("sse-0")["pid"] not in (0, None, before["pid"]), "a new worker")
        later = EventSource(r, "stream=t/*", last_id=source.last_id)
        wait_for(lambda: len(later.messages()) == 5, "what was missed")
        for i in range(5):
            post(r, f"t/{i}", 2)
        wait_for(lambda: len(later.messages()) == 10, "what comes later")
        assert sorted(numbers(later)) == [1] * 5 + [2] * 5
        later.stop()


# ---- bad input ----

@pytest.mark.parametrize("query, status, reason", [
    ("", 400, "no stream is named"), ("stream=", 400, "stream is empty"),
    ("stream=nothing-there", 404, "no stream /v1/stream/nothing-there"),
    ("stream=%zz", 400, "malformed percent-encoding"), ("stream=a%00b", 400, "malformed"),
    ("stream=//a", 400, "below /v1/stream/"),
    ("stream=" + "x" * 600, 414, "limits.path_bytes"),
    ("stream={0}&from=yesterday", 400, "from is now or start"),
    ("stream={0}&event=x", 400, "event is given once"),
    ("stream={0}&event=stream&event=stream", 400, "event is given once"),
    ("stream={0}&offset=-1", 400, "unknown parameter offset"),
    ("&".join(["stream=a"] * 65), 400, "more than 64 stream parameters"),
])
def test_bad_requests(ringside, name, query, status, reason):
    put(ringside, name)
    got, headers, body = ringside.request("GET", "/v1/events?" + query.format(name))
    assert got == status and reason in body.decode(), body


def test_too_many_streams(name):
    with Ringside("--limits-events-streams=2") as r:
        for i in range(3):
            put(r, f"{name}/{i}")
        got, _, body = r.request("GET", f"/v1/events?stream={name}/*")
        assert got == 400 and "limits.events_streams" in body.decode()
        two = EventSource(r, f"stream={name}/0&stream={name}/1")
        wait_for(lambda: two.last_id, "two are fine")
        two.stop()


def test_methods(ringside, name):
    put(ringside, name)
    status, headers, body = ringside.request("HEAD", f"/v1/events?stream={name}")
    assert status == 200 and headers["content-type"].startswith("text/event-stream") and not body
    assert ringside.request("POST", f"/v1/events?stream={name}", b"")[0] == 405
    with Ringside("--http-allowed-origin=http://a.example") as own:
        status, headers, _ = own.request("OPTIONS", "/v1/events", headers={
            "origin": "http://a.example", "access-control-request-method": "GET",
            "access-control-request-headers": "last-event-id"})
    assert status == 204 and headers["access-control-allow-origin"] == "http://a.example" and "last-event-id" in headers["access-control-allow-headers"]


# ---- what happens to readers ----

def test_heartbeat(name):
    with Ringside("--http-sse-keepalive=500ms") as r:
        put(r, name)
        source = EventSource(r, f"stream={name}")
        pattern = EventSource(r, f"stream={name}/*")
        wait_for(lambda: len(source.messages("heartbeat")) > 1, "heartbeats")
        wait_for(lambda: len(pattern.messages("heartbeat")) > 1, "heartbeats without a stream")
        beat = [e for e in source.events if e.name == "heartbeat"][0]
        assert abs(json.loads(beat.data)["now"] / 1000 - time.time()) < 10 and beat.last_id
        source.stop()
        pattern.stop()


def test_trimmed_history_resets(name):
    with Ringside("--store-retention-bytes=256k", "--store-checkpoint=50ms") as r:
        put(r, name)
        post(r, name, "first")
        source = EventSource(r, f"stream={name}&from=start")
        wait_numbers(source, ["first"])
        source.stop()
        for _ in range(40):
            post(r, name, ["x" * 1000] * 50)
        def trimmed():
            return r.request("GET", f"/v1/stream/{name}?offset=0000000000000000_0000000000000000")[0] != 200 \
                or len(EventSourceProbe(r, name, source.last_id)) > 0
        wait_for(trimmed, "retention")
        post(r, name, "last")
        later = EventSource(r, f"stream={name}", last_id=source.last_id)
        wait_for(lambda: "\"last\"" in later.messages(), "the last one")
        assert json.loads(later.messages("reset")[0]) == {"stream": name, "reason": "trimmed"}
        assert later.events[1].name == "reset"
        later.stop()


def EventSourceProbe(r, name, last_id):
    source = EventSource(r, f"stream={name}", last_id=last_id)
    wait_for(lambda: len(source.events) > 1, "anything but the opening")
    resets = source.messages("reset")
    source.stop()
    return resets


def test_reader_that_falls_behind_is_cut_and_resumes(name):
    with Ringside("--limits-reader-lag-bytes=64k", "--store-ring-bytes=16M",
                  "--limits-body-bytes=1M") as r:
        put(r, name)
        slow = r.connect(30)
        slow.setsockopt(1, 8, 4096)  # SO_RCVBUF
        slow.sendall(f"GET /v1/events?stream={name} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        first = slow.recv(4096)
        id_ = re.search(rb"id: (\S+)", first).group(1).decode()
        quick = EventSource(r, f"stream={name}")
        wait_for(lambda: quick.last_id, "the quick one")
        sent = 0
        def cut():
            nonlocal sent
            for _ in range(20):
                post(r, name, [f"{sent + i}:" + "x" * 1000 for i in range(100)])
                sent += 100
            return "ringside_readers_cut_total" in r.get("/metrics") and \
                int(re.search(r"ringside_readers_cut_total\{[^}]*sse[^}]*\} (\d+)", r.get("/metrics")).group(1)) > 0
        wait_for(cut, "the cut", PATIENCE * 3)
        wait_for(lambda: len(quick.messages()) == sent, "the quick reader has all")
        # What the slow one had, and what he gets when he comes back, is everything once.
        data = first
        slow.settimeout(5)
        try:
            while chunk := slow.recv(1 << 20):
                data += chunk
        except OSError:
            pass
        blocks = [b for b in data.decode(errors="replace").replace("\r\n", "\n").split("\n\n")]
        ids = re.findall(r"id: (\S+)\ndata:\"(\d+):x{1000}\"\n\n", strip_chunks(data))
        last = ids[-1][0] if ids else id_
        had = [int(n) for _, n in ids]
        assert blocks and had == list(range(len(had)))
        later = EventSource(r, f"stream={name}", last_id=last)
        wait_for(lambda: len(later.messages()) >= sent - len(had), "the rest")
        assert [int(json.loads(m).split(":")[0]) for m in later.messages()] == list(range(len(had), sent))
        later.stop()
        quick.stop()


def strip_chunks(data):
    """Undoes chunked coding as far as it came."""
    body, out = data.partition(b"\r\n\r\n")[2], b""
    while True:
        size, crlf, rest = body.partition(b"\r\n")
        if not crlf or not size:
            return out.decode()
        n = int(size, 16)
        out += rest[:n]
        body = rest[n + 2:]
        if len(rest) < n + 2:
            return out.decode()


def test_silent_readers_do_not_hold_up_others(ringside, name):
    put(ringside, name)
    silent = []
    for _ in range(50):
        s = ringside.connect()
        s.setsockopt(1, 8, 4096)
        s.sendall(f"GET /v1/events?stream={name} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        silent.append(s)
    quick = EventSource(ringside, f"stream={name}")
    wait_for(lambda: quick.last_id, "the quick one")
    for i in range(50):
        post(ringside, name, [i, "x" * 20000])
    wait_for(lambda: len(quick.messages()) == 100, "all")
    quick.stop()
    for s in silent:
        s.close()


def test_no_gap_and_no_repeat_over_kills():
    seed = int(os.environ.get("SEED", random.randrange(10 ** 6)))
    print("SEED", seed)
    dice = random.Random(seed)
    with Ringside("--worker-restart-limit=64", "--worker-restart-delay-max=100ms", workers=2) as r:
        for i in range(3):
            put(r, f"k/{i}")
        one = EventSource(r, "stream=k/0")
        pattern = EventSource(r, "stream=k/*")
        wait_for(lambda: one.last_id and pattern.last_id, "both")
        stop = threading.Event()
        sent = {0: 0, 1: 0, 2: 0}

        def write(i):
            while not stop.is_set():
                try:
                    status = r.request("POST", f"/v1/stream/k/{i}", json.dumps([[i, sent[i]]]).encode(), {
                        **JSON, "producer-id": "w", "producer-epoch": "0",
                        "producer-seq": str(sent[i])})[0]
                except OSError:
                    continue
                if status in (200, 204):
                    sent[i] += 1
        writers = [threading.Thread(target=write, args=(i,)) for i in range(3)]
        for w in writers:
            w.start()
        for _ in range(8):
            time.sleep(dice.uniform(0.1, 0.4))
            r.kill_some_worker(dice, "sse")
        time.sleep(0.3)
        stop.set()
        for w in writers:
            w.join(30)
        wait_for(lambda: len(one.messages()) >= sent[0], "the first stream")
        wait_for(lambda: len(pattern.messages()) >= sum(sent.values()), "all streams")
        assert numbers(one) == [[0, n] for n in range(sent[0])]
        for i in range(3):
            assert [m for m in numbers(pattern) if m[0] == i] == [[i, n] for n in range(sent[i])]
        assert one.connects + pattern.connects > 2
        assert not one.messages("reset") and not pattern.messages("reset")
        one.stop()
        pattern.stop()


# ---- clients that we did not write ----

def test_curl(ringside, name):
    put(ringside, name)
    post(ringside, name, [1, 2])
    done = subprocess.run(["curl", "-sN", "-m", "1", f"{ringside.url}/v1/events?stream={name}&from=start"],
                          capture_output=True, text=True, timeout=10)
    assert re.fullmatch(r"retry: 2000\nid: \S+\nevent: streams\ndata: \S+\n\nid: \S+\ndata:1\n\nid: \S+\ndata:2\n\n", done.stdout)


NODE = """
import { EventSource } from 'eventsource'
const source = new EventSource(process.argv[2])
source.onmessage = e => { console.log(e.data); if (e.data === '"end"') { source.close() } }
source.onerror = () => console.error('again')
"""


def test_npm_eventsource(name):
    modules = os.path.join(HERE, "node_modules", "eventsource")
    if shutil.which("node") is None or not os.path.isdir(modules):
        pytest.skip("npm's eventsource is not installed here")
    with Ringside("--http-events-retry=50ms") as r:
        put(r, name)
        client = subprocess.Popen(["node", "--input-type=module", "-e", NODE, "_",
                                   f"{r.url}/v1/events?stream={name}"], cwd=HERE,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for(lambda: "ringside_subscribers" in r.get("/metrics") and
                 re.search(r"ringside_subscribers\{[^}]*\} 1", r.get("/metrics")), "the client")
        for i in range(10):
            post(r, name, i)
            if i == 5:
                r.ctl("restart", "sse.0" if r.worker("sse.0") else r.status()["workers"][0]["name"])
        post(r, name, "end")
        out, _ = client.communicate(timeout=PATIENCE)
        assert out.split() == [str(i) for i in range(10)] + ['"end"']


PAGE = """<!doctype html><script>
const source = new EventSource('%s'), seen = new Set()
async function tell(n) {
	for (;;) {
		try {
			if ((await fetch('%s', {method: 'POST', body: JSON.stringify(n) + '\\n'})).ok) return
		} catch {}
		await new Promise(r => setTimeout(r, 50))
	}
}
source.addEventListener('hit', e => {
	const n = JSON.parse(e.data).n
	tell(seen.has(n) ? 'again ' + n : n)
	seen.add(n)
})
</script>"""


def end_browser(process):
    """With its helpers: asked first, it waits for them."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.browser
def test_browser(name, tmp_path):
    """The page tells what it sees, in its own words, over a worker's restart."""
    # The program itself: Debian's wrapper stays in between and would be all that is ended.
    browser = next((b for b in ("/usr/lib/chromium/chromium-headless-shell", "/usr/lib/chromium/chromium")
                    if os.path.exists(b)), None)
    if browser is None:
        pytest.skip("no Chromium here")
    with Ringside("--http-events-retry=50ms", "--http-allowed-origin=null") as r:  # of file:// pages
        def seen():
            text = r.request("GET", f"/v1/stream/{name}-seen")[2].decode()
            return sorted({json.loads(line) for line in text.splitlines()}, key=str)
        put(r, name)
        put(r, name + "-seen", {"content-type": "text/plain;charset=UTF-8"})
        post(r, name, [{"type": "hit", "n": n} for n in range(5)])
        page = tmp_path / "page.html"
        page.write_text(PAGE % (f"{r.url}/v1/events?stream={name}&from=start&event=member:type",
                                f"{r.url}/v1/stream/{name}-seen"))
        # It dies with us, should we be killed.
        process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", browser, "--headless", "--no-sandbox", "--disable-gpu",
                                    f"--user-data-dir={tmp_path}/profile", "--remote-debugging-port=0",
                                    f"file://{page}"], stderr=subprocess.DEVNULL,
                                   start_new_session=True)
        try:
            wait_for(lambda: len(seen()) == 5, "the first five", PATIENCE * 2)
            r.ctl("restart", r.status()["workers"][0]["name"])
            post(r, name, [{"type": "hit", "n": n} for n in range(5, 9)])
            wait_for(lambda: len(seen()) == 9, "the others", PATIENCE * 2)
            assert seen() == list(range(9))
        finally:
            end_browser(process)
