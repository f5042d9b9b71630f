"""A node that follows another: the same bytes at the same places, whatever dies, and what it cannot answer is handed on."""

import contextlib
import json
import os
import random
import re
import signal
import socket

import pytest

from event_source import EventSource
from ringside import Ringside, wait_for
from sse_reader import SseReader, Writer

TEXT = {"content-type": "text/plain"}
SECRET = "s3cret"
BEARER = {"authorization": f"Bearer {SECRET}"}


def free_address():
    """One that nobody has, to come back to after a restart."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return f"127.0.0.1:{found.getsockname()[1]}"


def node(*flags, follow=None, secret=SECRET, environment=None, **options):
    follows = [f"--cluster-follow={follow if isinstance(follow, str) else follow.url}"] if follow else []
    return Ringside(*flags, *follows, environment={"RINGSIDE_CLUSTER_SECRET": secret, **(environment or {})}, **options)


def status(r):
    return json.loads(r.request("GET", "/v1/cluster/status", headers=BEARER)[2])


def position(r):
    try:
        now = status(r)
    except OSError:  # it begins again, with another snapshot
        return None
    return now["lsn"], now["hash"]


def caught_up(*nodes):
    """One history, and all of it, everywhere."""
    def alike():
        found = {position(r) for r in nodes}
        return len(found) == 1 and found != {None}
    return wait_for(alike, "the same position on all nodes")


def ready(r, what=""):
    return r.request("GET", "/readyz" + what)[0] == 200


def append(r, path, body, **headers):
    answer = r.request("POST", path, body, {**TEXT, **{name.replace("_", "-"): value for name, value in headers.items()}})
    assert answer[0] in (200, 204), answer
    return answer[1]["stream-next-offset"]


def whole(r, path):
    """Every page of it: what is in them, where each ends, and what it is called."""
    pages, offset = [], "-1"
    while True:
        code, headers, body = r.request("GET", f"{path}?offset={offset}")
        assert code == 200, (code, body)
        pages.append((body, headers["stream-next-offset"], headers["etag"]))
        if headers.get("stream-up-to-date"):
            return pages
        offset = headers["stream-next-offset"]


def same(path, *nodes):
    first = whole(nodes[0], path)
    for r in nodes[1:]:
        assert whole(r, path) == first
    return b"".join(body for body, _, _ in first)


def link_of(r):
    return r.worker("link-0")["pid"]


def test_an_edge_has_the_same_bytes_at_the_same_places():
    with node(workers=2) as leader:
        assert leader.request("PUT", "/v1/stream/before", headers=TEXT)[0] == 201
        append(leader, "/v1/stream/before", b"a" * 3000)
        with node(follow=leader, workers=2) as edge:
            leader.request("PUT", "/v1/stream/after", headers=TEXT)
            offsets = [append(leader, "/v1/stream/after", b"%d;" % i) for i in range(50)]
            caught_up(leader, edge)
            assert same("/v1/stream/before", leader, edge) == b"a" * 3000
            assert same("/v1/stream/after", leader, edge) == b"".join(b"%d;" % i for i in range(50))
            for offset in offsets[::7]:
                path = f"/v1/stream/after?offset={offset}"
                assert edge.request("GET", path)[2] == leader.request("GET", path)[2]
            ids = []
            for r in (leader, edge):
                source = EventSource(r, "stream=after&from=start")
                wait_for(lambda source=source: len(source.messages()) == 50, "all events")
                ids.append([(e.data, e.last_id) for e in source.events if e.name == "message"])
                source.cut()
            assert ids[0] == ids[1]
            wait_for(lambda: ready(edge), "the edge to be ready")
            assert ready(edge, "?for=write")
            assert status(edge)["state"] == "live" and status(leader)["followers"] == 1
            assert edge.worker("bridge-0") is None


def test_writes_at_an_edge_are_handed_on():
    with node() as leader, node(follow=leader) as edge:
        code, headers, _ = edge.request("PUT", "/v1/stream/s", headers=TEXT)
        assert code == 201 and headers["stream-next-offset"]
        assert len(headers.get_all("date")) == 1 and len(headers.get_all("x-content-type-options")) == 1
        last = append(edge, "/v1/stream/s", b"one;")
        producer = {"producer_id": "p", "producer_epoch": "0", "producer_seq": "0"}
        last = append(edge, "/v1/stream/s", b"two;", **producer)
        again = edge.request("POST", "/v1/stream/s", b"two;", {**TEXT, "producer-id": "p", "producer-epoch": "0",
                                                               "producer-seq": "0"})
        assert again[0] == 204 and again[1]["stream-next-offset"] == last
        # What was acknowledged is there for who asks with its offset, at once and wherever.
        code, headers, body = edge.request("GET", f"/v1/stream/s?offset={last}")
        assert code == 200 and headers["stream-next-offset"] == last and body == b""
        assert edge.request("GET", "/v1/stream/never")[0] == 404
        assert edge.request("POST", "/v1/stream/s", b"x", {"content-type": "a/b"})[0] == 409
        caught_up(leader, edge)
        assert same("/v1/stream/s", leader, edge) == b"one;two;"
        assert edge.request("DELETE", "/v1/stream/s")[0] == 204
        caught_up(leader, edge)
        assert edge.request("HEAD", "/v1/stream/s")[0] == leader.request("HEAD", "/v1/stream/s")[0] == 404


def test_an_edge_may_send_writers_on():
    with node() as leader, node("--cluster-writes=redirect", follow=leader) as edge:
        with edge.connect() as connection:
            connection.sendall(b"PUT /v1/stream/s?a=b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
            answer = b""
            while b"\r\n\r\n" not in answer:
                piece = connection.recv(4096)
                assert piece, answer
                answer += piece
            answer = answer.decode()
        assert answer.startswith("HTTP/1.1 307 ") and f"\r\nlocation: {leader.url}/v1/stream/s?a=b\r\n" in answer


def test_live_readers_move_between_nodes():
    with node() as leader, node(follow=leader) as edge:
        leader.request("PUT", "/v1/stream/s", headers=TEXT)
        here, there = SseReader(leader, "/v1/stream/s"), SseReader(edge, "/v1/stream/s")
        source = EventSource(leader, "stream=s&from=start")
        here.start()
        there.start()
        for i in range(20):
            append(leader, "/v1/stream/s", b"%d;" % i)
        expected = "".join(f"{i};" for i in range(20))
        wait_for(lambda: here.text() == there.text() == expected, "both readers")
        wait_for(lambda: len(source.messages()) == 20, "the events")
        # One goes on where the other was, each way.
        last = source.last_id
        source.cut()
        source = EventSource(edge, "stream=s", last_id=last)
        here.stop()
        there.stop()
        for i in range(20, 30):
            append(edge, "/v1/stream/s", b"%d;" % i)
        wait_for(lambda: source.messages() == [f"{i};" for i in range(20, 30)], "the rest")
        assert not [e for e in source.events if e.name == "reset"]
        source.cut()


def test_a_reader_ahead_of_an_edge_never_gets_less():
    with node() as leader, node("--worker-hang-timeout=60s", follow=leader) as edge:
        leader.request("PUT", "/v1/stream/s", headers=TEXT)
        append(leader, "/v1/stream/s", b"old;")
        caught_up(leader, edge)
        link = link_of(edge)
        os.kill(link, signal.SIGSTOP)
        try:
            behind = position(edge)
            last = append(leader, "/v1/stream/s", b"new;")
            source = EventSource(leader, "stream=s&from=start")
            wait_for(lambda: source.messages() == ["old;", "new;"], "both events")
            newest = source.last_id
            source.cut()
            append(leader, "/v1/stream/s", b"newer;")
            code, headers, body = edge.request("GET", f"/v1/stream/s?offset={last}")
            assert code == 200 and body == b"newer;" and headers["stream-next-offset"] > last
            source = EventSource(edge, "stream=s", last_id=newest)
            wait_for(lambda: source.messages() == ["newer;"], "what the other node told of")
            assert not [e for e in source.events if e.name == "reset"]
            source.cut()
            assert edge.request("GET", "/v1/stream/s?offset=-1")[2] == b"old;"
            leader.request("PUT", "/v1/stream/younger", headers=TEXT)
            assert edge.request("GET", "/v1/stream/younger")[0] == 200
            assert position(edge) == behind
            leader.stop()
            code, headers, _ = edge.request("GET", f"/v1/stream/s?offset={last}")
            assert code == 503 and headers["retry-after"]
            assert edge.request("GET", "/v1/stream/s?offset=-1")[2] == b"old;"
            assert edge.request("POST", "/v1/stream/s", b"no", TEXT)[0] == 503
        finally:
            os.kill(link, signal.SIGCONT)


def test_whatever_is_killed_nothing_is_lost_or_twice():
    dice = random.Random(7)
    with node(workers=2, listen=free_address()) as leader, node(follow=leader, workers=2, listen=free_address()) as edge:
        for path in ("/v1/stream/a", "/v1/stream/b"):
            leader.request("PUT", path, headers=TEXT)
        writers = [Writer(leader, "/v1/stream/a", "a", 0.002), Writer(edge, "/v1/stream/b", "b", 0.002)]
        readers = [SseReader(r, path) for r in (leader, edge) for path in ("/v1/stream/a", "/v1/stream/b")]
        for thread in writers + readers:
            thread.start()

        def restart(r):
            r.kill_everything()
            r.start()

        harms = [lambda: edge.kill(link_of(edge)), lambda: edge.kill_some_worker(dice, "sse"), lambda: restart(edge),
                 lambda: leader.kill_some_worker(dice, "sse"), lambda: restart(leader)]
        for harm in harms:
            before = [w.acknowledged for w in writers]
            harm()
            wait_for(lambda before=before: all(w.acknowledged > n + 20 for w, n in zip(writers, before)), "writers to go on")
        for writer in writers:
            writer.stop()
        caught_up(leader, edge)
        for writer, path in zip(writers, ("/v1/stream/a", "/v1/stream/b")):
            expected = "".join(f"{writer.name_}:{i}\n" for i in range(writer.acknowledged))
            assert same(path, leader, edge).decode() == expected
            for reader in readers:
                if reader.path == path:
                    wait_for(lambda reader=reader, expected=expected: reader.text() == expected, f"a reader of {path}")
        for reader in readers:
            reader.stop()
        edge.ctl("store", "check")


def fill(r, path, megabytes):
    for i in range(megabytes * 4):
        append(r, path, bytes([65 + i % 26]) * (256 << 10))


def test_the_ring_goes_round():
    with node() as leader, node(follow=leader) as edge:
        leader.request("PUT", "/v1/stream/s", headers=TEXT)
        fill(leader, "/v1/stream/s", 20)  # of 8
        caught_up(leader, edge)
        assert len(same("/v1/stream/s", leader, edge)) == 20 << 20
        assert "snapshot came" in edge.log()  # another one where this machine let the log go round before the edge came


def test_away_for_longer_than_the_log_lasts():
    with node(listen=free_address()) as leader, node(follow=leader, listen=free_address()) as edge:
        leader.request("PUT", "/v1/stream/s", headers=TEXT)
        append(leader, "/v1/stream/s", b"early;")
        caught_up(leader, edge)
        edge.stop()
        fill(leader, "/v1/stream/s", 20)
        edge.start()
        caught_up(leader, edge)
        wait_for(lambda: ready(edge), "the edge to be ready")
        assert len(same("/v1/stream/s", leader, edge)) == (20 << 20) + 6
        assert edge.log().count("snapshot came") == 2
        edge.ctl("store", "check")


def test_an_edge_of_an_edge():
    with node() as leader, node(follow=leader) as edge, node(follow=edge) as farther:
        assert farther.request("PUT", "/v1/stream/s", headers=TEXT)[0] == 201
        last = append(farther, "/v1/stream/s", b"one;")
        assert farther.request("GET", f"/v1/stream/s?offset={last}")[1]["stream-next-offset"] == last
        for i in range(100):
            append(leader, "/v1/stream/s", b"%d;" % i)
        caught_up(leader, edge, farther)
        same("/v1/stream/s", leader, edge, farther)
        edge.kill(link_of(edge))
        append(leader, "/v1/stream/s", b"more;")
        caught_up(leader, edge, farther)
        assert same("/v1/stream/s", leader, edge, farther).endswith(b"more;")


def test_an_edge_serves_alone():
    with node(listen=free_address()) as leader, node(follow=leader) as edge:
        leader.request("PUT", "/v1/stream/s", headers=TEXT)
        append(leader, "/v1/stream/s", b"one;")
        caught_up(leader, edge)
        wait_for(lambda: ready(edge), "the edge to be ready")
        leader.stop()
        wait_for(lambda: status(edge)["state"] == "isolated", "the edge to notice")
        assert edge.request("GET", "/v1/stream/s?offset=-1")[2] == b"one;"
        assert ready(edge) and not ready(edge, "?for=write")
        edge.stop()
        edge.start()
        assert edge.request("GET", "/v1/stream/s?offset=-1")[2] == b"one;"
        leader.start()
        append(leader, "/v1/stream/s", b"two;")
        caught_up(leader, edge)
        wait_for(lambda: ready(edge, "?for=write"), "the edge to be ready again")


def test_who_may_follow():
    with node() as leader:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Bearer {SECRET}x"}):
            for what in ("status", "log?lsn=32&hash=0000000000000000", "snapshot"):
                assert leader.request("GET", f"/v1/cluster/{what}", headers=headers)[0] == 401
        assert leader.request("GET", "/v1/cluster/log?lsn=32&hash=0000000000000000", headers=BEARER)[0] == 409
        assert leader.request("GET", "/v1/cluster/log?lsn=x&hash=1", headers=BEARER)[0] == 400
        with node(follow=leader, secret="other", start=False) as edge:
            edge.spawn()
            edge.wait_log("refuses this one.*cluster.secret must be the same")
    with Ringside() as alone:
        assert alone.request("GET", "/v1/cluster/status", headers=BEARER)[0] == 403


def test_rings_of_different_sizes():
    with node() as leader:
        with node("--store-ring-bytes=16M", "--limits-body-bytes=1M", follow=leader, start=False) as edge:
            edge.spawn()
            assert edge.wait_exit() == 2
            assert "store.ring_bytes: the node that is followed has 8388608, this one 16777216" in edge.log()


def test_an_edge_leaves():
    with node() as leader, node(follow=leader) as edge:
        leader.request("PUT", "/v1/stream/s", headers=TEXT)
        append(leader, "/v1/stream/s", b"one;")
        caught_up(leader, edge)
        wait_for(lambda: ready(edge), "the edge to be ready")
        assert json.loads(edge.ctl("cluster", "status", "--json")[0])["state"] == "live"
        assert "follows     http" in edge.ctl("cluster", "status")[0]
        assert json.loads(leader.ctl("cluster", "status", "--json")[0]) == {"follows": "", "followers": 1}
        data = ["--data-dir", edge.data_dir]
        edge.ctl("cluster", "leave", *data, code=1)  # it runs
        edge.stop()
        edge.flags.pop()
        edge.spawn()
        assert edge.wait_exit() == 2
        assert "is a copy of another node's store: set cluster.follow, or ringsidectl cluster leave" in edge.log()
        edge.ctl("cluster", "leave", *data)
        edge.ctl("cluster", "leave", *data, code=1)  # it has
        edge.start()
        append(edge, "/v1/stream/s", b"mine;")
        assert edge.request("GET", "/v1/stream/s?offset=-1")[2] == b"one;mine;"
        assert leader.request("GET", "/v1/stream/s?offset=-1")[2] == b"one;"


def test_a_store_of_its_own_is_not_given_up():
    with node() as leader, node() as other:
        other.request("PUT", "/v1/stream/mine", headers=TEXT)
        other.stop()
        other.flags.append(f"--cluster-follow={leader.url}")
        other.spawn()
        assert other.wait_exit() == 2
        assert "holds a store of its own" in other.log()
        other.flags.pop()
        other.start()
        assert other.request("HEAD", "/v1/stream/mine")[0] == 200


@pytest.mark.parametrize("what", ["ring", "control"])
def test_an_edge_without_some_of_its_files(what):
    with node() as leader, node(follow=leader) as edge:
        leader.request("PUT", "/v1/stream/s", headers=TEXT)
        append(leader, "/v1/stream/s", b"one;")
        caught_up(leader, edge)
        edge.kill_everything()
        os.unlink(os.path.join(edge.data_dir, what))
        append(leader, "/v1/stream/s", b"two;")
        edge.start()
        caught_up(leader, edge)
        assert same("/v1/stream/s", leader, edge) == b"one;two;"


def read_answers(connection, count):
    """The statuses of so many answers, in their order."""
    got = b""
    while got.count(b"HTTP/1.1 ") < count or b"\r\n\r\n" not in got[got.rindex(b"HTTP/1.1 "):]:
        piece = connection.recv(65536)
        assert piece, got
        got += piece
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", got)]


def test_appends_in_a_row_keep_their_order():
    with node() as leader, node(follow=leader) as edge:
        leader.request("PUT", "/v1/stream/s", headers=TEXT)
        worker = edge.worker("sse-0")["pid"]
        with edge.connect() as connection:
            connection.sendall(b"".join(b"POST /v1/stream/s HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
                                        b"Content-Length: 3\r\n\r\n%02d;" % i for i in range(60)))
            assert set(read_answers(connection, 60)) <= {200, 204}
            # Answers with bodies, in a row too.
            connection.sendall(b"".join(b"POST /v1/stream/none HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
                                        b"Content-Length: 1\r\n\r\nx" for _ in range(5)))
            assert read_answers(connection, 5) == [404] * 5
        caught_up(leader, edge)
        assert same("/v1/stream/s", leader, edge) == b"".join(b"%02d;" % i for i in range(60))
        assert edge.worker("sse-0")["pid"] == worker


@contextlib.contextmanager
def stopped(pids):
    """They stand still while the block lasts."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def metric(r, name):
    found = re.findall(rf"^{name}(?:{{[^}}]*}})? (\d+)", r.get("/metrics"), re.M)
    assert found, name
    return sum(map(int, found))


