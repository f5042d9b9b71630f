"""ringsidectl upgrade: another build takes the place of the one that runs, in the same process, under load, and nobody is refused
or misses anything; one that does not come up gives back. Sockets that a service manager has opened."""

import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

import other_build
from event_source import EventSource
from ringside import Ringside, alive, wait_for

TEXT = {"content-type": "text/plain"}


@pytest.fixture
def r():
    with Ringside(workers=2, bridge=1) as ringside:
        yield ringside


def version(r):
    return r.status()["version"]


def programs_of(r):
    """Of which directory the workers' programs are."""
    return {os.path.basename(os.path.dirname(os.readlink(f"/proc/{pid}/exe"))) for pid in r.worker_pids()}


def names(r):
    return [event["event"] for event in r.events()]


class Load:
    """Short requests, a writer that numbers and repeats by its producer, and readers; all of which must see everything."""

    def __init__(self, r, readers=8):
        self.r, self.stop, self.faults, self.requests, self.written = r, threading.Event(), [], 0, 0
        assert r.request("PUT", "/v1/stream/load", b"", TEXT)[0] == 201
        self.readers = [EventSource(r, "stream=load&from=start") for _ in range(readers)]
        self.threads = [threading.Thread(target=each) for each in (self.ask, self.ask, self.write)]

    def ask(self):
        while not self.stop.is_set():
            try:
                with socket.create_connection(self.r.address(), 30) as c:
                    c.settimeout(30)
                    c.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    answer = b""
                    while more := c.recv(65536):
                        answer += more
                if not answer.startswith(b"HTTP/1.1 200"):
                    self.faults.append(answer[:300])
            except OSError as error:
                self.faults.append(repr(error))
            self.requests += 1

    def write(self):
        while not self.stop.is_set():
            status = None
            try:
                status = self.r.request("POST", "/v1/stream/load", f"{self.written};".encode(), {
                    **TEXT, "producer-id": "w", "producer-epoch": "1", "producer-seq": str(self.written)})[0]
            except OSError as error:
                self.faults.append(repr(error))
            if status in (200, 204):
                self.written += 1
            elif status is not None:
                self.faults.append(status)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_for(lambda: self.written > 20, "some load")
        return self

    def __exit__(self, *failure):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        try:
            if failure[0] is None:
                self.judge()
        finally:
            for reader in self.readers:
                reader.stop()

    def judge(self):
        assert self.faults == [], f"{len(self.faults)} of {self.requests}"
        expected = "".join(f"{i};" for i in range(self.written))
        _, _, body = self.r.request("GET", "/v1/stream/load?offset=-1")
        assert body.decode() == expected
        for reader in self.readers:
            wait_for(lambda reader=reader: "".join(reader.messages()) == expected, "a reader to have all of it")


def test_another_build_takes_over_under_load_and_back_again(r):
    other = other_build.make(r)
    pids, pid = r.worker_pids(), r.process.pid
    with Load(r):
        said, _ = r.ctl("upgrade", "--check")
        assert said == "0.1.0 could take over from 0.1.0\n"
        said, _ = r.ctl("upgrade", other)
        assert said.startswith("upgraded from 0.1.0 to 0.1.9\n"), said
        assert version(r) == "0.1.9" and r.status()["pid"] == pid and r.process.poll() is None
        assert not set(pids) & set(r.worker_pids()) and programs_of(r) == {"other"}
        assert not any(map(alive, pids))
        assert [w["name"] for w in r.status()["workers"]] == ["sse-0", "sse-1", "bridge-0"]
        said, _ = r.ctl("upgrade", r.program)
        assert said.startswith("upgraded from 0.1.9 to 0.1.0\n"), said
        assert programs_of(r) == {"bin"}
    # What happened before is still known, and what one is by itself works on.
    assert names(r).count("upgraded") == 2 and "worker-ready" in names(r)
    generations = [w["generation"] for w in r.status()["workers"]]
    assert len(set(generations)) == 3 and min(generations) > 3
    r.ctl("scale", "sse", "3")
    r.ctl("restart", "all")
    r.ctl("reload")
    with open(os.path.join(r.run_dir, "ringside.pid")) as file:
        assert int(file.read()) == pid
    r.signal(signal.SIGTERM)
    assert r.wait_exit() == 0 and not os.path.exists(os.path.join(r.run_dir, "admin.sock"))


