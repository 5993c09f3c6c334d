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
    opened = splits.open_splits(config.data)
    assert list(opened.train.keys) == ["beach/00.png", "beach/02.png"]
    assert list(opened.validation.keys) == ["forest/01.png"]
    assert list(opened.eval.keys) == ["forest/03.png"]
    assert splits.indices(opened)["train"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not a JSON file"),
        ("[", "is not a JSON file"),
        ('["a"]', "is not a JSON file"),
        ('{"train": ["beach/00.png"], "eval": ["beach/00.png"]}', "'beach/00.png' twice"),
        ('{"eval": ["beach/00.png"]}', "no training photos"),
        ('{"train": ["beach/00.png", "gone.png"]}', "1 photos .* the first 'gone.png'"),
    ],
)
def test_unusable_lists_are_refused(content, message, photos, tmp_path):
    file = tmp_path / "parts.json"
    if content:
        file.write_text(content)
    config = tiny_config(photos, **{"data.parts": str(file)})
    with pytest.raises(RequestError, match=message):
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
    with pytest.raises(RequestError, match=r"(another|a different) model\.add_layer, train_only"):
        workdir.check_fits(config)