def test_who_leaves_takes_the_connection_along():
    with node() as leader, node("--worker-hang-timeout=60s", follow=leader) as edge:
        caught_up(leader, edge)
        link = link_of(edge)
        os.kill(link, signal.SIGSTOP)
        try:
            leader.request("PUT", "/v1/stream/s", headers=TEXT)
            append(leader, "/v1/stream/s", b"one;")
            before = metric(leader, "ringside_connections")
            for _ in range(6):
                # The second goes over the connection of the first.
                assert edge.request("GET", "/v1/stream/s?offset=-1")[2] == b"one;"
                with edge.connect() as connection:
                    connection.sendall(b"GET /v1/stream/s?offset=-1&live=sse HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    got = b""
                    while b"one;" not in got:
                        got += connection.recv(4096)
            wait_for(lambda: metric(leader, "ringside_connections") <= before + 2, "their connections to go")
        finally:
            os.kill(link, signal.SIGCONT)


def test_dots_in_a_path_are_handed_on_as_they_are():
    with node() as leader, node(follow=leader) as edge:
        leader.request("PUT", "/v1/stream/a", headers=TEXT)
        there = leader.request("POST", "/v1/stream/b/../a", b"x", TEXT)[0]
        assert edge.request("POST", "/v1/stream/b/../a", b"x", TEXT)[0] == there
        assert leader.request("GET", "/v1/stream/a?offset=-1")[2] == b""


def test_a_node_that_says_nothing():
    with node() as leader, node(follow=leader) as edge:
        leader.request("PUT", "/v1/stream/s", headers=TEXT)
        caught_up(leader, edge)
        with stopped([leader.process.pid, *leader.worker_pids()]):
            # Not here yet, for all that this node knows; then the link has noticed.
            assert edge.request("GET", "/v1/stream/never", timeout=30)[0] == 503
            wait_for(lambda: status(edge)["state"] == "isolated", "the edge to notice")
            assert edge.request("HEAD", "/v1/stream/never", timeout=30)[0] == 503
            assert edge.request("GET", "/v1/stream/s?offset=-1")[0] == 200
        wait_for(lambda: edge.request("GET", "/v1/stream/never")[0] == 404, "the other node to be asked again")


def test_a_ticket_goes_along():
    tokens = {"RINGSIDE_AUTH_PUBLISH_TOKENS": "publish-" + "p" * 24, "RINGSIDE_AUTH_SUBSCRIBE_TOKENS": "subscribe-" + "s" * 24}
    publish, subscribe = ({"authorization": f"Bearer {token}"} for token in tokens.values())
    closed = {"environment": tokens}
    with node("--dev=false", **closed) as leader, node("--dev=false", follow=leader, **closed) as edge, \
            node("--dev=false", "--cluster-writes=redirect", follow=leader, **closed) as sender:
        wait_for(lambda: ready(edge), "the edge to be ready")
        answer = edge.request("POST", "/v1/tickets", json.dumps({"read": ["late"]}).encode(), subscribe)
        assert answer[0] == 201, answer
        ticket = json.loads(answer[2])["ticket"]
        with stopped([link_of(edge), link_of(sender)]):
            assert leader.request("PUT", "/v1/stream/late", b"one", {**publish, **TEXT})[0] == 201
            assert edge.request("GET", f"/v1/stream/late?ticket={ticket}&offset=-1")[2] == b"one"
            with sender.connect() as connection:
                connection.sendall(f"GET /v1/stream/late?ticket={ticket} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                assert read_answers(connection, 1) == [307]


def test_another_node_in_the_place_of_the_one_that_is_followed():
    place = free_address()
    with node(listen=place) as leader, node(follow=leader) as edge:
        leader.request("PUT", "/v1/stream/s", headers=TEXT)
        append(leader, "/v1/stream/s", b"one;")
        caught_up(leader, edge)
        link = link_of(edge)
        leader.stop()
        with node("--store-ring-bytes=16M", "--limits-body-bytes=1M", listen=place):
            edge.wait_log("this node cannot follow any more.*must be equal")
            assert status(edge)["state"] == "renewing"
            assert edge.request("GET", "/v1/stream/s?offset=-1")[2] == b"one;"
            assert link_of(edge) == link
        leader.start()
        append(leader, "/v1/stream/s", b"two;")
        caught_up(leader, edge)
        assert same("/v1/stream/s", leader, edge) == b"one;two;"


def test_a_link_that_ends_with_a_snapshot_in_its_hands():
    with node() as leader, node(follow=leader) as edge:
        leader.request("PUT", "/v1/stream/s", headers=TEXT)
        append(leader, "/v1/stream/s", b"one;")
        caught_up(leader, edge)
        snapshot = leader.request("GET", "/v1/cluster/snapshot", headers=BEARER)[2]
        with open(os.path.join(edge.data_dir, "part"), "wb") as file:
            file.write(snapshot)
        link = link_of(edge)
        with stopped([link]):
            os.rename(file.name, os.path.join(edge.data_dir, "snapshot.mdb"))
            edge.kill(link)
        wait_for(lambda: not os.path.exists(os.path.join(edge.data_dir, "snapshot.mdb")), "the snapshot to be taken")
        append(leader, "/v1/stream/s", b"two;")
        caught_up(leader, edge)
        assert same("/v1/stream/s", leader, edge) == b"one;two;"


def test_a_link_has_started_when_the_store_is_open():
    with node() as leader, node(follow=leader) as edge:
        caught_up(leader, edge)
        edge.stop()
        edge.start()
        lines = ("link state=joining was=opening", "worker-ready worker=link-0")  # of two processes: by their time
        opened, begun = (re.findall(rf"^(\S+Z) .*{line}", edge.log(), re.M)[-1] for line in lines)
        assert opened <= begun


def test_one_snapshot_at_a_time():
    with node(workers=2) as leader:
        leader.request("PUT", "/v1/stream/s", headers=TEXT)
        fill(leader, "/v1/stream/s", 16)
        ask = f"GET /v1/cluster/snapshot HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {SECRET}\r\n\r\n".encode()
        with leader.connect() as first:
            first.sendall(ask)
            assert read_answers(first, 1) == [200]
            for _ in range(12):  # by either worker
                assert leader.request("GET", "/v1/cluster/snapshot", headers=BEARER)[0] == 503
        wait_for(lambda: leader.request("GET", "/v1/cluster/snapshot", headers=BEARER)[0] == 200, "the next one's turn")