def test_a_single_worker_too():
    with Ringside(workers=1) as r, Load(r, readers=2):
        r.ctl("upgrade", other_build.make(r))
        assert [w["name"] for w in r.status()["workers"]] == ["sse-0"] and version(r) == "0.1.9"


def test_a_worker_that_does_not_come_up_gives_back(r):
    other, whole, pids = other_build.make(r), other_build.make(r, "whole"), set(r.worker_pids())
    other_build.write(os.path.join(os.path.dirname(other), "ringside-bridge"), b"#!/bin/sh\nexit 7\n")
    # As a package does it: in the place of the programs that run, which are nowhere any more.
    other_build.install(r, other)
    with Load(r):
        _, said = r.ctl("upgrade", code=1)
        assert "rolled back to 0.1.0: bridge-0: code" in said
        assert version(r) == "0.1.0"
        wait_for(lambda: r.request("GET", "/readyz")[0] == 200 and len(r.worker_pids()) == 3, "the former build")
        wait_for(lambda: not pids & set(r.worker_pids()), "fresh processes")
        # Of the build that was replaced on the disk: it was kept open.
        assert all(os.readlink(f"/proc/{pid}/exe").endswith(" (deleted)") for pid in r.worker_pids())
        r.ctl("restart", "all")
    rolled_back = [event for event in r.events() if event["event"] == "rolled-back"]
    assert [(e["from"], e["to"]) for e in rolled_back] == [("0.1.9", "0.1.0")]
    # Once it is whole it takes over.
    other_build.install(r, whole)
    r.ctl("upgrade")
    assert version(r) == "0.1.9"


def test_what_cannot_take_over_changes_nothing(r):
    pids, directory = r.worker_pids(), os.path.join(r.dir, "odd")
    os.mkdir(directory)
    odd = os.path.join(directory, "ringside")

    def refused(program, reason, code=1):
        assert reason in r.ctl("upgrade", *program, code=code)[1]
        assert r.worker_pids() == pids and version(r) == "0.1.0"
    refused([odd], "cannot execute")
    refused(["ringside"], "must be an absolute path", 2)
    refused([odd, "--check"], "takes no other", 2)
    other_build.write(odd, b"#!/bin/sh\necho 'ringside: unknown command' >&2\nexit 2\n")
    refused([odd], "it cannot take over: ringside: unknown command")
    other_build.write(odd, b"#!/bin/sh\nkill -9 $$\n")
    refused([odd], "was killed")
    with open(r.program, "rb") as file:
        other_build.write(odd, file.read())  # no workers beside it
    refused([odd], "ringside-sse: No such file")
    assert "taken-over" not in names(r)


def test_whoever_is_asked_and_says_nothing_is_not_waited_for(r):
    """It has closed what it could say something by, and goes on: so does a child of it."""
    odd = os.path.join(r.dir, "odd")
    other_build.write(odd, b"#!/bin/sh\nexec >&- 2>&-\nsleep 1000 &\nsleep 1000\n")
    assert "did not answer within 5 s" in r.ctl("upgrade", odd, code=1)[1]
    assert not subprocess.run(["pgrep", "-f", odd], capture_output=True, check=False).stdout


def test_a_log_that_cannot_be_opened_is_told_before(r):
    r.ctl("upgrade", "--check")
    with Ringside(config="log.level: info\n", workers=1) as other:
        other.write_config("log.file: /nowhere/at/all\n")
        assert "cannot open /nowhere/at/all" in other.ctl("upgrade", code=1)[1]


