"""The calls of the page, one after the other."""

import base64
import io
import json
import threading
import time

import numpy as np
import pytest
from helpers.page_server import serving
from PIL import Image

from colorjax import color
from colorjax.inference.session import State
from colorjax.serve import preview, studio

RED = "#c04030"


def opened(page, name="a.png"):
    id = page.id(name)
    return id, page.json("POST", f"/api/photos/{id}/open", {})


def picture(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def hint(x, y, code=RED, region=None):
    return {"kind": "hint", "x": x, "y": y, "color": code, "region": region}


def test_photos_of_the_command_line_are_listed_with_opaque_ids(page, album):
    photos = page.json("GET", "/api/photos")
    assert [photo["name"] for photo in photos["photos"]] == ["a.png", "b.jpg", "c.png"]
    assert photos["folder"] == "album"
    first = photos["photos"][0]
    assert first["output"] == "a.color.png"
    assert not any(first[key] for key in ("edited", "saved", "uploaded", "error"))
    assert int(first["id"], 16)


def test_opening_gives_the_size_and_what_the_weights_can_do(page):
    _, photo = opened(page)
    assert (photo["width"], photo["height"]) == (64, 48)
    assert photo["preview"] == {"width": 64, "height": 48}
    assert photo["state"] is None
    assert photo["has_colors"] is False
    assert photo["can"]["hints"]
    assert photo["can"]["ask"]
    assert opened(page, "c.png")[1]["has_colors"] is True


def test_a_preview_is_the_picture_of_colorize(page, album):
    """The photo is as small as its preview, so the two are the same but for rounding."""
    id, _ = opened(page)
    strokes = [hint(10, 10), hint(50, 30, "#3050a0")]
    state = {"strokes": strokes, "saturation": 1.2, "warmth": 0.4, "strength": 0.9}
    content = page.bytes("POST", f"/api/photos/{id}/preview", {"state": state, "seq": 4})
    wanted = page.studio.loaded.colorizer.colorize(
        Image.open(album / "a.png").convert("RGB"),
        hints=[(10, 10, RED), (50, 30, "#3050a0")],
        saturation=1.2,
        warmth=0.4,
        strength=0.9,
    )
    exact = page.studio.photo(id, State()).picture(State.from_json(state))
    assert np.abs(picture(content).astype(int) - exact).mean() < 9  # JPEG of tiny, vivid noise
    lab = [color.rgb_u8_to_lab(np.asarray(one)) for one in (exact, wanted)]
    assert np.abs(lab[0] - lab[1]).mean() < 2  # many of these colors are outside sRGB
    plain = picture(page.bytes("POST", f"/api/photos/{id}/preview", {"state": {}, "seq": 5}))
    assert np.abs(color.rgb_u8_to_lab(plain) - lab[1]).mean() > 3


def test_a_preview_echoes_its_number(page):
    id, _ = opened(page)
    _, headers, _ = page.call("POST", f"/api/photos/{id}/preview", {"state": {}, "seq": 41})
    assert headers["x-colorjax-seq"] == "41"


def test_an_erasure_is_gray_and_a_lasso_has_its_color(page):
    id, _ = opened(page)
    strokes = [
        hint(50, 30, "#3050a0", {"polygon": [[40, 20], [60, 20], [60, 40], [40, 40]]}),
        {"kind": "erase", "region": {"brush": [[5, 5], [20, 5]], "width": 8}},
    ]
    state = {"strokes": strokes, "saturation": 2, "warmth": 1}
    got = page.json("POST", f"/api/photos/{id}/pixel", {"state": state, "x": 10, "y": 5})
    assert np.abs(got["ab"]).max() < 0.01
    got = page.json("POST", f"/api/photos/{id}/pixel", {"state": state, "x": 45, "y": 35})
    wanted = color.rgb_u8_to_lab(np.array([0x30, 0x50, 0xA0], np.uint8))[1:]
    np.testing.assert_allclose(got["ab"], wanted, atol=0.01)


def test_a_part_at_full_size_is_that_part_of_the_picture(page, album):
    id, _ = opened(page)
    state = {"strokes": [hint(10, 10)]}
    body = {"state": state, "seq": 1, "box": [8, 4, 32, 24]}
    part = picture(page.bytes("POST", f"/api/photos/{id}/region", body))
    whole = page.studio.loaded.colorizer.colorize(
        Image.open(album / "a.png").convert("RGB"), hints=[(10, 10, RED)]
    )
    lab = [color.rgb_u8_to_lab(np.asarray(one)) for one in (part, whole.crop((8, 4, 40, 28)))]
    assert np.abs(lab[0] - lab[1]).mean() < 3  # JPEG of tiny, vivid noise
    other = whole.crop((16, 10, 48, 34))
    assert np.abs(lab[0] - color.rgb_u8_to_lab(np.asarray(other))).mean() > 5
    before = picture(page.bytes("GET", f"/api/photos/{id}/before?box=8,4,32,24"))
    assert before.shape == (24, 32, 3)
    assert np.abs(before.astype(int) - before.mean(-1, keepdims=True)).max() <= 1
    outside = {"state": {}, "seq": 1, "box": [900, 4, 32, 24]}
    assert page.call("POST", f"/api/photos/{id}/region", outside)[0] == 422


def test_suggestions_have_the_lightness_of_the_pixel(page):
    id, _ = opened(page)
    body = {"state": {}, "x": 20, "y": 20, "k": 6}
    got = page.json("POST", f"/api/photos/{id}/suggest", body)
    codes = [bytes.fromhex(one["color"][1:]) for one in got["suggestions"]]
    lab = color.rgb_u8_to_lab(np.array([list(code) for code in codes], np.uint8))
    assert np.abs(lab[:, 0] - got["lightness"]).max() < 0.6
    shares = [one["probability"] for one in got["suggestions"]]
    assert shares == sorted(shares, reverse=True)


def test_uncertainty_is_a_small_gray_picture(page):
    id, _ = opened(page)
    content = page.bytes("POST", f"/api/photos/{id}/uncertainty", {"state": {}})
    veil = Image.open(io.BytesIO(content))
    assert veil.mode == "L"
    assert max(veil.size) <= 64


def test_questions_lie_in_the_photo(page):
    id, _ = opened(page)
    questions = page.json("POST", f"/api/photos/{id}/ask", {"state": {}, "k": 3})["questions"]
    assert len(questions) == 3
    assert all(0 <= one["x"] < 64 and 0 <= one["y"] < 48 for one in questions)
    assert all(one["suggestions"] for one in questions)


def test_a_variant_is_a_start_that_the_state_can_hold(page):
    id, _ = opened(page)
    body = {"state": {"strokes": [hint(10, 10)]}, "k": 2, "seed": 3}
    got = page.json("POST", f"/api/photos/{id}/variants", body)
    assert [one["index"] for one in got["variants"]] == [0, 1]
    assert got == page.json("POST", f"/api/photos/{id}/variants", body)  # the seed decides
    second = got["variants"][1]
    small = picture(base64.b64decode(second["jpeg"]))
    variant = {"seed": 3, "index": 1, "hints": second["hints"]}
    state = body["state"] | {"variant": variant}
    started = picture(page.bytes("POST", f"/api/photos/{id}/preview", {"state": state, "seq": 1}))
    assert np.abs(started.astype(int) - small).mean() < 2


def test_dropped_photos_are_known_by_their_content(page, album, tmp_path):
    content = (album / "a.png").read_bytes()
    first = page.json("PUT", "/api/photos?name=..%2Fmy%20photo.png", raw=content, status=201)
    assert first["name"] == "my photo.png"
    assert first["output"] == "my photo.color.png"
    again = page.json("PUT", "/api/photos?name=other.png", raw=content, status=201)
    assert again["id"] == first["id"]
    assert len(list((tmp_path / "private").iterdir())) == 1
    page.json("POST", f"/api/photos/{first['id']}/open", {})
    assert page.call("DELETE", f"/api/photos/{first['id']}")[0] == 204
    assert page.call("GET", f"/api/photos/{first['id']}/before")[0] == 404
    assert not list((tmp_path / "private").iterdir())
    assert page.call("DELETE", f"/api/photos/{page.id('a.png')}")[0] == 422


@pytest.mark.parametrize("content", [b"no photo", b"\xff\xd8\xff\xe0", b"GIF89a", b"%PDF-1.7"])
def test_what_is_no_photo_is_refused_in_one_sentence(content, page):
    status, _, answer = page.call("PUT", "/api/photos?name=x.jpg", raw=content)
    if status == 201:  # its start is that of a photo: the rest is read when it is opened
        id = json.loads(answer)["id"]
        status, _, answer = page.call("POST", f"/api/photos/{id}/open", {})
    assert status == 415
    assert json.loads(answer)["error"].endswith(".")


def test_too_large_photos_are_refused_by_their_header(album, semantic_workdir, tmp_path):
    with serving([], semantic_workdir, tmp_path / "p", max_pixels=1000) as page:
        content = (album / "a.png").read_bytes()
        assert page.call("PUT", "/api/photos?name=x.png", raw=content)[0] == 413


BAD = [
    ({"strokes": "x"}, 422),
    ({"strokes": [{"kind": "hint", "x": 1, "y": 1}]}, 422),
    ({"strokes": [hint(64, 1)]}, 422),
    ({"strokes": [hint(1, 1, "red")]}, 422),
    ({"strokes": [hint(1, 1, region={"polygon": [[9, 9], [20, 9], [20, 20]]})]}, 422),
    ({"strokes": [hint(1, 1, region={"brush": [[1, 1]], "width": -1})]}, 422),
    ({"strokes": [hint(1, 1, region={"brush": [[1, 1]] * 6000, "width": 3})]}, 422),
    ({"strokes": [hint(1, 1)] * 501}, 422),
    ({"saturation": 9}, 422),
    ({"warmth": "hot"}, 422),
    ({"strength": None}, 422),
    ({"version": 2}, 422),
    ({"unknown": 1}, 422),
    ({"reference": {"digest": "../x"}}, 422),
    ({"reference": {"digest": "0" * 64, "name": "x"}}, 404),
    ({"variant": {"seed": 1}}, 422),
    ([1], 422),
    ("x", 422),
]


@pytest.mark.parametrize(("state", "status"), BAD)
def test_a_wrong_state_is_refused_in_one_sentence(state, status, shared_page):
    id = shared_page.id("0.png")
    got, _, content = shared_page.call(
        "POST", f"/api/photos/{id}/preview", {"state": state, "seq": 1}
    )
    assert got == status, content
    text = json.loads(content)["error"]
    assert text.endswith(".")
    assert "\n" not in text


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff", b'{"state": NaN}', b"[" * 100000])
def test_a_wrong_body_is_refused(content, shared_page):
    path = f"/api/photos/{shared_page.id('0.png')}/preview"
    assert shared_page.call("POST", path, raw=content)[0] == 400


def test_wrong_methods_and_pages_are_json(shared_page):
    for method, path, wanted in (("POST", "/api/photos", 405), ("GET", "/api/nothing", 404)):
        status, _, content = shared_page.call(method, path)
        assert status == wanted
        assert json.loads(content).keys() == {"error"}


def test_a_reference_changes_the_colors(page, album):
    id, photo = opened(page)
    assert photo["can"]["reference"]
    added = page.json(
        "PUT", "/api/references?name=sun.png", raw=(album / "c.png").read_bytes(), status=201
    )
    same = page.json("POST", "/api/references", {"photo": page.id("c.png")}, status=201)
    assert same["digest"] == added["digest"]
    small = page.bytes("GET", f"/api/references/{added['digest']}/thumbnail?side=32")
    assert max(picture(small).shape) == 32
    state = {"reference": {"digest": added["digest"], "name": "sun.png"}}
    pictures = [
        picture(page.bytes("POST", f"/api/photos/{id}/preview", {"state": one, "seq": 1}))
        for one in ({}, state)
    ]
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() > 2


def test_weights_have_a_card_and_say_what_they_cannot(page, workdir):
    got = page.json("GET", "/api/weights")
    names = [one["name"] for one in got["weights"]]
    assert "semantic-lite0" in names
    assert got["current"] in names
    named = next(one for one in got["weights"] if one["name"] == "semantic-lite0")
    assert "CC BY-NC" in named["license"]
    assert named["can"]["why_not"] == {}
    page.studio.engine.names.append(str(workdir))  # plain_cnn: without bins
    plain = page.json("POST", "/api/weights", {"name": str(workdir)})
    assert not any(plain["can"][key] for key in ("suggest", "ask", "reference"))
    assert {"suggest", "ask", "reference"} <= plain["can"]["why_not"].keys()
    id, photo = opened(page)
    assert photo["can"] == plain["can"]
    body = {"state": {}, "x": 1, "y": 1}
    status, _, content = page.call("POST", f"/api/photos/{id}/suggest", body)
    assert status == 422
    assert "error" in json.loads(content)
    assert page.call("POST", "/api/weights", {"name": "/etc"})[0] == 404


def test_the_network_runs_once_per_photo(page, monkeypatch):
    colorizer = page.studio.loaded.colorizer
    runs, predict = [], colorizer.predict

    def counted(*args, **options):
        runs.append(args)
        return predict(*args, **options)

    monkeypatch.setattr(colorizer, "predict", counted)
    id, _ = opened(page)
    for x in range(5):
        body = {"state": {"strokes": [hint(x, 3)], "warmth": x / 5}, "seq": x}
        page.bytes("POST", f"/api/photos/{id}/preview", body)
    assert len(runs) == 1


def test_few_photos_are_in_memory(page, monkeypatch):
    monkeypatch.setattr(studio, "_MOST_OPEN", 2)
    for name in ("a.png", "b.jpg", "c.png", "a.png"):
        opened(page, name)
        assert len(page.studio._open) <= 2


def test_the_latest_preview_wins(page, monkeypatch):
    id, _ = opened(page)
    gate, painted = threading.Event(), []
    paint = preview.OpenPhoto.preview

    def slow(self, state, side=preview.SIDE):
        painted.append(state.warmth)
        gate.wait(20)
        return paint(self, state, side)

    monkeypatch.setattr(preview.OpenPhoto, "preview", slow)
    answers = {}

    def ask(number):
        body = {"state": {"warmth": number / 10}, "seq": number, "client": "me"}
        answers[number] = page.call("POST", f"/api/photos/{id}/preview", body)

    threads = []
    for number in range(6):
        threads.append(threading.Thread(target=ask, args=(number,)))
        threads[-1].start()
        time.sleep(0.15)
    gate.set()
    for thread in threads:
        thread.join(20)
    assert painted == [0, 0.5]  # the one that ran, and the last
    assert [answers[number][0] for number in range(6)] == [200, 409, 409, 409, 409, 200]
    assert json.loads(answers[2][2])["superseded"] is True


def test_progress_is_named(page, monkeypatch):
    stages = []
    read = page.studio.album[page.id("a.png")].read

    def noted(max_pixels):
        stages.append(page.json("GET", "/api/status"))
        return read(max_pixels)

    monkeypatch.setattr(page.studio.album[page.id("a.png")], "read", noted)
    opened(page)
    assert stages[0]["stage"] == "reading the photo"
    assert stages[0]["busy"]
    assert page.json("GET", "/api/status")["stage"] == ""


def test_a_neutral_state_is_the_plain_prediction():
    assert State.from_json({}) == State()
    assert State.from_json(State().to_json()) == State()
