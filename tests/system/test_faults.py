"""Disks that fail or fill up: a clear status, reading goes on, writing resumes, nothing is lost."""

import contextlib
import ctypes
import mmap
import os
import subprocess
import threading
import time

import pytest

from ringside import BUILD, Ringside, wait_for

TEXT = {"content-type": "text/plain"}


def append(r, path, body, **headers):
    return r.request("POST", path, body, {**TEXT, **headers}, timeout=30)[0]


@pytest.mark.parametrize("fault", ["SYNC", "WRITE"])
def test_io_error_refuses_and_heals(fault):
    shim = os.path.abspath(os.path.join(BUILD, "tests/faults/libfailing_disk.so"))
    flag = f"/tmp/ringside-failing-disk-{os.getpid()}"
    preload = ":".join(filter(None, [os.environ.get("LD_PRELOAD"), shim]))
    if b"libasan" in subprocess.run(["ldd", os.path.join(BUILD, "worker-sse/ringside-sse")],
                                    capture_output=True, check=True).stdout:
        pytest.skip("ASan's runtime must be loaded first; the release build is tested")
    with Ringside(environment={"LD_PRELOAD": preload, f"FAILING_{fault}": flag}, workers=2) as r:
        r.request("PUT", "/v1/stream/io", headers=TEXT)
        assert append(r, "/v1/stream/io", b"one\n") == 204
        try:
            open(flag, "w").close()
            assert append(r, "/v1/stream/io", b"never promised\n") == 503
            assert append(r, "/v1/stream/io", b"never promised\n") == 503
            assert r.request("GET", "/v1/stream/io")[2] == b"one\n"
        finally:
            os.unlink(flag)
        wait_for(lambda: append(r, "/v1/stream/io", b"two\n") == 204, "appends again")
        content = r.request("GET", "/v1/stream/io")[2].decode().splitlines()
        assert content[0] == "one" and content[-1] == "two"
        # What could not even be written is not there; what could not be synced may be.
        assert set(content) <= {"one", "two"} | ({"never promised"} if fault == "SYNC" else set())
        r.ctl("store", "check")


@contextlib.contextmanager
def lock_of_the_log(r):
    """The lock that all writers need, held by somebody who stands still."""
    with open(f"{r.data_dir}/control", "r+b") as file, mmap.mmap(file.fileno(), 0) as control:
        libc = ctypes.CDLL(None, use_errno=True)
        lock = ctypes.byref(ctypes.c_char.from_buffer(control), 48)  # struct ring_control.write_lock
        assert libc.pthread_mutex_lock(lock) == 0
        try:
            yield
        finally:
            assert libc.pthread_mutex_unlock(lock) == 0
            del lock


def answer(r, method, path, body=None):
    """0: cut off, as when the worker is aborted."""
    try:
        status, _, text = r.request(method, path, body, TEXT, timeout=30)
        return status, text
    except OSError:
        return 0, b""


def test_lock_that_is_held_for_ever_is_noticed():
    with Ringside("--store-commit-timeout=300ms", "--worker-hang-timeout=1500ms", workers=2) as r:
        r.request("PUT", "/v1/stream/w", headers=TEXT)
        assert append(r, "/v1/stream/w", b"one\n") == 204
        with lock_of_the_log(r):
            status, text = answer(r, "POST", "/v1/stream/w", b"never promised\n")
            assert status == 503 and b"stands still" in text
            wait_for(lambda: answer(r, "GET", "/readyz")[0] == 503, "readiness to be red")
            assert answer(r, "GET", "/v1/stream/w")[1] in (b"one\n", b"")
            r.wait_log(f"commits stand still.*thread {threading.get_native_id()} has the lock")
            # Whoever gets nowhere is aborted like one whose loop stands still.
            wait_for(lambda: answer(r, "POST", "/v1/stream/w", b"never promised\n") and "worker-hung" in r.log(),
                     "a worker to be taken for hung")
        wait_for(lambda: answer(r, "POST", "/v1/stream/w", b"two\n")[0] == 204, "appends again")
        wait_for(lambda: answer(r, "GET", "/readyz")[0] == 200, "readiness")
        lines = answer(r, "GET", "/v1/stream/w")[1].decode().splitlines()
        assert lines[0] == "one" and lines[-1] == "two"
        r.ctl("store", "check")


