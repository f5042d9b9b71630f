"""Video out: real browser, ffmpeg and nginx-rtmp; judged by ffprobe, which is none of ours."""

import array
import cmath
import http.client
import json
import math
import os
import select
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest
from urllib.parse import urlsplit

from browsers import BrowserTest, family, inject, program, wait_for
from ringside import alive

RTMP_CONF = """
load_module modules/ngx_rtmp_module.so;
user root; daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/error.log;
events {{ worker_connections 64; }}
rtmp {{ server {{ listen 127.0.0.1:{port}; chunk_size 4096; access_log off; application live {{ live on; }} }} }}
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def free_udp_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def probe(url, *more):
    """What ffprobe sees: the streams, by type. None: nothing yet."""
    done = subprocess.run(["ffprobe", "-v", "error", "-of", "json", "-show_streams", *more, url],
                          capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        return None
    streams = {s["codec_type"]: s for s in json.loads(done.stdout).get("streams", [])}
    return streams if "video" in streams else None


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().decode().replace("\0", " ")
    except OSError:
        return ""


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


class Tls:
    """TLS in front of a port, with a certificate that nobody else knows."""

    def __init__(self, port):
        self.dir = tempfile.mkdtemp(prefix="ringside-tls-")
        os.chmod(self.dir, 0o755)
        self.certificate = f"{self.dir}/cert.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                        "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout",
                        f"{self.dir}/key.pem", "-out", self.certificate], check=True, capture_output=True)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate, f"{self.dir}/key.pem")
        self.behind = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(plain,), daemon=True).start()

    def _relay(self, plain):
        try:
            with self.context.wrap_socket(plain, server_side=True) as front, \
                    socket.create_connection(("127.0.0.1", self.behind)) as back:
                front.settimeout(0.01)
                while True:
                    if front.pending() or select.select([front, back], [], [])[0]:
                        self._pass(front, back)
                        self._pass(back, front)
        except (OSError, EOFError):
            pass

    def _pass(self, one, other):
        if not (isinstance(one, ssl.SSLSocket) and one.pending()) and not select.select([one], [], [], 0)[0]:
            return
        try:
            data = one.recv(65536)
        except (TimeoutError, ssl.SSLWantReadError):
            return
        if not data:
            raise EOFError
        if isinstance(other, ssl.SSLSocket):
            other.settimeout(5)
        other.sendall(data)
        if isinstance(other, ssl.SSLSocket):
            other.settimeout(0.01)

    def close(self):
        self.listener.close()
        shutil.rmtree(self.dir)


def fetch(url, method="GET", body=None, headers=None):
    """(status, headers, body); the path goes as it is."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    try:
        connection.request(method, url[len(f"http://{parts.netloc}"):],
                           json.dumps(body) if body is not None else None,
                           {**({"Content-Type": "application/json"} if body is not None else {}), **(headers or {})})
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


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
                at = time.time()
                nginx.stop()
                self.wait_state(r, "out", "backoff")
                self.named(r, "encoder_stalled", since=at)
                self.assertFalse(self.show(r)["health"]["ready"])
                nginx.start()
                self.wait_state(r, "out", "live")
                self.healthy(r)
                # An ffmpeg that stands still, and one that dies.
                starts = self.output(r, "out")["starts"]
                at = inject(next(p for p in self.ffmpegs(r)), signal.SIGKILL)
                self.named(r, "encoder_stalled", since=at)
                wait_for(lambda: self.output(r, "out")["starts"] > starts, "another ffmpeg")
                self.wait_state(r, "out", "live")
                self.healthy(r)
                at = inject(next(p for p in self.ffmpegs(r)), signal.SIGSTOP)
                self.named(r, "encoder_stalled", since=at)
                wait_for(lambda: "no progress" in self.output(r, "out")["said"], "the watchdog")
                self.wait_state(r, "out", "live")
                seen = r.log() + r.ctl("capture", "outputs")[0] + r.ctl("settings")[0]
                self.assertNotIn("hushkey", seen)
                self.assertIn(f"rtmp://127.0.0.1:{nginx.port}/", seen)
                # Nothing of it survives the worker.
                left = set(self.ffmpegs(r))
                os.kill(r.worker("capture-0")["pid"], signal.SIGKILL)
                wait_for(lambda: not any(alive(p) for p in left), "the end of ffmpeg", 3)
        finally:
            nginx.close()

    def test_hls_is_served_and_changes_are_durable(self):
        where = tempfile.mkdtemp(prefix="ringside-video-")
        os.chmod(where, 0o755)
        outside = tempfile.mkdtemp(prefix="ringside-outside-")
        try:
            with self.capture("arena.html?phase=FIGHTING", f"--capture-outputs=web=hls:{where},rec=file:{where}/r.mkv",
                              f"--capture-output-dir={where}") as r:
                base = f"{r.url}/v1/hls/arena"
                self.wait_state(r, "web", "live")
                playlist = wait_for(lambda: self.body(f"{base}/index.m3u8"), "the playlist")
                self.assertTrue(playlist.startswith(b"#EXTM3U"))
                # An independent reader, by way of Ringside's own server.
                self.check(wait_for(lambda: probe(f"{base}/index.m3u8"), "the video"))
                self.check(probe(f"{base}/web/index.m3u8"))
                status, headers, _ = fetch(f"{base}/index.m3u8")
                self.assertEqual(headers["content-type"], "application/vnd.apple.mpegurl")
                self.assertEqual(headers["cache-control"], "no-cache")
                segment = next(l for l in playlist.decode().splitlines() if l.endswith(".ts"))
                self.check_file(f"{base}/{segment}", f"{where}/{segment}")
                # Nothing but the playlist and its segments.
                with open(f"{outside}/000000001.ts", "w") as file:
                    file.write("outside")
                os.symlink(f"{outside}/000000001.ts", f"{where}/999999999.ts")
                for path in ("999999999.ts", "r.mkv", "../web/index.m3u8", "%2e%2e/index.m3u8", "", "web/",
                             "other/index.m3u8", "rec/index.m3u8", "index.m3u8.tmp", "888888888.ts"):
                    self.assertEqual(fetch(f"{base}/{path}")[0], 404, path)
                self.assertEqual(fetch(f"{r.url}/v1/hls/other/index.m3u8")[0], 404)
                # What is added, paused and removed is so after everything was killed.
                url = f"{r.url}/v1/outputs"
                added = {"url": f"file:{where}/added.ts"}
                self.assertEqual(fetch(f"{url}/added", "PUT", added)[0], 201)
                self.assertEqual(fetch(f"{url}/added", "PUT", added)[0], 200)
                self.assertEqual(fetch(f"{url}/added", "PUT", {"url": "udp://127.0.0.1:9"})[0], 409)
                self.wait_state(r, "added", "live")
                self.assertEqual(fetch(f"{url}/dead", "PUT", {"url": "rtmp://127.0.0.1:9/a/hushkey",
                                                               "paused": True})[0], 201)
                self.assertIn("paused", r.ctl("capture", "outputs", "pause", "added")[0])
                self.assertEqual(fetch(f"{url}/rec", "DELETE")[0], 204)
                wait_for(lambda: (self.output(r, "added")["state"], self.output(r, "rec")) == ("paused", None),
                         "pause and removal")
                first = r.worker("capture-0")["pid"]
                os.kill(first, signal.SIGKILL)
                wait_for(lambda: (lambda w: w["pid"] not in (0, first) and w["state"] == "ready")(r.worker("capture-0")),
                         "the next worker")
                self.wait_state(r, "web", "live")
                self.assertEqual({o["name"]: o["state"] for o in self.outputs(r)},
                                 {"web": "live", "added": "paused", "dead": "paused"})
                self.assertNotIn("hushkey", r.log() + fetch(url)[2].decode())
                self.assertEqual(json.loads(fetch(f"{url}/added", "PATCH", {"paused": False})[2])["paused"], False)
                self.wait_state(r, "added", "live")
                r.ctl("capture", "outputs", "rm", "dead")
                self.assertEqual(fetch(f"{url}/dead")[0], 404)
                # Bad ones.
                for body, status in (({}, 400), ([], 400), ({"url": 1}, 400), ({"url": "udp://h:1", "x": 1}, 400),
                                     ({"url": "pipe:1"}, 422), ({"url": f"file:{outside}/x.ts"}, 422),
                                     ({"url": f"hls:{where}/../x"}, 422)):
                    self.assertEqual(fetch(f"{url}/bad", "PUT", body)[0], status, body)
                self.assertEqual(fetch(f"{url}/bad", "PATCH", {"paused": True})[0], 404)
                self.assertEqual(fetch(f"{url}/bad", "DELETE")[0], 404)
        finally:
            shutil.rmtree(where)
            shutil.rmtree(outside)

    def body(self, url):
        status, _, body = fetch(url)
        return body if status == 200 else None

    def check_file(self, url, path):
        with open(path, "rb") as file:
            whole = file.read()
        status, headers, body = fetch(url)
        self.assertEqual((status, body, headers["content-type"]), (200, whole, "video/mp2t"))
        etag = headers["etag"]
        self.assertEqual(fetch(url, headers={"If-None-Match": etag})[0], 304)
        status, headers, body = fetch(url, headers={"Range": "bytes=188-375"})
        self.assertEqual((status, body), (206, whole[188:376]))
        self.assertEqual(headers["content-range"], f"bytes 188-375/{len(whole)}")
        self.assertEqual(fetch(url, headers={"Range": "bytes=-100"})[2], whole[-100:])
        self.assertEqual(fetch(url, headers={"Range": "bytes=1-2", "If-Range": '"other"'})[2], whole)
        self.assertEqual(fetch(url, headers={"Range": "bytes=1-2", "If-Range": etag})[2], whole[1:3])
        status, headers, _ = fetch(url, headers={"Range": f"bytes={len(whole)}-"})
        self.assertEqual((status, headers["content-range"]), (416, f"bytes */{len(whole)}"))
        status, headers, body = fetch(url, "HEAD")
        self.assertEqual((status, body, int(headers["content-length"])), (200, b"", len(whole)))

    def test_outputs_need_their_own_token(self):
        with self.capture("arena.html", "--dev=false", "--auth-publish-tokens=p", "--auth-outputs-token=o") as r:
            for token, status in (("p", 403), ("x", 401), (None, 401), ("o", 200)):
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                self.assertEqual(fetch(f"{r.url}/v1/outputs", headers=headers)[0], status, token)
            self.assertEqual(fetch(f"{r.url}/v1/hls/arena/index.m3u8")[0], 401)

    def test_outputs_over_http_go_nowhere_private_unless_a_setting_opens_it(self):
        """Who may add outputs is not who runs the suite: what listens on this machine, or behind it, is closed to
        him, whatever a name leads to. What is open is open on its port alone; what the settings name may go anywhere."""
        nginx, headers = Nginx(), {"Authorization": "Bearer o"}
        place = f"127.0.0.1:{nginx.port}"
        flags = ("--dev=false", "--auth-publish-tokens=p", "--auth-outputs-token=o")
        try:
            with self.capture("arena.html?phase=FIGHTING", f"--capture-outputs=own=rtmp://localhost:{nginx.port}/live/own",
                              f"--capture-output-allow-private={place}", *flags) as r:
                def put(name, url):
                    status, _, body = fetch(f"{r.url}/v1/outputs/{name}", "PUT", {"url": url}, headers)
                    return status, body.decode()
                for url in (f"rtmp://127.0.0.1:{free_port()}/live/x", f"rtmp://localhost:{nginx.port}/live/x",
                            "srt://169.254.169.254:80", "udp://10.0.0.1:9", "udp://@239.0.0.1:9", "rtmps://[::1]/a/b",
                            "srt://[::ffff:127.0.0.1]:9", "rtmp://0x7f.1/a/b", "srt://:9000?mode=listener"):
                    self.assertEqual(put("bad", url)[0], 422, url)
                self.assertIn("capture.output_allow_private", put("bad", "udp://10.0.0.1:9")[1])
                self.assertEqual(put("open", f"rtmp://{place}/live/open")[0], 201)
                self.wait_state(r, "open", "live")
                self.wait_state(r, "own", "live")
                # The address that was judged is the one that is used.
                line = wait_for(lambda: next((c for p in self.ffmpegs(r) if "rtmp" in (c := command_line(p))), None), "ffmpeg")
                self.assertNotIn("localhost", line)
                r.ctl("capture", "outputs", "add", f"ctl=rtmp://localhost:{nginx.port}/live/ctl")
                self.wait_state(r, "ctl", "live")
                self.assertEqual(fetch(f"{r.url}/v1/outputs/ctl", headers=headers)[0], 200)
                # One that an earlier release took is judged again before it is sent.
                r.stop()
                r.flags = [f for f in r.flags if not f.startswith("--capture-output-allow-private")]
                r.start()
                wait_for(lambda: "capture.output_allow_private" in self.output(r, "open")["said"], "the reason")
                self.wait_state(r, "ctl", "live")
                self.wait_state(r, "own", "live")
                self.assertEqual(self.output(r, "open")["starts"], 0)
        finally:
            nginx.close()

    def test_rtmps_believes_no_strange_certificate(self):
        """The server's certificate is judged; keys are in no command line; ffmpeg has a uid of its own."""
        nginx = Nginx()
        relay = Tls(nginx.port)
        key = f"rtmps://localhost:{relay.port}/live/hushkey"
        try:
            with self.capture("arena.html?phase=FIGHTING", f"--capture-outputs=good={key}",
                              f"--tls-ca-file={relay.certificate}") as r:
                self.wait_state(r, "good", "live")
                self.check(wait_for(lambda: probe(f"rtmp://127.0.0.1:{nginx.port}/live/hushkey"), "the stream"))
                for p in family(r.worker("capture-0")["pid"]):
                    self.assertNotIn(b"hushkey", self.command_line(p))
                for p in self.ffmpegs(r):
                    self.assertEqual(os.stat(f"/proc/{p}").st_uid, 59064)
                # One that is dead beside it changes nothing for it.
                r.ctl("capture", "outputs", "add", f"dead=rtmp://127.0.0.1:{free_port()}/live/x")
                self.wait_state(r, "dead", "backoff")
                given = self.output(r, "good")["given"]
                wait_for(lambda: self.output(r, "good")["given"] > given + 60, "two seconds more")
                wait_for(lambda: self.output(r, "good")["encoded"] > 60, "more that is sent")
                self.assertEqual(self.output(r, "dead")["encoded"], 0)
            with self.capture("arena.html?phase=FIGHTING", f"--capture-outputs=bad={key}") as r:
                self.wait_state(r, "bad", "backoff")
                self.assertEqual(self.output(r, "bad")["encoded"], 0)
        finally:
            relay.close()
            nginx.close()

    def test_srt_and_udp(self):
        """MPEG-TS to somebody else's ffmpeg: by SRT, with its passphrase, and by UDP."""
        where = tempfile.mkdtemp(prefix="ringside-ts-")
        kinds = {"srt": f"srt://127.0.0.1:{free_udp_port()}?passphrase=hush-hush-hush&streamid=%23hush",
                 "udp": f"udp://127.0.0.1:{free_udp_port()}?pkt_size=1316"}
        listeners = {}
        try:
            for kind, url in kinds.items():
                source = f"{url}&mode=listener" if kind == "srt" else url
                listeners[kind] = subprocess.Popen(
                    ["ffmpeg", "-v", "error", "-i", source, "-t", "2", "-c", "copy", f"{where}/{kind}.ts"],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            with self.capture("arena.html?phase=FIGHTING",
                              "--capture-outputs=" + ",".join(f"{k}={u}" for k, u in kinds.items())) as r:
                self.wait_state(r, "srt", "live")
                for p in family(r.worker("capture-0")["pid"]):
                    self.assertNotIn(b"hush", self.command_line(p))
                for kind, listener in listeners.items():
                    wait_for(lambda listener=listener: listener.poll() is not None, f"two seconds by {kind}")
                    self.assertEqual(listener.returncode, 0, kind)
                    self.check(probe(f"{where}/{kind}.ts"))
                self.assertNotIn("hush", r.log() + r.ctl("capture", "outputs")[0] + r.ctl("settings")[0])
        finally:
            for listener in listeners.values():
                listener.kill()
                listener.wait()
            shutil.rmtree(where)

    def heard(self, path):
        """How much of what a decoder hears is 440 Hz, 0 to 1, in the clearest fortieth of a second; None: silence."""
        done = subprocess.run(["ffmpeg", "-v", "error", "-i", path, "-vn", "-ac", "1", "-ar", "44100", "-f", "s16le", "-"],
                              capture_output=True, check=True, timeout=60)
        samples = array.array("h", done.stdout)
        self.assertGreater(len(samples), 22050)
        if max(map(abs, samples)) < 100:
            return None
        size = 1102  # a machine with much to do leaves gaps: eleven periods are enough
        wave = [cmath.exp(2j * math.pi * 440 * i / 44100) for i in range(size)]
        shares = [0]
        for begin in range(0, len(samples) - size, size // 2):
            part = samples[begin:begin + size]
            energy = sum(x * x for x in part)
            if energy > size * 100 ** 2:
                shares.append(2 * abs(sum(x * w for x, w in zip(part, wave))) ** 2 / (size * energy))
        return max(shares)

    def test_what_the_page_plays_is_heard(self):
        if not os.path.exists("/usr/bin/pulseaudio"):
            self.skipTest("PulseAudio is not installed")
        where = tempfile.mkdtemp(prefix="ringside-sound-")
        try:
            for page, name, plays in (("&tone", "tone", True), ("", "none", False)):
                with self.capture(f"arena.html?phase=FIGHTING{page}", f"--capture-outputs=rec=file:{where}/{name}.mkv") as r:
                    wait_for(lambda: (self.output(r, "rec") or {"encoded": 0})["encoded"] >= 90, "three seconds")
                    if plays:
                        # A sound server that dies takes nothing along for long.
                        os.kill(self.pulseaudio(r), signal.SIGKILL)
                        wait_for(lambda: self.output(r, "rec")["starts"] >= 2, "another ffmpeg")
                        self.wait_state(r, "rec", "live")
                        wait_for(lambda: "kind=rotation" in r.log(), "a browser that knows the new one")
                        encoded = self.output(r, "rec")["encoded"]
                        wait_for(lambda: self.output(r, "rec")["encoded"] >= encoded + 90, "three seconds more")
                    r.ctl("capture", "outputs", "rm", "rec")
                    wait_for(lambda: self.output(r, "rec") is None, "its end")
                    for recorded in ([f"{name}.1.mkv"] if plays else []) + [f"{name}.mkv"]:
                        streams = probe(f"{where}/{recorded}")
                        self.assertIsNotNone(streams, [(f.name, f.stat().st_size) for f in os.scandir(where)])
                        self.check(streams)
                        share = self.heard(f"{where}/{recorded}")
                        self.assertTrue(share > 0.5 if plays else share is None, share)
        finally:
            shutil.rmtree(where)

    def pulseaudio(self, r):
        return wait_for(lambda: next((p for p in family(r.worker("capture-0")["pid"])
                                      if program(p) == "pulseaudio"), None), "the sound server")

    def command_line(self, pid):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                return file.read()
        except OSError:
            return b""

    def test_a_recording_that_is_cut_short(self):
        """Killed, ffmpeg leaves all but the last group of pictures."""
        where = tempfile.mkdtemp(prefix="ringside-video-")
        kinds = ("mkv", "mp4", "ts")
        try:
            with self.capture("arena.html?phase=FIGHTING",
                              "--capture-outputs=" + ",".join(f"{k}=file:{where}/x.{k}" for k in kinds)) as r:
                for k in kinds:
                    wait_for(lambda k=k: (self.output(r, k) or {"encoded": 0})["encoded"] >= 180, f"six seconds of {k}")
                for p in self.ffmpegs(r):
                    os.kill(p, signal.SIGKILL)
                for k in kinds:
                    wait_for(lambda k=k: os.path.exists(f"{where}/x.1.{k}"), f"another {k}")
                    video = probe(f"{where}/x.1.{k}", "-count_packets")["video"]
                    self.assertGreaterEqual(int(video["nb_read_packets"]), 58, k)  # of a busy machine
        finally:
            shutil.rmtree(where)

    def test_a_full_disk_ends_a_recording(self):
        where = tempfile.mkdtemp(prefix="ringside-video-")
        try:
            with self.capture("arena.html?phase=FIGHTING", f"--capture-outputs=rec=file:{where}/x.mkv",
                              "--capture-free-bytes=1000000G") as r:
                o = self.wait_state(r, "rec", "backoff")
                self.assertIn("nearly full", o["said"])
                self.assertEqual((o["starts"], os.listdir(where)), (0, []))
        finally:
            shutil.rmtree(where)

    def outputs(self, r):
        return json.loads(r.ctl("capture", "outputs", "--json")[0])["outputs"]

    def ffmpegs(self, r):
        return [p for p in family(r.worker("capture-0")["pid"]) if program(p) == "ffmpeg"]

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
