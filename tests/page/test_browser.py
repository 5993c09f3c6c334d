"""docs/browser in Chromium: a dropped photo, without any program behind the page."""

import base64
import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from helpers.browser import until
from helpers.site import serving
from PIL import Image
from skimage import color

from colorjax.inference.colorizer import Colorizer

FOLDER = Path(__file__).parents[2] / "build" / "browser"
SIZES = [(240, 160), (131, 97), (500, 333)]  # width, height
_DROP = """([name, content]) => {
    const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
    const data = new DataTransfer();
    data.items.add(new File([bytes], name));
    for (const type of ["dragover", "drop"])
        document.body.dispatchEvent(new DragEvent(type, { dataTransfer: data, bubbles: true }));
}"""


@pytest.fixture(scope="module")
def static():
    """The address of the folder of `make browser`."""
    missing = [n for n in ("model.onnx", "ort.wasm.min.mjs") if not (FOLDER / n).exists()]
    if missing:
        pytest.skip(
            f"build/browser lacks {', '.join(missing)}; run `make browser`, which needs npm"
        )
    with serving(FOLDER) as address:
        yield address


@pytest.fixture
def opened(chromium, static):
    """Opens the page; afterwards: no errors, and no request to elsewhere."""
    requests, errors = [], []
    with contextlib.ExitStack() as stack:

        def open_page(width=1100, height=760, scheme="light"):
            context = chromium.new_context(
                viewport={"width": width, "height": height}, color_scheme=scheme
            )
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(120_000)
            page.on("request", lambda request: requests.append(request.url))
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(static)
            until(lambda: page.inner_text("#status").startswith("Ready"))
            return page

        yield open_page
    own = (static, f"blob:{static}", "data:")
    assert requests
    assert [url for url in requests if not url.startswith(own)] == []
    assert errors == []


def gray(name, size):
    return np.asarray(Image.fromarray(getattr(skimage.data, name)()).convert("L").resize(size))


def drop(page, name, pixels):
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "png")
    page.evaluate(_DROP, [name, base64.b64encode(content.getvalue()).decode()])
    until(lambda: page.inner_text("#status").startswith(f"{name}: "))


@pytest.fixture(scope="module")
def colorizer(static):
    return Colorizer.load(json.loads((FOLDER / "model.json").read_text())["weights"])


def test_a_dropped_photo_gets_the_colors_of_jax(opened, colorizer, tmp_path):
    page = opened()
    for number, size in enumerate(SIZES):
        name, pixels = f"photo{number}.png", gray("chelsea", size)
        drop(page, name, pixels)
        with page.expect_download() as download:
            page.click("#save")
        assert download.value.suggested_filename == f"photo{number}.color.png"
        download.value.save_as(tmp_path / name)
        painted = np.asarray(Image.open(tmp_path / name).convert("RGB"))
        assert painted.shape == (*size[::-1], 3)
        wanted = colorizer.colorize(pixels).astype(int)
        apart = np.abs(painted - wanted).max(axis=-1)
        share = (apart <= 1).mean()
        print(f"{size}: {100 * share:.3f} % within 1 level, largest difference {apart.max()}")
        assert share >= 0.999
        assert np.ptp(painted.astype(int), axis=-1).max() > 20  # it has colors
        lightness = [color.rgb2lab(x)[..., 0] for x in (painted, color.gray2rgb(pixels))]
        assert np.abs(np.subtract(*lightness)).max() < 0.4  # 1 of 255 levels


def test_gray_shows_the_photo_and_saturation_changes_the_colors(opened):
    page = opened()
    pixels = gray("coffee", (120, 80))
    drop(page, "coffee.png", pixels)

    def shown():
        data = page.evaluate(
            """() => [...document.getElementById("photo").getContext("2d")
                .getImageData(0, 0, 120, 80).data]"""
        )
        return np.array(data).reshape(80, 120, 4)[..., :3]

    spread = np.ptp(shown(), axis=-1).mean()
    page.click("#gray")
    assert np.abs(shown() - pixels[..., None]).max() <= 1
    page.click("#gray")
    page.fill("#saturation", "0.5")
    assert np.ptp(shown(), axis=-1).mean() < 0.7 * spread


def test_a_file_that_is_no_photo_is_refused_in_words(opened):
    page = opened()
    page.evaluate(_DROP, ["notes.txt", base64.b64encode(b"no photo").decode()])
    until(lambda: "cannot read notes.txt" in page.inner_text("#status"))


@pytest.mark.parametrize("width", [1280, 360])
def test_the_page_has_no_sideways_scroll(opened, width):
    page = opened(width)
    drop(page, "wide.png", gray("coffee", (900, 300)))
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_the_model_is_small_enough_for_a_page(static):
    assert (FOLDER / "model.onnx").stat().st_size <= 12e6
