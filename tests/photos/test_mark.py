"""The mark of a result is found again in every format, without decoding the file."""

import pytest
from helpers.photos import zoo
from helpers.photos.conformance import paint

from colorjax import photos
from colorjax.photos import xmp

MARK = {
    "by": "weights \"of\" <mine> & 'yours'",
    "tool": "colorjax 0",
    "weights": "00ff",
    "settings": "size=256; tile=Tiling(size=(3, 4))",
    "input": "abcd",
}
NAMES = {
    "jpeg rgb q100 4:4:4": ".jpg",
    "png 16 rgb": ".png",
    "tiff 16 rgb": ".tif",
    "webp lossy": ".webp",
    "avif": ".avif",
    "jpeg2000 16 rgb": ".jp2",
}


@pytest.mark.parametrize("name", NAMES)
def test_every_format_keeps_the_mark(name, tmp_path):
    photo = photos.read(next(one for one in zoo.animals() if one.name == name).data)
    paint(photo)
    path = tmp_path / f"a{NAMES[name]}"
    photos.write(path, photo, path.suffix, mark=MARK)
    assert photos.read_mark(path) == MARK
    # A result that is colorized again has the newer mark only.
    again = photos.read(path)
    paint(again)
    photos.write(path, again, path.suffix, mark={"by": "b", "tool": "t"})
    assert photos.read_mark(path) == {"by": "b", "tool": "t"}


def test_a_sidecar_has_the_mark(tmp_path):
    (tmp_path / "a.bmp").write_bytes(b"BM")
    assert photos.read_mark(tmp_path / "a.bmp") == {}
    (tmp_path / "a.bmp.xmp").write_bytes(photos.sidecar_xmp(MARK))
    assert photos.read_mark(tmp_path / "a.bmp") == MARK


@pytest.mark.parametrize(
    "content",
    [b"", b"no photo", b'<rdf:Description xmlns:colorjax="x" a="1" a="2"/>', xmp.sidecar_xmp({})],
)
def test_other_files_have_no_mark(content, tmp_path):
    (tmp_path / "a.jpg").write_bytes(content)
    assert photos.read_mark(tmp_path / "a.jpg").get("by", "") == ""
    assert photos.read_mark(tmp_path / "none.jpg") == {}
