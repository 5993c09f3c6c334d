"""Keyboard, labels, contrast, text sizes, narrow screens, touch: measured in Chromium."""

import numpy as np
import pytest
from helpers.browser import until

TABS = ("colors", "adjust", "ideas", "setup")
SCHEMES = ("light", "dark")

# Every visible element with text of its own: its text, size, and contrast with what lies behind.
TEXTS = """() => {
    const known = new Map();
    const channels = (color) => {
        if (!known.has(color)) known.set(color, painted(color));
        return known.get(color);
    };
    const painted = (color) => {
        const canvas = new OffscreenCanvas(1, 1).getContext("2d");
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const luminance = (rgb) => {
        const linear = rgb.map((v) => v / 255)
            .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    };
    const over = ([r, g, b, a], below) =>
        [r, g, b].map((v, i) => v * (a / 255) + below[i] * (1 - a / 255));
    const background = (element) => {
        const layers = [];
        for (let one = element; one; one = one.parentElement) {
            layers.unshift(channels(getComputedStyle(one).backgroundColor));
        }
        return layers.reduce((below, layer) => over(layer, below), [255, 255, 255]);
    };
    const result = [];
    for (const element of document.querySelectorAll("body *")) {
        const own = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
        const text = (element.value && element.matches("input[type=text], select"))
            ? element.value : own.map((node) => node.data).join("").trim();
        if (text === "" || !element.checkVisibility({ visibilityProperty: true })) continue;
        if (element.closest("svg, .unseen, option, script, style")) continue;
        const style = getComputedStyle(element);
        const behind = background(element);
        const front = over(channels(style.color), behind);
        const [high, low] = [luminance(front), luminance(behind)].sort((p, q) => q - p);
        result.push({
            text: text.slice(0, 60), size: parseFloat(style.fontSize),
            contrast: (high + 0.05) / (low + 0.05),
        });
    }
    return result;
}"""


def states(driver):
    """Yields the name of each state in which the page is checked."""
    yield "open"
    driver.click(0.5, 0.5)
    driver.page.locator("#swatches button").nth(5).wait_for()
    yield "a place is chosen"
    driver.page.keyboard.press("Escape")
    driver.page.keyboard.press("a")
    driver.page.locator("#ask-swatches button").first.wait_for()
    yield "a question"
    driver.page.keyboard.press("Escape")
    driver.page.keyboard.press("b")
    driver.page.keyboard.press("u")
    for tab in TABS:
        driver.page.click(f"#tab-{tab}")
        yield tab
    driver.page.click("summary")
    yield "card"
    for dialog in ("help", "save"):
        driver.page.click(f"#{dialog}")
        yield dialog
        driver.page.keyboard.press("Escape")


@pytest.fixture
def shown(tab, new_photo):
    """Returns a function that opens a photo in a tab with the options of `tab`."""

    def show(**options):
        driver = tab(**options).go()
        until(lambda: driver.page.title() != "colorjax")
        driver.settle()
        driver.open(new_photo("chelsea"))
        return driver

    return show


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_is_large_and_has_contrast(shown, scheme):
    driver = shown(scheme=scheme)
    seen = 0
    for state in states(driver):
        texts = driver.page.evaluate(TEXTS)
        seen += len(texts)
        small = [text for text in texts if text["size"] < 14]
        pale = [text for text in texts if text["contrast"] < 4.5]
        assert (state, small, pale) == (state, [], [])
    assert seen > 150


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_ground_of_the_photo_is_a_neutral_gray(shown, scheme):
    driver = shown(scheme=scheme)
    color = driver.page.evaluate(
        "() => getComputedStyle(document.getElementById('stage')).backgroundColor"
    )
    red, green, blue = (int(value) for value in color[4:-1].split(","))
    assert red == green == blue
    assert (red > 127) == (scheme == "light")


