"""What a person does on the page: each test is a short visit, in Chromium."""

import base64
import json
import subprocess
import sys

import numpy as np
import pytest
from helpers.browser import until
from PIL import Image

RED, BLUE = "#c03028", "#2848c0"


def strokes(driver):
    return driver.session()["strokes"]


def paint(driver, color):
    driver.page.fill("#hex", color)
    driver.page.press("#hex", "Enter")
    driver.settle()


def distance(p, q):
    return np.abs(np.subtract(p, q, dtype=int)).max()


def is_gray(pixel):
    return max(pixel) - min(pixel) <= 4


# Open


def test_the_folder_of_the_command_line_opens_in_color(tab):
    driver = tab().go()
    driver.wait_for("astronaut.png")
    names = driver.page.locator("#thumbs button").evaluate_all(
        "buttons => buttons.map((one) => one.getAttribute('aria-label').split(',')[0])"
    )
    assert {"astronaut.png", "chelsea.png", "coffee.png"} <= set(names)
    driver.page.locator('#thumbs [aria-label="torn.jpg, cannot be opened"]').wait_for()
    colors = [driver.pixel(x, 0.5) for x in np.linspace(0.1, 0.9, 9)]
    assert max(max(color) - min(color) for color in colors) > 10


def test_arrow_keys_open_the_next_photo(tab):
    driver = tab().go()
    driver.wait_for("astronaut.png")
    driver.page.keyboard.press("ArrowRight")
    driver.wait_for("chelsea.png")
    driver.page.focus("#thumbs [aria-current=true]")
    driver.page.keyboard.press("ArrowLeft")
    driver.wait_for("astronaut.png")


def test_a_dropped_photo_opens(opened, new_photo):
    path = new_photo()
    opened.page.evaluate(
        """([name, base64]) => {
            const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([bytes], name, { type: "image/png" }));
            for (const type of ["dragenter", "drop"]) {
                document.body.dispatchEvent(
                    new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer }));
            }
        }""",
        [path.name, base64.b64encode(path.read_bytes()).decode()],
    )
    opened.wait_for(path.name)
    assert not opened.page.is_visible("#dropping")


def test_a_file_that_is_no_photo_gives_one_sentence(opened, tmp_path):
    path = tmp_path / "letter.jpg"
    path.write_text("Dear Anna")
    opened.page.set_input_files("#files", path)
    message = opened.page.locator("#messages .error").first
    message.wait_for()
    assert "letter.jpg" in message.inner_text()


# Colors of places


def test_a_click_places_a_color_and_offers_six(opened):
    opened.click(120.5 / 240, 64.5 / 160)
    opened.page.locator("#swatches button").nth(5).wait_for()
    [stroke] = strokes(opened)
    assert (stroke["x"], stroke["y"]) == (120, 64)
    colors = opened.page.locator("#swatches button").evaluate_all(
        "buttons => buttons.map((one) => one.dataset.color)"
    )
    assert len(set(colors)) == 6
    opened.page.keyboard.press("3")
    assert strokes(opened)[0]["color"] == colors[2]
    opened.page.keyboard.press("Control+z")
    assert strokes(opened) == []  # placing and choosing is one step


def test_a_typed_color_is_painted_and_a_wrong_one_explained(opened):
    opened.click(0.5, 0.4)
    before = opened.pixel(0.5, 0.47)
    paint(opened, RED)
    assert strokes(opened)[0]["color"] == RED
    red, _, blue = opened.pixel(0.5, 0.47)
    assert red - blue > before[0] - before[2] + 10
    opened.page.fill("#hex", "red")
    opened.page.press("#hex", "Enter")
    assert opened.page.is_visible("#hex-error")
    assert strokes(opened)[0]["color"] == RED


def test_the_preview_follows_a_color_that_is_dragged(opened):
    opened.click(0.5, 0.4)
    opened.settle()
    under_way, most = set(), 0

    def sent(request):
        nonlocal most
        if request.url.endswith("/preview"):
            under_way.add(request)
            most = max(most, len(under_way))

    opened.page.on("request", sent)
    opened.page.on("requestfinished", lambda request: under_way.discard(request))
    box = opened.page.locator("#disc").bounding_box()
    opened.page.mouse.move(box["x"] + 110, box["y"] + 110)
    opened.page.mouse.down()
    seen = set()
    number = len(opened.requests)
    for step in range(12):
        opened.page.mouse.move(box["x"] + 110 + 6 * step, box["y"] + 100)
        opened.page.wait_for_timeout(40)
        seen.add(tuple(opened.pixel(0.5, 0.47)))
    calls = opened.requests[number:]
    assert len(seen) > 2
    assert most == 1  # one request at a time, however fast the pointer is
    assert not [url for url in calls if url.endswith("/session")]  # nothing to keep yet
    opened.page.mouse.up()
    opened.settle()
    color = strokes(opened)[0]["color"]
    assert color == opened.page.input_value("#hex")
    opened.page.keyboard.press("Control+z")
    assert strokes(opened) == []


