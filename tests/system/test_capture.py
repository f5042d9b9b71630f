"""worker-capture with the real browser: each fault is made for real, named, and recovered from."""

import json
import os
import shutil
import signal
import tempfile
import unittest

from browsers import BrowserTest, Pages, Trap, family, inject, kind, wait_for
from ringside import alive
from test_load import memory_group

# Where only what is done is to count, and not how busy the machine is.
PATIENT = [f"--capture-{what}-after=15s" for what in ("silent", "hang", "freeze")]


class CaptureTest(BrowserTest):
    # ---- the way it should be ----

    def test_page_is_shown_and_vouched_for(self):
        with self.capture() as r:
            s = self.healthy(r)
            self.assertEqual(s["health"]["page"]["duelId"], "d1")
            self.assertEqual(s["health"]["page"]["phase"], "FIGHTING")
            self.assertTrue(s["sandbox"])
            # One uid, one process group, and the kernel's sandbox around the renderer.
            renderer = self.process(r, "renderer")
            with open(f"/proc/{renderer}/status") as file:
                status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
            self.assertEqual(status["Seccomp"], "2")
            self.assertEqual(status["NoNewPrivs"], "1")
            if os.geteuid() == 0:
                self.assertIn(int(status["Uid"].split()[0]), range(59000, 59064))
            # A picture, of the size asked for.
            path = os.path.join(r.dir, "shot.jpg")
            out, _ = r.ctl("capture", "screenshot", path)
            self.assertIn("640 x 360", out)
            with open(path, "rb") as file:
                self.assertEqual(file.read(3), b"\xff\xd8\xff")
            self.assertIn("ringside_capture_healthy{worker=\"capture-0\"} 1", r.get("/metrics"))
            self.assertIn("feed-arena", r.ctl("capture", "ls")[0])
            self.assertIn("no such session", r.ctl("capture", "show", "nobody", code=1)[1])
            # A restart is another browser, and leaves nothing of the first one.
            before = family(s["keeper"])
            r.ctl("capture", "restart")
            wait_for(lambda: not any(alive(p) for p in before), "the end of the first browser")
            self.assertNotEqual(self.healthy(r)["keeper"], s["keeper"])

    def test_token_of_the_url_is_nowhere(self):
        with self.capture("arena.html?streamToken=hush1#streamToken=hush2", "--log-level=debug") as r:
            self.healthy(r)
            seen = r.log() + r.ctl("capture", "show")[0] + r.ctl("settings")[0]
            self.assertNotIn("hush", seen)

    # ---- faults of the page ----

    def fault(self, query, reason, step, *flags):
        noted = len(Pages.noted)
        with self.capture(f"arena.html?phase=FIGHTING&duel=d1&once&{query}", *flags) as r:
            self.healthy(r)
            wait_for(lambda: len(Pages.noted) > noted, "the fault")
            self.named(r, reason, step, since=Pages.noted[noted])
            self.healthy(r)
            return r.log()

    def test_hang_is_ended(self):
        self.fault("fault=hang&after=1000", "hang", "terminate")

    def test_stopped_animation_is_a_freeze(self):
        self.fault("fault=freeze&after=1000", "freeze", "reload")

    def test_dialog_stands_in_nobodys_way(self):
        noted = len(Pages.noted)
        with self.capture("arena.html?phase=FIGHTING&fault=dialog&once&after=1000") as r:
            self.healthy(r)
            r.wait_log("kind=dialog .* detail=\"alert\"")
            self.named(r, "dialog", since=Pages.noted[noted])
            self.healthy(r)

    def test_page_that_goes_away_is_brought_back(self):
        trap = Trap()
        log = self.fault(f"fault=away&after=1000&to=http://127.0.0.1:{trap.port}/x", "navigation_blocked",
                         "reload")
        self.assertIn(f"http://127.0.0.1:{trap.port}", log)
        self.assertEqual(trap.hits, [])
        trap.close()

    def test_page_says_that_it_is_not_ready(self):
        with self.capture("arena.html?ready=0&phase=IDLE") as r:
            def look():
                health = self.show(r)["health"]
                return health["degradedReason"] == "page_not_ready" and health
            self.assertEqual(wait_for(look, "its word")["detail"], "waiting_for_duel_data")

    def test_still_picture_in_a_live_phase(self):
        with self.capture("arena.html?phase=FIGHTING&still", "--capture-frozen-after=2s") as r:
            self.named(r, "frozen_frame", "reload")

    def test_lost_context_is_reloaded(self):
        self.fault("gl&fault=lose&after=1000", "webgl_lost", "reload")

    # ---- faults of processes ----

    def test_crashed_renderer(self):
        with self.capture() as r:
            self.healthy(r)
            at = inject(self.process(r, "renderer"), signal.SIGKILL)
            self.named(r, "target_crashed", "reload", at)
            self.healthy(r)

    def test_page_that_runs_out_of_memory(self):
        log = self.fault("fault=hoard&after=1000", "target_crashed", "reload", "--capture-page-memory=64M")
        self.assertRegex(log, "kind=health reason=target_crashed .*detail=\"(oom|crashed)")

    def test_lost_gpu_process(self):
        with self.capture("arena.html?phase=FIGHTING&gl") as r:
            self.healthy(r)
            # The browser must have been asked once before, to know the former one.
            first = self.process(r, "gpu-process")
            wait_for(lambda: self.show(r)["upMs"] > 2500, "the first answers")
            at = inject(first, signal.SIGKILL)
            self.named(r, "(?:gpu_lost|webgl_lost)", "reload")
            self.named(r, "gpu_lost", since=at)
            self.healthy(r)

    def test_killed_browser(self):
        with self.capture() as r:
            before = family(self.healthy(r)["keeper"])
            at = inject(self.process(r, "browser"), signal.SIGKILL)
            self.named(r, "browser_exit", "browser", at)
            wait_for(lambda: not any(alive(p) for p in before), "the end of its processes")
            self.healthy(r)

    def test_silent_browser(self):
        with self.capture() as r:
            self.healthy(r)
            at = inject(self.process(r, "browser"), signal.SIGSTOP)
            self.named(r, "browser_silent", "browser", at)
            self.healthy(r)

    def test_stopped_renderer_gets_a_new_page(self):
        with self.capture() as r:
            self.healthy(r)
            at = inject(self.process(r, "renderer"), signal.SIGSTOP)
            self.named(r, "hang", "terminate", at)
            self.named(r, "hang", "target")
            self.healthy(r)

    def test_rotation_leaves_no_gap(self):
        with self.capture("arena.html?phase=FIGHTING", "--capture-rotate-every=3s", *PATIENT) as r:
            first = self.healthy(r)
            r.wait_log("kind=rotation")
            second = self.healthy(r)
            self.assertNotEqual(first["keeper"], second["keeper"])
            self.assertGreater(second["frames"], first["frames"])
            self.assertEqual(second["recoveries"], 0)
            self.assertNotIn("kind=health reason=starting step= state=live", r.log())

    # ---- the other browser ----

    def test_full_chromium(self):
        with self.capture("arena.html?phase=FIGHTING&duel=d1", "--capture-browser=chromium") as r:
            self.assertTrue(self.healthy(r)["sandbox"])
            # It keeps a spare one, which nobody would miss.
            at = max(inject(p, signal.SIGKILL) for p in family(self.show(r)["keeper"]) if kind(p) == "renderer")
            self.named(r, "target_crashed", "reload", at)
            self.healthy(r)
            at = inject(self.process(r, "browser"), signal.SIGKILL)
            self.named(r, "browser_exit", "browser", at)
            self.healthy(r)

    # ---- one beside another ----

    def test_a_session_is_not_disturbed_by_a_dead_one(self):
        with self.capture("arena.html?phase=FIGHTING", *PATIENT) as r:
            before = self.healthy(r)
            self.assertEqual(self.order(r, "arena.html?phase=FIGHTING")[0], 201)
            other = wait_for(lambda: next((s for s in self.sessions(r) if s["id"] != before["id"] and
                                           s["state"] == "live"), None), "another session")
            for number in (signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP):
                keeper = wait_for(lambda: self.session(r, other["id"])["keeper"], "its browser")
                browser = wait_for(lambda k=keeper: next((p for p in family(k) if kind(p) == "browser"), None),
                                   "its process")
                frames = self.show(r)["frames"]
                os.kill(browser, number)
                wait_for(lambda k=keeper: self.session(r, other["id"])["keeper"] not in (0, k), "the next one")
                wait_for(lambda f=frames: self.show(r)["frames"] > f + 10, "pictures of the first session")
            after = self.show(r)
            self.assertEqual((after["keeper"], after["recoveries"]), (before["keeper"], before["recoveries"]))
            self.assertGreaterEqual(self.session(r, other["id"])["recoveries"], 3)

    def order(self, r, page):
        body = json.dumps({"targetUrl": f"{self.base}/{page}"}).encode()
        return r.request("POST", "/stream", body, {"content-type": "application/json"}, timeout=30)

    def sessions(self, r):
        return json.loads(r.ctl("capture", "ls", "--json")[0])["sessions"]

    def session(self, r, name):
        return next(s for s in self.sessions(r) if s["id"] == name)

    # ---- no browser ----

    def test_missing_browser_is_said_and_all_else_runs(self):
        with self.capture("arena.html", "--capture-browser=/nonexistent/browser") as r:
            def look():
                return self.show(r)["health"]["degradedReason"] == "browser_missing"
            wait_for(look, "the reason")
            self.assertEqual(r.request("GET", "/readyz")[0], 200)

    def test_browser_that_ends_at_once(self):
        with self.capture("arena.html", "--capture-browser=/bin/false") as r:
            self.named(r, "browser_failed", "browser")
            self.assertIn("exit 1", self.show(r)["health"]["detail"] or r.log())

    # ---- the worker ----

    def test_nothing_survives_the_worker(self):
        profiles = tempfile.mkdtemp(prefix="ringside-profiles-")
        os.chmod(profiles, 0o711)
        self.addCleanup(shutil.rmtree, profiles)
        with self.capture("arena.html?phase=FIGHTING", f"--capture-profile-dir={profiles}",
                          "--capture-sound=") as r:
            for stop in (False, True):
                self.healthy(r)
                keeper = self.show(r)["keeper"]
                processes = family(keeper)
                self.assertGreater(len(processes), 4)
                if stop:
                    for p in processes - {keeper}:
                        try:
                            os.kill(p, signal.SIGSTOP)
                        except ProcessLookupError:
                            pass  # a helper that was only needed at the start
                worker = r.worker("capture-0")["pid"]
                os.kill(worker, signal.SIGKILL)
                wait_for(lambda: not any(alive(p) for p in processes), "the end of all", 3)
                wait_for(lambda: (lambda w: w["state"] == "ready" and w["pid"] != worker)(r.worker("capture-0")),
                         "another worker")
            self.healthy(r)
            wait_for(lambda: len(os.listdir(profiles)) == 1, "the end of what was left behind")
        self.assertEqual(os.listdir(profiles), [])

    def test_a_dead_keeper_takes_its_browser_along(self):
        with self.capture() as r:
            keeper = self.healthy(r)["keeper"]
            processes = family(keeper)
            at = inject(keeper, signal.SIGKILL)
            wait_for(lambda: not any(alive(p) for p in processes), "the end of all")
            self.named(r, "browser_exit", "browser", at)
            self.healthy(r)

    # ---- where it may go ----

    def test_no_way_leads_out(self):
        trap = Trap()
        with self.capture(f"leak.html?to=127.0.0.1:{trap.port}") as r:
            wait_for(lambda: ((self.show(r)["health"]["page"] or {}).get("phase") == "tried"), "the page")
            self.assertEqual(trap.hits, [])
        # The same page gets out where it may: the trap works.
        with self.capture(f"leak.html?to=127.0.0.1:{trap.port}",
                          f"--capture-allow-hosts=127.0.0.1:{trap.port}") as r:
            wait_for(lambda: ((self.show(r)["health"]["page"] or {}).get("phase") == "tried"), "the page")
            reached = {h.split()[1].split("?")[0] for h in trap.hits if h.startswith(("GET", "POST"))}
        for way in ("fetch", "redirect", "image", "beacon", "socket", "frame", "worker", "worker-ws", "shared"):
            self.assertIn(f"/{way}", reached)
        self.assertNotIn("/name", reached)
        self.assertNotIn("UDP", trap.hits)
        trap.close()

    def test_no_way_leads_out_of_a_session_with_webrtc(self):
        """UDP is open to its browser, for viewers, but not to its page, nor to any frame of it."""
        trap = Trap()
        with self.capture() as r:
            status, headers, _ = self.order(r, f"leak.html?to=127.0.0.1:{trap.port}")
            self.assertEqual(status, 201)
            name = headers["Location"].rpartition("/")[2]

            def tried():
                s = next((s for s in json.loads(r.ctl("capture", "ls", "--json")[0])["sessions"]
                          if s["id"] == name), None)
                return s and s["webrtc"] and (s["health"]["page"] or {}).get("phase") == "tried"
            wait_for(tried, "the page")
            self.assertEqual(trap.hits, [])
        trap.close()

    def test_private_addresses_need_a_word(self):
        with self.capture(private="192.0.2.1") as r:
            r.wait_log("feed's page is not opened .*127.0.0.1 is at no address")
            self.assertEqual(r.request("GET", "/readyz")[0], 200)
        base, self.base = self.base, self.base.replace("127.0.0.1", "localhost")
        try:
            with self.capture(private="192.0.2.1") as r:
                self.named(r, "navigation_blocked")
                self.assertIn("localhost is at no address", self.show(r)["health"]["detail"])
            with self.capture(private="localhost") as r:
                self.healthy(r)
        finally:
            self.base = base

    def test_a_pages_memory_follows_the_limit_of_its_control_group(self):
        """Half of it: a page that may take all there is takes its browser, and the worker, with it."""
        with memory_group(1 << 30) as procs:
            with self.capture(prefix=("sh", "-c", f'echo $$ > {procs} && exec "$@"', "sh")) as r:
                self.healthy(r)
                with open(f"/proc/{self.process(r, 'renderer')}/cmdline", encoding="utf-8") as file:
                    self.assertIn("--max-old-space-size=512", file.read())

    def test_a_private_port_that_is_open_opens_no_other(self):
        """capture.allow_private with HOST:PORT means that port; it opened all of the host's."""
        with self.capture(private=self.base[len("http://"):]) as r:
            self.healthy(r)
            trap = Trap()
            for url in (f"http://127.0.0.1:{trap.port}/", f"http://localhost:{trap.port}/"):
                status, _, body = r.request("POST", "/stream", json.dumps({"targetUrl": url}).encode(),
                                            {"content-type": "application/json"})
                if status == 201:  # a name is looked up first
                    session = json.loads(body)["streamId"]
                    wait_for(lambda: "is at no address" in r.ctl("capture", "show", session)[0], "the refusal")
                else:
                    self.assertIn("is at no address", body.decode())
            self.assertEqual(trap.hits, [])
            trap.close()


if __name__ == "__main__":
    unittest.main()
