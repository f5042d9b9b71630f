"""Starts a whole Ringside in a directory of its own and looks at it from outside.

    with Ringside() as r:                  # real workers
    with Ringside(dummy=True) as r:        # tests/system/dummy_worker.c in their place

BUILD (environment, or first argument of the test) is the build directory.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

BUILD = os.environ.get("BUILD", "build")
# Sanitizers make everything slower, and valgrind more so.
PATIENCE = float(os.environ.get("PATIENCE", "20"))


def wait_for(condition, what, seconds=None):
    """Polls until condition() is true and returns its value."""
    end = time.monotonic() + (seconds or PATIENCE)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(0.01)


def alive(pid):
    """A process whose first thread has ended still holds its sockets while others end."""
    try:
        return any(state_of(f"{pid}/task/{thread}") not in "ZX" for thread in os.listdir(f"/proc/{pid}/task"))
    except (FileNotFoundError, ProcessLookupError):
        return False


def state_of(task):
    with open(f"/proc/{task}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0]


class Ringside:
    def __init__(self, *flags, dummy=False, config=None, environment=None, prefix=(),
                 workers=1, bridge=0, listen="127.0.0.1:0", start=True):
        self.dir = tempfile.mkdtemp(prefix="ringside-test-")
        self.run_dir = os.path.join(self.dir, "run")
        self.data_dir = os.path.join(self.dir, "data")
        self.log_path = os.path.join(self.dir, "log")
        self.config = None
        if config is not None:
            self.config = os.path.join(self.dir, "ringside.yaml")
            self.write_config(config)
        self.program = self._program(dummy)
        self.flags = [f"--run-dir={self.run_dir}", f"--data-dir={self.data_dir}",
                      f"--listen={listen}", "--dev"]
        if workers is not None:
            self.flags.append(f"--sse-workers={workers}")
        if bridge is not None:
            self.flags.append(f"--bridge-workers={bridge}")
        if not any(f.startswith("--store-ring-bytes") for f in flags):
            self.flags.append("--store-ring-bytes=8M")
            self.flags.append("--limits-body-bytes=1M")
        if environment and "LD_PRELOAD" in environment:
            self.flags.append("--sandbox=off")  # neither the library nor its files are for the workers to see
        self.flags += list(flags)
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("RINGSIDE_")}
        self.environment.update(environment or {})
        self.prefix = list(prefix)
        self.process = None
        self.url = None
        self.may_abort = None  # a source whose check() may fail in what is tested
        if start:
            try:
                self.start()
            except BaseException:  # nobody gets it, so nobody could end it and tidy up
                self.__exit__(*sys.exc_info())
                raise

    def _program(self, dummy):
        """Workers are found beside the executable, so the suite is put together in one place."""
        bin_dir = os.path.join(self.dir, "bin")
        os.mkdir(bin_dir)
        names = {"ringside": "supervisor/ringside", "ringsidectl": "supervisor/ringsidectl"}
        for role in ("sse", "bridge", "capture", "link"):
            names[f"ringside-{role}"] = ("tests/system/dummy_worker" if dummy
                                         else f"worker-{role}/ringside-{role}")
        for name, source in names.items():
            path = os.path.join(BUILD, source)
            if os.path.exists(path):
                shutil.copy(path, os.path.join(bin_dir, name))
        return os.path.join(bin_dir, "ringside")

    def write_config(self, text):
        with open(self.config, "w") as file:
            file.write(text)

    def command(self):
        config = ["--config", self.config] if self.config else []
        return self.prefix + [self.program, "run"] + config + self.flags

    def spawn(self):
        with open(self.log_path, "ab") as log:
            self.log_from = log.tell()
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=self.environment)
        return self

    def start(self):
        self.spawn()
        self.wait_ready()
        return self

    def wait_ready(self):
        def look():
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode}:\n{self.log()}")
            return re.search(r"ringside ready url=(\S+)", self.log()[self.log_from:])
        self.url = wait_for(look, "ready").group(1)

    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()

    def wait_log(self, pattern, seconds=None):
        return wait_for(lambda: re.search(pattern, self.log()), f"log: {pattern}", seconds)

    # ---- control ----

    def ctl(self, *arguments, code=0, timeout=60):
        """Runs ringsidectl, checks its exit code, returns (stdout, stderr)."""
        done = subprocess.run([os.path.join(os.path.dirname(self.program), "ringsidectl"),
                               "--run-dir", self.run_dir, *arguments], capture_output=True,
                              text=True, timeout=timeout, env=self.environment)
        assert done.returncode == code, \
            f"ringsidectl {arguments}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout, done.stderr

    def status(self):
        return json.loads(self.ctl("status", "--json")[0])

    def worker(self, name):
        """The worker's part of status, or None."""
        return next((w for w in self.status()["workers"] if w["name"] == name), None)

    def wait_worker(self, name, **fields):
        def look():
            worker = self.worker(name)
            return worker if worker and all(worker[k] == v for k, v in fields.items()) else None
        return wait_for(look, f"{name} {fields}")

    def events(self):
        return [json.loads(line) for line in self.ctl("events")[0].splitlines()]

    def signal(self, number):
        self.process.send_signal(number)

    def wait_exit(self, seconds=None):
        return self.process.wait(seconds or PATIENCE)

    def worker_pids(self):
        return [w["pid"] for w in self.status()["workers"] if w["pid"]]

    # ---- kill -9 ----

    def kill(self, pid):
        """Of a worker, that may have ended by itself meanwhile, or is not running (0). How many were killed."""
        try:
            if pid:
                os.kill(pid, signal.SIGKILL)
            return int(pid != 0)
        except ProcessLookupError:
            return 0

    def kill_some_worker(self, dice, role=""):
        pids = [w["pid"] for w in self.status()["workers"] if w["pid"] and w["name"].startswith(role)]
        return self.kill(dice.choice(pids)) if pids else 0

    def kill_everything(self):
        pids = self.worker_pids()
        self.process.kill()
        self.process.wait()
        wait_for(lambda: not any(map(alive, pids)), "the workers to follow")

    # ---- HTTP ----

    def address(self):
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host.strip("[]"), int(port)

    def get(self, path, timeout=10):
        with urllib.request.urlopen(self.url + path, timeout=timeout) as answer:
            return answer.read().decode()

    def request(self, method, path, body=None, headers=None, timeout=10):
        """Returns (status, headers, body)."""
        request = urllib.request.Request(self.url + path, method=method, data=body,
                                         headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def connect(self, timeout=10):
        return socket.create_connection(self.address(), timeout)

    # ---- the end ----

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.stop()
        log = self.log() if os.path.exists(self.log_path) else ""
        if kind is not None:
            print(f"---- log of {self.dir}\n{log}----")
        shutil.rmtree(self.dir, ignore_errors=True)
        if self.may_abort:
            log = re.sub(rf"cannot happen at=\S*{self.may_abort}:", "", log)
        if kind is None and re.search(r"Sanitizer|runtime error:|cannot happen", log):
            raise AssertionError(log)