def test_a_color_is_moved_and_removed(opened):
    opened.click(0.3, 0.4)
    paint(opened, RED)
    opened.drag((0.3, 0.4), (144.5 / 240, 112.5 / 160))
    [stroke] = strokes(opened)
    assert (stroke["x"], stroke["y"], stroke["color"]) == (144, 112, RED)
    opened.page.keyboard.press("Shift+ArrowLeft")
    assert strokes(opened)[0]["x"] == 143
    opened.page.keyboard.press("Delete")
    assert strokes(opened) == []
    assert opened.page.is_hidden("#picker")


def test_colors_are_listed_by_name(opened):
    for x, color in ((0.2, RED), (0.8, BLUE)):
        opened.click(x, 0.5)
        paint(opened, color)
    rows = opened.page.locator("#hints .choose").all_inner_texts()
    assert ["red" in rows[0], "blue" in rows[1]] == [True, True], rows
    opened.page.locator("#hints .choose").first.click()
    assert opened.page.input_value("#hex") == RED
    opened.page.locator("#hints li button").nth(1).click()
    assert [stroke["color"] for stroke in strokes(opened)] == [BLUE]


def test_undo_and_redo_have_no_limit_and_survive_a_reload(opened):
    for number in range(8):
        opened.click(0.05 + 0.11 * number, 0.5)
        opened.page.keyboard.press("Escape")
    name = opened.page.inner_text("#name")
    last = strokes(opened)
    assert len(last) == 8
    opened.page.reload()
    until(lambda: opened.page.title() != "colorjax")
    opened.settle()
    opened.page.click(f'#thumbs [aria-label^="{name}"]')
    opened.wait_for(name)
    for number in range(8):
        opened.page.keyboard.press("Control+z")
        assert len(strokes(opened)) == 7 - number
    assert opened.page.is_disabled("#undo")
    for _ in range(8):
        opened.page.keyboard.press("Control+Shift+z")
    assert strokes(opened) == last
    assert opened.page.is_disabled("#redo")


def test_the_eyedropper_takes_a_color_of_this_and_of_another_photo(opened, tmp_path):
    opened.click(0.3, 0.4)
    opened.settle()
    shown = opened.pixel(0.8, 0.8)
    opened.page.keyboard.press("i")
    opened.click(0.8, 0.8)
    taken = strokes(opened)[0]["color"]
    assert distance(list(bytes.fromhex(taken[1:])), shown) <= 12  # a mean of 3 x 3 pixels
    Image.new("RGB", (60, 40), (200, 40, 30)).save(tmp_path / "red.png")
    opened.page.click("#pick")
    with opened.page.expect_file_chooser() as chooser:
        opened.page.click("#pick-other")
    chooser.value.set_files(tmp_path / "red.png")
    opened.page.locator("#pick-canvas").click(position={"x": 20, "y": 20})
    assert strokes(opened)[0]["color"] == "#c8281e"


# Areas


def test_a_lasso_bounds_a_color(opened):
    opened.page.keyboard.press("l")
    outside = opened.pixel(0.9, 0.9)
    opened.drag((0.3, 0.3), (0.6, 0.3), (0.6, 0.6), (0.3, 0.6), (0.3, 0.31))
    paint(opened, BLUE)
    [stroke] = strokes(opened)
    assert len(stroke["region"]["polygon"]) >= 4
    inside = opened.pixel(0.52, 0.52)
    assert inside[2] - inside[0] > 20
    assert distance(opened.pixel(0.9, 0.9), outside) <= 3


def test_a_lasso_bounds_a_color_that_is_there(opened):
    opened.click(0.45, 0.45)
    paint(opened, BLUE)
    opened.page.keyboard.press("l")
    opened.drag((0.3, 0.3), (0.6, 0.3), (0.6, 0.6), (0.3, 0.6), (0.3, 0.31))
    [stroke] = strokes(opened)
    assert stroke["color"] == BLUE
    assert stroke["region"]["polygon"]


def test_the_brush_paints_and_the_eraser_makes_gray(opened):
    opened.page.keyboard.press("b")
    opened.drag((0.2, 0.5), (0.8, 0.5))
    paint(opened, RED)
    red, _, blue = opened.pixel(0.7, 0.5)
    assert red - blue > 20
    opened.page.locator("#picker-close").click()
    opened.page.keyboard.press("e")
    for _ in range(4):
        opened.page.keyboard.press("]")  # wider than the blocks of a JPEG
    opened.drag((0.6, 0.3), (0.6, 0.7))
    kinds = [(stroke["kind"], "brush" in stroke["region"]) for stroke in strokes(opened)]
    assert kinds == [("hint", True), ("erase", True)]
    opened.page.mouse.move(5, 5)
    assert is_gray(opened.pixel(0.6, 0.5))
    assert not is_gray(opened.pixel(0.3, 0.5))


