"""Renderer health in frames: from an external status file, and from a real browser that shows the duel."""

import json
import os
import signal
import time

from browsers import NAMED_WITHIN, BrowserTest, inject, paused
from duel_game import Game, agents, frames_of
from ringside import Ringside, wait_for

CYCLE = "31b10fcd-5d3c-4455-8303-21a5b65a785b"
SOURCE = ("--feeds-scheduled=", "--feeds-source-driven=arena", "--health-phase-grace=200ms")


def health(r):
    return frames_of(r)[-1]["rendererHealth"]


def wait_health(r, reason):
    return wait_for(lambda: r.request("GET", "/v1/stream/feeds/arena/frames")[0] == 200 and
                    health(r)["degradedReason"] == reason and health(r), f"{reason}", 30)


def write(directory, status):
    path = os.path.join(directory, "arena.json")
    with open(path + ".new", "w") as file:
        file.write(status if isinstance(status, str) else json.dumps(status))
    os.rename(path + ".new", path)


def test_external_status_file(tmp_path):
    good = {"destinations": [], "stats": {}, "clientConnected": True, "ffmpegRunning": True,
            "rendererHealth": {"ready": True, "degradedReason": None, "updatedAt": None}}

    def now(**more):
        return {**good, "updatedAt": int(time.time() * 1000), **more}
    with Ringside(*SOURCE, f"--health-status-dir={tmp_path}", "--health-status-every=50ms", "--health-stale-after=2s",
                  workers=1, bridge=1) as r:
        assert wait_health(r, "capture_client_disconnected")["source"] == "none"
        write(tmp_path, now())
        assert wait_health(r, None)["source"] == "status_file"
        write(tmp_path, now(rendererHealth={"ready": False, "degradedReason": "webgpu_required"}))
        wait_health(r, "webgpu_required")
        write(tmp_path, now())
        wait_health(r, None)
        before = len(frames_of(r))
        for _ in range(5):  # stamps alone are no news
            write(tmp_path, now())
            time.sleep(0.06)
        assert len(frames_of(r)) == before
        write(tmp_path, "nonsense")
        r.wait_log("status file not used.*not a JSON object")
        wait_health(r, "renderer_health_stale")  # the last good one grows old
        write(tmp_path, now(clientConnected=False))
        wait_health(r, None)  # idle: nobody has to watch
        g = Game(r)
        g.post("cycle", cycleId=CYCLE, **agents())
        wait_health(r, "capture_client_disconnected")
        os.unlink(tmp_path / "arena.json")
        os.symlink("/etc/passwd", tmp_path / "arena.json")
        r.wait_log("cannot be read, is no plain file")
        g.post("positions", duelId=f"streaming-{CYCLE}", agent1=[0, 0, 0], agent2=[1, 0, 0])
        g.post("phase", duelId=f"streaming-{CYCLE}", phase="COUNTDOWN")
        g.post("phase", duelId=f"streaming-{CYCLE}", phase="FIGHTING")
        terminal = g.post("death", duelId=f"streaming-{CYCLE}", ids=["alpha"])["seq"]
        write(tmp_path, now())
        time.sleep(0.3)
        assert frames_of(r)[-1]["seq"] == terminal  # a duel that has ended is not talked about


class PictureTest(BrowserTest):
    def test_the_page_proves_which_duel_it_shows(self):
        duel = f"streaming-{CYCLE}"
        with self.capture(f"arena.html?phase=FIGHTING&duel={duel}", *SOURCE, bridge=1) as r:
            self.healthy(r)
            wait_health(r, None)  # idle
            g = Game(r)
            at = time.time()
            g.post("cycle", cycleId="41b10fcd-5d3c-4455-8303-21a5b65a785b", **agents())
            shown = self.wait_named(r, "renderer_cycle_mismatch", at)
            self.assertEqual((shown["source"], shown["page"]["duelId"]), ("capture", duel))
            g.post("abort", duelId="streaming-41b10fcd-5d3c-4455-8303-21a5b65a785b", reason="x")
            g.post("cycle", cycleId=CYCLE, **agents())
            wait_health(r, "renderer_phase_mismatch")
            g.post("positions", duelId=duel, agent1=[0, 0, 0], agent2=[1, 0, 0])
            g.post("phase", duelId=duel, phase="COUNTDOWN")
            g.post("phase", duelId=duel, phase="FIGHTING")
            wait_health(r, None)
            worker = r.worker("capture-0")["pid"]
            self.wait_named(r, "capture_client_disconnected", inject(worker, signal.SIGKILL))
            wait_health(r, None)
            bridge = r.worker("bridge-0")["pid"]
            before = len(frames_of(r))
            os.kill(bridge, signal.SIGKILL)
            wait_for(lambda: r.worker("bridge-0")["pid"] not in (0, None, bridge), "the next bridge")
            wait_health(r, None)
            reasons = [f["rendererHealth"]["degradedReason"] for f in frames_of(r)[before:]]
            self.assertLessEqual(len(reasons), 2, reasons)  # at most: not known, and well again
            renderer = self.process(r, "renderer")
            self.wait_named(r, "hang", inject(renderer, signal.SIGSTOP))
            os.kill(renderer, signal.SIGCONT)
            wait_health(r, None)

    def wait_named(self, r, reason, since):
        """A frame with that reason, emitted within what is promised of `since`."""
        wait_health(r, reason)
        named = next(f for f in frames_of(r) if f["rendererHealth"]["degradedReason"] == reason and
                     f["emittedAt"] >= since * 1000 - 1)
        self.assertLess(named["emittedAt"] / 1000 - since - paused(r, since), NAMED_WITHIN, reason)
        return named["rendererHealth"]
