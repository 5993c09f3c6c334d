"""Results at full size: the same bytes as `colorjax colorize`, and its rules."""

import io
import json
import time

import numpy as np
import pytest
from helpers.page_server import serving
from PIL import Image

from colorjax.cli import main as cli

STATE = {
    "strokes": [
        {"kind": "hint", "x": 10, "y": 10, "color": "#c04030", "region": None},
        {
            "kind": "hint",
            "x": 50,
            "y": 30,
            "color": "#3050a0",
            "region": {"polygon": [[40, 20], [60, 20], [60, 40], [40, 40]]},
        },
        {"kind": "erase", "region": {"brush": [[-5, 5], [20, 5]], "width": 8}},
    ],
    "saturation": 1.3,
    "warmth": -0.2,
    "strength": 0.8,
}


@pytest.fixture
def colorize(semantic_workdir, loaded_once, capsys):
    """Runs `colorjax colorize` in this process, with the weights loaded once."""

    def run(*args, weights=True):
        given = ["--checkpoint", str(semantic_workdir)] if weights else []
        return cli.run(["colorize", *map(str, args), *given]), capsys.readouterr().err

    return run


def tree(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["a.png", "b.jpg", "c.png"])
def test_a_saved_photo_equals_the_replayed_session(name, page, album, colorize, tmp_path):
    id = page.id(name)
    page.json("POST", f"/api/photos/{id}/open", {})
    saved = page.json("POST", f"/api/photos/{id}/save", {"state": STATE})
    result = album / saved["file"]
    journal = album / f"{saved['file']}.json"
    again = tmp_path / f"again{result.suffix}"
    for weights in (True, False):  # the session names its weights
        status, error = colorize(
            album / name, "--hints", journal, "--output", again, "--overwrite", weights=weights
        )
        assert (status, error) == (0, "")
        assert again.read_bytes() == result.read_bytes()
    assert Image.open(result).info.get("dpi") == Image.open(album / name).info.get("dpi")
    plain = tmp_path / f"plain{result.suffix}"
    colorize(album / name, "--output", plain, "--recolor")
    assert plain.read_bytes() != result.read_bytes()


def test_sixteen_bits_and_transparency_are_kept(semantic_workdir, colorize, tmp_path):
    import imagecodecs

    pixels = np.random.default_rng(0).integers(0, 65536, (48, 64, 2), np.uint16)
    (tmp_path / "deep.png").write_bytes(imagecodecs.png_encode(pixels))
    with serving([tmp_path / "deep.png"], semantic_workdir, tmp_path / "private") as page:
        id = page.id("deep.png")
        page.json("POST", f"/api/photos/{id}/open", {})
        page.json("POST", f"/api/photos/{id}/save", {"state": STATE})
    result = tmp_path / "deep.color.png"
    stored = imagecodecs.png_decode(result.read_bytes())
    assert stored.dtype == np.uint16
    np.testing.assert_array_equal(stored[..., 3], pixels[..., 1])
    again = tmp_path / "again.png"
    colorize(tmp_path / "deep.png", "--hints", f"{result}.json", "--output", again)
    assert again.read_bytes() == result.read_bytes()


def test_a_session_with_a_reference_and_a_variant_replays(page, album, colorize, tmp_path):
    id = page.id("a.png")
    page.json("POST", f"/api/photos/{id}/open", {})
    content = (album / "c.png").read_bytes()
    added = page.json("PUT", "/api/references?name=c.png", raw=content, status=201)
    body = {"state": {}, "k": 1, "seed": 5}
    drawn = page.json("POST", f"/api/photos/{id}/variants", body)["variants"][0]
    state = STATE | {
        "reference": {"digest": added["digest"], "name": "c.png"},
        "variant": {"seed": 5, "index": 0, "hints": drawn["hints"]},
    }
    page.json("POST", f"/api/photos/{id}/save", {"state": state})
    journal, again = album / "a.color.png.json", tmp_path / "again.png"
    status, error = colorize(album / "a.png", "--hints", journal, "--output", again)
    assert (status, error) == (0, "")  # the reference lies beside the session
    assert again.read_bytes() == (album / "a.color.png").read_bytes()
    (album / "c.png").rename(tmp_path / "moved.png")
    status, error = colorize(album / "a.png", "--hints", journal, "--output", again, "--overwrite")
    assert status == 2
    assert "--global-image" in error
    moved = ("--global-image", tmp_path / "moved.png")
    options = ("--hints", journal, "--output", again, "--overwrite", *moved)
    assert colorize(album / "a.png", *options) == (0, "")
    assert again.read_bytes() == (album / "a.color.png").read_bytes()


