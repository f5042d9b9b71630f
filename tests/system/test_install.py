"""What is built and installed: files that stand for themselves, a unit and an image that start."""

import glob
import json
import os
import re
import shutil
import signal
import subprocess

import pytest

from ringside import BUILD, Ringside, wait_for

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAMS = {"ringside", "ringsidectl", "ringside-sse", "ringside-bridge", "ringside-capture", "ringside-link", "ringside-duel"}


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


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Where `meson install` has put it."""
    to = tmp_path_factory.mktemp("installed")
    run("meson", "install", "-C", os.path.abspath(BUILD), "--no-rebuild", env={**os.environ, "DESTDIR": str(to)})
    return to / "usr/local"


def test_what_is_installed_starts(installed, tmp_path):
    programs = installed / "bin"
    assert {entry.name for entry in os.scandir(programs) if entry.is_file(follow_symlinks=False)} == PROGRAMS
    unit = installed / "lib/systemd/system/ringside.service"
    assert exec_start(unit) == "/usr/local/bin/ringside"
    assert (installed / "share/ringside/ringside-capture.conf").is_file(), "to be made a drop-in of"
    assert (installed / "share/ringside/ringside.socket").is_file()
    assert (installed / "share/man/man1/ringside.1").is_file()
    assert (installed / "share/bash-completion/completions/ringside").is_file()
    starts(str(programs / "ringside"), tmp_path)


# Asks for the completions of $@ as each shell does, one a line.
SHELLS = {
    "bash": """. "$XDG_DATA_DIRS/bash-completion/completions/$1"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        name=$(complete -p "$1" | sed 's/.*-F \\([^ ]*\\) .*/\\1/'); $name; printf '%s\\n' "${COMPREPLY[@]}" """,
    "zsh": """words=("$@"); CURRENT=$#; compadd() { print -l -- $choices }; . $XDG_DATA_DIRS/zsh/site-functions/_ringside""",
    "fish": """set -l line (string join ' ' -- $argv); source $XDG_DATA_DIRS/fish/vendor_completions.d/$argv[1].fish
        complete -C $line | sed 's,\\t.*,,'""",
}


@pytest.mark.parametrize("shell", SHELLS)
def test_shells_complete(installed, shell, tmp_path):
    def complete(*words):
        # A home of its own: a shell keeps things there, and makes it where it is not.
        environment = {**os.environ, "XDG_DATA_DIRS": str(installed / "share"), "HOME": str(tmp_path),
                       "PATH": f"{installed}/bin:{os.environ['PATH']}"}
        name = [] if shell == "fish" else ["shell"]
        return set(run(shell, "-c", SHELLS[shell], *name, *words, env=environment).split())
    assert complete("ringside", "") == {"run", "check-config", "reference", "version", "help"}
    assert {"--config", "--strict", "--listen"} <= complete("ringside", "check-config", "--")
    assert {"status", "tokens", "store"} <= complete("ringsidectl", "")
    assert complete("ringsidectl", "tokens", "l") == {"ls"}
    assert "--url" in complete("ringside-duel", "--")


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
def base(tmp_path_factory):
    """A bare Debian 12 as a tar archive."""
    archive = tmp_path_factory.mktemp("base") / "base.tar"
    run("mmdebstrap", "--variant=apt", "bookworm", str(archive), timeout=900)
    yield archive
    archive.unlink()


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
def test_the_containerfile_makes_an_image_that_starts(podman, base, tmp_path):
    """Its base is made here of Debian's packages, under the name that the recipe asks for; no registry is asked."""
    data, config = tmp_path / "data", tmp_path / "ringside.yaml"
    podman("import", str(base), "docker.io/library/debian:12-slim")
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


