"""Video out: real browser, ffmpeg and nginx-rtmp; judged by ffprobe, which is none of ours."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

from browsers import BrowserTest, family
from ringside import alive, wait_for

RTMP_CONF = """
load_module modules/ngx_rtmp_module.so;
user root; daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/error.log;
events {{ worker_connections 64; }}
rtmp {{ server {{ listen 127.0.0.1:{port}; chunk_size 4096; access_log off; application live {{ live on; }} }} }}
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def probe(url, *more):
    """What ffprobe sees: the streams, by type. None: nothing yet."""
    done = subprocess.run(["ffprobe", "-v", "error", "-of", "json", "-show_streams", *more, url],
                          capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        return None
    streams = {s["codec_type"]: s for s in json.loads(done.stdout).get("streams", [])}
    return streams if "video" in streams else None


class Nginx:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="ringside-rtmp-")
        self.port = free_port()
        self.conf = os.path.join(self.dir, "nginx.conf")
        with open(self.conf, "w") as file:
            file.write(RTMP_CONF.format(dir=self.dir, port=self.port))
        self.start()

    def start(self):
        self.process = subprocess.Popen(["nginx", "-c", self.conf, "-e", f"{self.dir}/error.log"])
        wait_for(self._accepts, "nginx")

    def _accepts(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait(20)

    def close(self):
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)


class OutputsTest(BrowserTest):
    def output(self, r, name):
        return next((o for o in json.loads(r.ctl("capture", "outputs", "--json")[0])["outputs"]
                     if o["name"] == name), None)

    def wait_state(self, r, name, state):
        return wait_for(lambda: (lambda o: o if o and o["state"] == state else None)(self.output(r, name)),
                        f"{name} {state}")

    def check(self, streams):
        video = streams["video"]
        self.assertEqual((video["codec_name"], video["width"], video["height"]), ("h264", 640, 360))
        self.assertEqual(video["avg_frame_rate"], "30/1")
        self.assertEqual(video["pix_fmt"], "yuv420p")
        self.assertEqual(streams["audio"]["codec_name"], "aac")

    def test_recording_and_hls(self):
        where = tempfile.mkdtemp(prefix="ringside-video-")
        try:
            with self.capture("arena.html?phase=FIGHTING", f"--capture-outputs=hls=hls:{where},rec=file:{where}/x.mkv") as r:
                self.wait_state(r, "hls", "live")
                wait_for(lambda: os.path.exists(f"{where}/index.m3u8"), "the playlist")
                wait_for(lambda: self.output(r, "rec")["encoded"] >= 90, "three seconds")
                # A page that is brought back, and a new browser, leave no hole.
                os.kill(self.process(r, "renderer"), signal.SIGKILL)
                self.named(r, "target_crashed", "reload")
                r.ctl("capture", "restart")
                self.healthy(r)
                wait_for(lambda: self.output(r, "rec")["encoded"] >= 150, "two more")
                self.check(probe(f"{where}/index.m3u8"))
                r.ctl("capture", "outputs", "rm", "rec")
                wait_for(lambda: self.output(r, "rec") is None, "its end")
                self.assertEqual(self.output(r, "hls")["starts"], 1)
                streams = probe(f"{where}/x.mkv", "-count_packets")
                self.assertEqual(streams["video"]["avg_frame_rate"], "30/1")
                self.assertGreaterEqual(int(streams["video"]["nb_read_packets"]), 150)
                # Every frame at its time, to the millisecond that the container counts in.
                done = subprocess.run(["ffprobe", "-v", "error", "-of", "csv=p=0", "-select_streams", "v",
                                       "-show_entries", "packet=pts_time", f"{where}/x.mkv"],
                                      capture_output=True, text=True, check=True, timeout=60)
                times = sorted(float(t.strip(",")) for t in done.stdout.split())
                steps = [b - a for a, b in zip(times, times[1:])]
                self.assertLess(max(steps), 0.0345)
                self.assertGreater(min(steps), 0.0325)
                # A second recording under the name leaves the first alone.
                size = os.path.getsize(f"{where}/x.mkv")
                r.ctl("capture", "outputs", "add", f"rec=file:{where}/x.mkv")
                self.wait_state(r, "rec", "live")
                self.assertEqual(os.path.getsize(f"{where}/x.1.mkv"), size)
        finally:
            shutil.rmtree(where)

    def test_rtmp_goes_and_comes_with_its_server(self):
        nginx = Nginx()
        url = f"rtmp://127.0.0.1:{nginx.port}/live/hushkey"
        try:
            with self.capture("arena.html?phase=FIGHTING") as r:
                self.healthy(r)
                r.ctl("capture", "outputs", "add", f"out={url}")
                self.wait_state(r, "out", "live")
                self.check(wait_for(lambda: probe(url), "the stream"))
                nginx.stop()
                self.wait_state(r, "out", "backoff")
                self.named(r, "encoder_stalled")
                self.assertFalse(self.show(r)["health"]["ready"])
                nginx.start()
                self.wait_state(r, "out", "live")
                self.healthy(r)
                # An ffmpeg that stands still, and one that dies.
                first = next(p for p in self.ffmpegs(r))
                os.kill(first, signal.SIGKILL)
                self.wait_state(r, "out", "backoff")
                self.wait_state(r, "out", "live")
                os.kill(next(p for p in self.ffmpegs(r)), signal.SIGSTOP)
                wait_for(lambda: "no progress" in self.output(r, "out")["said"], "the watchdog")
                self.wait_state(r, "out", "live")
                seen = r.log() + r.ctl("capture", "outputs")[0] + r.ctl("settings")[0]
                self.assertNotIn("hushkey", seen)
                self.assertIn(f"rtmp://127.0.0.1:{nginx.port}/", seen)
                # Nothing of it survives the worker.
                left = set(self.ffmpegs(r))
                os.kill(r.worker("capture-0")["pid"], signal.SIGKILL)
                wait_for(lambda: not any(alive(p) for p in left), "the end of ffmpeg")
        finally:
            nginx.close()

    def ffmpegs(self, r):
        found = []
        for p in family(r.worker("capture-0")["pid"]):
            try:
                if os.readlink(f"/proc/{p}/exe").endswith("/ffmpeg"):
                    found.append(p)
            except OSError:
                pass
        return found

    def test_bad_outputs_are_refused_with_a_reason(self):
        with self.capture("arena.html", "--capture-outputs=x=http://a/hushkey") as r:
            r.wait_log("output not added .*url begins with rtmp")
            self.assertNotIn("hushkey", r.log())
            self.assertIn("already", r.ctl("capture", "outputs", "add", "a=file:/nonexistent/x.mkv")[0] +
                          r.ctl("capture", "outputs", "add", "a=udp://127.0.0.1:9", code=1)[1])
            self.assertIn("no output", r.ctl("capture", "outputs", "rm", "b", code=1)[1])
            self.wait_state(r, "a", "backoff")
            r.ctl("capture", "outputs", "rm", "a")
            wait_for(lambda: self.output(r, "a") is None, "its end")


if __name__ == "__main__":
    unittest.main()
