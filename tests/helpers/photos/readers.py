"""What files hold, told by readers that are not ours."""

import io

import exiv2
import imagecodecs
import numpy as np
import tifffile
from PIL import Image
from skimage.color import rgb2lab

# Tags that say how pixels lie in the file, not what the photo is.
_STRUCTURE = [
    "Compression",
    "BitsPerSample",
    "PhotometricInterpretation",
    "StripOffsets",
    "StripByteCounts",
    "RowsPerStrip",
    "SamplesPerPixel",
    "PlanarConfiguration",
    "Predictor",
    "ExtraSamples",
    "SampleFormat",
    "ImageWidth",
    "ImageLength",
    "NewSubfileType",
    "Orientation",
    "ExifTag",
    "GPSTag",
    "XMLPacket",
    "IPTCNAA",
    "InterColorProfile",
    "ImageResources",
    "TileWidth",
    "TileLength",
    "TileOffsets",
    "TileByteCounts",
    "FillOrder",
    "XResolution",
    "YResolution",
    "ResolutionUnit",
    "InteroperabilityTag",
    "ColorMap",
    "JPEGTables",
    "YCbCrSubSampling",
    "ReferenceBlackWhite",
]
_OURS = ("Xmp.colorjax", "Xmp.iptcExt.DigitalSourceType", "Xmp.tiff.Orientation")


def metadata(data):
    """Returns EXIF, XMP, IPTC as dictionaries of text, and the ICC profile, by exiv2."""
    if data[2:3] == b"+":  # a BigTIFF, which exiv2 does not know
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            packet = file.pages.first.tags.get(700)
        return {"ours": {"": packet.value.decode()} if packet else {}, "icc": b""}
    image = exiv2.ImageFactory.open(bytes(data))
    image.readMetadata()
    told = {"exif": {}, "xmp": {}, "iptc": {}, "ours": {}}
    for name, part in (
        ("exif", image.exifData()),
        ("xmp", image.xmpData()),
        ("iptc", image.iptcData()),
    ):
        for item in part:
            key = item.key()
            if key.startswith(_OURS):
                told["ours"][key] = item.toString()
            elif not (key.startswith("Exif.") and key.rsplit(".", 1)[1] in _STRUCTURE):
                told[name][key] = item.toString()
    profile = image.iccProfile() if image.iccProfileDefined() else b""
    told["icc"] = bytes(profile.data() if hasattr(profile, "data") else profile)
    return told


def pixels(data, kind):
    """Returns (H, W, C) as stored."""
    if kind == "TIFF":
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages.first
            array = page.asarray()
            if page.planarconfig == 2:
                array = array.transpose(1, 2, 0)
    elif kind == "PNG":
        array = imagecodecs.png_decode(data)
    elif kind == "JPEG2000":
        array = imagecodecs.jpeg2k_decode(data)
    elif kind == "PPM" and b"\n65535\n" in data[:40]:
        head = data.index(b"\n65535\n") + 7
        width, height = (int(v) for v in data[:head].split()[1:3])
        array = np.frombuffer(data, ">u2", offset=head).reshape(height, width, 3)
    else:
        with Image.open(io.BytesIO(data)) as image:
            array = np.asarray(image)
    return array[..., None] if array.ndim == 2 else array


def dpi(data, kind):
    if kind == "TIFF":
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            return tuple(round(v) for v in file.pages.first.get_resolution(2))
    with Image.open(io.BytesIO(data)) as image:
        found = image.info.get("dpi")
    return tuple(round(float(value)) for value in found) if found else None


def facts(data, kind):
    """Returns what Pillow, of a TIFF tifffile, tells of a file's encoding."""
    if kind == "TIFF":  # Pillow knows only some of its depths
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            tag = file.pages.first.tags.get(274)
            return {"orientation": tag.value if tag else 1}
    with Image.open(io.BytesIO(data)) as image:
        return {
            "size": image.size,
            "mode": image.mode,
            "progressive": bool(image.info.get("progressive")),
            "comment": image.info.get("comment"),
            "orientation": image.getexif().get(274, 1),
        }


def lightness(colors, profile=b""):
    """Returns L of (H, W, 1, 3 or 4) values, of integers or floats with 1 as white."""
    full = 1.0 if colors.dtype.kind == "f" else float(np.iinfo(colors.dtype).max)
    model = {b"GRAY": "gray", b"CMYK": "cmyk"}.get(profile[16:20], "rgb")
    if profile and model == "rgb" and colors.shape[2] == 1:
        colors = np.repeat(colors, 3, -1)
    if profile:
        unit = (colors / full).astype(np.float32) * (100 if model == "cmyk" else 1)
        unit = np.ascontiguousarray(unit[..., 0] if model == "gray" else unit)
        srgb = imagecodecs.cms_transform(
            unit,
            profile,
            imagecodecs.cms_profile("srgb"),
            colorspace=model,
            outcolorspace="rgb",
            outdtype="float32",
            intent=1,
        )
        return rgb2lab(np.clip(srgb, 0, 1))[..., 0]
    unit = colors.astype(np.float64) / full
    return rgb2lab(np.repeat(unit, 3, -1) if colors.shape[2] == 1 else unit)[..., 0]
