import numpy as np
import pytest
from PIL import Image

from colorjax.errors import RequestError
from colorjax.inference.batch import contact_sheet


def colored(path, color, size=(300, 200)):
    Image.new("RGB", size, color).save(path)
    return path


def colors_of(sheet):
    return {color for _, color in sheet.getcolors(2**20)}


def test_photos_stand_before_and_after(tmp_path):
    before, after = (colored(tmp_path / f"{c}.png", c) for c in ("red", "blue"))
    sheet = contact_sheet.draw([("a\nb.png", before, after), ("c.png", after, before)])
    red, blue = ((np.asarray(sheet) == c).all(-1) for c in ((255, 0, 0), (0, 0, 255)))
    assert red.sum() == blue.sum() == 2 * 160 * 107
    top = red.any(1).argmax()
    assert red[top].argmax() < blue[top].argmax()


def test_the_names_are_below(tmp_path):
    photo = colored(tmp_path / "a.png", "red")
    sheets = [
        np.asarray(contact_sheet.draw([(name, photo, photo)])) for name in ("a.png", "b.png" * 40)
    ]
    assert (sheets[0] != sheets[1]).any()
    assert (sheets[0][:160] == sheets[1][:160]).all()
    assert (sheets[1][:, -8:] == 255).all()


def test_a_hundred_photos_of_any_shape_fit(tmp_path):
    shapes = [(1, 1), (900, 3), (3, 900), (160, 160)]
    photos = [colored(tmp_path / f"{n}.png", "red", size) for n, size in enumerate(shapes)]
    pairs = [(f"{n}.png", photos[n % 4], photos[n % 4]) for n in range(130)]
    contact_sheet.write(tmp_path / "new" / "sheet.jpg", pairs)
    with Image.open(tmp_path / "new" / "sheet.jpg") as sheet:
        assert 0.5 < sheet.width / sheet.height < 2
        whole = sheet.size
    contact_sheet.write(tmp_path / "new" / "sheet.jpg", pairs[:100])
    assert Image.open(tmp_path / "new" / "sheet.jpg").size == whole
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["sheet.jpg"]


def test_what_cannot_be_read_leaves_a_box(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no photo")
    pairs = [("a.png", tmp_path / "a.png", tmp_path / "none.png")]
    assert (211, 211, 211) in colors_of(contact_sheet.draw(pairs))


def test_nothing_but_a_contact_sheet_is_replaced(tmp_path):
    for suffix in (".png", ".jpg"):
        sheet = tmp_path / f"sheet{suffix}"
        contact_sheet.check(sheet, overwrite=False)
        contact_sheet.write(sheet, [])
        contact_sheet.check(sheet, overwrite=False)
        colored(sheet, "red")
        with pytest.raises(RequestError, match="is not a contact sheet"):
            contact_sheet.check(sheet, overwrite=False)
        contact_sheet.check(sheet, overwrite=True)
    with pytest.raises(RequestError, match="end in"):
        contact_sheet.check(tmp_path / "sheet.gif", overwrite=False)
