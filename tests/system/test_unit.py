"""The unit: as closed as it says, and nothing that the program needs is behind the door."""

import os
import re
import socket

import pytest

import units
from browsers import BrowserTest, family, kind, program
from ringside import wait_for
from units import CAPTURE, UNIT, UnitRingside, score

CONFIG = "sse_workers: 1\nbridge.workers: 1\nstore.ring_bytes: 8M\nlimits.body_bytes: 1M\n"
needs_root = pytest.mark.skipif(not units.possible(), reason="needs root, systemd and unshare(1)")


def kernel_says(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)


def test_the_score():
    assert score(UNIT) <= 1.5
    assert score(UNIT, CAPTURE) <= 2.5


def test_each_secret_can_be_a_credential():
    with open(os.path.join(units.DOCS, "configuration.md"), encoding="utf-8") as file:
        secrets = {key for key, kind in re.findall(r"^\| `([a-z_.]+)` \| ([a-zA-Z ]+) \|", file.read(), re.M)
                   if kind in ("token", "tokens", "secret", "secret URL", "secret lines")}
    with open(UNIT, encoding="utf-8") as file:
        assert set(re.findall(r"^LoadCredential=(\S+):ringside\.\1$", file.read(), re.M)) == secrets


def nice_levels(pid):
    levels = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/stat", encoding="ascii") as file:
            levels.append(int(file.read().rpartition(")")[2].split()[16]))
    return levels


def free_low_port():
    for port in range(1023, 511, -1):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise AssertionError("no free port below 1024")


@needs_root
def test_what_the_unit_starts_serves():
    port = free_low_port()
    with UnitRingside(f"listen: 127.0.0.1:0,127.0.0.1:{port}\n{CONFIG}", {"auth.publish_tokens": "secret-of-the-unit"}) as r:
        wait_for(lambda: len(r.status()["workers"]) == 2 and r.request("GET", "/readyz")[0] == 200, "the bridge")
        bearer = {"authorization": "Bearer secret-of-the-unit", "content-type": "text/plain"}
        assert r.request("PUT", "/v1/stream/a", b"kept", bearer)[0] == 201
        assert r.request("PUT", "/v1/stream/b", b"kept")[0] == 401
        socket.create_connection(("127.0.0.1", port), 5).close()
        # Our own sandbox stands within systemd's.
        for worker in r.status()["workers"]:
            assert worker["sandbox"] == ["landlock", "seccomp"], worker["name"]
        processes = {program(pid): pid for pid in family(r.process.pid) if (program(pid) or "").startswith("ringside")}
        assert set(processes) == {"ringside", "ringside-sse", "ringside-bridge"}
        for name, pid in processes.items():
            said = kernel_says(pid)
            low_ports = 1 << 10 if name == "ringside" else 0
            assert (int(said["CapEff"], 16), said["NoNewPrivs"], said["Seccomp"]) == (low_ports, "1", "2"), name
            assert said["Uid"].split()[0] != "0", name
        # LimitNICE= and store.commit_priority, where whoever runs this may give such limits.
        sse = processes["ringside-sse"]
        with open(f"/proc/{sse}/limits", encoding="ascii") as file:
            allowed = int(re.search(r"Max nice priority +(\d+)", file.read()).group(1)) > 20
        assert (min(nice_levels(sse)) < 0) == allowed
        r.write_config(f"listen: 127.0.0.1:0,127.0.0.1:{port}\n{CONFIG}log.level: debug\n")
        r.systemctl("reload", "ringside")
        r.wait_log(r"reloaded changed=\[\"log.level\"\]")
        r.systemctl("stop", "ringside")
        assert r.systemctl("show", "--property=Result", "ringside") == "Result=success\n"


@needs_root
class UnitBrowserTest(BrowserTest):
    def test_browsers_run_with_their_drop_in(self):
        """Pages are shown, and the browser's own sandbox is around them."""
        config = (f"listen: 127.0.0.1:0\n{CONFIG}capture.workers: 1\ncapture.width: 640\ncapture.height: 360\n"
                  "capture.allow_private: 127.0.0.1\n")
        with UnitRingside(config, {"capture.url": f"{self.base}/arena.html?phase=FIGHTING&duel=d1"}, [CAPTURE]) as r:
            assert self.healthy(r)["sandbox"] is True
            renderers = [pid for pid in family(r.process.pid) if kind(pid) == "renderer"]
            assert renderers and all(kernel_says(pid)["Seccomp"] == "2" for pid in renderers)
            r.ctl("capture", "screenshot", os.path.join(r.dir, "shot.jpg"))
            with open(os.path.join(r.dir, "shot.jpg"), "rb") as file:
                assert file.read(3) == b"\xff\xd8\xff"
            assert "sound server ended" not in r.log()
