"""Chromium and one `colorjax serve` for all tests of the page: `make test-page`."""

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from helpers.browser import Driver, until
from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
SIZE = (240, 160)
_numbers = itertools.count()


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.page)


def photo(name, path, size=SIZE):
    """Writes a gray photo of scikit-image, of which no two have the same bytes."""
    picture = Image.fromarray(getattr(skimage.data, name)()).convert("L").resize(size)
    pixels = np.asarray(picture).copy()
    number = next(_numbers)
    pixels[0, 0], pixels[0, 1] = number % 256, number // 256
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="session")
def album(tmp_path_factory):
    """A folder of three photos and a file that is no photo."""
    folder = tmp_path_factory.mktemp("album")
    for name in ("astronaut", "coffee", "chelsea"):
        photo(name, folder / f"{name}.png")
    (folder / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photo")
    return folder


@pytest.fixture(scope="session")
def environment():
    cache = ROOT / ".pytest_cache" / "jax-page"
    return os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
        "PYTHONPATH": str(ROOT),
    }


@pytest.fixture(scope="session")
def address(album, environment, tmp_path_factory):
    """The address that `colorjax serve` prints for the album."""
    here = tmp_path_factory.mktemp("serve")  # where results of dropped photos go
    errors = here / "stderr"
    with errors.open("w") as file:
        server = subprocess.Popen(
            [sys.executable, "-m", "colorjax", "serve", album, "--no-browser"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            cwd=here,
        )
    for line in server.stdout:
        if match := re.search(r"http://127\.0\.0\.1:\d+/#[\w-]+", line):
            break
    else:
        pytest.fail(f"colorjax serve printed no address: {errors.read_text()}")
    yield match[0]
    server.send_signal(signal.SIGINT)
    assert server.wait(30) in (0, 75, 130)
    assert "Traceback" not in errors.read_text()


@pytest.fixture(scope="session")
def chromium():
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.fail("the tests of the page need Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium, address):
    """Opens tabs; afterwards: no errors, and no request that leaves the machine."""
    contexts = []

    def open_tab(width=1100, height=760, scheme="light", **options):
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, **options
        )
        driver = Driver(context.new_page(), address)
        contexts.append((context, driver))
        return driver

    yield open_tab
    for context, driver in contexts:
        assert driver.errors == []
        assert driver.requests
        assert driver.foreign_requests() == []
        context.close()


@pytest.fixture
def opened(tab, tmp_path):
    """A tab with a photo of its own, in color."""
    driver = tab().go()
    until(lambda: driver.page.title() != "colorjax")
    driver.settle()
    driver.open(photo("chelsea", tmp_path / f"mine-{next(_numbers)}.png"))
    return driver


@pytest.fixture
def new_photo(tmp_path):
    return lambda name="coffee", **options: photo(
        name, tmp_path / f"new-{next(_numbers)}.png", **options
    )
