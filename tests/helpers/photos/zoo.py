"""A zoo of photo files: formats, modes, depths, orientations, profiles, alpha, damage."""

import dataclasses
import functools
import io
import struct
import zlib

import exiv2
import imagecodecs
import numpy as np
import tifffile
from helpers.photos.cmyk_profile import cmyk_profile
from PIL import Image

HEIGHT, WIDTH = 36, 52  # of upright scenes
DPI = (300.0, 300.0)
ADOBE = imagecodecs.cms_profile("adobergb")
SRGB = imagecodecs.cms_profile("srgb")
GRAY_GAMMA = imagecodecs.cms_profile("gray", gamma=1.8)
# Stored pixels of an upright picture, by EXIF orientation.
STORED = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: p.swapaxes(0, 1)[::-1],
    7: lambda p: p.swapaxes(0, 1)[::-1, ::-1],
    8: lambda p: p.swapaxes(0, 1)[:, ::-1],
}


@dataclasses.dataclass(frozen=True)
class Animal:
    """A file, and what must become of it.

    `scene` is (H, W, C) upright in the file's own space, C being 1 or 3 (CMYK: 4); `keeps` names
    what another reader must find unchanged. An output of None: the file must be refused.
    """

    name: str
    data: bytes
    output: str | None
    scene: np.ndarray | None = None
    alpha: np.ndarray | None = None
    profile: bytes = b""
    keeps: tuple[str, ...] = ()
    note: str = ""
    depth: int = 8
    lossless: bool = True
    orientation: int = 1