def test_an_existing_result_is_replaced_only_on_request(page, album):
    original = (album / "a.png").read_bytes()
    (album / "a.color.png").write_bytes(b"mine")
    id = page.id("a.png")
    status, _, content = page.call("POST", f"/api/photos/{id}/save", {"state": STATE})
    assert status == 409
    assert json.loads(content)["exists"] is True
    assert (album / "a.color.png").read_bytes() == b"mine"
    page.json("POST", f"/api/photos/{id}/save", {"state": STATE, "overwrite": True})
    assert Image.open(album / "a.color.png").mode == "RGB"
    assert (album / "a.png").read_bytes() == original
    photos = page.json("GET", "/api/photos")["photos"]
    assert [photo["saved"] for photo in photos] == [True, False, False]


def test_a_download_writes_nothing_and_equals_the_saved_file(page, album, tmp_path):
    id = page.id("b.jpg")
    page.json("POST", f"/api/photos/{id}/open", {})
    before = tree(album)
    _, headers, content = page.call("POST", f"/api/photos/{id}/download", {"state": STATE})
    assert headers["content-type"] == "image/jpeg"
    assert headers["x-colorjax-name"] == "b.color.jpg"
    assert tree(album) == before
    assert not list((tmp_path / "private").iterdir())
    page.json("POST", f"/api/photos/{id}/save", {"state": STATE})
    assert (album / "b.color.jpg").read_bytes() == content


def test_a_dropped_photo_is_saved_in_the_results_folder(page, album, tmp_path):
    content = (album / "b.jpg").read_bytes()
    first = page.json("PUT", "/api/photos?name=gran.jpg", raw=content, status=201)
    page.json("POST", f"/api/photos/{first['id']}/save", {"state": STATE})
    assert tree(tmp_path / "dropped") == ["gran.color.jpg", "gran.color.jpg.json"]
    other = page.json(
        "PUT", "/api/photos?name=gran.jpg", raw=content + b"\0", status=201
    )  # another photo of the same name
    assert other["output"] == "gran-2.color.jpg"


def test_a_full_disk_is_one_sentence(page, monkeypatch):
    from colorjax.runtime import atomic

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "write_bytes", full)
    id = page.id("a.png")
    status, _, content = page.call("POST", f"/api/photos/{id}/save", {"state": STATE})
    assert status == 422
    assert "No space left" in json.loads(content)["error"]


def wait_for_batch(page):
    for _ in range(600):
        progress = page.json("GET", "/api/batch")
        if not progress["running"]:
            return progress
        time.sleep(0.05)
    raise AssertionError(progress)


def test_a_folder_is_colorized_with_progress_and_the_errors_are_listed(
    page, album, colorize, tmp_path
):
    (album / "b.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")  # after the folder was listed
    (album / "c.color.png").write_bytes(b"mine")
    assert page.call("GET", "/api/batch")[0] == 404
    sliders = {"saturation": 1.3, "warmth": 0.2}
    progress = page.json("POST", "/api/batch", {"state": STATE | sliders}, status=202)
    assert progress["total"] == 3
    done = wait_for_batch(page)
    assert (done["done"], done["skipped"], done["failed"]) == (1, 1, 1)
    assert done["failures"][0]["name"] == "b.jpg"
    assert done["failures"][0]["error"].endswith(".")
    assert done["skips"] == [{"name": "c.png", "reason": "exists"}]
    again = tmp_path / "again.png"
    options = ("--saturation", 1.3, "--warmth", 0.2, "--strength", 0.8, "--recolor")
    assert colorize(album / "a.png", *options, "--output", again)[0] == 0
    assert again.read_bytes() == (album / "a.color.png").read_bytes()


