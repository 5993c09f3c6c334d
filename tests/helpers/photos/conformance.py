"""One row of the conformance table: a file of the zoo is read, painted, written and compared."""

import io

import numpy as np
from helpers.photos import readers
from PIL import Image

from colorjax import color, photos
from colorjax.photos import color_space

MARK = {"by": "test-weights", "tool": "colorjax 0"}
STEP = 100 / 255  # of L
SHARE = 0.999  # of pixels that keep their L


def paint(photo, seed=0):
    """Paints a photo with smooth colours at its own lightness, in two bands of rows."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0, 25, (4, 4, 2)).astype(np.float32)
    size = (photo.width, photo.height)
    ab = [np.asarray(Image.fromarray(c).resize(size, 3)) for c in coarse.transpose(2, 0, 1)]
    ab = np.stack(ab, -1)
    half = photo.height // 2
    for rows in (slice(0, half), slice(half, photo.height)):
        if rows.start == rows.stop:
            continue
        srgb = photo.srgb(rows)
        to_lab = color.rgb_u8_to_lab if photo.is_8_bit else color.rgb_to_lab
        lab = np.concatenate([np.asarray(to_lab(srgb))[..., :1], ab[rows]], -1)
        to_rgb = color.lab_to_rgb_u8 if photo.is_8_bit else color.lab_to_rgb
        photo.paint(rows, to_rgb(lab, gamut="shrink_chroma"))


def colorize(data, kind, **options):
    """Returns the notes and the bytes of a painted file."""
    photo = photos.read(data)
    paint(photo)
    target = io.BytesIO()
    notes = photos.write(target, photo, kind, mark=MARK, **options)
    return (*photo.notes, *notes), target.getvalue()


def check(animal):
    """Returns a row: by aspect True (kept), False (lost), or a word where there is nothing.

    Of files to refuse the row has "refused" alone.
    """
    if animal.output is None:
        return {"refused": _is_refused(animal)}
    notes, made = colorize(animal.data, animal.output)
    kind = animal.output
    stored = readers.pixels(made, kind)
    told = readers.facts(made, kind)
    row = {"size": stored.shape[:2] == _size(animal)}
    row["depth"] = stored.dtype.itemsize * 8 == animal.depth
    row["orientation"] = told["orientation"] == 1
    row["alpha"] = _alpha_kept(animal, stored)
    row["L"] = _lightness_kept(animal, made, stored)
    row |= _metadata_kept(animal, made, kind)
    row |= _encoding_kept(animal, made, kind, told)
    row["said so"] = any(animal.note in note for note in notes) if animal.note else "-"
    return row


def _is_refused(animal):
    try:
        photos.read(animal.data)
    except photos.UnreadablePhoto as error:
        return animal.note in str(error) and "\n" not in str(error)
    return False


def _size(animal):
    from helpers.photos.zoo import HEIGHT, WIDTH

    return HEIGHT, WIDTH


def _alpha_kept(animal, stored):
    if animal.alpha is None:
        return "-" if stored.shape[2] in (1, 3) or animal.profile[16:20] == b"CMYK" else False
    return bool((stored[..., -1] == animal.alpha).all())


def _lightness_kept(animal, made, stored):
    if animal.scene is None:
        return "-"
    told = readers.metadata(made)["icc"] if animal.output != "PPM" else b""
    if animal.profile[:40] and not told and animal.output in ("AVIF", "HEIF", "JPEG2000", "BMP"):
        told = animal.profile
    channels = 4 if animal.profile[16:20] == b"CMYK" else 3
    values, was = stored[..., :channels], animal.scene
    if stored.dtype.kind == "f" and was.max() > 1:
        values, was = values / np.float32(255), was / np.float32(255)
    error = np.abs(readers.lightness(values, told) - readers.lightness(was, animal.profile))
    if not animal.lossless:
        return f"{error.mean():.2f}" if error.mean() < 3 else False
    if channels == 4:
        return bool(error.mean() < 1)
    return bool((error <= STEP).mean() >= SHARE)


def _metadata_kept(animal, made, kind):
    row = dict.fromkeys(("exif", "xmp", "iptc", "icc", "dpi", "mark"), "-")
    if kind in ("BMP", "PPM"):
        if "dpi" in animal.keeps:
            row["dpi"] = readers.dpi(made, kind) == readers.dpi(animal.data, kind)
        return row
    after = readers.metadata(made)
    if "exif" in animal.keeps:
        before = readers.metadata(animal.data)
        for part in ("exif", "xmp", "iptc"):
            if before[part]:
                row[part] = _same(before[part], after[part], animal)
    if "icc" in animal.keeps and animal.profile:
        found = after["icc"] or Image.open(io.BytesIO(made)).info.get("icc_profile")
        row["icc"] = found == animal.profile
    elif animal.profile:
        row["icc"] = "sRGB" if after["icc"] == color_space.srgb_profile() else False
    if "dpi" in animal.keeps:
        row["dpi"] = readers.dpi(made, kind) == readers.dpi(animal.data, kind)
    packet = after["ours"] or {"": made.decode("latin-1")}
    row["mark"] = any(MARK["by"] in text for text in packet.values())
    return row


def _same(before, after, animal):
    if animal.orientation > 4:
        width, height = "Exif.Photo.PixelXDimension", "Exif.Photo.PixelYDimension"
        if width in before:
            before = before | {width: before[height], height: before[width]}
    return before.items() <= after.items()


def _encoding_kept(animal, made, kind, told):
    row = {}
    if "progressive" in animal.keeps:
        row["encoding"] = told["progressive"]
    if "comment" in animal.keeps:
        row["encoding"] = told["comment"] == b"hello"
    if "segments" in animal.keeps:
        row["encoding"] = all(bytes([m]) * 65533 in made for m in (0xE5, 0xE7, 0xEB))
    if "chunks" in animal.keeps:
        wanted = (b"old mill", b"private", b"tIME", b"gAMA", b"sBIT\5\5\5")
        row["encoding"] = all(text in made for text in wanted)
    for tag in {"compression": 259, "planar": 284}.items():
        if tag[0] in animal.keeps:
            row["encoding"] = _tiff_tag(made, tag[1]) == _tiff_tag(animal.data, tag[1])
    return row


def _tiff_tag(data, number):
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return file.pages.first.tags[number].value
