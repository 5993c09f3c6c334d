import numpy as np
import pytest

from colorjax.data.sources.imagenet_classes import class_numbers, wordnet_ids
from colorjax.errors import RequestError

IDS = [f"n{number:08d}" for number in np.random.default_rng(0).permutation(5000)[:1000]]


@pytest.fixture
def folder(tmp_path):
    for name in [*IDS, "other", "n123"]:
        (tmp_path / name).mkdir()
    (tmp_path / "n99999999").write_text("no folder")
    return tmp_path


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "LOC_synset_mapping.txt"
    path.write_text("".join(f"{name} tench, Tinca tinca\n" for name in IDS) + "\n")
    return path


def test_ids_are_numbered_in_sorted_order(folder):
    ids = wordnet_ids(folder)
    assert list(ids) == sorted(IDS)
    names = [sorted(IDS)[999], sorted(IDS)[0], "", "17"]
    assert class_numbers(names, ids).tolist() == [999, 0, -1, 17]


def test_a_file_serves_as_a_folder(folder, file):
    assert wordnet_ids(file) == wordnet_ids(folder)


def test_numbers_need_no_ids():
    assert class_numbers(["0", "999", ""]).dtype == np.int32


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["n01440764"], "needs the list"),
        (["1000"], "from 0 to 999"),
        (["tench"], "not an ImageNet class"),
        (["-1"], "not an ImageNet class"),
    ],
)
def test_other_names_are_refused(names, message):
    with pytest.raises(RequestError, match=message):
        class_numbers(names)


def test_an_id_of_no_class_is_refused(folder):
    with pytest.raises(RequestError, match="not one of the 1000"):
        class_numbers(["n99999999"], wordnet_ids(folder))


def test_fewer_than_a_thousand_do_not_tell_numbers(folder, tmp_path):
    (folder / IDS[0]).rmdir()
    with pytest.raises(RequestError, match="has 999 WordNet ids"):
        wordnet_ids(folder)


def test_a_missing_place_is_named(tmp_path):
    with pytest.raises(RequestError, match="nowhere"):
        wordnet_ids(tmp_path / "nowhere")
