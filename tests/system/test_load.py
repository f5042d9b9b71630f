"""What the HTTP worker does when clients ask for more at once than it can give: nobody stops the loop, and what waits
is bounded."""

import contextlib
import json
import os
import re
import signal
import socket

import pytest

from ringside import Ringside, wait_for

TEXT = {"content-type": "text/plain"}


def metric(text, name, worker="sse-0"):
    found = re.search(rf'^ringside_{name}\{{[^}}]*worker="{worker}"[^}}]*\}} (\S+)', text, re.M)
    return float(found.group(1)) if found else 0


def ask(r, target, timeout=60):
    s = r.connect(timeout)
    s.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return s


def answer(s):
    """Status and body of an answer with a Content-Length."""
    got = b""
    while b"\r\n\r\n" not in got:
        more = s.recv(65536)
        assert more, "ended in the head"
        got += more
    head, _, body = got.partition(b"\r\n\r\n")
    length = int(re.search(rb"(?i)content-length: (\d+)", head).group(1))
    while len(body) < length:
        more = s.recv(65536)
        assert more, "ended in the body"
        body += more
    return int(head.split()[1]), body


def fill(r, path, megabytes):
    r.request("PUT", path, headers={"content-type": "application/octet-stream"})
    for _ in range(megabytes):
        status, _, _ = r.request("POST", path, os.urandom(1 << 20), {"content-type": "application/octet-stream"})
        assert status == 204


def test_a_burst_that_asks_for_much_waits_in_line():
    """A herd comes at once (after a restart, say): each gets a slice, and whoever stands behind the herd is heard
    before all of it has got what the kernel would take."""
    herd = 60
    with Ringside("--worker-hang-timeout=10m", "--store-ring-bytes=32M", "--limits-body-bytes=2M") as r:
        fill(r, "/v1/stream/big", 8)
        sent = lambda: metric(r.get("/metrics"), "bytes_out_total")
        before, seen = sent(), []
        with ask(r, "/v1/stream/big?offset=-1"):  # and reads nothing
            wait_for(lambda: seen.append(sent()) or len(seen) > 20 and seen[-1] - seen[-10] < 400000, "a full socket")
        alone = seen[-1] - before
        assert alone > 1 << 20
        pid = r.worker("sse-0")["pid"]
        before = sent()
        os.kill(pid, signal.SIGSTOP)
        try:
            waiting = [ask(r, "/v1/stream/big?offset=-1") for _ in range(herd)]
            last = ask(r, "/metrics")
        finally:
            os.kill(pid, signal.SIGCONT)
        status, body = answer(last)
        assert status == 200
        assert metric(body.decode(), "bytes_out_total") - before < herd * alone / 2
        for s in waiting:
            s.close()


def test_streams_that_come_and_go_do_not_pile_up_before_one_who_takes_nothing():
    with Ringside("--limits-reader-lag-bytes=64k", "--store-ring-bytes=32M", "--limits-body-bytes=2M") as r:
        fill(r, "/v1/stream/g/big", 8)
        with ask(r, "/v1/events?stream=g/**&from=start"):  # catches up, so that no lag is counted, and reads nothing
            sent, seen = lambda: metric(r.get("/metrics"), "bytes_out_total"), []
            wait_for(lambda: seen.append(sent()) or len(seen) > 20 and seen[-1] - seen[-10] < 400000, "a full socket")

            def cut():
                for _ in range(20):
                    r.request("PUT", "/v1/stream/g/" + "x" * 200, headers=TEXT)
                    r.request("DELETE", "/v1/stream/g/" + "x" * 200)
                return metric(r.get("/metrics"), "readers_cut_total") == 1
            wait_for(cut, "the reader to be cut")


# ---- requests that cost much of a turn ----

JSON = {"content-type": "application/json"}


def chunks(s):
    """Sizes of an answer's chunks."""
    stream = s.makefile("rb")
    while stream.readline() != b"\r\n":
        pass
    while (size := int(stream.readline(), 16)) > 0:
        yield stream.read(size + 2)[:-2]