def scene(channels=1, bits=8):
    """Smooth light with texture and an upright mark, full range and low bits in use."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    rng = np.random.default_rng(channels * 100 + bits)
    light = 0.5 + 0.45 * np.sin(x / 9 + channels) * np.cos(y / 13)
    light = np.clip(light + rng.normal(0, 0.04, light.shape), 0, 1)
    light[:6, :9] = 0.95  # a mark in the upper left corner
    light[:2, :3] = 0.0
    planes = [light * (1 - 0.15 * c) for c in range(channels)]
    values = np.stack(planes, -1)
    if bits == 32:
        return values.astype(np.float32)
    return np.rint(values * (2**bits - 1)).astype(np.uint8 if bits <= 8 else np.uint16)


def alpha_plane(bits=8):
    rng = np.random.default_rng(bits)
    full = 2**bits - 1
    plane = rng.integers(0, full + 1, (HEIGHT, WIDTH))
    plane[:8] = 0
    plane[8:16] = full
    return plane.astype(np.uint8 if bits == 8 else np.uint16)


def with_alpha(pixels, alpha):
    return np.concatenate([pixels, alpha[..., None]], -1)


def squeezed(pixels):
    return np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def pillow(pixels, kind, mode=None, **options):
    buffer = io.BytesIO()
    Image.fromarray(squeezed(pixels), mode).save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(pixels, **options):
    buffer = io.BytesIO()
    options = {"photometric": "minisblack", "metadata": None, "software": False} | options
    tifffile.imwrite(buffer, squeezed(pixels), **options)
    return buffer.getvalue()


def png_chunk(name, content):
    body = name + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def with_png_chunks(data, *chunks):
    return data[:33] + b"".join(png_chunk(*chunk) for chunk in chunks) + data[33:]


def iccp(profile):
    return b"iCCP", b"p\0\0" + zlib.compress(profile)


def described(data, orientation=1, iptc=True, width=WIDTH, height=HEIGHT):
    """Writes EXIF with GPS and a MakerNote, XMP and IPTC into a file, by exiv2."""
    if orientation > 4:
        width, height = height, width
    image = exiv2.ImageFactory.open(data)
    image.readMetadata()
    exif_data, xmp_data, iptc_data = image.exifData(), image.xmpData(), image.iptcData()
    for key, value in {
        "Exif.Image.Make": "colorjax zoo",
        "Exif.Image.Artist": "Ada Müller",
        "Exif.Image.Copyright": "nobody",
        "Exif.Image.DateTime": "2026:01:02 03:04:05",
        "Exif.Photo.ExposureTime": "1/250",
        "Exif.Photo.DateTimeOriginal": "1936:07:01 12:00:00",
        "Exif.Photo.PixelXDimension": str(width),
        "Exif.Photo.PixelYDimension": str(height),
        "Exif.Photo.UserComment": "charset=Ascii an old photo",
        "Exif.GPSInfo.GPSLatitude": "48/1 12/1 30/1",
        "Exif.GPSInfo.GPSLatitudeRef": "N",
        "Exif.Iop.InteroperabilityIndex": "R98",
    }.items():
        exif_data[key] = value
    exif_data["Exif.Photo.MakerNote"] = exiv2.DataValue(bytes(range(64)))
    exif_data["Exif.Image.Orientation"] = exiv2.UShortValue(orientation)
    xmp_data["Xmp.dc.title"] = "The old mill"
    xmp_data["Xmp.dc.subject"] = "mill, water"
    xmp_data["Xmp.xmp.Rating"] = "4"
    xmp_data["Xmp.tiff.Orientation"] = str(orientation)
    if iptc:
        iptc_data["Iptc.Application2.Headline"] = "A mill by the river"
        iptc_data["Iptc.Application2.City"] = "Ulm"
    image.writeMetadata()
    io_ = image.io()
    io_.open()
    return bytes(io_.read(io_.size()))


ALL = ("exif", "xmp", "iptc", "icc", "dpi")


@functools.cache
def animals():
    """Returns the whole zoo."""
    made = [*jpegs(), *pngs(), *tiffs(), *webps(), *others(), *damaged()]
    assert len({animal.name for animal in made}) == len(made)
    return tuple(made)


def jpegs():
    gray, rgb = scene(1), scene(3)
    jpeg = functools.partial(pillow, kind="JPEG", quality=90, dpi=(300, 300))

    def lossy(name, data, pixels, **more):
        return Animal(name, data, "JPEG", pixels, lossless=False, **more)

    plain = jpeg(gray)
    yield lossy("jpeg gray", plain, gray, keeps=("dpi",))
    yield lossy("jpeg rgb 4:2:0", jpeg(rgb), rgb, keeps=("dpi",))
    yield lossy("jpeg rgb q100 4:4:4", jpeg(rgb, quality=100, subsampling=0), rgb, keeps=("dpi",))
    yield lossy("jpeg progressive", jpeg(gray, progressive=True), gray, keeps=("progressive",))
    yield lossy("jpeg comment", jpeg(gray, comment=b"hello"), gray, keeps=("comment",))
    for turned in range(1, 9):
        stored = jpeg(STORED[turned](rgb))
        yield lossy(
            f"jpeg orientation {turned}",
            described(stored, turned),
            rgb,
            keeps=ALL,
            orientation=turned,
        )
    for name, profile, pixels in (
        ("srgb", SRGB, rgb),
        ("adobergb", ADOBE, rgb),
        ("adobergb gray", ADOBE, gray),
    ):
        data = jpeg(pixels, icc_profile=profile)
        yield lossy(f"jpeg icc {name}", described(data), pixels, profile=profile, keeps=ALL)
    data = jpeg(gray, icc_profile=GRAY_GAMMA)
    yield lossy(
        "jpeg icc gray gamma", data, gray, profile=GRAY_GAMMA, note="gray profile", keeps=("dpi",)
    )
    data = jpeg(rgb, icc_profile=ADOBE[:200] + b"\xff" * 300)
    yield lossy("jpeg icc damaged", data, rgb, note="damaged", keeps=("dpi",))
    data = jpeg(rgb, icc_profile=cmyk_profile())
    yield lossy("jpeg rgb icc of cmyk", data, rgb, note="does not match its pixels", keeps=("dpi",))
    inks = scene(4)
    data = jpeg(inks, mode="CMYK", icc_profile=cmyk_profile())
    yield lossy("jpeg cmyk icc", data, inks, profile=cmyk_profile(), keeps=("icc", "dpi"))
    data = jpeg(inks, mode="CMYK")
    yield lossy("jpeg cmyk", data, None, note="CMYK has no profile", keeps=("dpi",))
    data = without_adobe_marker(jpeg(inks, mode="CMYK", icc_profile=cmyk_profile()))
    yield lossy(
        "jpeg cmyk icc without marker",
        data,
        inks,
        profile=cmyk_profile(),
        keeps=("icc",),
    )
    yield lossy("jpeg without end marker", plain[:-2], gray, note="end marker", keeps=("dpi",))
    frames = [Image.fromarray(squeezed(p)) for p in (gray, 255 - gray)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "MPO", save_all=True, append_images=frames[1:], quality=90)
    yield lossy("jpeg of two pictures", buffer.getvalue(), gray, note="only the first of several")
    data = with_long_segments(described(jpeg(gray)))
    yield lossy("jpeg long segments", data, gray, keeps=("exif", "iptc", "segments"))


def without_adobe_marker(data):
    start = data.index(b"\xff\xee\0\x0eAdobe")
    return data[:start] + data[start + 16 :]


def with_long_segments(data):
    """Adds application segments that no one knows, of the largest size."""
    parts = [
        struct.pack(">BBH", 0xFF, marker, 65535) + bytes([marker]) * 65533
        for marker in (0xE5, 0xE7, 0xEB)
    ]
    return data[:2] + b"".join(parts) + data[2:]


def pngs():
    gray, rgb, alpha = scene(1), scene(3), alpha_plane()
    for name, pixels, a in (
        ("gray", gray, None),
        ("gray alpha", gray, alpha),
        ("rgb", rgb, None),
        ("rgba", rgb, alpha),
    ):
        whole = pixels if a is None else with_alpha(pixels, a)
        data = described(pillow(whole, "PNG", dpi=(300, 300)))
        yield Animal(f"png 8 {name}", data, "PNG", pixels, a, keeps=ALL)
    gray16, rgb16, alpha16 = scene(1, 16), scene(3, 16), alpha_plane(16)
    for name, pixels, a in (
        ("gray", gray16, None),
        ("gray alpha", gray16, alpha16),
        ("rgb", rgb16, None),
        ("rgba", rgb16, alpha16),
    ):
        whole = pixels if a is None else with_alpha(pixels, a)
        data = described(imagecodecs.png_encode(squeezed(whole)))
        yield Animal(f"png 16 {name}", data, "PNG", pixels, a, depth=16, keeps=ALL)
    for turned in range(1, 9):
        data = described(pillow(STORED[turned](rgb), "PNG"), turned)
        yield Animal(f"png orientation {turned}", data, "PNG", rgb, keeps=ALL, orientation=turned)
    data = described(imagecodecs.png_encode(np.ascontiguousarray(STORED[6](rgb16))), 6)
    yield Animal("png 16 orientation 6", data, "PNG", rgb16, depth=16, keeps=ALL, orientation=6)
    for bits, pixels in ((8, rgb), (16, rgb16)):
        data = with_png_chunks(imagecodecs.png_encode(pixels), iccp(ADOBE))
        yield Animal(
            f"png {bits} icc adobergb",
            data,
            "PNG",
            pixels,
            profile=ADOBE,
            depth=bits,
            keeps=("icc",),
        )
    for bits, pixels in ((8, gray), (16, gray16)):
        data = with_png_chunks(imagecodecs.png_encode(squeezed(pixels)), iccp(GRAY_GAMMA))
        yield Animal(
            f"png {bits} icc gray gamma",
            data,
            "PNG",
            pixels,
            profile=GRAY_GAMMA,
            depth=bits,
            note="gray profile",
        )
    data = with_png_chunks(imagecodecs.png_encode(rgb), iccp(b"junk" * 60))
    yield Animal("png icc damaged", data, "PNG", rgb, note="damaged")
    data = with_png_chunks(imagecodecs.png_encode(rgb), (b"iCCP", b"p\0\0not deflated"))
    yield Animal("png iCCP not deflated", data, "PNG", rgb)
    texts = (
        (b"tEXt", b"Title\0old mill"),
        (b"tIME", struct.pack(">H5B", 2026, 1, 2, 3, 4, 5)),
        (b"gAMA", struct.pack(">I", 45455)),
        (b"sBIT", b"\5"),
        (b"prVt", b"private"),
    )
    data = with_png_chunks(imagecodecs.png_encode(squeezed(gray)), *texts)
    yield Animal("png chunks", data, "PNG", gray, keeps=("chunks",))
    key = tuple(int(v) for v in rgb[0, 0])
    a = np.where((rgb == key).all(-1), 0, 255).astype(np.uint8)
    yield Animal("png rgb tRNS", pillow(rgb, "PNG", transparency=key), "PNG", rgb, a)
    data = imagecodecs.png_encode(squeezed(gray16))
    data = with_png_chunks(data, (b"tRNS", struct.pack(">H", int(gray16[0, 0, 0]))))
    a = np.where(gray16[..., 0] == gray16[0, 0, 0], 0, 65535).astype(np.uint16)
    yield Animal("png 16 gray tRNS", data, "PNG", gray16, a, depth=16)
    palette = Image.fromarray(squeezed(gray)).convert("P")
    buffer = io.BytesIO()
    palette.save(buffer, "PNG")
    yield Animal("png palette", buffer.getvalue(), "PNG", gray, note="palette")
    buffer = io.BytesIO()
    palette.save(buffer, "PNG", transparency=int(np.asarray(palette)[0, 0]))
    a = np.where(gray[..., 0] == gray[0, 0, 0], 0, 255).astype(np.uint8)
    yield Animal("png palette tRNS", buffer.getvalue(), "PNG", gray, a, note="palette")
    black = np.where(gray > 128, 255, 0).astype(np.uint8)
    data = one_bit("PNG", black)
    yield Animal("png 1 bit", data, "PNG", black, note="1-bit")
    frames = [Image.fromarray(squeezed(p)) for p in (gray, 255 - gray)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    data = with_png_chunks(imagecodecs.png_encode(rgb), (b"tEXt", b"Title\0mill"))
    data = data[:50] + b"XXXX" + data[54:]
    yield Animal("png with a wrong checksum of a text", data, "PNG", rgb, note="text is damaged")
    yield Animal("png animated", buffer.getvalue(), "PNG", gray, note="only the first")


def one_bit(kind, black):
    buffer = io.BytesIO()
    Image.fromarray(squeezed(black.astype(np.uint8))).convert("1", dither=Image.Dither.NONE).save(
        buffer, kind
    )
    return buffer.getvalue()


def tiffs():
    alpha = alpha_plane()
    for bits in (8, 16, 32):
        gray, rgb = scene(1, bits), scene(3, bits)
        a = (alpha / np.float32(255)) if bits == 32 else alpha_plane(bits)
        for name, pixels, extra in (("gray", gray, None), ("rgb", rgb, None), ("rgba", rgb, a)):
            options = {"photometric": "rgb" if pixels.shape[2] == 3 else "minisblack"}
            whole = pixels
            if extra is not None:
                whole, options["extrasamples"] = with_alpha(pixels, extra), [2]
            data = described(tiff(whole, resolution=DPI, resolutionunit=2, **options))
            yield Animal(f"tiff {bits} {name}", data, "TIFF", pixels, extra, depth=bits, keeps=ALL)
    gray, rgb, rgb16 = scene(1), scene(3), scene(3, 16)
    data = tiff(with_alpha(gray, alpha), extrasamples=[1], planarconfig="contig")
    yield Animal("tiff gray alpha", data, "TIFF", gray, alpha)
    for compression in ("lzw", "deflate", "packbits", "zstd"):
        options = {"predictor": True} if compression in ("lzw", "deflate") else {}
        data = tiff(rgb16, photometric="rgb", compression=compression, **options)
        yield Animal(
            f"tiff 16 {compression}", data, "TIFF", rgb16, depth=16, keeps=("compression",)
        )
    data = tiff(rgb, photometric="rgb", compression="jpeg")
    yield Animal("tiff jpeg inside", data, "TIFF", rgb, lossless=False)
    data = tiff(rgb, photometric="rgb", tile=(16, 16))
    yield Animal("tiff tiled", data, "TIFF", rgb)
    data = described(tiff(rgb16, photometric="rgb", byteorder=">"))
    yield Animal("tiff 16 big-endian", data, "TIFF", rgb16, depth=16, keeps=ALL)
    data = tiff(rgb16, photometric="rgb", bigtiff=True)
    yield Animal("tiff BigTIFF", data, "TIFF", rgb16, depth=16)
    planes = np.ascontiguousarray(rgb16.transpose(2, 0, 1))
    data = tiff(planes, photometric="rgb", planarconfig="separate")
    yield Animal("tiff 16 planar", data, "TIFF", rgb16, depth=16, keeps=("planar",))
    data = tiff(255 - gray, photometric="miniswhite")
    yield Animal("tiff white is zero", data, "TIFF", gray)
    black = np.where(gray > 128, 255, 0).astype(np.uint8)
    data = tiff(black > 0)
    yield Animal("tiff 1 bit", data, "PNG", black, note="1-bit")
    table = np.repeat((np.arange(256) * 257).astype(np.uint16)[None], 3, 0)
    data = tiff(gray, photometric="palette", colormap=table)
    yield Animal("tiff palette", data, "PNG", gray, note="palette")
    for turned in range(1, 9):
        tag = [(274, 3, 1, turned, True)]
        data = tiff(STORED[turned](rgb16), photometric="rgb", extratags=tag)
        data = described(data, turned)
        yield Animal(
            f"tiff orientation {turned}",
            data,
            "TIFF",
            rgb16,
            depth=16,
            keeps=ALL,
            orientation=turned,
        )
    ycbcr = np.asarray(Image.fromarray(STORED[6](rgb)).convert("YCbCr"))
    data = tiff(ycbcr, photometric="ycbcr", compression="lzw")
    yield Animal(
        "tiff ycbcr orientation 6",
        described(data, 6),
        "TIFF",
        rgb,
        lossless=False,
        keeps=ALL,
        orientation=6,
    )
    for bits, pixels in ((8, rgb), (16, rgb16)):
        data = described(tiff(pixels, photometric="rgb", iccprofile=ADOBE))
        yield Animal(
            f"tiff {bits} icc adobergb",
            data,
            "TIFF",
            pixels,
            profile=ADOBE,
            depth=bits,
            keeps=ALL,
        )
    data = tiff(scene(1, 16), iccprofile=GRAY_GAMMA)
    yield Animal(
        "tiff 16 icc gray gamma",
        data,
        "TIFF",
        scene(1, 16),
        profile=GRAY_GAMMA,
        depth=16,
        note="gray profile",
    )
    for bits in (8, 16):
        data = tiff(scene(4, bits), photometric="separated", iccprofile=cmyk_profile())
        yield Animal(
            f"tiff {bits} cmyk icc",
            data,
            "TIFF",
            scene(4, bits),
            profile=cmyk_profile(),
            depth=bits,
            keeps=("icc",),
        )
    data = tiff(scene(4), photometric="separated")
    yield Animal("tiff cmyk", data, "TIFF", note="CMYK has no profile")
    data = tiff(scene(1, 32) * 200)
    yield Animal(
        "tiff float to 190", data, "TIFF", scene(1, 32) * 200, depth=32, note="used as white"
    )
    lab = np.concatenate([gray, np.full((HEIGHT, WIDTH, 2), 0, np.uint8)], -1)
    yield Animal("tiff lab", tiff(lab, photometric="cielab"), "TIFF", note="Lab became RGB")
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for page in (gray, 255 - gray):
            writer.write(squeezed(page), photometric="minisblack", metadata=None, software=False)
    yield Animal("tiff pages", buffer.getvalue(), "TIFF", gray, note="only the first of 2")


def webps():
    rgb, alpha = scene(3), alpha_plane()
    lossless = {"lossless": True, "exact": True}
    yield Animal("webp lossy", pillow(rgb, "WEBP", quality=90), "WEBP", rgb, lossless=False)
    data = described(pillow(rgb, "WEBP", **lossless), iptc=False)
    yield Animal("webp lossless", data, "WEBP", rgb, keeps=ALL)
    data = pillow(with_alpha(rgb, alpha), "WEBP", **lossless)
    yield Animal("webp lossless alpha", data, "WEBP", rgb, alpha)
    data = pillow(with_alpha(rgb, alpha), "WEBP", quality=90)
    yield Animal("webp lossy alpha", data, "WEBP", None, alpha, lossless=False)
    data = pillow(rgb, "WEBP", icc_profile=ADOBE, **lossless)
    yield Animal("webp icc adobergb", data, "WEBP", rgb, profile=ADOBE, keeps=("icc",))
    for turned in range(1, 9):
        data = described(pillow(STORED[turned](rgb), "WEBP", **lossless), turned, iptc=False)
        yield Animal(f"webp orientation {turned}", data, "WEBP", rgb, keeps=ALL, orientation=turned)
    frames = [Image.fromarray(p) for p in (rgb, 255 - rgb)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    yield Animal("webp animated", buffer.getvalue(), "WEBP", rgb, note="only the first")


def others():
    gray, rgb, alpha = scene(1), scene(3), alpha_plane()
    yield Animal("bmp gray", pillow(gray, "BMP", dpi=(300, 300)), "BMP", gray, keeps=("dpi",))
    yield Animal("bmp rgb", pillow(rgb, "BMP", dpi=(300, 300)), "BMP", rgb, keeps=("dpi",))
    yield Animal("bmp 1 bit", one_bit("BMP", np.where(gray > 128, 255, 0)), "PNG", note="1-bit")
    buffer = io.BytesIO()
    Image.fromarray(squeezed(gray)).save(buffer, "GIF")
    yield Animal("gif", buffer.getvalue(), "PNG", gray)
    frames = [Image.fromarray(squeezed(p)) for p in (gray, 255 - gray)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    yield Animal("gif animated", buffer.getvalue(), "PNG", gray, note="only the first of 2")
    data = pillow(rgb, "AVIF", quality=90, icc_profile=ADOBE)
    yield Animal("avif", data, "AVIF", rgb, profile=ADOBE, keeps=("icc",), lossless=False)
    data = pillow(with_alpha(rgb, alpha), "AVIF", quality=100)
    yield Animal("avif alpha", data, "AVIF", None, alpha, lossless=False)
    turned = Image.Exif()
    turned[274] = 6
    data = pillow(STORED[6](rgb), "AVIF", quality=90, exif=turned)
    yield Animal("avif orientation 6", data, "AVIF", rgb, lossless=False, orientation=6)
    for bits in (8, 16):
        for name, pixels in (("gray", scene(1, bits)), ("rgb", scene(3, bits))):
            data = imagecodecs.jpeg2k_encode(
                squeezed(pixels), level=0, codecformat="jp2", reversible=True
            )
            yield Animal(
                f"jpeg2000 {bits} {name}",
                described(data),
                "JPEG2000",
                pixels,
                depth=bits,
                keeps=ALL,
            )
    yield Animal("ppm 8", pillow(rgb, "PPM"), "PPM", rgb)
    yield Animal("pgm 8", pillow(gray, "PPM"), "PPM", gray)
    head = b"P6\n%d %d\n65535\n" % (WIDTH, HEIGHT)
    deep = scene(3, 16)
    yield Animal("ppm 16", head + deep.astype(">u2").tobytes(), "PPM", deep, depth=16)
    text = head.replace(b"P6", b"P3") + b"\n".join(b"%d" % value for value in deep.ravel())
    yield Animal("ppm 16 text", text, "PPM", deep, depth=16)
    try:
        import pillow_heif
    except ImportError:
        return
    pillow_heif.register_heif_opener()
    data = pillow(rgb, "HEIF", quality=90, icc_profile=ADOBE)
    yield Animal("heif", data, "HEIF", rgb, profile=ADOBE, keeps=("icc",), lossless=False)


def damaged():
    """Returns files that must be refused."""
    rgb = scene(3)
    whole = {
        "jpeg": pillow(rgb, "JPEG"),
        "png": pillow(rgb, "PNG"),
        "png 16": imagecodecs.png_encode(scene(3, 16)),
        "tiff": tiff(rgb, photometric="rgb"),
        "tiff lzw": tiff(rgb, photometric="rgb", compression="lzw"),
        "webp": pillow(rgb, "WEBP"),
        "bmp": pillow(rgb, "BMP"),
        "jpeg2000": pillow(rgb, "JPEG2000"),
        "ppm": pillow(rgb, "PPM"),
        "avif": pillow(rgb, "AVIF"),
    }
    for name, data in whole.items():
        yield Animal(f"{name} cut short", data[: len(data) // 2], None)
    flipped = bytearray(whole["png"])
    flipped[len(flipped) // 2] ^= 0x55
    yield Animal("png with a wrong checksum", bytes(flipped), None)
    yield Animal("empty", b"", None)
    yield Animal("text", b"this is no photo\n" * 20, None)
    bomb = bytearray(whole["png"])
    bomb[16:24] = struct.pack(">II", 50000, 50000)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bytes(bomb[12:29])))
    yield Animal("png of 2.5 gigapixels", bytes(bomb), None, note="--max-pixels")
    lossless = imagecodecs.jpeg_encode(scene(1, 16)[..., 0], lossless=True, bitspersample=16)
    yield Animal("jpeg lossless 16", bytes(lossless), None, note="lossless")
