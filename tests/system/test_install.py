"""What is built and installed: files that stand for themselves, a unit and an image that start."""

import glob
import json
import os
import re
import shutil
import subprocess

import pytest

from ringside import BUILD, Ringside, wait_for

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAMS = {"ringside", "ringsidectl", "ringside-sse", "ringside-bridge", "ringside-capture", "ringside-duel"}


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def starts(program, tmp_path):
    """A whole Ringside of the programs beside this one."""
    with Ringside(bridge=1, start=False) as r:
        r.program = program
        r.start()
        assert r.request("GET", "/readyz")[0] == 200
        maps = {os.readlink(f"/proc/{pid}/exe") for pid in [r.process.pid, *r.worker_pids()]}
        assert {os.path.dirname(path) for path in maps} == {os.path.dirname(os.path.realpath(program))}


def exec_start(unit):
    with open(unit, encoding="utf-8") as file:
        return re.search(r"^ExecStart=(\S+)", file.read(), re.MULTILINE).group(1)


def test_a_build_directory_can_be_copied(tmp_path):
    """An image takes bin/ and nothing else: links into the build would lead nowhere."""
    build = tmp_path / "opt"
    for program in PROGRAMS:
        found = glob.glob(f"{os.path.abspath(BUILD)}/*/{program}") + glob.glob(f"{os.path.abspath(BUILD)}/*/*/{program}")
        found = [path for path in found if os.path.isfile(path) and f"/bin/{program}" not in path]
        target = build / os.path.relpath(found[0], os.path.abspath(BUILD))
        os.makedirs(target.parent, exist_ok=True)
        shutil.copy(found[0], target)
    run("bash", "-c", f". {ROOT}/scripts/lib.sh; collect {build}")
    assert {entry.name for entry in os.scandir(build / "bin") if entry.is_file(follow_symlinks=False)} == PROGRAMS
    assert exec_start(build / "ringside.service") == f"{build}/bin/ringside"
    assert (build / "ringside-capture.conf").is_file()
    shutil.copytree(build / "bin", tmp_path / "elsewhere", symlinks=True)
    starts(str(tmp_path / "elsewhere" / "ringside"), tmp_path)


def test_what_is_installed_starts(tmp_path):
    run("meson", "install", "-C", os.path.abspath(BUILD), "--no-rebuild", env={**os.environ, "DESTDIR": str(tmp_path)})
    programs = tmp_path / "usr/local/bin"
    assert {entry.name for entry in os.scandir(programs) if entry.is_file(follow_symlinks=False)} == PROGRAMS
    unit = tmp_path / "usr/local/lib/systemd/system/ringside.service"
    assert exec_start(unit) == "/usr/local/bin/ringside"
    assert (tmp_path / "usr/local/share/ringside/ringside-capture.conf").is_file(), "to be made a drop-in of"
    assert (tmp_path / "usr/local/share/man/man1/ringside.1").is_file()
    assert (tmp_path / "usr/local/share/bash-completion/completions/ringside").is_file()
    starts(str(programs / "ringside"), tmp_path)


def test_metrics_are_as_prometheus_wants_them():
    with Ringside("--capture-workers=1", bridge=1) as r:
        checked = subprocess.run(["promtool", "check", "metrics"], input=r.get("/metrics"), capture_output=True,
                                 text=True, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr


class Podman:
    """Podman with storage of its own. runc, and limits by name: where version 1 of the control groups is mounted
    beside version 2, nothing else starts."""

    def __init__(self, directory):
        below = run("stat", "-f", "-c", "%T", str(directory)).strip()  # an overlay does not stand on an overlay
        self.driver = "vfs" if "overlay" in below else "overlay"
        self.command = ("podman", "--root", f"{directory}/root", "--runroot", f"{directory}/run", "--storage-driver",
                        self.driver, "--cgroup-manager", "cgroupfs", "--runtime", "runc")

    def __call__(self, *arguments, timeout=900, **options):
        return run(*self.command, *arguments, timeout=timeout, **options)


LIMITS = ("--network", "host", "--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096")


@pytest.fixture(scope="module")
def podman(tmp_path_factory):
    directory = tmp_path_factory.mktemp("podman")
    podman = Podman(directory)
    yield podman
    podman("rm", "--all", "--force", "--time", "5")
    podman("rmi", "--all", "--force")
    subprocess.run(["umount", "-q", f"{directory}/root/{podman.driver}"], check=False)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.container
@pytest.mark.skipif(os.geteuid() != 0, reason="makes a base image and runs containers")
def test_the_containerfile_makes_an_image_that_starts(podman, tmp_path):
    """Its base is made here of Debian's packages, under the name that the recipe asks for; no registry is asked."""
    base, data, config = tmp_path / "base.tar", tmp_path / "data", tmp_path / "ringside.yaml"
    run("mmdebstrap", "--variant=apt", "bookworm", str(base), timeout=900)
    podman("import", str(base), "docker.io/library/debian:12-slim")
    os.unlink(base)
    podman("build", "--pull=never", *LIMITS, "-t", "ringside", "-f", f"{ROOT}/docs/Containerfile", ROOT, timeout=1500)
    config.write_text("listen: 127.0.0.1:0\nsse_workers: 1\nstore.ring_bytes: 8M\nlimits.body_bytes: 1M\n"
                      "auth.publish_tokens: secret\n")
    data.mkdir(mode=0o777)
    data.chmod(0o777)

    def start():
        podman("run", "--detach", "--name", "r", *LIMITS, "--stop-timeout", "40", "-v", f"{data}:/var/lib/ringside",
               "-v", f"{config}:/etc/ringside.yaml:ro", "-e", "RINGSIDE_LISTEN=127.0.0.1:0", "ringside")

        def ready():
            log = subprocess.run([*podman.command, "logs", "r"], capture_output=True, text=True, check=False)
            return re.search(r"ringside ready url=(\S+)", log.stdout + log.stderr)
        return wait_for(ready, "a container that is ready", 60).group(1)

    def ask(url, *more):
        return run("curl", "-fsS", "-H", "authorization: Bearer secret", *more, f"{url}/v1/stream/kept")

    url = start()
    ask(url, "-X", "PUT", "-H", "content-type: text/plain", "-d", "over the end of a container")
    status = json.loads(podman("exec", "r", "ringsidectl", "status", "--json"))
    assert status["state"] == "ready" and status["pid"] == 1
    uid = podman("exec", "r", "sh", "-c", "id -u").strip()
    assert uid != "0", "it is nobody's root"
    podman("stop", "r")
    assert json.loads(podman("inspect", "r"))[0]["State"]["ExitCode"] == 0
    podman("rm", "r")
    url = start()
    assert ask(url) == "over the end of a container"
    podman("stop", "r")
    podman("rm", "r")