def test_the_colors_of_one_photo_serve_the_folder(page, album):
    first = page.id("a.png")
    plain = page.json("POST", "/api/batch", {"state": {}, "photos": [page.id("b.jpg")]}, status=202)
    assert plain["total"] == 1
    wait_for_batch(page)
    before = np.asarray(Image.open(album / "b.color.jpg")).astype(int)
    body = {"state": STATE, "photos": [page.id("b.jpg")], "colors_of": first, "overwrite": True}
    page.json("POST", "/api/batch", body, status=202)
    assert wait_for_batch(page)["done"] == 1
    assert np.abs(np.asarray(Image.open(album / "b.color.jpg")) - before).max() > 2


def test_a_folder_leaves_corrected_photos_alone(page, album):
    id = page.id("a.png")
    page.json("POST", f"/api/photos/{id}/save", {"state": STATE})
    before = (album / "a.color.png").read_bytes()
    body = {"state": {"warmth": 0.5}, "photos": [id, page.id("b.jpg")], "overwrite": True}
    page.json("POST", "/api/batch", body, status=202)
    done = wait_for_batch(page)
    assert (done["done"], done["skipped"]) == (1, 1)
    assert done["skips"][0]["reason"].startswith("corrected by hand")
    assert (album / "a.color.png").read_bytes() == before


def test_a_batch_stops_after_the_current_photo(page, monkeypatch):
    from colorjax.inference.batch.work import PhotoWork

    call = PhotoWork.__call__

    def slow(self, job):
        time.sleep(0.3)
        return call(self, job)

    monkeypatch.setattr(PhotoWork, "__call__", slow)
    page.json("POST", "/api/batch", {"state": {}}, status=202)
    status, _, content = page.call("POST", "/api/batch", {"state": {}})
    assert status == 409
    assert json.loads(content)["running"] is True
    page.json("DELETE", "/api/batch")
    done = wait_for_batch(page)
    assert done["stopped"]
    assert done["done"] == 1


def test_a_program_gets_the_bytes_of_colorize(page, album, colorize, tmp_path):
    content = (album / "b.jpg").read_bytes()
    path = "/v1/colorize?hint=10,10,%23c04030&hint=50,30,%233050a0&saturation=1.2&warmth=0.5"
    _, headers, got = page.call("PUT", path, raw=content)
    assert headers["content-type"] == "image/jpeg"
    result = tmp_path / "again.jpg"
    hints = ("--hint", "10,10,#c04030", "--hint", "50,30,#3050a0")
    colorize(album / "b.jpg", *hints, "--saturation", 1.2, "--warmth", 0.5, "--output", result)
    assert got == result.read_bytes()
    assert not list((tmp_path / "private").iterdir())


def test_a_program_gets_color_photos_unchanged_unless_it_asks(page, album):
    content = (album / "c.png").read_bytes()
    assert page.call("PUT", "/v1/colorize", raw=content)[2] == content
    _, _, again = page.call("PUT", "/v1/colorize?recolor=1", raw=content)
    assert again != content
    assert Image.open(io.BytesIO(again)).size == (64, 64)


@pytest.mark.parametrize(
    ("query", "content", "status"),
    [
        ("hint=1", b"x", 422),
        ("hint=900,1,%23c04030", None, 422),
        ("saturation=x", None, 400),
        ("saturation=9", None, 422),
        ("colour=1", None, 400),
        ("", b"no photo", 415),
        ("", b"", 400),
    ],
)
def test_a_program_gets_one_sentence_for_a_wrong_request(query, content, status, page, album):
    raw = (album / "a.png").read_bytes() if content is None else content
    got, _, answer = page.call("PUT", f"/v1/colorize?{query}", raw=raw)
    assert got == status, answer
    assert json.loads(answer)["error"].endswith(".")
