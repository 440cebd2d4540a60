# SPDX-License-Identifier: PostgreSQL
"""A headless Chromium, spoken to over a pipe in the DevTools protocol: no port, no driver to install.

    with Chromium(folder) as browser:
        page = browser.open(path, width=390, dark=True)
        page.run("document.title")
        page.press("Tab")
        page.errors, page.requests    what went wrong, and what was asked of the network

A page is a tab. What a script throws is a failure of the test. All waiting has a deadline.
"""
import base64
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import time

DEADLINE_SECONDS = 60
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--no-default-browser-check",
         "--disable-extensions", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe"]
KEYS = {"Enter": ("Enter", 13, "\r"), "Escape": ("Escape", 27, None), "Tab": ("Tab", 9, None), "Home": ("Home", 36, None),
        "End": ("End", 35, None), "ArrowLeft": ("ArrowLeft", 37, None), "ArrowUp": ("ArrowUp", 38, None),
        "ArrowRight": ("ArrowRight", 39, None), "ArrowDown": ("ArrowDown", 40, None)}


class Chromium:
    """The browser's process; its profile is in `folder`."""

    def __init__(self, folder):
        self.folder = folder
        self.number = 0
        self.answers = {}
        self.pages = {}
        self.buffer = b""

    def __enter__(self):
        program = next(filter(None, map(shutil.which, PROGRAMS)), None)
        assert program, "no chromium: tests/setup.sh check installs it"
        child_in, self.to_child = os.pipe()
        self.from_child, child_out = os.pipe()
        # The browser reads its commands from 3 and answers on 4.
        command = 'exec 3<&%d 4>&%d; exec "$@"' % (child_in, child_out)
        with open(os.path.join(self.folder, "log"), "wb") as log:
            self.process = subprocess.Popen(
                ["bash", "-c", command, "chromium", program, *FLAGS, "--user-data-dir=%s/profile" % self.folder],
                pass_fds=(child_in, child_out), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "HOME": str(self.folder)})
        os.close(child_in)
        os.close(child_out)
        return self

    def __exit__(self, *_):
        try:
            self.call("Browser.close")
            self.process.wait(DEADLINE_SECONDS)
        except (AssertionError, OSError, subprocess.TimeoutExpired):
            pass
        finally:
            # What the browser started is in its session.
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()
            os.close(self.to_child)
            os.close(self.from_child)

    def call(self, method, session=None, **parameters):
        """What the browser answers to a command."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        left = json.dumps(message).encode() + b"\0"
        while left:
            left = left[os.write(self.to_child, left):]
        number = self.number
        self.wait_for(lambda: number in self.answers, method)
        answer = self.answers.pop(number)
        assert "error" not in answer, "%s: %s" % (method, answer["error"])
        return answer["result"]

    def wait_for(self, condition, what):
        """Reads what the browser says until the condition holds."""
        end = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            ready, _, _ = select.select([self.from_child], [], [], max(0, end - time.monotonic()))
            assert ready, "%s: nothing from chromium in %d s" % (what, DEADLINE_SECONDS)
            part = os.read(self.from_child, 1 << 16)
            assert part, "%s: chromium ended\n%s" % (what, self.log())
            self.buffer += part
            *whole, self.buffer = self.buffer.split(b"\0")
            for message in whole:
                self.receive(json.loads(message))

    def log(self):
        return pathlib.Path(self.folder, "log").read_text(encoding="utf-8", errors="replace")[-2000:]

    def receive(self, message):
        if "id" in message:
            self.answers[message["id"]] = message
        elif message.get("sessionId") in self.pages:
            self.pages[message["sessionId"]].event(message["method"], message["params"])

    def open(self, path, width=1280, height=900, dark=False):
        """The file as a page that is loaded."""
        return Page(self, "file://%s" % path, width, height, dark)


class Page:
    def __init__(self, browser, url, width, height, dark):
        self.browser = browser
        self.errors = []
        self.requests = []
        self.loaded = False
        self.target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        browser.pages[self.session] = self
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.colours(dark)
        self.call("Page.navigate", url=url)
        browser.wait_for(lambda: self.loaded, "load of " + url)
        self.requests = [each for each in self.requests if each != url]

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def event(self, method, about):
        if method == "Page.loadEventFired":
            self.loaded = True
        elif method == "Runtime.exceptionThrown":
            details = about["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning", "assert"):
            self.errors.append(" ".join(str(each.get("value", each.get("description"))) for each in about["args"]))
        elif method == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.errors.append(about["entry"]["text"])
        elif method == "Network.requestWillBeSent" and not about["request"]["url"].startswith("data:"):
            self.requests.append(about["request"]["url"])

    def colours(self, dark):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def run(self, script):
        """The value of an expression, a promise's when it has one."""
        done = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def settle(self):
        """Waits until what was changed is drawn."""
        self.call("Page.bringToFront")  # what is behind is not drawn
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def press(self, key, shift=False):
        name, code, text = KEYS.get(key, (key, ord(key[0].upper()), key))
        about = {"key": name, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown", **about, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **about)
        self.settle()

    def type(self, text):
        self.call("Input.insertText", text=text)
        self.settle()

    def mouse(self, kind, x, y, held=0):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left" if kind != "mouseMoved" else "none", buttons=held, clickCount=1)

    def click(self, selector):
        x, y = self.run("(() => { const e = document.querySelector(%s); e.scrollIntoView({block: 'center'});"
                        " const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()" % json.dumps(selector))
        self.mouse("mouseMoved", x, y)
        self.mouse("mousePressed", x, y, held=1)
        self.mouse("mouseReleased", x, y)
        self.settle()

    def screenshot(self, path, whole=False):
        clip = {}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **clip)["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))

    def pdf(self):
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)
