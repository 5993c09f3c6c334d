import numpy as np
import pytest

from colorjax.data.sources import labels
from colorjax.errors import RequestError


@pytest.mark.parametrize("rule", ["folder", "path"])
def test_places365_tree_gives_the_class_not_the_letter(rule):
    keys = ["a/airfield/1.jpg", "a/apartment_building/outdoor/2.jpg", "b/bar/3.jpg"]
    assert labels.from_folders(keys, rule) == ["airfield", "apartment_building/outdoor", "bar"]


def test_rules_differ_where_folders_are_nested():
    keys = ["n01/images/1.jpg", "n02/images/2.jpg", "3.jpg"]
    assert labels.from_folders(keys, "folder") == ["n01", "n02", ""]
    assert labels.from_folders(keys, "path") == ["n01/images", "n02/images", ""]


def test_single_letter_classes_are_kept():
    assert labels.from_folders(["a/1.png", "b/2.png"], "folder") == ["a", "b"]


def test_file_of_labels(tmp_path):
    file = tmp_path / "list.txt"
    file.write_text("/one.jpg 7\nsub/two words.jpg,12\n\n")
    keys = ["one.jpg", "sub/two words.jpg", "three.jpg"]
    assert labels.from_file(str(file), keys) == ["7", "12", ""]
    assert labels.known_classes(["12", "7", ""]) == ("7", "12")


def test_file_of_labels_says_what_is_wrong(tmp_path):
    with pytest.raises(RequestError, match="folder, path, none"):
        labels.from_file("nowhere.txt", ["a.jpg"])
    file = tmp_path / "list.txt"
    file.write_text("a.jpg 1\nb.jpg\n")
    with pytest.raises(RequestError, match="line 2"):
        labels.from_file(str(file), ["a.jpg"])
    file.write_text("z.jpg 1\n")
    with pytest.raises(RequestError, match="none of the photos"):
        labels.from_file(str(file), ["a.jpg"])


def test_ids():
    ids = labels.to_ids(["b", "", "x", "a"], ("a", "b"))
    np.testing.assert_array_equal(ids, [1, -1, -1, 0])
    assert ids.dtype == np.int32


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lists_of_any_editor_are_read(coding, tmp_path):
    file = tmp_path / "labels.txt"
    file.write_bytes("é.jpg  cat  \r\n\r\n./b/c.jpg dog\t\r\n".encode(coding))
    assert labels.from_file(str(file), ["é.jpg", "b/c.jpg"]) == ["cat", "dog"]


def test_a_list_that_is_no_text_is_refused(tmp_path):
    file = tmp_path / "labels.txt"
    file.write_bytes(b"\xff\xd8\xff\xe0 a photo")
    with pytest.raises(RequestError, match="is not a text file"):
        labels.from_file(str(file), ["a.jpg"])
