"""What no restart of a worker can mend: said once, exit code 2, and nothing is tried again."""

import os
import re
import signal
import subprocess
import sys

import pytest

from ringside import BUILD, Ringside


def sanitized():
    return b"libasan" in subprocess.run(["ldd", os.path.join(BUILD, "supervisor/ringside")], capture_output=True,
                                        check=True).stdout


def damaged(r, make):
    os.makedirs(r.data_dir)
    make(os.path.join(r.data_dir, "data.mdb"))


def random_file(path):
    with open(path, "wb") as file:
        file.write(os.urandom(1 << 20))


def other_format(path):
    """The format that a later LMDB writes: the same marks, version 2."""
    with Ringside(bridge=0) as old:
        source = os.path.join(old.data_dir, "data.mdb")
        old.stop()
        with open(source, "rb") as file:
            data = bytearray(file.read())
    magic = (0xBEEFC0DE).to_bytes(4, "little")
    for page in (0, 4096):
        at = data.index(magic, page)
        data[at + 4:at + 8] = (2).to_bytes(4, "little")
    with open(path, "wb") as file:
        file.write(data)


def said_once(r, pattern):
    assert r.wait_exit() == 2, r.log()
    assert len(re.findall(pattern, r.log())) == 1, r.log()
    assert "worker-failed" not in r.log()


@pytest.mark.parametrize("make", [random_file, other_format])
def test_a_foreign_data_mdb_is_named_once(make):
    r = Ringside(workers=3, bridge=1, start=False)
    with r:
        damaged(r, make)
        r.spawn()
        said_once(r, "cannot-start worker=\\S+ reason=.*/data.mdb")
        assert r.log().count("worker-started") <= 4


def test_a_restarted_worker_finds_it():
    with Ringside(workers=2, bridge=1) as r:
        path = os.path.join(r.data_dir, "data.mdb")
        os.rename(path, path + ".kept")
        random_file(path)
        os.kill(r.worker("sse-0")["pid"], signal.SIGKILL)
        said_once(r, "cannot-start worker=sse-0 reason=.*/data.mdb")


def test_the_reason_is_said_where_it_was_started_and_in_the_log_file():
    r = Ringside(bridge=0, start=False)
    with r:
        damaged(r, random_file)
        path = os.path.join(r.dir, "ringside.log")
        r.flags.append(f"--log-file={path}")
        r.spawn()
        assert r.wait_exit() == 2
        assert len(re.findall("ringside: cannot start: .*/data.mdb", r.log())) == 1
        with open(path) as file:
            assert len(re.findall("cannot-start .*/data.mdb", file.read())) == 1


def limited(resource, most):
    return (sys.executable, "-c", "import os, resource, sys\n"
                                  f"resource.setrlimit(resource.{resource}, ({most}, {most}))\n"
                                  "os.execv(sys.argv[1], sys.argv[1:])")


@pytest.mark.parametrize("resource,most,flags,need", [
    ("RLIMIT_NOFILE", 64, (), "workers"),
    ("RLIMIT_FSIZE", 100 << 20, ("--store-ring-bytes=256M",), "store.ring_bytes"),
    ("RLIMIT_AS", 8 << 30, (), "store.map_bytes"),
])
def test_a_limit_that_is_too_low_is_named_with_what_needs_more(resource, most, flags, need):
    if sanitized():
        pytest.skip("a sanitizer needs more address space than the test allows, and takes none away")
    with Ringside(*flags, bridge=1, prefix=limited(resource, most), start=False) as r:
        r.spawn()
        said_once(r, f"cannot-start reason=.*{resource}.*{need}")
        assert "worker-started" not in r.log()


@pytest.mark.parametrize("resource,most,flags", [
    ("RLIMIT_NOFILE", 256, ()),
    ("RLIMIT_FSIZE", 100 << 20, ("--store-ring-bytes=64M",)),
    ("RLIMIT_AS", 8 << 30, ("--store-map-bytes=1G",)),
])
def test_within_low_limits_smaller_settings_serve(resource, most, flags):
    if sanitized():
        pytest.skip("a sanitizer needs more address space than the test allows, and takes none away")
    with Ringside(*flags, "--limits-body-bytes=1M", bridge=1, prefix=limited(resource, most)) as r:
        text = {"content-type": "text/plain"}
        assert r.request("PUT", "/v1/stream/x", headers=text)[0] == 201
        for _ in range(20):
            assert r.request("POST", "/v1/stream/x", b"x" * 500_000, text)[0] == 204
        assert r.request("GET", "/readyz")[0] == 200


def test_data_of_a_newer_release_is_refused_and_left_as_it_is():
    """Which format it has is a number in data.mdb; `store check` says it."""
    with Ringside(bridge=0) as r:
        assert r.request("PUT", "/v1/stream/kept", b"x", {"content-type": "text/plain"})[0] == 201
        assert r.ctl("store", "check")[0].startswith("format 1: ")
        r.stop()
        path = os.path.join(r.data_dir, "data.mdb")

        def change(mark, to):
            with open(path, "rb") as file:
                data = file.read()
            before = b"format" + mark
            assert before in data
            with open(path, "wb") as file:
                file.write(data.replace(before, b"format" + to))

        ours, next_one = (number.to_bytes(8, "little") for number in (0x52530001, 0x52530002))
        change(ours, next_one)
        r.spawn()
        said_once(r, "cannot-start .*reason=.* has format 2, a newer release's; this one knows formats up to 1: run the newer one")
        assert "has format 2" in r.ctl("--data-dir", r.data_dir, "store", "check", code=1)[1]
        change(next_one, b"\0" * 8)
        r.spawn()
        said_once(r, "cannot-start .*reason=.*data.mdb: MDB_VERSION_MISMATCH")
        change(b"\0" * 8, ours)
        r.start()
        assert r.request("GET", "/v1/stream/kept")[2] == b"x"


def test_a_data_dir_that_cannot_be_one_is_named():
    with Ringside(bridge=0, start=False) as r:
        with open(r.data_dir, "w"):
            pass
        r.spawn()
        said_once(r, "cannot-start reason=.*--data-dir")


def test_a_missing_program_is_named():
    with Ringside(bridge=1, start=False) as r:
        os.unlink(os.path.join(os.path.dirname(r.program), "ringside-bridge"))
        r.spawn()
        said_once(r, "cannot-start reason=.*cannot execute .*/ringside-bridge: No such file")
        assert not os.path.exists(os.path.join(r.run_dir, "ringside.pid"))
