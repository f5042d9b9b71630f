"""Runs the unit as systemd does: its user manager, started by root in a PID and mount namespace of its own, brings units up
with all their hardening and needs no machine that was booted with it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

from ringside import BUILD, PATIENCE, Ringside, wait_for

DOCS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "docs")
UNIT = os.path.join(DOCS, "ringside.service")
CAPTURE = os.path.join(DOCS, "ringside-capture.conf")
PLACE = "/run/ringside-test"  # seen by the service, whatever it sees of /tmp and /home
MANAGER = """
mount --make-rprivate /
mount --make-rshared /
mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/systemd/system {place} /run/credstore /run/systemd/inaccessible/dir
touch /run/systemd/inaccessible/reg
chmod 0 /run/systemd/inaccessible/*
mount --bind {dir} {place}
cp {dir}/credentials/* /run/credstore/ 2>/dev/null
export XDG_RUNTIME_DIR={place}/run XDG_CONFIG_HOME={place}/config HOME={place} XDG_STATE_HOME={place}/config
umask 0  # the socket for notifications is for the service's user, too
/lib/systemd/systemd --user --unit=ringside.service --log-target=console &
wait
"""


def possible():
    return os.geteuid() == 0 and os.path.exists("/lib/systemd/systemd") and shutil.which("unshare")


class UnitRingside(Ringside):
    """A Ringside that the unit starts; configured by its file, its secrets by credentials, {setting: text}."""

    def __init__(self, config, credentials, drop_ins=()):
        super().__init__(start=False, config=config)
        os.chmod(self.dir, 0o755)
        for name in ("run", "config", "credentials"):
            os.mkdir(os.path.join(self.dir, name))
        units = os.path.join(self.dir, "config/systemd/user")
        os.makedirs(f"{units}/ringside.service.d")
        for key, text in credentials.items():
            with open(os.path.join(self.dir, "credentials", f"ringside.{key}"), "w", encoding="ascii") as file:
                file.write(text)
        with open(UNIT, encoding="utf-8") as file:
            unit = file.read().replace("/usr/local/bin/", f"{PLACE}/bin/").replace("/etc/ringside.yaml", f"{PLACE}/ringside.yaml")
        with open(f"{units}/ringside.service", "w", encoding="utf-8") as file:
            file.write(unit)
        for path in drop_ins:
            shutil.copy(path, f"{units}/ringside.service.d/")
        # A user manager has its directories elsewhere, and no network to wait for. A sanitizer looks for leaks by ptrace,
        # which the unit does not let.
        with open(f"{units}/ringside.service.d/zz-test.conf", "w", encoding="utf-8") as file:
            file.write(f"[Service]\nStandardOutput=append:{PLACE}/log\nStandardError=append:{PLACE}/log\n"
                       "Environment=RINGSIDE_DATA_DIR=%S/ringside RINGSIDE_RUN_DIR=%t/ringside\n"
                       "Environment=ASAN_OPTIONS=abort_on_error=1:detect_leaks=0\n")
        self.run_dir = os.path.join(self.dir, "run/ringside")
        try:
            self.start()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise

    def command(self):
        return ["unshare", "--pid", "--fork", "--mount", "--kill-child", "bash", "-c",
                MANAGER.format(dir=self.dir, place=PLACE)]

    def spawn(self):
        self.log_from = 0
        open(self.log_path, "ab").close()
        with open(os.path.join(self.dir, "manager"), "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.environment, start_new_session=True)

    def log(self):
        with open(os.path.join(self.dir, "manager"), errors="replace") as file:
            return super().log() + file.read()

    def systemctl(self, *arguments):
        """From inside: the manager hears nobody whose process it cannot see."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as file:
            inside = file.read().strip()
        done = subprocess.run(["nsenter", f"--target={inside}", "--pid", "--mount", "env", f"XDG_RUNTIME_DIR={PLACE}/run",
                               "systemctl", "--user", *arguments], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stop(self):
        """The manager, with what it has started."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def score(*paths):
    """Of the unit, and its drop-ins, as `systemd-analyze security` has it."""
    with tempfile.TemporaryDirectory() as root:
        place = f"{root}/etc/systemd/system"
        os.makedirs(f"{place}/ringside.service.d")
        shutil.copy(paths[0], f"{place}/ringside.service")
        for path in paths[1:]:
            shutil.copy(path, f"{place}/ringside.service.d/")
        done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", f"--root={root}", "ringside.service"],
                              capture_output=True, text=True, check=False)
        found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
        assert found, done.stdout + done.stderr
        return float(found.group(1))
