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


def test_settings_are_shown_as_they_are_written():
    with Ringside("--duel-fight=90s", "--store-retention-age=0", workers=1) as r:
        shown = dict(line.split(None, 1) for line in r.ctl("settings")[0].splitlines() if len(line.split(None, 1)) == 2)
        assert shown["duel.fight"].split()[0] == "90s" and shown["store.ring_bytes"].split()[0] == "8M"


@pytest.mark.parametrize("flag,said", [
    ("--duel-fight=90", "--duel-fight: duel.fight: 90 has no unit: 90s or 90ms?"),
    ("--store-ring-bytes=4M", "store.ring_bytes: limits.body_bytes (64M by default) must be at most a quarter"),
])
def test_what_is_wrong_is_named_as_it_was_written(flag, said):
    with Ringside(start=False) as r:
        r.flags = [f for f in r.flags if not f.startswith(("--store-ring", "--limits-body"))] + [flag]
        r.spawn()
        assert r.wait_exit() == 2 and said in r.log()


def test_variables_of_service_links_are_not_settings():
    with Ringside(environment={"RINGSIDE_METRICS_SERVICE_HOST": "10.0.0.1", "RINGSIDE_METRICS_SERVICE_PORT": "80",
                               "RINGSIDE_METRICS_PORT_80_TCP": "tcp://10.0.0.1:80"}) as r:
        assert r.request("GET", "/healthz")[0] == 200


@ROOT
def test_a_data_directory_in_memory_is_warned_of(tmp_path):
    """tmpfs takes fdatasync() and keeps nothing over a restart of the machine; nor does a container's own layer."""
    warned = "data_dir is no place for what must last"
    with Ringside(start=False) as r:
        os.mkdir(r.data_dir)
        r.prefix = list(mounted(f"mount -t tmpfs tmpfs {r.data_dir}"))
        r.start()
        assert f"{warned} data_dir={r.data_dir} filesystem=tmpfs" in r.log()
    with Ringside(start=False) as r:
        for name in ("", "/lower", "/upper", "/work"):
            os.mkdir(f"{tmp_path}/o{name}")
        os.mkdir(r.data_dir)
        # The upper layer of an overlay may not itself be one: on tmpfs it always works.
        r.prefix = list(mounted(f"mount -t tmpfs tmpfs {tmp_path}/o", f"cd {tmp_path}/o", "mkdir lower upper work",
                                f"mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay {r.data_dir}"))
        if subprocess.run([*r.prefix, "true"], capture_output=True, check=False).returncode != 0:
            pytest.skip("no overlay here")
        r.start()
        assert f"{warned} data_dir={r.data_dir} filesystem=overlay" in r.log()