def test_signals_in_the_midst_of_it_are_met_by_who_comes():
    """None is lost, none has its default action, which would be the end of it."""
    with Ringside(config="log.level: info\n", workers=1) as r:
        done = threading.Event()

        def pester():
            while not done.is_set():
                r.signal(signal.SIGHUP)
                r.signal(signal.SIGUSR1)
                time.sleep(0.002)
        pesterer = threading.Thread(target=pester)
        pesterer.start()
        try:
            for _ in range(3):
                r.ctl("upgrade")
        finally:
            done.set()
            pesterer.join()
        assert r.log().count("ringside upgraded") == 3 and r.process.poll() is None
        with subprocess.Popen([os.path.join(os.path.dirname(r.program), "ringsidectl"), "--run-dir", r.run_dir, "upgrade"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as ctl:
            wait_for(lambda: r.log().count("ringside upgrading") == 4, "the fourth")
            r.signal(signal.SIGTERM)
            assert r.wait_exit() == 0
            ctl.terminate()


def test_nothing_is_left_open_by_many(r):
    def descriptors():
        return sorted(os.readlink(f"/proc/{r.process.pid}/fd/{fd}").split(":")[0] for fd in os.listdir(f"/proc/{r.process.pid}/fd"))
    r.ctl("upgrade")
    before = descriptors()
    for _ in range(3):
        r.ctl("upgrade")
    wait_for(lambda: len(descriptors()) == len(before), f"as many as {before}")


def test_a_configuration_that_is_broken_meanwhile():
    with Ringside(config="log.level: info\n", workers=1) as r:
        r.write_config("log.level: loud\n")
        assert "log.level" in r.ctl("upgrade", code=1)[1] and r.request("GET", "/readyz")[0] == 200
        # This one is seen by the new one only.
        r.write_config("log.level: debug\n")
        r.flags = [f for f in r.flags if not f.startswith("--run-dir")]
        r.ctl("upgrade")
        assert json.loads(r.ctl("settings", "--json")[0])["log.level"] == "debug"


def test_directories_are_changed_by_stop_and_start_only():
    with Ringside(config="log.level: info\n", workers=1, start=False) as r:
        r.flags.remove(f"--data-dir={r.data_dir}")
        r.write_config(f"data_dir: {r.data_dir}\n")
        r.start()
        r.write_config(f"data_dir: {r.data_dir}-other\n")
        assert "it cannot take over: run_dir and data_dir can be" in r.ctl("upgrade", code=1)[1]
        assert r.status()["data_dir"] == os.path.realpath(r.data_dir)
        assert r.request("PUT", "/v1/stream/still", b"x", TEXT)[0] == 201


def test_a_start_that_is_refused_gives_back_with_the_directories_in_use():
    """By an address that somebody else has meanwhile, and in a configuration that changes still."""
    with socket.create_server(("127.0.0.1", 0)) as taken, Ringside(config="log.level: info\n", workers=1, start=False) as r:
        r.flags = [f for f in r.flags if not f.startswith(("--data-dir", "--listen"))]
        r.write_config(f"data_dir: {r.data_dir}\nlisten: 127.0.0.1:0\n")
        r.start()
        assert r.request("PUT", "/v1/stream/still", b"x", TEXT)[0] == 201
        pids = r.worker_pids()
        r.write_config(f"data_dir: {r.data_dir}\nlisten: 127.0.0.1:{taken.getsockname()[1]}\nlisten_wait: 0\n")
        _, said = r.ctl("upgrade", code=1)
        assert "rolled back to 0.1.0: cannot listen on" in said
        # At the address of before, though the configuration names another by now.
        status, _, body = r.request("GET", "/v1/stream/still?offset=-1")
        assert (status, body) == (200, b"x") and not set(pids) & set(r.worker_pids())


def test_a_program_replaced_beneath_is_not_started_by_accident(r):
    """A worker that dies between a package's upgrade and ringsidectl upgrade."""
    other_build.install(r, other_build.make(r))
    os.kill(r.worker("sse-0")["pid"], signal.SIGKILL)
    r.wait_log("program is of another build")
    r.wait_worker("sse-0", state="ready")
    r.ctl("upgrade")
    assert version(r) == "0.1.9" and r.request("GET", "/readyz")[0] == 200
    # Of the new build all are, also the next one.
    os.kill(r.worker("sse-0")["pid"], signal.SIGKILL)
    wait_for(lambda: (w := r.worker("sse-0"))["state"] == "ready" and w["restarts"] > 0, "its successor")


def test_killed_in_the_midst_of_it_nothing_is_left(r):
    pids = r.worker_pids()
    with subprocess.Popen([os.path.join(os.path.dirname(r.program), "ringsidectl"), "--run-dir", r.run_dir, "upgrade"],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as ctl:
        r.wait_log("taken-over")
        r.process.kill()
        r.process.wait()
        ctl.terminate()
    wait_for(lambda: not any(map(alive, pids)), "the workers to follow")
    r.start()
    assert r.request("GET", "/readyz")[0] == 200


def test_children_from_before_are_left_alone(r):
    """What is a child of this process and no worker stays one."""
    with Ringside(start=False) as other:
        other.prefix = ["sh", "-c", 'sleep 1000 & exec "$@"', "sh"]
        other.start()
        children = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(other.process.pid)], capture_output=True, text=True,
                                  check=True).stdout
        sleeper = int(next(line for line in children.splitlines() if "sleep" in line).split()[0])
        other.ctl("upgrade")
        assert alive(sleeper)
        os.kill(sleeper, signal.SIGKILL)
        wait_for(lambda: not alive(sleeper) and not os.path.exists(f"/proc/{sleeper}"), "it to be reaped")


def activated(r, listener):
    """Started as by a service manager that has opened that socket."""
    command = ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", *r.command()]

    def third():
        os.dup2(listener.fileno(), 3)
        os.set_inheritable(3, True)
    with open(r.log_path, "ab") as log:
        r.log_from = log.tell()
        r.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, close_fds=False,
                                     preexec_fn=third, env={**r.environment, "LISTEN_FDS": "1"})
    r.wait_ready()


