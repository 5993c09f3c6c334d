import json

import pytest
from helpers.synthetic import tiny_config

from colorjax.data.selection import part_lists, splits
from colorjax.errors import RequestError
from colorjax.weights.workdir import Workdir


def test_a_file_says_who_is_in_which_part(photos, tmp_path):
    parts = {
        "train": ["beach/02.png", "beach/00.png"],
        "validation": ["forest/01.png"],
        "eval": ["forest/03.png"],
    }
    part_lists.write(tmp_path / "parts.json", parts)
    config = tiny_config(photos, **{"data.parts": str(tmp_path / "parts.json")})
    found = splits.open_splits(config.data)
    assert list(found.train.keys) == ["beach/00.png", "beach/02.png"]
    assert list(found.validation.keys) == ["forest/01.png"]
    assert list(found.eval.keys) == ["forest/03.png"]
    assert splits.indices(found)["train"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "is no JSON file"),
        ("[", "is no JSON file"),
        ('["a"]', "is no JSON file"),
        ('{"train": ["beach/00.png"], "eval": ["beach/00.png"]}', "'beach/00.png' twice"),
        ('{"eval": ["beach/00.png"]}', "no photo to train on"),
        ('{"train": ["beach/00.png", "gone.png"]}', "1 photos .* the first 'gone.png'"),
    ],
)
def test_lists_that_cannot_be_used_are_told(content, told, photos, tmp_path):
    place = tmp_path / "parts.json"
    if content:
        place.write_text(content)
    config = tiny_config(photos, **{"data.parts": str(place)})
    with pytest.raises(RequestError, match=told):
        splits.open_splits(config.data)


def test_names_that_are_no_utf8_come_back(tmp_path):
    names = ["na\udcefve.png", "new\nline.png"]
    part_lists.write(tmp_path / "p.json", {"train": names, "validation": [], "eval": []})
    assert part_lists.read(tmp_path / "p.json")["train"] == names


def test_workdirs_of_before_go_on(tmp_path):
    """They lack the later fields, and did what is now the default."""
    config = tiny_config("photos")
    workdir = Workdir(tmp_path)
    workdir.prepare(config)
    stored = json.loads(workdir.config_file.read_text())
    del stored["train_only"], stored["data"]["parts"], stored["model"]["add_layer"]
    workdir.config_file.write_text(json.dumps(stored))
    workdir.check_fits(config)
    with config.unlocked():
        config.train_only = "head"
        config.model.add_layer = True
    with pytest.raises(RequestError, match=r"another model\.add_layer, train_only"):
        workdir.check_fits(config)
