"""data.mdb damaged, cut short or on a failing disk: said with a status, never answered from, never fatal."""

import os
import random
import re
import subprocess

import pytest

from ringside import BUILD, Ringside, wait_for

TEXT = {"content-type": "text/plain"}
BODY = 60_000
STREAMS = 20
PAGE = 4096


def body_of(i):
    return random.Random(i).randbytes(BODY)


def fill(r):
    """Streams whose messages stand in LMDB and no longer in the ring's reach: it is opened anew."""
    for i in range(STREAMS):
        assert r.request("PUT", f"/v1/stream/s{i}", body_of(i), {"content-type": "a/b"})[0] == 201
    r.ctl("store", "check")  # applies the log


def statuses(r):
    """Of each stream; what is answered with 200 is right."""
    seen = []
    for i in range(STREAMS):
        status, _, body = r.request("GET", f"/v1/stream/s{i}?offset=-1")
        assert status != 200 or body == body_of(i)
        seen.append(status)
    return seen


def zero(path, offset, count):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(bytes(count))


def test_zeroed_pages_are_not_answered_with_200():
    with Ringside() as r:
        fill(r)
        r.stop()
        data = f"{r.data_dir}/data.mdb"
        zero(data, os.stat(data).st_size // 2 // PAGE * PAGE, 60 * PAGE)
        r.start()
        pids = r.worker_pids()
        seen = statuses(r)
        assert set(seen) == {200, 503} and seen.count(503) < STREAMS / 2
        assert r.request("PUT", "/v1/stream/new", b"x", TEXT)[0] == 201
        assert 'ringside_store_unreadable_total{worker="sse-0"} 0' not in r.get("/metrics")
        assert "damaged" in r.ctl("store", "check", code=1)[0]
        assert r.worker_pids() == pids


def test_a_short_file_is_refused_by_every_opener():
    with Ringside() as r:
        fill(r)
        r.stop()
        data = f"{r.data_dir}/data.mdb"
        whole = os.stat(data).st_size
        os.truncate(data, whole // 2)
        want = rf"data\.mdb is cut short: {whole // 2} bytes, expected \d+"  # the last pages may be free ones
        for what in (("check",), ("backup", f"{r.dir}/b")):
            assert re.search(want, r.ctl("store", *what, "--data-dir", r.data_dir, code=1)[1])
        r.spawn()
        assert r.wait_exit() == 2
        assert re.search(want, r.log())


def test_a_file_cut_short_under_running_workers_costs_requests_only():
    with Ringside("--store-checkpoint=50ms", workers=2) as r:
        fill(r)
        r.stop()
        r.start()
        pids = r.worker_pids()
        os.truncate(f"{r.data_dir}/data.mdb", 2 * PAGE)
        assert statuses(r) == [503] * STREAMS
        # What is there cannot be told: it is not made a second time.
        assert r.request("PUT", "/v1/stream/s1", b"", {"content-type": "a/b"})[0] == 503
        assert r.request("DELETE", "/v1/stream/s1")[0] == 503
        assert r.request("POST", "/v1/stream/s2", b"x", {"content-type": "a/b"})[0] == 503
        r.wait_log("store not readable")
        assert r.worker_pids() == pids


def test_a_failed_meta_page_makes_nothing_absent():
    shim = os.path.abspath(os.path.join(BUILD, "tests/faults/libfailing_disk.so"))
    flag = f"/tmp/ringside-failing-meta-{os.getpid()}"
    preload = ":".join(filter(None, [os.environ.get("LD_PRELOAD"), shim]))
    if b"libasan" in subprocess.run(["ldd", os.path.join(BUILD, "worker-sse/ringside-sse")],
                                    capture_output=True, check=True).stdout:
        pytest.skip("ASan's runtime must be loaded first; the release build is tested")

    def status(method, i, body=b""):
        try:
            return r.request(method, f"/v1/stream/s{i}", body, {"content-type": "a/b"}, timeout=30)[0]
        except OSError:
            return None  # its worker has just left

    def put(i):
        return status("PUT", i)

    with Ringside("--store-checkpoint=50ms", workers=2,
                  environment={"LD_PRELOAD": preload, "FAILING_META": flag}) as r:
        fill(r)
        r.stop()
        r.start()  # nothing of it is in memory
        seen = set()
        try:
            open(flag, "w").close()
            status("POST", 0, b"x")

            def left():
                seen.update(put(i) for i in range(1, STREAMS))
                return "must be opened again" in r.log()
            wait_for(left, "a worker whose environment broke to leave")
        finally:
            os.unlink(flag)
        assert 201 not in seen and 507 not in seen
        wait_for(lambda: put(1) == 200, "writes again")
        for i in range(1, STREAMS):
            wait_for(lambda i=i: put(i) == 200, "the stream that was there")
            assert r.request("GET", f"/v1/stream/s{i}?offset=-1")[2] == body_of(i)
        r.ctl("store", "check")