def test_every_control_has_a_name(shown):
    driver = shown()
    tree = driver.page.context.new_cdp_session(driver.page)
    seen = set()
    for state in states(driver):
        for node in tree.send("Accessibility.getFullAXTree")["nodes"]:
            properties = {
                one["name"]: one["value"].get("value") for one in node.get("properties", [])
            }
            role = node["role"]["value"]
            if properties.get("focusable") and not node["ignored"] and role != "RootWebArea":
                name = node["name"]["value"].strip()
                seen.add((role, name))
                assert name, f"{state}: {node}"
                assert not name.startswith("#")
    roles = {role for role, _ in seen}
    assert {"button", "slider", "tab", "textbox", "application", "checkbox"} <= roles


def test_the_tab_key_reaches_every_control_in_order(shown):
    driver = shown()
    driver.page.evaluate("() => document.activeElement.blur()")
    reached = []
    for _ in range(80):
        driver.page.keyboard.press("Tab")
        here = driver.page.evaluate(
            """() => {
                const one = document.activeElement;
                if (one === document.body) return null;
                const style = getComputedStyle(one);
                const all = [...document.querySelectorAll("*")];
                return [one.id || one.dataset.tool || one.textContent, all.indexOf(one),
                        style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2];
            }"""
        )
        if here is None:
            break
        reached.append(here)
    else:
        pytest.fail(f"the focus does not come round: {reached}")
    names, places, outlines = zip(*reached, strict=True)
    assert list(places) == sorted(places)
    assert all(outlines), reached
    expected = {"open", "help", "save", "hint", "lasso", "brush", "eraser", "split", "veil"}
    expected |= {"photo", "zoom-in", "zoom-fit", "zoom-one", "tab-colors", "ask"}
    assert expected <= set(names)


def test_everything_without_a_mouse(shown):
    driver = shown()
    keys = driver.page.keyboard
    driver.page.focus("#photo")
    for key in ("Enter", "ArrowLeft", "ArrowUp", "Shift+ArrowUp", "Enter"):
        keys.press(key)
    driver.page.locator("#swatches button").nth(5).wait_for()
    keys.press("2")
    [stroke] = driver.session()["strokes"]
    assert stroke["x"] < 120
    assert stroke["y"] < 80
    keys.press("Escape")  # ends the crosshair
    keys.press("Shift+ArrowRight")
    [moved] = driver.session()["strokes"]
    assert moved["x"] == stroke["x"] + 1
    driver.page.focus("#disc")
    keys.press("ArrowRight")
    keys.press("ArrowUp")
    [turned] = driver.session()["strokes"]
    assert turned["color"] != moved["color"]
    for _ in range(4):
        keys.press("Control+z")
    assert driver.session()["strokes"] == []
    driver.page.focus("#tab-colors")
    keys.press("ArrowRight")
    assert driver.page.is_visible("#saturation")
    driver.page.focus("#saturation")
    keys.press("ArrowRight")
    assert driver.session()["saturation"] == pytest.approx(1.01)
    keys.press("Control+s")
    assert driver.page.is_visible("#save-dialog")
    keys.press("Escape")
    assert driver.page.is_hidden("#save-dialog")


def test_areas_without_a_mouse(shown):
    driver = shown()
    keys = driver.page.keyboard
    driver.page.focus("#photo")
    for key in ("l", "Enter", "Enter"):  # lasso, crosshair, start
        keys.press(key)
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft"):
        for _ in range(4):
            keys.press(f"Shift+{key}")
    keys.press("Enter")
    [area] = driver.session()["strokes"]
    assert len(area["region"]["polygon"]) > 8
    keys.press("Escape")
    keys.press("e")
    for key in ("Enter", "Enter", "Shift+ArrowUp", "Enter"):
        keys.press(key)
    kinds = [stroke["kind"] for stroke in driver.session()["strokes"]]
    assert kinds == ["hint", "erase"]