# Unsure, ask, versions


def test_the_veil_shows_where_the_program_is_unsure(opened):
    points = [(x, y) for x in np.linspace(0.1, 0.9, 5) for y in np.linspace(0.1, 0.9, 5)]
    before = [opened.pixel(*point) for point in points]
    opened.page.click("#veil")
    until(
        lambda: any(distance(opened.pixel(*p), q) > 4 for p, q in zip(points, before, strict=True))
    )
    assert opened.page.get_attribute("#veil", "aria-pressed") == "true"
    opened.page.keyboard.press("u")
    assert [opened.pixel(*point) for point in points] == before


def test_questions_are_answered_by_a_digit_or_a_click(opened):
    opened.page.keyboard.press("a")
    opened.page.locator("#ask-swatches button").first.wait_for()
    assert "Question 1 of" in opened.page.inner_text("#ask-title")
    color = opened.page.locator("#ask-swatches button").nth(1).get_attribute("data-color")
    opened.page.keyboard.press("2")
    until(lambda: "Question 2 of" in opened.page.inner_text("#ask-title"))
    opened.page.locator("#ask-swatches button").first.click()
    first, second = strokes(opened)
    assert first["color"] == color
    assert (first["x"], first["y"]) != (second["x"], second["y"])
    opened.page.click("#ask-stop")
    opened.page.keyboard.press("Control+z")
    assert strokes(opened) == [first]


def test_one_of_six_versions_is_the_start(opened):
    opened.page.click("#tab-ideas")
    opened.page.click("#make-variants")
    opened.page.locator("#variants button").nth(5).wait_for()
    before = [opened.pixel(x, 0.5) for x in np.linspace(0.1, 0.9, 9)]
    opened.page.locator("#variants button").nth(3).click()
    variant = opened.session()["variant"]
    assert (variant["index"], bool(variant["hints"])) == (3, True)
    after = [opened.pixel(x, 0.5) for x in np.linspace(0.1, 0.9, 9)]
    assert distance(before, after) > 3
    opened.page.click("#no-variant")
    assert opened.session()["variant"] is None


# Sliders, comparing, zoom


def test_sliders_change_the_picture_and_are_reset(opened):
    opened.page.click("#tab-adjust")
    opened.page.locator("#strength").fill("0")
    assert opened.session()["strength"] == 0
    assert all(is_gray(opened.pixel(x, 0.5)) for x in np.linspace(0.1, 0.9, 9))
    opened.page.locator("#strength").fill("100")
    cool = opened.pixel(0.5, 0.5)
    opened.page.locator("#warmth").fill("80")
    opened.settle()
    warm = opened.pixel(0.5, 0.5)
    assert warm[0] - warm[2] > cool[0] - cool[2] + 5
    opened.page.click("#reset")
    state = opened.session()
    assert (state["saturation"], state["warmth"], state["strength"]) == (1, 0, 1)


def test_gray_while_a_key_is_held_and_a_line_between(opened):
    opened.page.click("#photo", position={"x": 5, "y": 5})
    color = opened.pixel(0.3, 0.5)
    assert not is_gray(color)
    opened.page.keyboard.down("g")
    assert is_gray(opened.pixel(0.3, 0.5))
    opened.page.keyboard.up("g")
    assert opened.pixel(0.3, 0.5) == color
    opened.page.keyboard.press("s")
    opened.page.mouse.move(*opened.at(0.6, 0.5))
    assert is_gray(opened.pixel(0.3, 0.5))
    opened.page.mouse.move(*opened.at(0.1, 0.5))
    assert opened.pixel(0.3, 0.5) == color
    opened.page.keyboard.press("s")
    assert opened.pixel(0.05, 0.5) != opened.pixel(0.5, 0.5)


def test_the_zoom_shows_the_photo_at_its_own_size(opened, new_photo):
    path = new_photo("coffee", size=(1500, 1000))
    opened.open(path)
    opened.page.keyboard.press("z")
    assert opened.page.inner_text("#zoom-at") == "100 %"
    with opened.page.expect_response(lambda answer: answer.url.endswith("/region")) as answer:
        opened.drag((0.5, 0.5), (0.45, 0.5))
    assert answer.value.ok
    _, _, width, _ = map(float, opened.page.get_attribute("#photo", "data-box").split())
    assert width == 1500
    opened.page.keyboard.press("0")
    assert opened.page.inner_text("#zoom-at") != "100 %"


# Reference, folder


