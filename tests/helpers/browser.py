"""Drives the page of `colorjax serve` in Chromium."""

import time
from urllib.parse import urlsplit

from playwright.sync_api import Page

PLAIN = {"strokes": [], "reference": None, "variant": None}  # before the first change
SECONDS = 120  # the first photo of a program compiles


def until(condition, seconds=SECONDS):
    """Returns the first true result of a function, which is called until there is one."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, "the page did not get there in time"
        time.sleep(0.03)
    return result


class Driver:
    """One tab with the page, its requests and its errors."""

    def __init__(self, page: Page, address: str):
        self.page = page
        self.address = address
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.set_default_timeout(1000 * SECONDS)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._console)

    def _console(self, message):
        is_refusal = "Failed to load resource" in message.text  # a status that the page handles
        if message.type in ("error", "warning") and not is_refusal:
            self.errors.append(message.text)

    def foreign_requests(self):
        origin = urlsplit(self.address)[:2]
        return [
            url
            for url in self.requests
            if urlsplit(url)[:2] != origin and not url.startswith(f"blob:{self.address[:7]}")
        ]

    def go(self):
        self.page.goto(self.address)
        return self

    def open(self, path):
        """Opens a photo with the file button, and waits for its colors."""
        self.page.set_input_files("#files", path)
        self.wait_for(path.name)

    def wait_for(self, name):
        until(lambda: self.page.title().startswith(name))
        self.settle()

    def settle(self):
        """Waits until the preview and the journal have every change."""
        until(lambda: self.page.evaluate("() => document.body.dataset.busy === 'false'"))

    def call(self, method, path, body=None):
        """Returns the JSON that the server answers to the page."""
        return self.page.evaluate(
            """async ([method, path, body]) => {
                const headers = { "X-Colorjax-Token": sessionStorage.getItem("colorjax-token") };
                if (body !== null) headers["Content-Type"] = "application/json";
                body = body === null ? undefined : JSON.stringify(body);
                const answer = await fetch(path, { method, headers, body });
                return answer.status === 204 ? null : answer.json();
            }""",
            [method, path, body],
        )

    def photo(self, name):
        photos = self.call("GET", "/api/photos")["photos"]
        return next(photo for photo in photos if photo["name"] == name)

    def session(self):
        """Returns the state in the journal of the open photo."""
        self.settle()
        photo = self.page.evaluate("() => document.body.dataset.photo")
        return self.call("GET", f"/api/photos/{photo}/session")["state"] or PLAIN

    def at(self, x, y):
        """Returns the point of the window over a point of the photo, given in shares."""
        return self.page.evaluate(
            """([x, y]) => {
                const box = document.getElementById("photo").getBoundingClientRect();
                const [left, top, width, height] = document.getElementById("photo")
                    .dataset.box.split(" ").map(Number);
                return [box.left + left + x * width, box.top + top + y * height];
            }""",
            [x, y],
        )

    def click(self, x, y):
        self.page.mouse.click(*self.at(x, y))

    def drag(self, *points, steps=4):
        self.page.mouse.move(*self.at(*points[0]))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.at(*point), steps=steps)
        self.page.mouse.up()

    def pixel(self, x, y):
        """Returns the color on the screen, [r, g, b], at a point of the photo."""
        return self.page.evaluate(
            """async ([x, y]) => {
                for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame);
                const canvas = document.getElementById("photo");
                const ratio = canvas.width / canvas.clientWidth;
                const [left, top, width, height] = canvas.dataset.box.split(" ").map(Number);
                const at = [(left + x * width) * ratio, (top + y * height) * ratio];
                const copy = new OffscreenCanvas(1, 1).getContext("2d");
                copy.drawImage(canvas, ...at.map(Math.floor), 1, 1, 0, 0, 1, 1);
                return [...copy.getImageData(0, 0, 1, 1).data].slice(0, 3);
            }""",
            [x, y],
        )
