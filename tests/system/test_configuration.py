"""What operators write, and what they are told about it."""

import http.client
import json
import os
import subprocess

import pytest

from ringside import Ringside, wait_for

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="takes mounts of our own")


def mounted(*steps):
    """A prefix for Ringside(): a mount namespace of its own, in which the steps were taken."""
    return ("unshare", "-m", "sh", "-ec", " && ".join([*steps, 'exec "$@"']), "sh")


def status(address, port):
    connection = http.client.HTTPConnection(address, port, timeout=10)
    connection.request("GET", "/readyz")
    return connection.getresponse().status


@ROOT
def test_every_address_of_a_name_is_listened_on(tmp_path):
    """Clients try the addresses of a name in an order of their own."""
    hosts = tmp_path / "hosts"
    prefix = mounted(f"mount --bind {hosts} /etc/hosts")
    hosts.write_text("127.0.0.1 localhost\n127.0.0.2 localhost\n")
    with Ringside(workers=2, listen="localhost:0", prefix=prefix) as r:
        port = r.address()[1]
        assert [status(a, port) for a in ("127.0.0.1", "127.0.0.2") for _ in range(20)] == [200] * 40
        r.ctl("scale", "sse", "1")
        wait_for(lambda: len(r.status()["workers"]) == 1, "one worker")
        assert [status(a, port) for a in ("127.0.0.1", "127.0.0.2") for _ in range(20)] == [200] * 40
    # What this machine has not, is left out as long as something is there.
    hosts.write_text("192.0.2.7 localhost\n127.0.0.1 localhost\n")
    flags = ("--auth-publish-tokens=t",)
    with Ringside(*flags, listen="localhost:0", prefix=prefix, start=False) as r:
        r.flags.remove("--dev")
        r.start()
        r.wait_log("listen has addresses that this machine has not listen=localhost:0 left_out=1")
        assert r.request("GET", "/healthz")[0] == 200
        r.stop()
        r.flags.append("--dev")  # opens everything: not a name that leads elsewhere, too
        r.spawn()
        assert r.wait_exit() != 0 and "loopback only" in r.log()