def test_the_colors_of_another_photo(opened, tmp_path):
    Image.new("RGB", (64, 64), (200, 90, 30)).save(tmp_path / "sunset.png")
    before = [opened.pixel(x, 0.5) for x in np.linspace(0.1, 0.9, 9)]
    opened.page.click("#tab-ideas")
    opened.page.set_input_files("#reference-file", tmp_path / "sunset.png")
    until(lambda: opened.session()["reference"])
    opened.settle()
    assert opened.session()["reference"]["name"] == "sunset.png"
    opened.page.locator("#reference-shown").wait_for()
    assert distance(before, [opened.pixel(x, 0.5) for x in np.linspace(0.1, 0.9, 9)]) > 3
    opened.page.click("#no-reference")
    assert opened.session()["reference"] is None


# Save


def test_the_saved_photo_is_what_the_command_makes(tab, album, tmp_path, environment):
    """Byte for byte: hint, lasso, brush, gray and sliders of the page, replayed by `colorize`."""
    driver = tab().go()
    driver.wait_for("astronaut.png")
    driver.page.click('#thumbs [aria-label^="coffee.png"]')
    driver.wait_for("coffee.png")
    driver.click(0.2, 0.3)
    paint(driver, RED)
    driver.page.keyboard.press("Escape")
    driver.page.locator("#photo").focus()
    driver.page.keyboard.press("l")
    driver.drag((0.5, 0.3), (0.8, 0.3), (0.8, 0.6), (0.5, 0.6), (0.5, 0.31))
    paint(driver, BLUE)
    driver.page.click("#picker-close")
    driver.page.keyboard.press("e")
    driver.drag((0.1, 0.8), (0.5, 0.85))
    driver.page.click("#tab-adjust")
    driver.page.locator("#saturation").fill("130")
    driver.page.locator("#warmth").fill("20")
    driver.settle()
    driver.page.click("#save")
    driver.page.click("#save-folder")
    driver.page.locator("#messages .message", has_text="coffee.color.png").wait_for()
    saved = album / "coffee.color.png"
    session = album / "coffee.color.png.json"
    assert len(json.loads(session.read_text())["strokes"]) == 3
    result = subprocess.run(
        [sys.executable, "-m", "colorjax", "colorize", album / "coffee.png",
         "--hints", session, "--output", tmp_path / "again.png"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert saved.read_bytes() == (tmp_path / "again.png").read_bytes()
    driver.page.click("#save")
    with driver.page.expect_download() as download:
        driver.page.click("#save-download")
    assert download.value.suggested_filename == "coffee.color.png"
    assert download.value.path().read_bytes() == saved.read_bytes()
    driver.page.click("#save")
    driver.page.click("#save-folder")
    driver.page.locator("#save-replace").wait_for()  # asks before it replaces a result
    driver.page.keyboard.press("Escape")


def test_the_colors_of_one_photo_for_the_whole_folder(tab, album):
    driver = tab().go()
    driver.wait_for("astronaut.png")
    for one in driver.call("GET", "/api/photos")["photos"]:  # those of other tests
        if one["uploaded"]:
            driver.call("DELETE", f"/api/photos/{one['id']}")
    driver.page.click("#tab-ideas")
    driver.page.click("#folder")
    until(lambda: "(done)" in driver.page.inner_text("#folder-state"))
    assert (album / "astronaut.color.png").exists()
    assert (album / "chelsea.color.png").exists()
    errors = driver.page.inner_text("#folder-errors")
    assert "torn.jpg" in errors
    assert "failed" in driver.page.inner_text("#folder-state")


# Weights


def test_the_weights_are_shown_with_license_and_card(opened):
    opened.page.click("#tab-setup")
    until(lambda: opened.page.locator("#weights option").count() >= 2)
    assert opened.page.input_value("#weights") == "semantic-lite0"
    assert len(opened.page.inner_text("#weights-about")) > len("License")
    opened.page.click("summary")
    assert len(opened.page.inner_text("#card-text")) > 50


@pytest.mark.parametrize(
    ("ability", "control"),
    [("ask", "#ask"), ("variants", "#make-variants"), ("uncertainty", "#veil"),
     ("reference", "#reference"), ("hints", '[data-tool="hint"]')],
)  # fmt: skip
def test_what_weights_cannot_do_is_off_and_explained(opened, ability, control, new_photo):
    """The server's answer is changed on its way: the shipped weights can do all of it."""

    def without(route):
        answer = route.fetch()
        body = answer.json()
        body["can"] = {**body["can"], ability: False, "why_not": {ability: "These weights cannot."}}
        route.fulfill(response=answer, json=body)

    opened.page.route("**/open", without)
    opened.open(new_photo())
    assert opened.page.locator(control).is_disabled()
    assert opened.page.get_attribute(control, "title") == "These weights cannot."