def test_an_append_of_many_elements_reaches_event_readers_in_frames_of_a_bounded_size():
    """Each element has its id, so that an append of small ones grows: it is not made into one frame in one turn."""
    count = 200000
    with Ringside() as r:
        r.request("PUT", "/v1/stream/many", headers=JSON)
        with ask(r, "/v1/events?stream=many") as live:
            frames, sizes, got = chunks(live), [], 0
            next(frames)  # the opening
            assert r.request("POST", "/v1/stream/many", b"[" + b"1," * (count - 1) + b"1]", JSON)[0] == 204
            while got < count:
                frame = next(frames)
                sizes.append(len(frame))
                got += len(re.findall(rb"^data: ?1$", frame, re.M))
            assert got == count and max(sizes) < 512 * 1024
            last = re.findall(rb"^id: ?(\S+)$", frame, re.M)[-1].decode()
        r.request("POST", "/v1/stream/many", b"[2]", JSON)
        with ask(r, f"/v1/events?stream=many&lastEventId={last}") as again:
            frames = chunks(again)
            while b"data:2" not in (frame := next(frames)).replace(b"data: ", b"data:"):
                assert b"data:1" not in frame.replace(b"data: ", b"data:")


def test_an_append_of_many_elements_reaches_stream_readers_in_frames_of_a_bounded_size():
    count = 400000
    with Ringside() as r:
        offset = r.request("PUT", "/v1/stream/many", headers=JSON)[1]["stream-next-offset"]
        with ask(r, f"/v1/stream/many?live=sse&offset={offset}") as live:
            frames, sizes, got, places = chunks(live), [], 0, []
            next(frames)  # up to date
            assert r.request("POST", "/v1/stream/many", b"[" + b"1," * (count - 1) + b"1]", JSON)[0] == 204
            while got < count:
                frame = next(frames)
                sizes.append(len(frame))
                got += frame.count(b"1,") + frame.count(b"1]")
                places.append((re.search(rb'"streamNextOffset":"([^"]+)"', frame).group(1).decode(), got))
            assert got == count and max(sizes) < 512 * 1024 and len(places) > 2
            assert [b"upToDate" in frame, len(set(places))] == [True, len(places)]
        for place, before in (places[0], places[-1]):  # each is a place to resume from
            status, _, body = r.request("GET", f"/v1/stream/many?offset={place}")
            assert status == 200 and len(json.loads(body)) == count - before


def threads(r):
    return len(os.listdir(f"/proc/{r.worker('sse-0')['pid']}/task"))


def test_a_large_json_body_is_read_beside_the_loop_and_keeps_its_place():
    with Ringside() as r:
        r.request("PUT", "/v1/stream/order", headers=JSON)
        before = threads(r)

        def post(body):
            return b"POST /v1/stream/order HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" \
                   b"Content-Length: %d\r\n\r\n" % len(body) + body
        with r.connect() as s:  # large and small, good and bad, in one go
            s.sendall(post(b"[0]") + post(b"[1" + b" " * 400000 + b",2]") + post(b"[3]") + post(b"[9" + b" " * 400000)
                      + post(b"[4]") + post(b"[5" + b" " * 400000 + b"]") + post(b"[6]"))
            got = b""
            while got.count(b"HTTP/1.1 ") < 7 or not got.endswith(b"\r\n\r\n"):
                got += s.recv(65536)
        assert re.findall(rb"HTTP/1.1 (\d+)", got) == [b"204"] * 3 + [b"400"] + [b"204"] * 3
        assert r.get("/v1/stream/order?offset=-1") == "[0,1,2,3,4,5,6]"
        assert threads(r) > before


def test_a_pattern_with_a_beginning_looks_at_nothing_else():
    with Ringside() as r:
        for i in range(300):
            r.request("PUT", f"/v1/stream/m/{i}", headers=TEXT)
        for path in ("p", "p/x", "p/q/y", "pz"):
            r.request("PUT", f"/v1/stream/{path}", headers=TEXT)
        for _ in range(2):  # as it was just written, and as a new worker finds it
            before = metric(r.get("/metrics"), "patterns_paths_total")
            with ask(r, "/v1/events?stream=p/**&stream=p/q/*") as s:
                told = b"".join(next(c) for c in [chunks(s)])
                named = json.loads(re.search(rb"data: (\[.*\])", told).group(1))
                assert {x["stream"] for x in named} == {"p", "p/x", "p/q/y"}
            assert 0 < metric(r.get("/metrics"), "patterns_paths_total") - before < 10
            r.stop()
            r.start()


def make_streams(r, paths):
    with r.connect(60) as s:
        for i in range(0, len(paths), 500):
            part = paths[i:i + 500]
            s.sendall(b"".join(b"PUT /v1/stream/%s HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
                               b"Content-Length: 0\r\n\r\n" % path.encode() for path in part))
            got = b""
            while got.count(b"HTTP/1.1 201") < len(part):
                more = s.recv(1 << 20)
                assert more, got[-500:]
                got += more


