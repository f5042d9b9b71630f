"""What a volume looks like at another time, or after damage: nothing acknowledged is given up in silence."""

import os
import shutil
import signal
import subprocess

import pytest

from ringside import Ringside, wait_for

TEXT = {"content-type": "text/plain"}
# Nothing moves from the ring to LMDB meanwhile.
SLOW = "--store-checkpoint=60s"


def fill(r, count, start=0):
    r.request("PUT", "/v1/stream/t", headers=TEXT)
    for i in range(start, start + count):
        assert r.request("POST", "/v1/stream/t", b"%06d;" % i + b"z" * 100, TEXT)[0] == 204


def numbers(r):
    return [int(part) for part in r.request("GET", "/v1/stream/t?offset=-1")[2].replace(b"z", b"").split(b";")[:-1]]


def tree(pid):
    """The process and all that it has started."""
    found = [pid]
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as children:
            for child in children.read().split():
                found += tree(int(child))
    return found


def snapshot(r, target):
    """All files at one instant, as a volume's snapshot has them, while it runs."""
    pids = tree(r.process.pid)
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        shutil.copytree(r.data_dir, target)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_control_of_another_time_is_not_believed():
    """The volume crashed, not the machine: the page of marks reached the disk at another time than the ring."""
    with Ringside(SLOW) as r:
        control = os.path.join(r.data_dir, "control")
        fill(r, 20)
        with open(control, "rb") as file:
            earlier = file.read()
        fill(r, 40, 20)
        r.kill_everything()
        with open(control, "wb") as file:
            file.write(earlier)
        r.start()
        assert numbers(r) == list(range(60))
        fill(r, 5, 60)
        assert numbers(r) == list(range(65))
        r.ctl("store", "check")


def test_snapshot_of_a_running_volume_is_a_backup():
    with Ringside(SLOW, workers=2) as r, Ringside(SLOW, workers=2, start=False) as copy:
        fill(r, 30)
        snapshot(r, copy.data_dir)
        fill(r, 5, 30)
        copy.start()  # on the same boot, while the other runs
        assert numbers(copy) == list(range(30))
        fill(copy, 10, 30)
        assert numbers(copy) == list(range(40)) and numbers(r) == list(range(35))
        copy.ctl("store", "check")


def test_snapshot_of_a_mounted_file_system():
    """The real thing: the image of a file system, taken below it, mounted again on the same boot."""
    with Ringside(SLOW, start=False) as r:
        image, other = f"{r.dir}/a.img", f"{r.dir}/b.img"
        mount = ('mkdir -p "$1" && mount -o loop "$0" "$1" && shift && exec "$@"')
        prefix = ["unshare", "-m", "sh", "-c", mount]
        make = (f"truncate -s 48M {image} && mkfs.ext4 -q -F {image} && unshare -m sh -c "
                f"'mkdir {r.dir}/m && mount -o loop {image} {r.dir}/m'")
        if os.geteuid() != 0 or subprocess.run(["sh", "-c", make], capture_output=True, check=False).returncode != 0:
            pytest.skip("needs loop devices and a mount namespace")
        r.prefix = [*prefix, image, f"{r.dir}/m"]
        r.flags = [f for f in r.flags if not f.startswith("--data-dir")] + [f"--data-dir={r.dir}/m/data"]
        r.flags += ["--store-ring-bytes=4M", "--store-free-bytes-min=0"]
        r.start()
        fill(r, 60)
        pids = tree(r.process.pid)
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            shutil.copyfile(image, other)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        r.stop()
        r.prefix = [*prefix, other, f"{r.dir}/m"]
        r.start()
        assert numbers(r) == list(range(60))
        fill(r, 5, 60)
        assert numbers(r) == list(range(65))


def damage(r):
    """One byte of the middle of what was acknowledged."""
    path = os.path.join(r.data_dir, "ring")
    with open(path, "r+b") as ring:
        at = ring.read(1 << 20).index(b"000020;")
        ring.seek(at + 10)
        ring.write(b"Q")


def test_damage_in_mid_ring_stops_the_start():
    with Ringside(SLOW) as r:
        fill(r, 40)
        r.kill_everything()
        damage(r)
        os.unlink(os.path.join(r.data_dir, "control"))
        r.spawn()
        r.wait_log(r"ring is damaged at byte \d+.*store\.recover: truncate")
        r.stop()
        assert "ringside ready" not in r.log()[r.log_from:]
        r.flags.append("--store-recover=truncate")
        r.start()
        assert numbers(r) == list(range(20))
        assert "epoch=1" in r.log()
        fill(r, 5, 20)
        r.kill_everything()
        r.flags.remove("--store-recover=truncate")
        r.start()
        assert numbers(r) == list(range(25))
        r.ctl("store", "check")


@pytest.mark.parametrize("how", ["missing", "shorter", "garbage"])
def test_lost_ring_is_not_a_restored_backup(how):
    with Ringside(SLOW) as r:
        fill(r, 10)
        r.kill_everything()
        ring = os.path.join(r.data_dir, "ring")
        if how == "missing":
            os.unlink(ring)
        elif how == "shorter":
            os.truncate(ring, 50000)
        else:
            with open(ring, "r+b") as file:
                file.write(os.urandom(os.stat(ring).st_size))
        r.spawn()
        r.wait_log(r"/ring (is|has) .*store\.recover: truncate")
        r.stop()
        assert "ringside ready" not in r.log()[r.log_from:]