def test_sync_that_does_not_return_is_noticed():
    shim = os.path.abspath(os.path.join(BUILD, "tests/faults/libfailing_disk.so"))
    flag = f"/tmp/ringside-stuck-disk-{os.getpid()}"
    if b"libasan" in subprocess.run(["ldd", os.path.join(BUILD, "worker-sse/ringside-sse")],
                                    capture_output=True, check=True).stdout:
        pytest.skip("ASan's runtime must be loaded first; the release build is tested")
    with Ringside("--store-commit-timeout=300ms", "--worker-hang-timeout=60s", workers=1,
                  environment={"LD_PRELOAD": shim, "STUCK_SYNC": flag}) as r:
        r.request("PUT", "/v1/stream/s", headers=TEXT)
        try:
            open(flag, "w").close()
            # What the commit thread has in hand, then what it has not taken.
            for _ in range(3):
                status, text = answer(r, "POST", "/v1/stream/s", b"never promised\n")
                assert status == 503 and b"stands still" in text
            status, text = answer(r, "GET", "/readyz")
            assert status == 503 and b'"stalled"' in text
            assert answer(r, "GET", "/v1/stream/s")[0] == 200
        finally:
            os.unlink(flag)
        wait_for(lambda: append(r, "/v1/stream/s", b"two\n") == 204, "appends again")
        assert answer(r, "GET", "/readyz")[0] == 200
        assert answer(r, "GET", "/v1/stream/s")[1].endswith(b"two\n")
        r.ctl("store", "check")


def test_full_disk_refuses_and_heals():
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode != 0:
        pytest.skip("needs a mount namespace")
    mount = ("unshare", "-m", "sh", "-c",
             'mkdir -p "$0" && mount -t tmpfs -o size=48m none "$0" && exec "$@"')
    r = Ringside("--store-free-bytes-min=8M", start=False)
    r.prefix = [*mount, r.data_dir]
    with r.start():
        for name in ("big", "other"):
            assert r.request("PUT", f"/v1/stream/{name}", headers=TEXT)[0] == 201
        acknowledged, status = 0, 0
        for _ in range(200):
            status = append(r, "/v1/stream/big", b"x" * 500_000)
            if status != 204:
                break
            acknowledged += 500_000
        assert status == 507 and acknowledged > 5_000_000
        assert r.request("HEAD", "/v1/stream/big")[1]["stream-next-offset"].endswith(
            f"{acknowledged:016d}")
        assert 'ringside_store_refusing{worker="sse-0"} 1' in r.get("/metrics")
        assert r.request("DELETE", "/v1/stream/big")[0] == 204
        wait_for(lambda: append(r, "/v1/stream/other", b"y") == 204, "room again", 60)


def fill_to_the_last_byte(path):
    """0 bytes are left for others: ENOSPC even for the smallest piece."""
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass


@pytest.mark.parametrize("filesystem", ["tmpfs", "ext4"])
def test_a_delete_makes_room_on_a_full_disk(filesystem, tmp_path):
    """What somebody else has filled to the last byte: deletes go through and bring writes back."""
    image = tmp_path / "image"
    how = "mount -t tmpfs -o size=48m none"
    if filesystem == "ext4":
        with open(image, "wb") as file:
            file.truncate(64 << 20)
        if subprocess.run(["mkfs.ext4", "-qm0", str(image)], check=False).returncode != 0:
            pytest.skip("needs mkfs.ext4")
        how = f"mount -o loop {image}"
    mount = ("unshare", "-m", "sh", "-c", f'mkdir -p "$0" && {how} "$0" && exec "$@"')
    trial = subprocess.run([*mount, str(tmp_path / "trial"), "true"], check=False)
    if os.geteuid() != 0 or trial.returncode != 0:
        pytest.skip("needs a mount namespace, and a loop device for ext4")
    r = Ringside("--store-free-bytes-min=0", "--store-checkpoint=50ms", start=False)
    r.prefix = [*mount, r.data_dir]
    with r.start():
        for i in range(6):
            assert r.request("PUT", f"/v1/stream/s{i}", b"x" * 500_000, TEXT)[0] == 201
        fill_to_the_last_byte(f"/proc/{r.process.pid}/root{r.data_dir}/filler")

        def append_until_refused():
            statuses = [append(r, "/v1/stream/s5", b"y" * 100_000) for _ in range(60)]
            assert set(statuses) <= {204, 507}
            return statuses[-1] == 507
        wait_for(append_until_refused, "the disk to be full")
        for i in range(3):
            assert r.request("DELETE", f"/v1/stream/s{i}")[0] == 204
            wait_for(lambda: append(r, "/v1/stream/s4", b"z") == 204, "writes again after a delete")
            wait_for(append_until_refused, "the disk to be full again")
        assert r.request("GET", "/v1/stream/s4")[2].startswith(b"x" * 500_000 + b"z")
        check = ["nsenter", "-m", "-t", str(r.process.pid), os.path.abspath(f"{BUILD}/bin/ringsidectl"), "store", "check"]
        subprocess.run([*check, "--data-dir", r.data_dir], check=True)


def test_files_stay_bounded_under_endless_append():
    with Ringside("--store-retention-bytes=1M", "--store-checkpoint=50ms") as r:
        r.request("PUT", "/v1/stream/endless", headers=TEXT)
        body, sizes = b"z" * 100_000, []
        for i in range(600):
            assert append(r, "/v1/stream/endless", body) == 204
            if i % 100 == 99:
                time.sleep(0.3)
                sizes.append(os.stat(f"{r.data_dir}/data.mdb").st_size)
        ring = os.stat(f"{r.data_dir}/ring").st_size
        # 60 MB went through; what stays is a few times what is kept, and the ring's worth between two
        # checkpoints.
        assert sizes[-1] <= 3 * (1 << 20) + 2 * ring, sizes
        assert r.request("GET", "/v1/stream/endless?offset=0000000000000000_0000000000000000")[0] == 410
        r.ctl("store", "check")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_a_restored_store_that_root_looked_into_stays_its_owners():
    """Before its first start: the files that were made meanwhile were root's, and ringside could not start."""
    with Ringside() as r:
        assert r.request("PUT", "/v1/stream/b", headers=TEXT)[0] == 201
        fresh = os.path.join(r.dir, "fresh")
        os.mkdir(fresh)
        r.ctl("store", "backup", os.path.join(fresh, "data.mdb"))
        os.chown(os.path.join(fresh, "data.mdb"), 65534, 65534)
        assert "/v1/stream/b" in r.ctl("--data-dir", fresh, "streams", "ls")[0]
        assert {"ring", "control", "open.lock", "lock.mdb"} < set(os.listdir(fresh))
        assert {entry.stat().st_uid for entry in os.scandir(fresh)} == {65534}


def test_backup_while_writing_restores():
    with Ringside() as r:
        r.request("PUT", "/v1/stream/b", headers=TEXT)
        for i in range(50):
            assert append(r, "/v1/stream/b", f"{i}\n".encode()) == 204
        target = os.path.join(r.dir, "backup.mdb")
        r.ctl("store", "backup", target)
        append(r, "/v1/stream/b", b"later\n")
        want = "".join(f"{i}\n" for i in range(50)).encode()
        r.stop()
        for name in os.listdir(r.data_dir):
            os.unlink(os.path.join(r.data_dir, name))
        os.rename(target, os.path.join(r.data_dir, "data.mdb"))
        os.truncate(r.log_path, 0)
        r.start()
        assert r.request("GET", "/v1/stream/b")[2] == want
        assert append(r, "/v1/stream/b", b"after\n") == 204
        r.ctl("store", "check")