class Chroot:
    """A bare Debian, unpacked."""

    def __init__(self, directory, base):
        self.directory = directory
        directory.mkdir(mode=0o755)
        run("tar", "-C", str(directory), "-xf", str(base))
        for name in ("/etc/resolv.conf", "/etc/hosts"):
            shutil.copy(name, f"{directory}{name}")
        (directory / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
        (directory / "usr/sbin/policy-rc.d").chmod(0o755)
        # A manual has no place in such a base; the packages' own is looked at.
        self("sh", "-c", "rm -f /etc/dpkg/dpkg.cfg.d/*")

    def command(self, *words):
        # With a /proc and /dev of its own, gone with the command.
        mounts = f"mount -t proc proc {self.directory}/proc; mount --rbind /dev {self.directory}/dev; exec chroot {self.directory} \"$@\""
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", mounts, "sh", *words]

    def __call__(self, *words, **options):
        return run(*self.command(*words), timeout=600, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
                   **options)

    def names(self, *words):
        """Files of ours."""
        found = self("sh", "-c", "find / -xdev ( -name '*ringside*' -o -path '*ringside*' ) -not -path '/debs*' -not -path '/var/lib/dpkg/*'"
                     .replace("( ", "\\( ").replace(" )", " \\)"))
        return set(found.split())

    def serve(self):
        """The program as the unit has it run; its URL."""
        log = self.directory / "log"
        with open(log, "wb") as file:
            process = subprocess.Popen(self.command(
                "env", "RINGSIDE_LISTEN=127.0.0.1:0", "RINGSIDE_AUTH_PUBLISH_TOKENS=secret-of-the-package", "RINGSIDE_STORE_RING_BYTES=8M",
                "RINGSIDE_LIMITS_BODY_BYTES=1M", "setpriv", "--reuid=ringside", "--regid=ringside", "--clear-groups", "ringside", "run",
                "--config", "/etc/ringside/ringside.yaml"), stdout=file, stderr=file)
        return process, wait_for(lambda: re.search(r"ringside ready url=(\S+)", log.read_text()), "its start", 60).group(1)


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    to = tmp_path_factory.mktemp("packages")
    run(f"{ROOT}/scripts/package", "--build", os.path.abspath(BUILD), str(to), env={**os.environ, "LINT": "1"})
    return {"capture" if "capture" in path else "main": path for path in glob.glob(f"{to}/*.deb")}


def newer(package, directory):
    """The same, as another version that also changes the configuration it ships."""
    run("dpkg-deb", "--raw-extract", package, str(directory))
    for name, old, new in (("DEBIAN/control", "Version: ", "Version: 99+"), ("etc/ringside/ringside.yaml", "# Ringside", "# The new Ringside")):
        text = (directory / name).read_text(encoding="utf-8")
        assert old in text
        (directory / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    run("dpkg-deb", "--root-owner-group", "--build", str(directory), f"{directory}.deb")
    return f"{directory}.deb"


@pytest.mark.container
@pytest.mark.skipif(os.geteuid() != 0, reason="makes a base and changes into it")
def test_packages_are_installed_upgraded_and_purged(packages, base, tmp_path):
    """lintian has nothing to say; data outlives an upgrade and a removal; a purge leaves nothing but the user."""
    root = Chroot(tmp_path / "root", base)
    bare = root.names()
    (tmp_path / "root/debs").mkdir()
    for name, path in {**packages, "newer": newer(packages["main"], tmp_path / "newer")}.items():
        shutil.copy(path, tmp_path / f"root/debs/{name}.deb")
    root("apt-get", "update")
    root("apt-get", "install", "-y", "--no-install-recommends", "/debs/main.deb")
    assert root("getent", "passwd", "ringside").split(":")[5] == "/var/lib/ringside"
    assert "valid" in root("ringside", "check-config", "--config", "/etc/ringside/ringside.yaml")
    shipped = re.sub(r"(?m)^(#.*)?\n", "", (tmp_path / "root/etc/ringside/ringside.yaml").read_text(encoding="utf-8"))
    assert shipped == "listen: 127.0.0.1:4437\n", "what is set by it is what the documents start with"
    unit = (tmp_path / "root/lib/systemd/system/ringside.service").read_text(encoding="utf-8")
    assert "\nUser=ringside\n" in unit and "DynamicUser" not in unit
    assert "ExecStart=/usr/lib/ringside/ringside run --config /etc/ringside/ringside.yaml\n" in unit
    # What systemd makes before it starts the service.
    root("install", "-d", "-o", "ringside", "/var/lib/ringside", "/run/ringside", "/var/log/ringside")

    def ask(*more):
        process, url = root.serve()
        try:
            return run("curl", "-fsS", "-H", "authorization: Bearer secret-of-the-package", *more, f"{url}/v1/stream/kept")
        finally:
            # It is process 1 there.
            with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as file:
                os.kill(int(file.read()), signal.SIGTERM)
            assert process.wait(60) == 0

    ask("-X", "PUT", "-H", "content-type: text/plain", "-d", "over an upgrade")
    config = tmp_path / "root/etc/ringside/ringside.yaml"
    config.write_text(config.read_text(encoding="utf-8") + "log.level: debug\n", encoding="utf-8")
    root("apt-get", "install", "-y", "-o", "Dpkg::Options::=--force-confold", "/debs/newer.deb")
    assert "log.level: debug" in config.read_text(encoding="utf-8")
    assert root("dpkg-query", "-W", "-f", "${Version}", "ringside").startswith("99+")
    assert ask() == "over an upgrade"
    root("apt-get", "remove", "-y", "ringside")
    assert (tmp_path / "root/var/lib/ringside/ring").is_file()
    # What Chromium is, is not this test's: without its dependencies.
    root("dpkg", "--install", "--force-confold", "--force-depends", "/debs/main.deb", "/debs/capture.deb")
    assert ask() == "over an upgrade"
    assert (tmp_path / "root/usr/lib/ringside/ringside-capture").is_file()
    assert (tmp_path / "root/lib/systemd/system/ringside.service.d/capture.conf").is_file()
    root("dpkg", "--purge", "ringside-capture", "ringside")
    assert {name for name in root.names() - bare if not name.startswith("/run/")} == set()