@pytest.mark.parametrize("width", [360, 820, 1280])
def test_nothing_lies_outside_the_window(shown, width):
    driver = shown(width=width, height=640, has_touch=True)
    for state in states(driver):
        outside = driver.page.evaluate(
            """() => [...document.querySelectorAll("button, input, select, canvas, p, h2")]
                .filter((one) => one.checkVisibility() && !one.closest(".unseen, #strip, .skip"))
                .filter((one) => !one.matches(".unseen, .unseen-until-focus *"))
                .filter((one) => {
                    const { left, right, width } = one.getBoundingClientRect();
                    return width > 0 && (left < -0.5 || right > innerWidth + 0.5);
                }).map((one) => one.id || one.textContent)"""
        )
        wide = driver.page.evaluate("() => document.documentElement.scrollWidth")
        assert (state, outside, wide) == (state, [], width)


def test_controls_are_large_enough_for_a_finger(shown):
    driver = shown(width=360, height=740, has_touch=True)
    for state in states(driver):
        small = driver.page.evaluate(
            """() => [...document.querySelectorAll("button, select, input:not([type=checkbox])")]
                .filter((one) => one.checkVisibility() && !one.closest(".unseen-until-focus"))
                .map((one) => [one.id || one.textContent, one.getBoundingClientRect()])
                .filter(([, { width, height }]) => width > 0 && Math.min(width, height) < 28)
                .map(([name]) => name)"""
        )
        assert (state, small) == (state, [])


def test_a_tap_places_a_color_and_two_fingers_zoom(shown):
    driver = shown(width=360, height=740, has_touch=True)
    driver.page.touchscreen.tap(*driver.at(0.5, 0.5))
    [stroke] = driver.session()["strokes"]
    assert abs(stroke["x"] - 120) <= 1
    width = float(driver.page.get_attribute("#photo", "data-box").split()[2])
    x, y = driver.at(0.5, 0.5)
    touch = driver.page.context.new_cdp_session(driver.page)

    def fingers(kind, *gaps):
        points = [{"x": x + gap, "y": y, "id": i} for i, gap in enumerate(gaps)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", -20)
    fingers("touchStart", -20, 20)
    for gap in (30, 40):
        fingers("touchMove", -gap, gap)
    fingers("touchEnd")
    wider = float(driver.page.get_attribute("#photo", "data-box").split()[2])
    assert wider == pytest.approx(2 * width, rel=0.02)
    assert driver.session()["strokes"] == [stroke]  # fingers that zoom place nothing


def test_the_colors_of_the_page_are_those_of_the_program(tab):
    """Lab, sRGB and the edge of the gamut, computed in JavaScript and by colorjax.color."""
    from colorjax import color

    driver = tab().go()
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (500, 3))
    lab = np.stack([rng.uniform(1, 99, 500), *rng.uniform(-90, 90, (2, 500))], axis=-1)
    found = driver.page.evaluate(
        """async ([rgb, lab]) => {
            const { labOf, rgbOf, gamutFactor } = await import("/static/color.js");
            return [rgb.map(labOf), lab.map(rgbOf), lab.map((one) => gamutFactor(...one))];
        }""",
        [rgb.tolist(), lab.tolist()],
    )
    np.testing.assert_allclose(found[0], color.rgb_to_lab(rgb / 255.0), atol=2e-4)
    wanted = np.round(255 * color.lab_to_rgb(lab, gamut="shrink_chroma"))
    assert np.abs(np.subtract(found[1], wanted)).max() <= 1
    assert np.mean(np.array(found[1]) != wanted) < 0.01
    inside = color.shrink_chroma(lab)
    factor = np.linalg.norm(inside[:, 1:], axis=1) / np.linalg.norm(lab[:, 1:], axis=1)
    np.testing.assert_allclose(found[2], factor, atol=2e-4)
    assert 0.2 < np.mean(np.array(found[2]) < 1) < 0.95
