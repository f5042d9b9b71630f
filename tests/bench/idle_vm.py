"""50,000 idle readers and 10,000 live ones of one worker, in a virtual machine: for machines on which nobody may have
so many descriptors. A kernel from Debian's package, busybox, the programs and what they link, in an initial RAM disk; emulated in
software, so that any machine can: what it measures is bytes and correctness, not time."""

import json
import os
import re
import shutil
import subprocess
import tempfile

PROGRAMS = ("ringside", "ringside-sse")
INIT = r"""#!/bin/sh
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs -o size=2g tmp /tmp
ip link set lo up
echo 1048576 > /proc/sys/fs/nr_open
echo 4194304 > /proc/sys/fs/file-max
ulimit -n 210000
cd /tmp
taskset -c 0 /app/ringside run --dev --listen=127.0.0.1:9400 --data-dir=/tmp/data --run-dir=/tmp/run --sse-workers=1 \
	--bridge-workers=0 --store-ring-bytes=64M --limits-body-bytes=8M 2>/tmp/log &
n=0
while ! grep -q ' ready url=' /tmp/log && [ $n -lt 60 ]; do sleep 1; n=$((n + 1)); done
worker=$(pidof ringside-sse)
private() { awk '/^Private/ { sum += $2 } END { printf "%d", sum * 1024 }' /proc/$worker/smaps_rollup; }
slab() { awk '/^Slab/ { printf "%d", $2 * 1024 }' /proc/meminfo; }
for stream in b0 quiet0; do
	printf 'PUT /v1/stream/%s HTTP/1.1\r\nHost: vm\r\nContent-Type: application/json\r\nContent-Length: 0\r\nConnection: close\r\n\r\n' \
		$stream | nc 127.0.0.1 9400 > /dev/null
done
before=$(private) slab_before=$(slab)
taskset -c 1 /app/fanload --port 9400 --subscribe '/v1/events?stream=quiet%u' --readers @READERS@ --hold 60 > /tmp/idle &
idle=$! n=0
while [ "$(ls /proc/$worker/fd | wc -l)" -lt @READERS@ ] && [ $n -lt 120 ]; do sleep 1; n=$((n + 1)); done
sleep 2
descriptors=$(ls /proc/$worker/fd | wc -l) user=$((($(private) - before) / @READERS@)) kernel=$((($(slab) - slab_before) / @READERS@))
taskset -c 1 /app/fanload --port 9400 --subscribe '/v1/events?stream=b%u' --publish '/v1/stream/b%u' \
	--server-pid $worker --readers @LIVE@ --rate 5 --seconds 10 > /tmp/live
wait $idle
tail -3 /tmp/log
echo "RESULT {\"descriptors\": $descriptors, \"user_bytes\": $user, \"kernel_bytes\": $kernel," \
	"\"idle\": $(cat /tmp/idle), \"live\": $(cat /tmp/live)}"
poweroff -f
"""


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise SystemExit(f"bench: {' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def put(path, root, into):
    """A program with the libraries that it links, where it looks for them."""
    os.makedirs(os.path.join(root, into), exist_ok=True)
    shutil.copy(os.path.realpath(path), os.path.join(root, into, os.path.basename(path)))
    for library in re.findall(r"(/\S+) \(0x", run("ldd", path)):
        os.makedirs(root + os.path.dirname(library), exist_ok=True)
        shutil.copy(os.path.realpath(library), root + library)


def ram_disk(build, dir, readers, live):
    root = os.path.join(dir, "root")
    for name in ("bin", "proc", "sys", "dev", "tmp", "app"):
        os.makedirs(os.path.join(root, name))
    shutil.copy("/bin/busybox", os.path.join(root, "bin/busybox"))
    for applet in run("/bin/busybox", "--list").split():
        if applet != "busybox":
            os.symlink("busybox", os.path.join(root, "bin", applet))
    for program in PROGRAMS:
        put(os.path.join(build, "bin", program), root, "app")
    put(os.path.join(build, "tests/bench/fanload"), root, "app")
    with open(os.path.join(root, "init"), "w") as file:
        file.write(INIT.replace("@READERS@", str(readers)).replace("@LIVE@", str(live)))
    os.chmod(os.path.join(root, "init"), 0o755)
    image = os.path.join(dir, "initrd")
    run("sh", "-c", f"find . | cpio -o -H newc --quiet > {image}", cwd=root)
    return image


def measure(build, kernel, readers, live):
    """Figures of the idle readers, with those of the live ones in "live". kernel: its image."""
    with tempfile.TemporaryDirectory(prefix="ringside-vm-") as dir:
        image = ram_disk(build, dir, readers, live)
        done = subprocess.run(["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "8G",
                               "-kernel", kernel, "-initrd", image, "-append", "console=ttyS0 quiet panic=-1",
                               "-nographic", "-no-reboot", "-nic", "none"],
                              capture_output=True, text=True, timeout=900, stdin=subprocess.DEVNULL, errors="replace")
    found = re.search(r"RESULT (\{.*\})\s*$", done.stdout, re.M)
    if found is None:
        raise SystemExit(f"bench: the virtual machine ended without a result:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    result = json.loads(found.group(1))
    wrong = [result[which][key] for which in ("idle", "live") for key in ("wrong", "missing", "refused")]
    if any(wrong) or result["descriptors"] < readers:
        raise SystemExit(f"bench: {result}")
    return {**result.pop("idle"), **result}
