"""The supervisor as a process: what it starts, watches, restarts, scales, drains and leaves behind."""

import json
import os
import re
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ringside import PATIENCE, Ringside, alive, wait_for  # noqa: E402

FAST = ("--worker-restart-delay-min=10ms", "--worker-restart-delay-max=40ms")
# A worker that failed too often is not tried again within the test.
ONCE = ("--worker-restart-delay-min=10ms", "--worker-restart-delay-max=1h")


def touch(path):
    with open(path, "w"):
        pass


class Crashes(unittest.TestCase):
    def test_a_killed_worker_comes_back_and_serves_who_queued(self):
        with Ringside() as r:
            before = r.worker("sse-0")
            os.kill(before["pid"], signal.SIGKILL)
            self.assertEqual(r.request("GET", "/healthz")[0] // 100, 2)
            after = r.wait_worker("sse-0", state="ready", restarts=1)
            self.assertNotEqual(before["pid"], after["pid"])
            self.assertIn("signal 9", after["last_exit"])
            self.assertEqual(r.status()["state"], "ready")

    def test_connections_refused_never_while_workers_are_killed(self):
        with Ringside(*FAST, "--worker-restart-limit=64", workers=2) as r:
            stop = threading.Event()

            def kill():
                while not stop.wait(0.15):
                    for pid in r.worker_pids()[:1]:
                        r.kill(pid)

            killer = threading.Thread(target=kill)
            killer.start()
            try:
                end = time.monotonic() + 3
                count = 0
                while time.monotonic() < end:
                    r.connect().close()  # raises when refused
                    count += 1
            finally:
                stop.set()
                killer.join()
            self.assertGreater(count, 500)
            r.wait_worker("sse-0", state="ready")
            r.wait_worker("sse-1", state="ready")

    def test_crash_loop_backs_off_and_turns_readiness_red(self):
        with Ringside(*ONCE, "--worker-restart-limit=4", dummy=True, workers=2) as r:
            touch(os.path.join(r.data_dir, "fail-start"))
            os.kill(r.worker("sse-1")["pid"], signal.SIGKILL)
            failed = r.wait_worker("sse-1", state="failed")
            self.assertEqual(failed["failures"], 4)
            self.assertEqual(failed["pid"], 0)
            status = r.status()
            self.assertFalse(status["ready"])
            self.assertEqual(status["state"], "degraded")
            # The other serves on; nobody is sent to the failed one.
            for _ in range(50):
                self.assertEqual(r.get("/").strip(), "sse-0")
            self.assertIn("worker-failed", [e["event"] for e in r.events()])
            # An operator may try again.
            self.assertIn("failed", r.ctl("restart", "sse-1", code=1)[1])
            os.unlink(os.path.join(r.data_dir, "fail-start"))
            r.ctl("restart", "sse-1")
            self.assertEqual(r.worker("sse-1")["state"], "ready")
            self.assertTrue(r.status()["ready"])

    def test_delays_grow(self):
        with Ringside("--worker-restart-delay-min=50ms", "--worker-restart-limit=5",
                      dummy=True) as r:
            touch(os.path.join(r.data_dir, "fail-start"))
            os.kill(r.worker("sse-0")["pid"], signal.SIGKILL)
            r.wait_worker("sse-0", state="failed")
            starts = [e["at_ms"] for e in r.events() if e["event"] == "worker-started"]
            exits = [e["at_ms"] for e in r.events() if e["event"] == "worker-exited"]
            delays = [start - end for start, end in zip(starts[1:], exits)]
            for delay, nominal in zip(delays, (50, 100, 200, 400)):
                self.assertGreaterEqual(delay, nominal / 2 - 1)
                self.assertLess(delay, nominal + 300)

    def test_readiness_turns_red_and_green_again(self):
        r = Ringside(*ONCE, "--worker-restart-limit=3", bridge=1, start=False)
        with r:
            bridge = os.path.join(os.path.dirname(r.program), "ringside-bridge")
            os.rename(bridge, bridge + ".kept")
            with open(bridge, "w") as script:
                script.write("#!/bin/sh\nexit 1\n")
            os.chmod(bridge, 0o755)
            r.start()
            self.assertEqual(r.worker("bridge-0")["state"], "failed")
            self.assertEqual(r.request("GET", "/readyz")[0], 503)
            self.assertEqual(r.request("GET", "/healthz")[0], 200)
            # Not even a program.
            os.unlink(bridge)
            r.ctl("restart", "bridge-0", code=1)
            self.assertIn("program cannot be executed", r.log())
            os.rename(bridge + ".kept", bridge)
            r.ctl("restart", "bridge-0")
            self.assertEqual(r.request("GET", "/readyz")[0], 200)

    def test_a_failed_worker_is_tried_again_and_serves(self):
        with Ringside(*FAST, "--worker-restart-limit=2", dummy=True) as r:
            touch(os.path.join(r.data_dir, "fail-start"))
            os.kill(r.worker("sse-0")["pid"], signal.SIGKILL)
            r.wait_log("worker-failed")
            wait_for(lambda: [e["event"] for e in r.events()].count("worker-started") > 6, "more attempts")
            self.assertFalse(r.status()["ready"])
            os.unlink(os.path.join(r.data_dir, "fail-start"))
            r.wait_worker("sse-0", state="ready")
            self.assertTrue(r.status()["ready"])
            self.assertEqual(r.get("/").strip(), "sse-0")

    def test_after_an_outage_of_give_up_it_ends_for_others_to_act(self):
        with Ringside(*FAST, "--worker-restart-limit=2", "--worker-give-up=1s", bridge=1, dummy=True) as r:
            touch(os.path.join(r.data_dir, "fail-start"))
            os.kill(r.worker("sse-0")["pid"], signal.SIGKILL)
            self.assertEqual(r.wait_exit(), 1)
            self.assertRegex(r.log(), "gave-up after_ms=1000")

    def test_everything_failed_refuses_instead_of_hanging(self):
        with Ringside(*ONCE, "--worker-restart-limit=2", dummy=True) as r:
            touch(os.path.join(r.data_dir, "fail-start"))
            os.kill(r.worker("sse-0")["pid"], signal.SIGKILL)
            r.wait_worker("sse-0", state="failed")
            self.assertEqual(r.status()["state"], "down")
            with self.assertRaises(ConnectionRefusedError):
                r.connect()
            os.unlink(os.path.join(r.data_dir, "fail-start"))
            r.ctl("restart", "all")
            self.assertEqual(r.get("/").strip(), "sse-0")  # the same port again


class Hangs(unittest.TestCase):
    limits = ("--worker-hang-timeout=500ms", "--worker-abort-grace=100ms")

    def test_a_stopped_worker_is_killed_and_replaced(self):
        with Ringside(*self.limits) as r:
            pid = r.worker("sse-0")["pid"]
            os.kill(pid, signal.SIGSTOP)
            r.wait_log("worker-hung")
            after = r.wait_worker("sse-0", state="ready", restarts=1)
            self.assertNotEqual(after["pid"], pid)
            self.assertFalse(alive(pid))
            events = [e["event"] for e in r.events()]
            self.assertLess(events.index("worker-hung"), events.index("worker-killed"))

    def test_a_hung_loop_is_aborted(self):
        with Ringside(*self.limits, dummy=True) as r:
            with r.connect() as c:
                c.sendall(b"GET /hang HTTP/1.1\r\n\r\n")
                after = r.wait_worker("sse-0", state="ready", restarts=1)
            self.assertIn("Aborted", after["last_exit"])

    def test_nothing_new_is_sent_to_a_silent_worker(self):
        with Ringside("--worker-hang-timeout=8s", dummy=True, workers=2) as r:
            pid = r.worker("sse-0")["pid"]
            os.kill(pid, signal.SIGSTOP)
            wait_for(lambda: r.worker("sse-0")["late"], "late")
            for _ in range(50):
                self.assertEqual(r.get("/").strip(), "sse-1")
            os.kill(pid, signal.SIGCONT)
            wait_for(lambda: not r.worker("sse-0")["late"], "recovered")
            self.assertEqual(r.worker("sse-0")["pid"], pid)

    def test_never_ready(self):
        with Ringside("--worker-start-timeout=500ms", "--worker-abort-grace=100ms",
                      dummy=True) as r:
            touch(os.path.join(r.data_dir, "never-ready"))
            os.kill(r.worker("sse-0")["pid"], signal.SIGKILL)
            r.wait_log("worker-hung")
            os.unlink(os.path.join(r.data_dir, "never-ready"))
            r.wait_worker("sse-0", state="ready")

    def test_a_pause_of_the_supervisor_kills_nobody(self):
        with Ringside("--worker-hang-timeout=2s", dummy=True) as r:
            pid = r.worker("sse-0")["pid"]
            r.signal(signal.SIGSTOP)
            time.sleep(3)
            r.signal(signal.SIGCONT)
            r.wait_log("supervisor was paused")
            time.sleep(0.5)
            self.assertEqual(r.worker("sse-0")["pid"], pid)


class Address(unittest.TestCase):
    def test_one_in_use_is_waited_for(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            with Ringside(listen=f"127.0.0.1:{other.getsockname()[1]}", dummy=True, start=False) as r:
                r.flags.append("--listen-wait=1m")
                r.spawn()
                r.wait_log("address in use, waiting")
                other.close()
                r.wait_ready()

    def test_and_then_said(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            address = f"127.0.0.1:{other.getsockname()[1]}"
            with Ringside("--listen-wait=100ms", listen=address, dummy=True, start=False) as r:
                r.spawn()
                self.assertEqual(r.wait_exit(), 1)
                self.assertIn(f"cannot listen on {address}: Address already in use (set --listen)", r.log())


class Ending(unittest.TestCase):
    def test_sigterm_drains_and_exits_zero(self):
        with Ringside(workers=2) as r:
            pids = r.worker_pids()
            r.signal(signal.SIGTERM)
            self.assertEqual(r.wait_exit(), 0)
            self.assertFalse([p for p in pids if alive(p)])
            self.assertFalse(os.path.exists(os.path.join(r.run_dir, "admin.sock")))
            self.assertFalse(os.path.exists(os.path.join(r.run_dir, "ringside.pid")))
            self.assertIn("ringside stopped", r.log())

    def test_sigint_too(self):
        with Ringside() as r:
            r.signal(signal.SIGINT)
            self.assertEqual(r.wait_exit(), 0)

    def test_sse_workers_leave_first(self):
        with Ringside(dummy=True, workers=2, bridge=1) as r:
            r.signal(signal.SIGTERM)
            r.wait_exit()
            order = re.findall(r"ringside worker-exited worker=(\S+)", r.log())
            self.assertEqual(sorted(order[:2]), ["sse-0", "sse-1"])
            self.assertEqual(order[2], "bridge-0")

    def test_drain_has_a_deadline(self):
        with Ringside("--worker-drain-timeout=700ms", dummy=True, workers=2) as r:
            touch(os.path.join(r.data_dir, "ignore-drain"))
            # One that does not finish, and one that cannot even look at the clock.
            os.kill(r.worker("sse-1")["pid"], signal.SIGSTOP)
            begun = time.monotonic()
            r.signal(signal.SIGTERM)
            self.assertEqual(r.wait_exit(), 0)
            self.assertLess(time.monotonic() - begun, 0.7 + PATIENCE / 4)
            self.assertRegex(r.log(), "worker-cut worker=sse-1")

    def test_a_second_signal_hurries(self):
        with Ringside("--worker-drain-timeout=10m", dummy=True) as r:
            touch(os.path.join(r.data_dir, "ignore-drain"))
            r.signal(signal.SIGTERM)
            r.wait_log("worker-draining")
            self.assertIsNone(r.process.poll())
            r.signal(signal.SIGINT)
            self.assertEqual(r.wait_exit(5), 0)

    def test_running_requests_are_finished(self):
        with Ringside() as r:
            with r.connect() as c:
                c.sendall(b"PUT /v1/stream/slow HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
                          b"Content-Length: 4\r\n\r\nab")
                time.sleep(0.2)
                r.signal(signal.SIGTERM)
                r.wait_log("worker-draining")
                time.sleep(0.2)
                c.sendall(b"cd")
                self.assertIn(b" 201 ", c.recv(65536))
            self.assertEqual(r.wait_exit(), 0)

    def test_kill_of_the_supervisor_leaves_nobody(self):
        with Ringside(workers=3) as r:
            pids = r.worker_pids()
            r.signal(signal.SIGKILL)
            r.process.wait()
            wait_for(lambda: not [p for p in pids if alive(p)], "workers to die")
            # And the next one starts over what it left.
            r.start()
            self.assertEqual(len(r.worker_pids()), 3)

    def test_children_of_workers_die_with_them(self):
        with Ringside("--sandbox=off", dummy=True) as r:  # it makes processes
            child, escapee = int(r.get("/child")), int(r.get("/escapee"))
            self.assertTrue(alive(child) and alive(escapee))
            os.kill(r.worker("sse-0")["pid"], signal.SIGKILL)
            wait_for(lambda: not alive(child), "the child to die")
            wait_for(lambda: not alive(escapee), "the escapee to die")
            r.wait_worker("sse-0", state="ready")
            child = int(r.get("/escapee"))
            r.signal(signal.SIGTERM)
            self.assertEqual(r.wait_exit(), 0)
            wait_for(lambda: not alive(child), "the last child to die")

    def test_children_from_before_are_left_alone(self):
        """sleep & exec ringside run"""
        with Ringside(dummy=True, prefix=("sh", "-c", 'sleep 600 & echo $! >&2; exec "$@"',
                                          "sh")) as r:
            sleeper = int(r.log().splitlines()[0])
            os.kill(r.worker("sse-0")["pid"], signal.SIGKILL)
            r.wait_worker("sse-0", restarts=1, state="ready")
            r.stop()
            self.assertTrue(alive(sleeper))
            os.kill(sleeper, signal.SIGKILL)

    def test_ctl_drain_and_stop(self):
        with Ringside() as r:
            self.assertEqual(r.ctl("drain")[0], "stopped\n")
            self.assertEqual(r.wait_exit(), 0)
            r.start()
            self.assertEqual(r.ctl("stop")[0], "stopped\n")
            self.assertEqual(r.wait_exit(), 0)


class AsInit(unittest.TestCase):
    @unittest.skipUnless(os.geteuid() == 0, "needs a PID namespace")
    def test_pid_1_reaps_and_ends(self):
        unshare = ("unshare", "-pf", "--mount-proc", "--kill-child")
        if subprocess.run([*unshare, "true"], capture_output=True).returncode != 0:
            self.skipTest("no PID namespace to be had")
        with Ringside(dummy=True, prefix=unshare) as r:
            self.assertEqual(r.status()["pid"], 1)
            init = int(open(f"/proc/{r.process.pid}/task/{r.process.pid}/children").read())
            # Orphans that are not ours are handed to PID 1: they are reaped, not killed.
            enter = ["nsenter", "-t", str(init), "-p", "-m"]
            subprocess.run([*enter, "sh", "-c", "(sleep 0.3; exit 3) & (sleep 60) & exit 0"],
                           check=True)
            subprocess.run([*enter, "sh", "-c", "setsid sleep 0.2 & exit 0"], check=True)
            time.sleep(0.8)

            def children():
                return open(f"/proc/{init}/task/{init}/children").read().split()
            states = {p: open(f"/proc/{p}/stat").read().rpartition(")")[2].split()[0]
                      for p in children()}
            self.assertNotIn("Z", states.values())
            os.kill(init, signal.SIGTERM)
            self.assertEqual(r.wait_exit(), 0)


class Configuration(unittest.TestCase):
    def run_once(self, *arguments, environment=None):
        r = Ringside(start=False)
        try:
            program = [r.program, *arguments]
            return subprocess.run(program, capture_output=True, text=True, timeout=PATIENCE,
                                  env={**r.environment, **(environment or {})})
        finally:
            shutil.rmtree(r.dir)

    def test_bad_config_stops_the_start(self):
        r = Ringside(start=False, config="log:\n  level: info\nlimits:\n  headers: many\n")
        with r:
            r.spawn()
            self.assertEqual(r.wait_exit(), 2)
            self.assertIn("ringside.yaml:4: limits.headers: must be a whole number", r.log())

    def test_check_config(self):
        r = Ringside(start=False, config="no_such: 1\n")
        with r:
            check = [r.program, "check-config", "--config", r.config]
            done = subprocess.run(check, capture_output=True, text=True)
            self.assertEqual(done.returncode, 2)
            self.assertRegex(done.stderr, r"^\S+ringside\.yaml:1: unknown key 'no_such'\n$")
            r.write_config("log.level: debug\n")
            self.assertEqual(subprocess.run(check, capture_output=True).returncode, 0)

    def test_wrong_arguments(self):
        for arguments in ([], ["nonsense"], ["run", "--nonsense"], ["run", "--log-level"],
                          ["run", "--log-level", "loud"], ["run", "extra"],
                          ["run", "--config"], ["version", "x"]):
            done = self.run_once(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        for arguments, where in ((["nonsense"], "ringside --help"), (["run", "--nonsense"], "ringside run --help"),
                                 (["check-config", "--nonsense"], "ringside run --help")):
            self.assertIn(f"(see '{where}')", self.run_once(*arguments).stderr)  # where it is listed
        done = self.run_once("run", environment={"RINGSIDE_NO_SUCH": "1"})
        self.assertEqual(done.returncode, 2)
        self.assertIn("RINGSIDE_NO_SUCH", done.stderr)

    def test_help_lists_every_setting(self):
        done = self.run_once("run", "--help")
        self.assertEqual(done.returncode, 0)
        for flag in ("--listen", "--sse-workers", "--store-ring-bytes", "--worker-drain-timeout"):
            self.assertIn(flag, done.stdout)
        self.assertEqual(self.run_once("version").stdout.split()[0], "ringside")
        self.assertEqual(self.run_once("--help").returncode, 0)

    def test_dev_is_for_loopback(self):
        done = self.run_once("run", "--dev", "--listen=0.0.0.0:0")
        self.assertEqual(done.returncode, 2)
        self.assertIn("loopback", done.stderr)

    def test_environment_and_flags(self):
        with Ringside("--limits-headers=77", dummy=True, config="limits.headers: 55\n",
                      environment={"RINGSIDE_LIMITS_HEADERS": "66",
                                   "RINGSIDE_LOG_LEVEL": "debug"}) as r:
            settings = json.loads(r.ctl("settings", "--json")[0])
            self.assertEqual(settings["limits.headers"], "77")
            self.assertEqual(settings["log.level"], "debug")
            self.assertEqual(r.get("/setting/limits.headers").strip(), "77")

    def test_workers_inherit_no_secrets_and_no_descriptors(self):
        with Ringside(dummy=True, environment={"RINGSIDE_AUTH_PUBLISH_TOKENS": "sesame",
                                               "KEPT": "yes"}) as r:
            seen = r.get("/environment")
            self.assertNotIn("sesame", seen)
            self.assertIn("KEPT=yes", seen)
            self.assertNotIn("sesame", r.ctl("settings")[0])
            fds = dict(line.split(" ", 1) for line in r.get("/fds").splitlines())
            self.assertEqual(fds["0"], "/dev/null")
            self.assertEqual(fds["1"], fds["2"])
            self.assertTrue(fds["3"].startswith("socket:"))
            self.assertIn("ringside-counters", fds["4"])
            self.assertTrue(fds["5"].startswith("socket:"))
            # Of what it opened itself: the loop's and the connection.
            for number, target in fds.items():
                if int(number) > 5:
                    self.assertRegex(target, r"anon_inode|pipe|socket|/dev/null")

    def test_ipv6(self):
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            self.skipTest("no IPv6")
        with Ringside(dummy=True, listen="[::1]:0") as r:
            self.assertTrue(r.url.startswith("http://[::1]:"))
            self.assertEqual(r.get("/").strip(), "sse-0")


class Reload(unittest.TestCase):
    def test_live_and_worker_settings(self):
        with Ringside(dummy=True, workers=None,
                      config="sse_workers: 2\nlimits.headers: 50\nlog.level: info\n") as r:
            pids = {w["name"]: w["pid"] for w in r.status()["workers"]}
            r.write_config("sse_workers: 3\nlimits.headers: 50\nlog.level: debug\n")
            out, _ = r.ctl("reload")
            self.assertIn("changed: sse_workers, log.level", out)
            now = {w["name"]: w["pid"] for w in r.status()["workers"]}
            self.assertEqual(now["sse-0"], pids["sse-0"])
            self.assertIn("sse-2", now)
            # Workers are replaced for what concerns them, one by one.
            r.write_config("sse_workers: 3\nlimits.headers: 60\nlog.level: debug\n")
            r.signal(signal.SIGHUP)
            r.wait_log(r"reloaded changed=\[.?\"limits.headers")
            wait_for(lambda: all(w["restarts"] == 1 and w["state"] == "ready"
                                 for w in r.status()["workers"]), "all replaced")
            self.assertEqual(r.get("/setting/limits.headers").strip(), "60")
            down = ready = 3
            for e in r.events():
                if e["event"] == "worker-draining":
                    ready -= 1
                elif e["event"] == "worker-ready" and e["generation"] > 3:
                    ready += 1
                down = min(down, ready)
            self.assertEqual(down, 2)

    def test_a_bad_file_changes_nothing(self):
        with Ringside(dummy=True, config="limits.headers: 50\n") as r:
            pid = r.worker("sse-0")["pid"]
            r.write_config("limits.headers: 60\nlog.level: loud\n")
            r.signal(signal.SIGHUP)
            r.wait_log(r"reload-refused reason=\"?\S+ringside.yaml:2: log.level")
            self.assertIn("ringside.yaml:2", r.ctl("reload", code=1)[1])
            self.assertEqual(r.worker("sse-0")["pid"], pid)
            self.assertEqual(r.get("/setting/limits.headers").strip(), "50")

    def test_what_needs_a_restart_is_named(self):
        with Ringside(dummy=True, config="store.map_bytes: 1G\n") as r:
            pid = r.worker("sse-0")["pid"]
            r.write_config("store.map_bytes: 2G\n")
            for _ in range(2):
                out, _ = r.ctl("reload")
                self.assertIn("waiting for the next start of ringside: store.map_bytes", out)
            self.assertEqual(r.worker("sse-0")["pid"], pid)

    def test_auto_is_what_a_cpu_quota_of_cgroup_v1_allows(self):
        group = f"/sys/fs/cgroup/cpu/ringside-test-{os.getpid()}"
        try:
            os.mkdir(group)
        except OSError:
            self.skipTest("no cgroup v1 to make a group in")
        try:
            for name, value in (("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "100000")):
                with open(os.path.join(group, name), "w") as file:
                    file.write(value)
            within = ("sh", "-c", f'echo $$ >{group}/cgroup.procs && exec "$@"', "sh")
            with Ringside(dummy=True, workers=None, prefix=within) as r:
                self.assertEqual(len(r.worker_pids()), 1)
        finally:
            wait_for(lambda: not open(os.path.join(group, "cgroup.procs")).read(), "an empty group")
            os.rmdir(group)

    def test_scale_outlives_a_reload_of_something_else(self):
        with Ringside(dummy=True, workers=None, config="sse_workers: 1\n") as r:
            r.ctl("scale", "sse", "3")
            r.write_config("sse_workers: 1\nlog.level: debug\n")
            r.ctl("reload")
            self.assertEqual(len(r.worker_pids()), 3)
            r.write_config("sse_workers: 2\nlog.level: debug\n")
            r.ctl("reload")
            self.assertEqual(len(r.worker_pids()), 2)

    def test_a_refused_start_ends_a_rolling_restart_and_nothing_else(self):
        for workers in (1, 3):
            with Ringside(dummy=True, workers=workers, config="limits.headers: 50\n") as r:
                touch(os.path.join(r.data_dir, "cannot-start"))
                r.write_config("limits.headers: 60\n")
                self.assertIn("failed", r.ctl("reload", code=1)[1])
                self.assertEqual(r.get("/setting/limits.headers").strip(), "50")
                self.assertIn("/cannot-start is there", r.log())
                os.unlink(os.path.join(r.data_dir, "cannot-start"))
                r.ctl("restart", "all")
                self.assertEqual(r.get("/setting/limits.headers").strip(), "60")

    def test_a_rolling_restart_stops_where_it_fails(self):
        with Ringside(*ONCE, "--worker-restart-limit=2", dummy=True, workers=3,
                      config="limits.headers: 50\n") as r:
            touch(os.path.join(r.data_dir, "fail-start"))
            r.write_config("limits.headers: 60\n")
            self.assertIn("failed", r.ctl("reload", code=1)[1])
            states = [w["state"] for w in r.status()["workers"]]
            self.assertEqual(sorted(states), ["failed", "ready", "ready"])
            self.assertEqual(r.get("/setting/limits.headers").strip(), "50")

    def test_log_file_is_reopened(self):
        r = Ringside(start=False, dummy=True)
        with r:
            path = os.path.join(r.dir, "ringside.log")
            r.flags.append(f"--log-file={path}")
            r.spawn()
            wait_for(lambda: os.path.exists(path) and "ringside ready" in open(path).read(),
                     "ready")
            os.rename(path, path + ".1")
            r.signal(signal.SIGUSR1)
            wait_for(lambda: os.path.exists(path) and "log-reopened" in open(path).read(),
                     "the new file")
            r.ctl("restart", "sse-0")
            # Old and new workers write into the new file.
            wait_for(lambda: "sse-0 draining" in open(path).read(), "the worker's line")


class OneInstance(unittest.TestCase):
    def second(self, r, **changes):
        other = Ringside(start=False, dummy=True)
        values = {"run-dir": r.run_dir, "data-dir": r.data_dir, "listen": "127.0.0.1:0", **changes}
        other.flags += [f"--{key}={value}" for key, value in values.items()]
        with other:
            other.spawn()
            code = other.wait_exit()
            return code, other.log(), other.dir

    def test_same_directories_are_refused(self):
        with Ringside(dummy=True) as r:
            code, log, _ = self.second(r)
            self.assertEqual(code, 1)
            self.assertIn(f"another ringside (pid {r.process.pid}) already uses {r.run_dir}", log)
            code, log, where = self.second(r, **{"run-dir": r.run_dir + "2"})
            self.assertEqual(code, 1)
            self.assertIn(f"already uses {r.data_dir}", log)
            # The first one is untouched.
            self.assertEqual(r.status()["state"], "ready")

    def test_same_address_is_refused(self):
        with Ringside(dummy=True) as r:
            code, log, _ = self.second(r, **{"run-dir": r.run_dir + "2",
                                             "data-dir": r.data_dir + "2",
                                             "listen": "127.0.0.1:%d" % r.address()[1]})
            self.assertEqual(code, 1)
            self.assertIn("cannot listen on 127.0.0.1", log)
            self.assertFalse(os.path.exists(r.run_dir + "2/ringside.pid"))

    def test_pid_file(self):
        with Ringside(dummy=True) as r:
            self.assertEqual(int(open(os.path.join(r.run_dir, "ringside.pid")).read()),
                             r.process.pid)


class Admin(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.r = Ringside(dummy=True, workers=2)

    @classmethod
    def tearDownClass(cls):
        cls.r.__exit__(None, None, None)

    def socket(self):
        s = socket.socket(socket.AF_UNIX)
        s.connect(os.path.join(self.r.run_dir, "admin.sock"))
        s.settimeout(10)
        return s

    def frame(self, line, kind=4):
        body = struct.pack(">QI", 7, len(line)) + line
        return struct.pack(">IH", len(body) + 2, kind) + body

    def test_only_the_owner(self):
        mode = os.stat(os.path.join(self.r.run_dir, "admin.sock")).st_mode
        self.assertEqual(stat.S_IMODE(mode), 0o600)

    @unittest.skipUnless(os.geteuid() == 0, "needs another user")
    def test_peer_credentials_are_checked(self):
        path = os.path.join(self.r.run_dir, "admin.sock")
        os.chmod(path, 0o666)
        os.chmod(self.r.dir, 0o755)
        try:
            code = ("import os,socket;os.setuid(65534);s=socket.socket(socket.AF_UNIX);"
                    f"s.connect({path!r});s.settimeout(5);print(len(s.recv(1)))")
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
            self.assertEqual(done.stdout.strip(), "0", done.stderr)
        finally:
            os.chmod(path, 0o600)
        self.assertIn("admin client refused", self.r.log())

    def test_wrong_usage(self):
        for arguments in (["nonsense"], ["scale"], ["scale", "sse"], ["scale", "sse", "0"],
                          ["scale", "sse", "257"], ["scale", "bridge", "1"], ["restart"],
                          ["log-level"], ["log-level", "loud"], ["status", "x"], ["streams"],
                          ["streams", "stat"], ["streams", "tail"], ["store"], ["store", "backup"],
                          ["events", "x"], ["--nonsense"], ["--run-dir"], []):
            out, err = self.r.ctl(*arguments, code=2)
            self.assertEqual(len(err.splitlines()), 1, err)
            self.assertTrue(err.startswith("ringsidectl: "), err)
            self.assertEqual(out, "")

    def test_failures_say_what_to_do(self):
        self.assertIn("ringsidectl status", self.r.ctl("restart", "sse-9", code=1)[1])
        err = self.r.ctl("--run-dir", "/nonexistent", "status", code=1)[1]
        self.assertEqual(err, "ringsidectl: is ringside running? no socket at "
                              "/nonexistent/admin.sock (see --run-dir)\n")

    def test_help(self):
        for command in ("status", "scale", "restart", "reload", "drain", "stop", "log-level",
                        "events", "settings", "streams", "store"):
            self.assertIn(f"usage: ringsidectl {command}", self.r.ctl(command, "--help")[0])
            self.assertIn(command, self.r.ctl("--help")[0])
        self.assertIn("ringsidectl", self.r.ctl("--version")[0])

    def test_status_table(self):
        out, _ = self.r.ctl("status")
        self.assertRegex(out, r"(?m)^sse-0\s+\d+ ready ")
        self.assertIn(self.r.url, out)

    def test_top(self):
        out, _ = self.r.ctl("top", "--every", "0.1", "--count", "3")
        self.assertEqual(out.count("WORKER"), 3)
        for wrong in (("--every", "0"), ("--every", "x"), ("--count", "0"), ("--count",), ("more",)):
            self.r.ctl("top", *wrong, code=2)

    def test_who_changes_something_is_written_down(self):
        for words, code in ((("log-level", "info"), 0), (("status",), 0), (("tokens", "ls"), 0), (("settings",), 0),
                            (("restart", "nobody"), 1)):
            self.r.ctl(*words, code=code)
        asked = [(e["uid"], e["command"]) for e in self.r.events() if e["event"] == "asked"][-2:]
        self.assertEqual(asked, [(os.geteuid(), "log-level info"), (os.geteuid(), "restart nobody")])

    def test_log_level(self):
        self.r.ctl("log-level", "debug")
        self.assertEqual(json.loads(self.r.ctl("settings", "--json")[0])["log.level"], "debug")
        self.r.ctl("log-level", "info")

    def test_events_follow(self):
        ctl = os.path.join(os.path.dirname(self.r.program), "ringsidectl")
        with subprocess.Popen([ctl, "--run-dir", self.r.run_dir, "events", "--follow"],
                              stdout=subprocess.PIPE, text=True) as follower:
            self.assertIn("event", json.loads(follower.stdout.readline()))
            self.r.ctl("restart", "sse-1")
            for line in follower.stdout:
                event = json.loads(line)
                if event["event"] == "worker-ready" and event["worker"] == "sse-1" and \
                        event["pid"] == self.r.worker("sse-1")["pid"]:
                    break
            follower.kill()

    def test_hostile_frames_end_their_connection_only(self):
        for bytes_ in (b"\xff" * 64, struct.pack(">IH", 2, 99), struct.pack(">IH", 1, 4),
                       struct.pack(">IH", 1 << 30, 4), struct.pack(">IH", 6, 4) + b"\0" * 4,
                       # a worker's message, which a client may not send
                       struct.pack(">IH", 10, 2) + b"\0" * 8):
            with self.socket() as s:
                s.sendall(bytes_)
                self.assertEqual(s.recv(64), b"")
        self.assertEqual(self.r.status()["state"], "ready")

    def test_a_request_in_pieces_and_two_at_once(self):
        with self.socket() as s:
            frame = self.frame(b"log-level\0info")
            for byte in frame:
                s.send(bytes([byte]))
            head = s.recv(6, socket.MSG_WAITALL)
            s.recv(struct.unpack(">IH", head)[0] - 2, socket.MSG_WAITALL)
            s.sendall(frame + frame)
            for _ in range(2):
                length, kind = struct.unpack(">IH", s.recv(6, socket.MSG_WAITALL))
                body = s.recv(length - 2, socket.MSG_WAITALL)
                self.assertEqual(kind, 11)
                self.assertEqual(body[:10], struct.pack(">QBB", 7, 0, 1))

    def test_odd_requests(self):
        for line in (b"", b"\0\0\0", b"\0".join([b"status"] * 20), b"a" * 60000):
            with self.socket() as s:
                s.sendall(self.frame(line))
                length, kind = struct.unpack(">IH", s.recv(6, socket.MSG_WAITALL))
                self.assertEqual(s.recv(length - 2, socket.MSG_WAITALL)[8], 2)

    def test_clients_are_bounded(self):
        crowd = [self.socket() for _ in range(40)]
        try:
            def closed():
                readable, _, _ = select.select(crowd, [], [], 0)
                return len(readable) >= 8
            wait_for(closed, "the surplus to be refused")
        finally:
            for s in crowd:
                s.close()
        wait_for(lambda: self.r.status()["state"] == "ready", "room again")

    def test_a_client_that_does_not_read_is_dropped(self):
        with self.socket() as s:
            s.settimeout(PATIENCE)
            try:
                for _ in range(20000):
                    s.sendall(self.frame(b"status"))
            except (BrokenPipeError, ConnectionResetError, TimeoutError):
                pass
            self.r.wait_log("peer does not read")
        self.assertEqual(self.r.status()["state"], "ready")

    def test_peers_are_introduced_to_each_other_again_and_again(self):
        def peers():
            return {self.r.get("/peers").strip() for _ in range(20)}
        wait_for(lambda: peers() == {"1"}, "each to know the other")
        self.r.ctl("restart", "sse-0")
        wait_for(lambda: peers() == {"1"}, "each to know the other again")


class Scaling(unittest.TestCase):
    """Nobody is refused or reset, whatever happens to workers meanwhile."""

    def hammer(self, r, stop, results):
        """One connection after the other; each must be answered whole."""
        address = r.address()
        while not stop.is_set():
            try:
                with socket.create_connection(address, 30) as c:
                    c.settimeout(30)
                    c.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    answer = b""
                    while True:
                        more = c.recv(65536)
                        if not more:
                            break
                        answer += more
                results.append("ok" if answer.startswith(b"HTTP/1.1 200") else repr(answer[:80]))
            except OSError as error:
                results.append(repr(error))

    def under_load(self, r, act, threads=4):
        stop, results = threading.Event(), []
        crowd = [threading.Thread(target=self.hammer, args=(r, stop, results))
                 for _ in range(threads)]
        for thread in crowd:
            thread.start()
        try:
            act()
        finally:
            stop.set()
            for thread in crowd:
                thread.join()
        faults = [x for x in results if x != "ok"]
        self.assertEqual(faults[:5], [], f"{len(faults)} of {len(results)}")
        self.assertGreater(len(results), 1000)

    def test_up_and_down(self):
        with Ringside() as r:
            def act():
                for n in (4, 1, 3, 2, 5, 1):
                    r.ctl("scale", "sse", str(n))
                    self.assertEqual(len(r.worker_pids()), n)
            self.under_load(r, act)

    def test_rolling_restart(self):
        with Ringside(workers=2) as r:
            def act():
                for _ in range(3):
                    pids = set(r.worker_pids())
                    r.ctl("restart", "all")
                    self.assertFalse(pids & set(r.worker_pids()))
                    time.sleep(0.3)
            self.under_load(r, act)

    def test_a_single_worker_is_replaced_without_a_gap(self):
        with Ringside() as r:
            def act():
                for _ in range(2):
                    r.ctl("restart", "sse-0")
                    time.sleep(0.3)
            self.under_load(r, act)
            self.assertEqual([w["name"] for w in r.status()["workers"]], ["sse-0"])

    def test_readiness_stays_green_meanwhile(self):
        with Ringside(workers=2) as r:
            stop, seen = threading.Event(), []

            def look():
                while not stop.wait(0.01):
                    seen.append(r.request("GET", "/readyz")[0])
            watcher = threading.Thread(target=look)
            watcher.start()
            try:
                r.ctl("restart", "all")
                r.ctl("scale", "sse", "4")
                r.ctl("scale", "sse", "1")
            finally:
                stop.set()
                watcher.join()
            self.assertEqual(set(seen), {200})

    def test_queued_connections_of_a_retired_socket_are_served(self):
        """A worker that dies while its socket leaves: who queued there is still answered."""
        with Ringside(*FAST, dummy=True, workers=2) as r:
            victim = r.worker("sse-1")["pid"]
            os.kill(victim, signal.SIGSTOP)
            waiting = [r.connect() for _ in range(40)]
            for c in waiting:
                c.sendall(b"GET / HTTP/1.1\r\n\r\n")
            shrink = threading.Thread(target=r.ctl, args=("scale", "sse", "1"))
            shrink.start()
            time.sleep(0.2)
            os.kill(victim, signal.SIGKILL)
            shrink.join()
            names = set()
            for c in waiting:
                with c:
                    answer = b""
                    while more := c.recv(4096):
                        answer += more
                    self.assertTrue(answer.startswith(b"HTTP/1.1 200"), answer)
                    names.add(answer.split()[-1])
            self.assertEqual(names, {b"sse-0", b"sse-1"})
            self.assertEqual([w["name"] for w in r.status()["workers"]], ["sse-0"])

    def test_many_workers(self):
        with Ringside(dummy=True) as r:
            r.ctl("scale", "sse", "40")
            self.assertEqual(len(r.worker_pids()), 40)
            served = {r.get("/").strip() for _ in range(400)}
            self.assertGreater(len(served), 30)
            r.ctl("scale", "sse", "1")
            self.assertEqual(len(r.worker_pids()), 1)


class ServiceManager(unittest.TestCase):
    def manager(self, name):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        s.bind(name)
        s.settimeout(PATIENCE)
        return s

    def expect(self, s, *wanted):
        """Receives until every wanted part has been seen, in order."""
        for want in wanted:
            while want not in s.recv(4096).decode():
                pass

    def test_notifications(self):
        name = f"ringside-test-{os.getpid()}"
        with self.manager("\0" + name) as s:
            with Ringside(dummy=True, config="limits.headers: 50\n",
                          environment={"NOTIFY_SOCKET": "@" + name,
                                       "WATCHDOG_USEC": "200000"}) as r:
                self.expect(s, "READY=1", "WATCHDOG=1")
                r.write_config("limits.headers: 60\n")
                r.signal(signal.SIGHUP)
                self.expect(s, "RELOADING=1\nMONOTONIC_USEC=", "READY=1")
                self.assertNotIn("NOTIFY_SOCKET", r.get("/environment"))
                os.kill(r.worker("sse-0")["pid"], signal.SIGKILL)
                self.expect(s, "STATUS=0 of 1", "STATUS=1 of 1")
                r.signal(signal.SIGTERM)
                self.expect(s, "STOPPING=1")
                self.assertEqual(r.wait_exit(), 0)


class Streams(unittest.TestCase):
    """ringsidectl streams and store, beside running workers and without them."""

    def test_all(self):
        with Ringside() as r:
            json_type = {"Content-Type": "application/json"}
            self.assertEqual(r.request("PUT", "/v1/stream/a/j", b"", json_type)[0], 201)
            for n in range(25):
                r.request("POST", "/v1/stream/a/j", b'{"n":\n %d}' % n, json_type)
            r.request("PUT", "/v1/stream/t", b"one", {"Content-Type": "text/plain"})
            self.assertEqual(r.ctl("streams", "ls")[0].count("\n"), 2)
            rows = r.ctl("streams", "ls", "--prefix", "a/", "--json")[0].splitlines()
            self.assertEqual([json.loads(x)["path"] for x in rows], ["/v1/stream/a/j"])
            stat = json.loads(r.ctl("streams", "stat", "/v1/stream/a/j", "--json")[0])
            self.assertEqual(stat["content_type"], "application/json")
            self.assertEqual(stat["state"], "open")
            tail = [json.loads(x)["n"] for x in r.ctl("streams", "tail", "a/j")[0].splitlines()]
            self.assertEqual(tail, list(range(15, 25)))
            whole = r.ctl("streams", "tail", "a/j", "--offset", "-1")[0].splitlines()
            self.assertEqual(len(whole), 25)
            self.assertEqual(r.ctl("streams", "tail", "a/j", "--offset", stat["next_offset"])[0], "")
            self.assertIn("no offset", r.ctl("streams", "tail", "a/j", "--offset", "3", code=1)[1])
            self.assertIn("no stream", r.ctl("streams", "stat", "nope", code=1)[1])
            ctl = [os.path.join(os.path.dirname(r.program), "ringsidectl"), "--run-dir", r.run_dir]
            with subprocess.Popen([*ctl, "streams", "tail", "t", "--offset=-1", "--follow"],
                                  stdout=subprocess.PIPE) as follower:
                self.assertEqual(follower.stdout.read(3), b"one")
                r.request("POST", "/v1/stream/t", b"two",
                          {"Content-Type": "text/plain", "Stream-Closed": "true"})
                self.assertEqual(follower.communicate(timeout=PATIENCE)[0], b"two")
                self.assertEqual(follower.returncode, 0)
            self.assertIn("sound", r.ctl("store", "check")[0])
            copy = os.path.join(r.dir, "copy", "data.mdb")
            os.mkdir(os.path.dirname(copy))
            self.assertIn(copy, r.ctl("store", "backup", copy)[0])
            self.assertIn("cannot write", r.ctl("store", "backup", "/dev/null/x", code=1)[1])
            r.stop()
            self.assertIn("--data-dir", r.ctl("streams", "ls", code=1)[1])
            for where in (r.data_dir, os.path.dirname(copy)):
                out = r.ctl("--data-dir", where, "streams", "tail", "t", "--offset", "-1")[0]
                self.assertEqual(out, "onetwo")
                self.assertIn("sound", r.ctl("--data-dir", where, "store", "check")[0])
            self.assertIn("no store", r.ctl("--data-dir", r.dir, "streams", "ls", code=1)[1])


if __name__ == "__main__":
    unittest.main(verbosity=1)
