"""The picture of the page in the README: a photo, gray on the left, colored with a few hints.

    python -m benchmarks.page_picture kodim23.jpg docs/images/page.jpg

Shows PHOTO in gray to `colorjax serve`, drives its page in the system's Chromium (playwright, of
`colorjax[dev]`), gives a few places the colors that the photo really has there, and writes a
screenshot with the line between before and after.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

WINDOW = {"width": 1280, "height": 800}
# Places of kodim23, cut to a square, in shares of its sides.
HINTS = (
    (0.66, 0.25),
    (0.85, 0.7),
    (0.16, 0.75),
    (0.4, 0.87),
    (0.55, 0.8),
    (0.59, 0.45),
    (0.6, 0.1),
)
SPLIT = 0.3  # share of the width that stays gray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--dark", action="store_true", help="the dark page")
    args = parser.parse_args()
    photo = Image.open(args.photo).convert("RGB")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{args.photo.stem}.png"
        photo.convert("L").save(path)
        command = [sys.executable, "-m", "colorjax", "serve", path, "--no-browser"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            address = next(
                match[0] for line in server.stdout if (match := re.search(r"http://\S+", line))
            )
            try:
                screenshot = drive(address, photo, "dark" if args.dark else "light")
            finally:
                server.terminate()
    Image.open(io.BytesIO(screenshot)).convert("RGB").save(
        args.output, quality=88, subsampling=0, optimize=True
    )


def drive(address: str, photo: Image.Image, scheme: str) -> bytes:
    """Returns a PNG of the page after a few clicks."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport=WINDOW, color_scheme=scheme)
        page.set_default_timeout(120_000)
        page.goto(address)
        page.locator("#save:enabled").wait_for()
        settle(page)
        for x, y in HINTS:
            page.mouse.click(*point(page, x, y))
            page.locator("#swatches button").nth(5).wait_for()
            pixel = photo.getpixel((int(x * photo.width), int(y * photo.height)))
            page.fill("#hex", "#{:02x}{:02x}{:02x}".format(*pixel))
            page.press("#hex", "Enter")
            settle(page)
        page.keyboard.press("Escape")
        page.keyboard.press("s")
        page.mouse.move(*point(page, SPLIT, 0.97))
        page.locator("#hints .choose").first.click()
        page.locator("#swatches button").nth(5).wait_for()
        settle(page)
        screenshot = page.screenshot()
        browser.close()
    return screenshot


def settle(page: Page) -> None:
    page.locator("body[data-busy=false]").wait_for()
    page.wait_for_timeout(300)


def point(page: Page, x: float, y: float) -> tuple[float, float]:
    """Returns the point of the window over a point of the photo, given in shares."""
    box = page.locator("#photo").bounding_box()
    left, top, width, height = map(float, page.get_attribute("#photo", "data-box").split())
    return box["x"] + left + x * width, box["y"] + top + y * height


if __name__ == "__main__":
    main()