@contextlib.contextmanager
def held(r, name):
    """What is sent within reaches the worker in one turn of its loop, in that order."""
    pid = r.worker(name)["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def named(told):
    """Paths of all `streams` events, in order."""
    return [x["stream"] for line in re.findall(rb"event: streams\ndata: (\[.*\])", told) for x in json.loads(line)]


def test_a_pattern_without_a_beginning_is_looked_for_in_slices():
    """Others are answered before all paths were looked at, and each stream is attached once, also one that is created
    meanwhile."""
    with Ringside() as r:
        make_streams(r, [f"m/{i}" for i in range(8000)] + ["p/x", "q/r/x", "x"])
        for _ in range(2):  # as they were just written, and as a new worker finds them
            before = metric(r.get("/metrics"), "patterns_slices_total")
            with r.connect(60) as follower, r.connect(60) as other, r.connect(60) as gone, r.connect(60) as writer:
                for s in (follower, other, gone, writer):  # accepted
                    s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                    answer(s)
                with held(r, "sse-0"):
                    follower.sendall(b"GET /v1/events?stream=**/x&stream=*/x&from=start HTTP/1.1\r\nHost: x\r\n\r\n")
                    gone.sendall(b"GET /v1/events?stream=** HTTP/1.1\r\nHost: x\r\n\r\n")
                    gone.close()
                    writer.sendall(b"PUT /v1/stream/later/x HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
                                   b"Content-Length: 5\r\n\r\nhello")
                    other.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
                meanwhile = metric(answer(other)[1].decode(), "patterns_slices_total") - before
                told = b""
                while b"data:hello" not in told:
                    more = follower.recv(65536)
                    assert more, told
                    told += more
                assert sorted(named(told)) == ["later/x", "p/x", "q/r/x", "x"]
                assert told.count(b"data:hello") == 1
                wait_for(lambda: metric(r.get("/metrics"), "subscribers") == 1, "the other one gone")
            assert 1 <= meanwhile < 8000 / 256
            assert metric(r.get("/metrics"), "patterns_slices_total") - before > 8000 / 256
            r.request("DELETE", "/v1/stream/later/x")
            r.stop()
            r.start()


def test_the_streams_of_a_subscription_are_looked_for_in_slices():
    """By the call that makes it, by a claim that finds nothing to do, and by the bridge when it starts."""
    slices = 6000 / 512
    with Ringside(bridge=1) as r:
        looked = lambda worker="sse-0": metric(r.get("/metrics"), "subscription_slices_total", worker)
        wait_for(lambda: r.request("GET", "/v1/stream/__ds/jwks.json")[0] == 200, "the signing key")
        make_streams(r, [f"m/{i}" for i in range(6000)] + ["p/x", "q/r/x", "wakes"])
        body = json.dumps({"type": "pull-wake", "pattern": "**/x", "wake_stream": "wakes"})
        with r.connect(60) as caller, r.connect(60) as other, r.connect(60) as gone:
            for s in (caller, other, gone):  # accepted
                s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                answer(s)
            put = "PUT /v1/stream/__ds/subscriptions/%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" \
                  "Content-Length: %d\r\n\r\n%s"
            with held(r, "sse-0"):
                caller.sendall((put % ("s", len(body), body)).encode())
                gone.sendall((put % ("gone", len(body), body)).encode())
                gone.close()
                other.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            meanwhile = metric(answer(other)[1].decode(), "subscription_slices_total")
            status, made = answer(caller)
        assert status == 201
        assert sorted(s["path"] for s in json.loads(made)["streams"]) == ["p/x", "q/r/x"]
        assert 1 <= meanwhile < slices < looked()
        assert r.request("GET", "/v1/stream/__ds/subscriptions/gone")[0] == 404
        before = looked()
        claim = b'{"worker":"one"}'
        assert r.request("POST", "/v1/stream/__ds/subscriptions/s/claim", claim, {"content-type": "application/json"})[0] == 409
        assert looked() - before > slices
        wait_for(lambda: looked("bridge-0") > slices, "the bridge")
        r.request("POST", "/v1/stream/q/r/x", b"hello", TEXT)
        wait_for(lambda: '"subscription_id":"s"' in r.get("/v1/stream/wakes?offset=-1"), "a wake")
        status, _, told = r.request("POST", "/v1/stream/__ds/subscriptions/s/claim", claim, {"content-type": "application/json"})
        assert status == 200
        assert {s["path"]: s["has_pending"] for s in json.loads(told)["streams"]} == {"p/x": False, "q/r/x": True}


def rates(r, addresses):
    """Statuses of as many requests, each with these fields of X-Forwarded-For; 429 when they are one client's."""
    out = []
    for fields in addresses:
        with r.connect() as s:
            lines = "".join(f"X-Forwarded-For: {field}\r\n" for field in fields)
            s.sendall(f"GET /api/internal/bet-sync/state HTTP/1.1\r\nHost: x\r\n{lines}"
                      "Authorization: Bearer t-t-t\r\n\r\n".encode())
            out.append(int(s.recv(4096).split()[1]))
    return out


def test_forwarded_addresses_in_several_fields_are_one_list():
    with Ringside("--http-trust-forwarded", "--bet-sync-token=t-t-t", "--bet-sync-state-rate=2") as r:
        assert 429 not in rates(r, [["10.0.0.1", "10.9.9.9"], ["10.0.0.2", "10.8.8.8, 10.9.9.9"]])
        assert rates(r, [["10.0.0.3, 10.0.0.4", "10.0.0.5", "10.9.9.9 "]]) == [429]
        assert 429 not in rates(r, [["10.9.9.9", "10.7.7.7"]])


def test_limits_by_address_take_a_64_of_ipv6_for_one():
    with Ringside("--http-trust-forwarded", "--bet-sync-token=t-t-t", "--bet-sync-state-rate=2") as r:
        assert 429 not in rates(r, [["2001:db8:0:1::1"], ["2001:db8:0:1:ffff::2"]])
        assert rates(r, [["2001:db8:0:1:aaaa:bbbb:cccc:dddd"]]) == [429]
        assert 429 not in rates(r, [["2001:db8:0:2::1"]])
        assert 429 not in rates(r, [["::ffff:10.0.0.1"], ["10.0.0.1"]])
        assert rates(r, [["::ffff:10.0.0.1"], ["::ffff:10.0.0.2"]])[0] == 429


def test_a_forwarded_address_may_have_a_port():
    """As some proxies say it: not the proxy's own address for everybody."""
    with Ringside("--http-trust-forwarded", "--bet-sync-token=t-t-t", "--bet-sync-state-rate=2") as r:
        assert 429 not in rates(r, [["10.0.0.1:1024"], ["10.0.0.1:1025"]])
        assert rates(r, [["10.0.0.1"]]) == [429]
        assert 429 not in rates(r, [["10.0.0.2:1024"]])
        assert 429 not in rates(r, [["[2001:db8:0:1::1]:1024"], ["[2001:db8:0:1::2]"]])
        assert rates(r, [["2001:db8:0:1::3"]]) == [429]
        assert 429 not in rates(r, [["[2001:db8:0:2::1]:1024"]])


# ---- bodies ----

@contextlib.contextmanager
def body_under_way(r, length, came):
    """A body of which so much has come."""
    before = metric(r.get("/metrics"), "bytes_in_total")
    with r.connect() as s:
        s.sendall(f"POST /v1/stream/p HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
                  f"Content-Length: {length}\r\n\r\n".encode() + b"a" * came)
        wait_for(lambda: metric(r.get("/metrics"), "bytes_in_total") - before >= came, "the worker to have it")
        s.settimeout(0.02)
        yield s


def drip(s, n):
    """Sends a little; what was answered so far."""
    try:
        s.sendall(b"a" * n)
        return s.recv(4096)
    except TimeoutError:
        return b""
    except (BrokenPipeError, ConnectionResetError):
        return b"gone"


def test_what_came_long_ago_buys_a_body_no_time():
    """At the least speed that is asked for, 900,000 bytes would be good for a quarter of an hour."""
    with Ringside("--http-body-timeout=500ms", "--http-body-rate-min=1k") as r:
        r.request("PUT", "/v1/stream/p", headers=TEXT)
        with body_under_way(r, 1000000, 900000) as s:
            assert wait_for(lambda: drip(s, 1), "an answer").startswith(b"HTTP/1.1 408")


def test_a_body_that_takes_long_gives_way_when_others_find_no_room():
    with Ringside("--limits-body-bytes-total=1M", "--http-body-timeout=500ms", "--http-body-rate-min=1k") as r:
        r.request("PUT", "/v1/stream/p", headers=TEXT)
        with body_under_way(r, 1000000, 800000) as s:
            post = lambda: drip(s, 200) and False or r.request("POST", "/v1/stream/p", b"b" * 150000, TEXT)[0]
            assert post() == 503
            wait_for(lambda: post() == 204, "room")


def test_large_bodies_take_what_came_and_leave_room_for_small_ones():
    with Ringside("--limits-body-bytes-total=1M") as r:
        r.request("PUT", "/v1/stream/p", headers=TEXT)
        with body_under_way(r, 1000000, 600000), body_under_way(r, 1000000, 250000):
            assert r.request("POST", "/v1/stream/p", b"b" * 70000, TEXT)[0] == 503
            assert r.request("POST", "/v1/stream/p", b"b" * 60000, TEXT)[0] == 204


@contextlib.contextmanager
def memory_group(limit):
    """A control group with so much memory; skips where none can be made. Gives the file to write a pid to."""
    v1 = "/sys/fs/cgroup/memory"
    group = os.path.join(v1 if os.path.isdir(v1) else "/sys/fs/cgroup", f"ringside-test-{os.getpid()}")
    try:
        os.mkdir(group)
    except OSError as error:
        pytest.skip(f"no control group can be made: {error}")
    try:
        name = "memory.limit_in_bytes" if os.path.isdir(v1) else "memory.max"
        if not os.path.exists(os.path.join(group, name)):
            pytest.skip("no memory controller here")
        with open(os.path.join(group, name), "w") as file:
            file.write(str(limit))
        yield os.path.join(group, "cgroup.procs")
    finally:
        wait_for(lambda: not open(os.path.join(group, "cgroup.procs")).read(), "the group to be empty")
        os.rmdir(group)


def test_bodies_follow_the_memory_limit():
    """A quarter of the group's memory, whatever limits.body_bytes_total says."""
    with memory_group(256 << 20) as procs:
        join = ["sh", "-c", f'echo $$ > {procs} && exec "$@"', "sh"]
        with Ringside("--store-ring-bytes=280M", "--limits-body-bytes=70M", prefix=join) as r:
            status = lambda: metric(r.get("/metrics"), "body_bytes_max")
            assert status() == 64 << 20
            with r.connect() as s:
                s.sendall(b"POST /v1/stream/p HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
                          b"Content-Length: 67108865\r\n\r\n")
                assert s.recv(4096).startswith(b"HTTP/1.1 413")


def test_ceilings_follow_the_memory_limit():
    """Of what waits for clients, and of the queues between workers; what is less by setting stays."""
    with memory_group(256 << 20) as procs:
        join = ["sh", "-c", f'echo $$ > {procs} && exec "$@"', "sh"]
        with Ringside("--sse-workers=3", "--store-ring-bytes=32M", "--limits-body-bytes=2M", prefix=join) as r:
            maximum = lambda name: metric(r.get("/metrics"), name)
            assert maximum("waiting_bytes_max") == (32 << 20) // 3
            wait_for(lambda: maximum("link_bytes_max") == (32 << 20) // (3 * 2 * 2), "links")
    with Ringside("--sse-workers=1", "--limits-waiting-bytes-total=5M") as r:
        assert metric(r.get("/metrics"), "waiting_bytes_max") == 5 << 20


@pytest.mark.parametrize("query", ["offset=-1", "offset=-1&live=sse"])
def test_slow_readers_of_many_pages_stay_below_the_ceiling(query):
    """Each would hold a page of 256k, and those of `live` a frame of their own place in the stream."""
    readers, least = 200, 8192  # a piece, its framing and what an empty connection has
    with Ringside("--sse-workers=1", "--store-ring-bytes=32M", "--limits-body-bytes=2M",
                  "--limits-waiting-bytes-total=1M") as r:
        fill(r, "/v1/stream/big", 8)
        with contextlib.ExitStack() as stack:
            waiting = lambda: metric(r.get("/metrics"), "waiting_bytes")
            for _ in range(readers):
                s = stack.enter_context(r.connect(60))
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                s.sendall(f"GET /v1/stream/big?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            seen, sent = [], [0]
            steady = lambda: len(sent) > 20 and sent[-1] - sent[-10] < 800000
            wait_for(lambda: seen.append(waiting()) or sent.append(metric(r.get("/metrics"), "bytes_out_total"))
                     or sent[-1] > readers * 65536 and steady(), "full sockets")
            assert max(seen) < (1 << 20) + readers * least
            # Whoever reads is served beside them, in smaller pieces.
            assert len(r.request("GET", "/v1/stream/big?offset=-1")[2]) > 1 << 20
        wait_for(lambda: waiting() < 1 << 20, "memory to come back")