def test_a_socket_of_a_service_manager():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with Ringside(listen=f"127.0.0.1:{port}", workers=2, start=False) as r:
            activated(r, listener)
            assert r.address()[1] == port and r.request("GET", "/healthz")[0] == 200
            # They share it: whoever is killed, restarted or scaled away, nobody is refused.
            with Load(r, readers=2):
                r.ctl("scale", "sse", "3")
                r.ctl("restart", "all")
                r.ctl("scale", "sse", "1")
                r.ctl("upgrade", other_build.make(r))
                assert version(r) == "0.1.9"
            # Who comes while it is down waits at the socket, which is the manager's.
            r.signal(signal.SIGTERM)
            assert r.wait_exit() == 0
            with socket.create_connection(("127.0.0.1", port), 30) as early:
                early.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                activated(r, listener)
                assert early.recv(100).startswith(b"HTTP/1.1 200")


def test_a_socket_at_another_address_is_not_used():
    with socket.create_server(("127.0.0.1", 0)) as listener, Ringside(listen="127.0.0.2:0", start=False) as r:
        activated(r, listener)
        assert "at no address of listen" in r.log() and r.address()[1] != listener.getsockname()[1]


def test_as_the_first_process_of_a_container():
    unshare = ("unshare", "-pf", "--mount-proc", "--kill-child")
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no namespaces here")
    with Ringside(prefix=unshare, workers=1) as r:
        r.ctl("upgrade", other_build.make(r))
        assert version(r) == "0.1.9" and r.status()["pid"] == 1
        before = time.monotonic()
        r.ctl("drain")
        assert r.wait_exit() == 0 and time.monotonic() - before < 60
