"""exiftool and ImageMagick, where they are installed, as further readers of whole folders."""

import json
import shutil
import subprocess

from colorjax.photos.header import SUFFIXES

# What describes the file and its coding, not the photo; and the mark that we add.
_GROUPS = ("IFD0", "ExifIFD", "GPS", "InteropIFD", "IPTC", "Photoshop", "XMP-dc", "XMP-xmp")
_STRUCTURE = {
    "Orientation",
    "ExifImageWidth",
    "ExifImageHeight",
    "ImageWidth",
    "ImageHeight",
    "BitsPerSample",
    "Compression",
    "PhotometricInterpretation",
    "StripOffsets",
    "SamplesPerPixel",
    "RowsPerStrip",
    "StripByteCounts",
    "PlanarConfiguration",
    "Predictor",
    "ExtraSamples",
    "SampleFormat",
    "SubfileType",
    "XResolution",
    "YResolution",
    "ResolutionUnit",
    "TileWidth",
    "TileLength",
    "TileOffsets",
    "TileByteCounts",
    "FillOrder",
    "YCbCrSubSampling",
    "ReferenceBlackWhite",
}


def has_exiftool():
    return shutil.which("exiftool") is not None


def has_imagemagick():
    return shutil.which("identify") is not None


def exiftool(folder):
    """Returns {file name: {group:tag: value}} of what tells of the photo."""
    done = subprocess.run(
        ["exiftool", "-json", "-G1", "-n", str(folder)], capture_output=True, text=True, check=False
    )
    told = {}
    for row in json.loads(done.stdout or "[]"):
        keys = (key for key in row if key.partition(":")[0] in _GROUPS)
        kept = {key: row[key] for key in keys if key.partition(":")[2] not in _STRUCTURE}
        told[row["SourceFile"].rpartition("/")[2]] = kept
        told[row["SourceFile"].rpartition("/")[2]]["warning"] = row.get("ExifTool:Warning", "")
    return told


def identify(folder):
    """Returns {file name: (width, height, bits)} of the files that ImageMagick reads."""
    told = {}
    for path in sorted(folder.iterdir()):
        done = subprocess.run(
            ["identify", "-format", "%w %h %z\n", f"{path}[0]"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0 and done.stdout:
            told[path.name] = tuple(int(text) for text in done.stdout.split()[:3])
    return told


def compare(folder):
    """Colorizes the zoo into a folder and asks both programs.

    Returns:
        {name: {"exiftool": kept, "ImageMagick": kept}}, where `kept` is True, False or "-" where
        the program is not there, or does not read the file that came in.
    """
    from helpers.photos import conformance, zoo

    names = {}
    for side in ("before", "after"):
        (folder / side).mkdir()
    for number, animal in enumerate(a for a in zoo.animals() if a.output):
        name = f"{number:03d}{SUFFIXES[animal.output][0]}"
        names[name] = animal
        (folder / "before" / name).write_bytes(animal.data)
        _, made = conformance.colorize(animal.data, animal.output)
        (folder / "after" / name).write_bytes(made)
    told = {animal.name: {"exiftool": "-", "ImageMagick": "-"} for animal in names.values()}
    if has_exiftool():
        before, after = exiftool(folder / "before"), exiftool(folder / "after")
        for name, animal in names.items():
            told[animal.name]["exiftool"] = _tags_kept(before[name], after[name], animal)
    if has_imagemagick():
        before, after = identify(folder / "before"), identify(folder / "after")
        for name, animal in names.items():
            if name in before:
                wanted = (zoo.WIDTH, zoo.HEIGHT, min(animal.depth, 16))
                found = after.get(name, (0, 0, 0))
                told[animal.name]["ImageMagick"] = found[:2] == wanted[:2] and (
                    found[2] == wanted[2] or animal.depth == 32
                )
    return told


def _tags_kept(before, after, animal):
    if after["warning"] and after["warning"] != before["warning"]:
        return False
    if "exif" not in animal.keeps:
        return "-"
    wanted = {key: value for key, value in before.items() if key != "warning"}
    if animal.output in ("JPEG", "PNG", "TIFF", "WEBP"):
        assert any(key.startswith("GPS:") for key in wanted)
    return wanted.items() <= after.items()
