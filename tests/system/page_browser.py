"""A real browser that a test looks at pages with: Chromium, by DevTools over a pipe."""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

from browsers import family

BROWSER = "/usr/lib/chromium/chromium-headless-shell"
# What moves by itself, as Web Vitals count it: shifts within half a second of an input do not.
WATCH_SHIFTS = """window.shifts = [];
new PerformanceObserver(list => {
	for (const e of list.getEntries())
		if (!e.hadRecentInput)
			window.shifts.push([e.value, e.startTime, ...e.sources.map(s => s.node?.id || s.node?.className || s.node?.nodeName)]);
}).observe({ type: "layout-shift", buffered: true });"""
KEYS = {"Tab": 9, "Enter": 13, " ": 32, "ArrowRight": 39}


class Refused(AssertionError):
    """The browser did not do it."""


class Browser:
    """with Browser(*flags) as b: b.open(url, width, height); b.run("document.title"); b.picture("x.png")"""

    def __init__(self, *flags):
        self.profile = tempfile.mkdtemp(prefix="ringside-page-")
        to_read, self.to = os.pipe()
        self.back, to_write = os.pipe()
        self.count, self.buffer, self.session, self.target = 0, b"", None, None
        self.errors = []
        read, write = (os.fdopen(os.dup(fd), "rb", closefd=False).fileno() for fd in (to_read, to_write))

        def descriptors():
            os.dup2(read, 3)
            os.dup2(write, 4)
            os.setpgid(0, 0)
        self.process = subprocess.Popen(
            [BROWSER, "--remote-debugging-pipe", f"--user-data-dir={self.profile}", "--no-first-run", "--no-sandbox",
             "--hide-scrollbars", "--disable-quic", "--mute-audio", *flags],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            pass_fds=(3, 4, read, write), preexec_fn=descriptors)
        for fd in {to_read, to_write, read, write}:
            os.close(fd)

    def call(self, method, patience=60, **parameters):
        self.count += 1
        number = self.count
        message = {"id": number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + patience
        while True:
            while b"\0" in self.buffer:
                text, _, self.buffer = self.buffer.partition(b"\0")
                answer = json.loads(text)
                if answer.get("id") == number:
                    if "error" in answer:
                        raise Refused(method, answer["error"])
                    return answer["result"]
                self.note(answer)
            if not select.select([self.back], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError(method)
            data = os.read(self.back, 1 << 20)
            assert data, "the browser ended"
            self.buffer += data

    def note(self, event):
        if event.get("method") == "Runtime.exceptionThrown":
            details = event["params"]["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        if event.get("method") == "Log.entryAdded" and "Content Security Policy" in event["params"]["entry"]["text"]:
            self.errors.append(event["params"]["entry"]["text"])

    def open(self, url, width=1280, height=900, scheme="light", phone=False, beside=False):
        """In a tab of its own, in place of the one before, or beside it."""
        before, self.session = self.target, None
        target = self.target = self.call("Target.createTarget", url="about:blank")["targetId"]
        if before and not beside:
            self.call("Target.closeTarget", targetId=before)
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable")
        self.call("Runtime.enable")
        self.call("Log.enable")
        self.size(width, height, phone)
        self.scheme(scheme)
        self.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH_SHIFTS)
        self.call("Page.navigate", url=url)

    def size(self, width, height, phone=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if phone else 1,
                  mobile=phone)

    def scheme(self, name):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def run(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key, text=""):
        """A key, as a keyboard would send it; of one that writes, what it writes."""
        known = {"key": key, "windowsVirtualKeyCode": KEYS.get(key, ord(key[0].upper())), "text": text}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **known)
        self.call("Input.dispatchKeyEvent", type="keyUp", **{**known, "text": ""})

    def click(self, selector):
        """Of the mouse, in the middle of it, once it stands still."""
        x, y = self.run(f"""(async () => {{
            const e = document.querySelector({json.dumps(selector)});
            e.scrollIntoView({{ block: "nearest" }});
            await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
            await Promise.allSettled(document.getAnimations().map(moves => moves.finished));
            const {{ x, y, width, height }} = e.getBoundingClientRect();
            return [x + width / 2, y + height / 2];
        }})()""")
        for kind, buttons in (("mousePressed", 1), ("mouseReleased", 0)):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=buttons, clickCount=1)

    def shift(self):
        """(the cumulative layout shift, the largest ones with what moved). As Web Vitals count it: the worst span of at
        most 5 s without a second's rest; 0.1 is what they call good."""
        shifts = self.run("window.shifts")
        worst = span = begun = last = 0
        for value, at, *_ in shifts:
            if at - last > 1000 or at - begun > 5000:
                span, begun = 0, at
            span, last = span + value, at
            worst = max(worst, span)
        return worst, sorted(shifts, key=lambda s: -s[0])[:5]

    def text(self, selector):
        return self.run(f"document.querySelector({json.dumps(selector)})?.textContent")

    def wait(self, expression, what=None, patience=float(os.environ.get("BROWSER_PATIENCE", 90))):
        end = time.monotonic() + patience
        while True:
            try:
                value = self.run(f"(() => {{ try {{ return {expression}; }} catch {{ return null; }} }})()")
            except Refused:  # one page gives way to the next
                value = None
            if value:
                return value
            if time.monotonic() > end:
                raise AssertionError(f"waited in vain for {what or expression}; page errors: {self.errors}")
            time.sleep(0.05)

    def picture(self, path, whole=True):
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def close(self):
        for pid in family(self.process.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        for fd in (self.to, self.back):
            os.close(fd)
        shutil.rmtree(self.profile, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
