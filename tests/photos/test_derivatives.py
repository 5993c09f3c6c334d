"""Thumbnails, previews, films and gain maps of the old photo do not stay in the result."""

import base64
import hashlib
import io
import struct

import exiv2
import pytest
from helpers.photos import conformance, zoo
from PIL import ExifTags, Image

from colorjax import photos
from colorjax.photos import derivatives, exif, xmp
from colorjax.photos.formats import jpeg_parts, png_chunks

THUMBNAIL = zoo.pillow(zoo.scene(1)[::3, ::3], "JPEG")
NOTE = "preview in the file was left out"
ARTIST = exif.Entry(315, 2, 8, b"A. Mill\0")


def exif_with_thumbnail(order="<", maker_note=b"MakerNote", strips=False):
    """Returns EXIF with a MakerNote, and a thumbnail in IFD1: a JPEG, or gray strips."""
    below = {exif.EXIF_IFD: [exif.Entry(37500, 7, len(maker_note), maker_note)]}
    blob = exif.serialize(exif.Directories(order, False, [], below), [ARTIST])
    blob += b"\0" * (len(blob) % 2)
    word = struct.Struct(order + "I")
    pixels = bytes(range(96)) if strips else THUMBNAIL
    tags = (273, 279) if strips else (513, 514)
    size = exif.directory_size([exif.Entry(tag, 4, 1, bytes(4)) for tag in tags])
    values = (len(blob) + size, len(pixels))
    rows = [exif.Entry(t, 4, 1, word.pack(v)) for t, v in zip(tags, values, strict=True)]
    patched = bytearray(blob + exif.write_directory(rows, len(blob), order) + pixels)
    (count,) = struct.unpack_from(order + "H", patched, 8)
    word.pack_into(patched, 10 + 12 * count, len(blob))
    return bytes(patched)


def resources(*numbers):
    blocks = b""
    for number in numbers:
        content = THUMBNAIL if number in (1033, 1036) else b"resolution"
        content_padded = content + b"\0" * (len(content) % 2)
        blocks += struct.pack(">4sHHI", b"8BIM", number, 0, len(content)) + content_padded
    return blocks


def xmp_packet(properties, namespaces):
    declared = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in namespaces.items())
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/'
        f'22-rdf-syntax-ns#"><rdf:Description rdf:about="" {declared} {properties}'
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


XMP_THUMBNAIL = xmp_packet(
    "><dc:format>image/jpeg</dc:format><xap:Thumbnails><rdf:Alt><rdf:li>"
    f"<g:image>{base64.b64encode(THUMBNAIL).decode()}</g:image></rdf:li></rdf:Alt></xap:Thumbnails>",
    {
        "xap": "http://ns.adobe.com/xap/1.0/",
        "dc": "http://purl.org/dc/elements/1.1/",
        "g": "http://ns.adobe.com/xap/1.0/g/img/",
    },
)


def segment(marker, content):
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def with_segments(*parts, after=b""):
    data = zoo.pillow(zoo.scene(1), "JPEG", quality=95)
    return data[:2] + b"".join(segment(*part) for part in parts) + data[2:] + after


def has_picture_inside(data):
    """Returns whether there is a second JPEG, or a JPEG in text, in a file."""
    start = data.startswith(b"\xff\xd8")
    return data.count(b"\xff\xd8\xff") > start or b"/9j/" in data


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("strips", [False, True])
def test_the_thumbnail_of_exif_is_dropped_and_the_rest_stays(order, strips):
    blob = exif_with_thumbnail(order, strips=strips)
    with Image.open(io.BytesIO(with_segments((0xE1, b"Exif\0\0" + blob)))) as image:
        assert image.getexif().get_ifd(ExifTags.IFD.IFD1)
    notes, made = conformance.colorize(with_segments((0xE1, b"Exif\0\0" + blob)), "JPEG")
    assert any(NOTE in note for note in notes)
    assert not has_picture_inside(made)
    with Image.open(io.BytesIO(made)) as image:
        tags = image.getexif()
        assert not tags.get_ifd(ExifTags.IFD.IFD1)
        assert tags[315] == "A. Mill"
        assert tags.get_ifd(exif.EXIF_IFD)[37500] == b"MakerNote"
    assert bytes(range(90)) not in made


def test_previews_in_a_maker_note_become_zeros_at_the_same_offsets():
    blob = exif_with_thumbnail(maker_note=b"Camera\0" + THUMBNAIL + b"\0serial 7")
    clean = derivatives.exif_without_previews(blob)
    note = exif.read_directories(clean).below[exif.EXIF_IFD][0]
    assert note.value == b"Camera\0" + bytes(len(THUMBNAIL)) + b"\0serial 7"
    assert note.offset == exif.read_directories(blob).below[exif.EXIF_IFD][0].offset


def test_exif_without_thumbnail_is_the_same_bytes():
    blob = exif.serialize(exif.Directories("<", False, [], {}), [ARTIST])
    assert derivatives.exif_without_previews(blob) == blob


FILES = {
    "JPEG EXIF": (with_segments((0xE1, b"Exif\0\0" + exif_with_thumbnail())), "JPEG"),
    "JPEG Photoshop": (
        with_segments((0xED, b"Photoshop 3.0\0" + resources(1033, 1005, 1036))),
        "JPEG",
    ),
    "JPEG XMP": (with_segments((0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP_THUMBNAIL)), "JPEG"),
    "JPEG JFXX": (with_segments((0xE0, b"JFXX\0\x10" + THUMBNAIL)), "JPEG"),
    "JPEG camera preview": (
        with_segments((0xE3, THUMBNAIL[:300]), (0xE4, THUMBNAIL[300:]), (0xE5, b"maker 5")),
        "JPEG",
    ),
    "JPEG FlashPix": (with_segments((0xE2, b"FPXR\0" + THUMBNAIL)), "JPEG"),
    "PNG EXIF": (
        zoo.with_png_chunks(zoo.pillow(zoo.scene(1), "PNG"), (b"eXIf", exif_with_thumbnail())),
        "PNG",
    ),
    "PNG XMP": (
        zoo.with_png_chunks(
            zoo.pillow(zoo.scene(1), "PNG"),
            (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP_THUMBNAIL),
        ),
        "PNG",
    ),
    "PNG 16 EXIF": (
        zoo.with_png_chunks(
            zoo.imagecodecs.png_encode(zoo.scene(3, 16)), (b"eXIf", exif_with_thumbnail())
        ),
        "PNG",
    ),
    "TIFF Photoshop": (
        zoo.tiff(zoo.scene(1), extratags=[(34377, 1, None, resources(1036), True)]),
        "TIFF",
    ),
    "TIFF XMP": (zoo.tiff(zoo.scene(1), extratags=[(700, 1, None, XMP_THUMBNAIL, True)]), "TIFF"),
    "WebP EXIF": (
        zoo.pillow(zoo.scene(3), "WEBP", exif=b"Exif\0\0" + exif_with_thumbnail()),
        "WEBP",
    ),
    "WebP XMP": (zoo.pillow(zoo.scene(3), "WEBP", xmp=XMP_THUMBNAIL), "WEBP"),
    "AVIF EXIF": (
        zoo.pillow(zoo.scene(3), "AVIF", exif=b"Exif\0\0" + exif_with_thumbnail()),
        "AVIF",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_no_picture_of_the_old_photo_stays(name):
    data, kind = FILES[name]
    assert has_picture_inside(data) or name == "JPEG camera preview"
    notes, made = conformance.colorize(data, kind)
    assert sum(NOTE in note for note in notes) == 1, notes
    assert not has_picture_inside(made)
    if name == "JPEG camera preview":
        assert b"maker 5" in made
    if "XMP" in name:
        assert b"image/jpeg" in made
        assert b"Thumbnails" not in made


def test_other_photoshop_blocks_stay():
    blocks = resources(1033, 1005, 1036)
    assert derivatives.resources_without_thumbnails(blocks) == resources(1005)
    assert derivatives.resources_without_thumbnails(b"not 8BIM" + blocks) == b"not 8BIM" + blocks
    _, made = conformance.colorize(*FILES["JPEG Photoshop"])
    assert made.count(b"8BIM") == 1


def test_a_png_of_imagemagick_loses_its_photoshop_thumbnail():
    hexadecimal = resources(1036, 1005).hex().encode()
    text = b"\n8bim\n%8d\n%s\n" % (len(hexadecimal) // 2, hexadecimal)
    chunk = (b"zTXt", b"Raw profile type 8bim\0\0" + zoo.zlib.compress(text))
    notes, made = conformance.colorize(
        zoo.with_png_chunks(zoo.pillow(zoo.scene(1), "PNG"), chunk), "PNG"
    )
    assert any(NOTE in note for note in notes)
    (raw,) = (c for c in png_chunks.split(made).chunks if c.content.startswith(b"Raw profile"))
    text = zoo.zlib.decompress(raw.content.partition(b"\0")[2][1:])
    assert bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode()) == resources(1005)


def test_thumbnail_pages_and_layers_of_a_tiff_are_said():
    buffer = io.BytesIO()
    with zoo.tifffile.TiffWriter(buffer) as writer:
        writer.write(zoo.scene(1)[..., 0], metadata=None, extratags=[(37724, 7, 4, b"8BIM", True)])
        writer.write(zoo.scene(1)[::4, ::4, 0].copy(), metadata=None, subfiletype=1)
    notes, made = conformance.colorize(buffer.getvalue(), "TIFF")
    assert any(NOTE in note for note in notes)
    assert any("layers" in note for note in notes)
    with zoo.tifffile.TiffFile(io.BytesIO(made)) as file:
        assert len(file.pages) == 1
        assert 37724 not in file.pages.first.tags


EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"


def test_a_picture_in_extended_xmp_is_dropped():
    extended = xmp_packet(
        f'GImage:Mime="image/jpeg" GImage:Data="{base64.b64encode(THUMBNAIL).decode()}" '
        'GDepth:Near="2.5">',
        {
            "GImage": "http://ns.google.com/photos/1.0/image/",
            "GDepth": "http://ns.google.com/photos/1.0/depthmap/",
        },
    )
    name = hashlib.md5(extended).hexdigest().upper()
    main = xmp_packet(
        f'xmpNote:HasExtendedXMP="{name}">', {"xmpNote": "http://ns.adobe.com/xmp/note/"}
    )
    half = len(extended) // 2
    parts = [(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + main)]
    for start, piece in ((0, extended[:half]), (half, extended[half:])):
        position = struct.pack(">II", len(extended), start)
        parts.append((0xE1, EXTENSION + name.encode() + position + piece))
    notes, made = conformance.colorize(with_segments(*parts), "JPEG")
    assert any(NOTE in note for note in notes)
    (content,) = (
        p.content.removeprefix(EXTENSION)
        for p in jpeg_parts.segments(made)
        if p.content.startswith(EXTENSION)
    )
    packet = content[40:]
    assert content[:32] == hashlib.md5(packet).hexdigest().upper().encode()
    assert b'HasExtendedXMP="' + content[:32] in made
    assert b"GDepth:Near" in packet
    assert b"GImage" not in packet


CAMERA = "http://ns.google.com/photos/1.0/camera/"
CONTAINER = "http://ns.google.com/photos/1.0/container/"
GAIN_MAP = "http://ns.adobe.com/hdr-gain-map/1.0/"
DIRECTORY = (
    '><Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"><Container:Item '
    'Item:Semantic="GainMap" Item:Length="7"/></rdf:li></rdf:Seq></Container:Directory>'
    "<dc:format>image/jpeg</dc:format>"
)
SPACES = {
    "Container": CONTAINER,
    "Item": CONTAINER + "item/",
    "dc": "http://purl.org/dc/elements/1.1/",
}
FILM = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(3000)


@pytest.mark.parametrize(
    ("prefix", "uri", "properties"),
    [
        ("GCamera", CAMERA, 'GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion="1"'),
        ("Camera", CAMERA, 'Camera:MicroVideo="1" Camera:MicroVideoOffset="3024"'),
        ("GCamera", CAMERA, "GCamera:MotionPhoto = '1'"),
        ("hdrgm", GAIN_MAP, 'hdrgm:Version="1.0"'),
        ("HDRGainMap", "http://ns.apple.com/HDRGainMap/1.0/", 'HDRGainMap:HDRGainMapVersion="6"'),
        ("OpCamera", "http://ns.oplus.com/photos/1.0/camera/", 'OpCamera:VideoLength="3024"'),
    ],
)
def test_announcements_are_removed_in_every_prefix(prefix, uri, properties):
    packet = xmp_packet(properties + DIRECTORY, SPACES | {prefix: uri})
    for data, kind in (
        (with_segments((0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet), after=FILM), "JPEG"),
        (zoo.pillow(zoo.scene(3), "WEBP", xmp=packet), "WEBP"),
        (zoo.pillow(zoo.scene(3), "AVIF", xmp=packet), "AVIF"),
    ):
        notes, made = conformance.colorize(data, kind)
        assert any("XMP that announces" in note for note in notes)
        assert prefix.encode() + b":" not in made
        assert b"Container" not in made
        assert b"<dc:format>image/jpeg</dc:format>" in made
        image = exiv2.ImageFactory.open(made)
        if kind != "AVIF":
            image.readMetadata()
            keys = {item.key() for item in image.xmpData()}
            assert "Xmp.dc.format" in keys
            assert not any("Camera" in key or "Container" in key for key in keys)


def test_other_properties_of_the_camera_stay():
    packet = xmp_packet('GCamera:MotionPhoto="1" GCamera:BurstID="7">', {"GCamera": CAMERA})
    clean = derivatives.removed(photos.photo.Metadata(xmp=packet))[0].xmp
    assert clean == packet.replace(b' GCamera:MotionPhoto="1"', b"")


@pytest.mark.parametrize(
    ("after", "note"),
    [
        (FILM, "film after its picture (motion photo)"),
        (THUMBNAIL, "only the first of several pictures"),
        (THUMBNAIL.replace(b"JFIF", b"JFIF") + FILM, "film after its picture (motion photo)"),
        (b"\0\0\0" + THUMBNAIL, "only the first of several pictures"),
        (b"SEFH trailer of a camera", "bytes after the end of its picture"),
        (with_segments((0xE1, GAIN_MAP.encode())), "its gain map was dropped"),
    ],
)
def test_what_follows_a_jpeg_is_dropped_with_a_note(after, note):
    notes, made = conformance.colorize(with_segments(after=after), "JPEG")
    assert any(note in text for text in notes), notes
    assert after[20:] not in made


def test_padding_after_a_jpeg_is_nothing():
    for after in (b"", bytes(2000), b"\r\n"):
        assert photos.read(with_segments(after=after)).notes == ()


def test_the_gain_map_mark_of_iso_is_dropped():
    data = with_segments((0xE2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0"), after=THUMBNAIL)
    notes, made = conformance.colorize(data, "JPEG")
    assert any("gain map" in note for note in notes)
    assert b"21496" not in made


def test_unknown_xmp_is_the_same_bytes():
    packet = xmp_packet('dc:format="a">', {"dc": "http://purl.org/dc/elements/1.1/"})
    assert derivatives.removed(photos.photo.Metadata(xmp=packet)) == (
        photos.photo.Metadata(xmp=packet),
        (),
    )
    assert xmp.without(packet, {b"http://other/": rb"\w+"}) == packet


def test_the_thumbnail_of_heif_is_said():
    pillow_heif = pytest.importorskip("pillow_heif")
    heif = pillow_heif.from_pillow(Image.fromarray(zoo.scene(3)).resize((400, 300)))
    heif.info["thumbnails"] = [64]
    buffer = io.BytesIO()
    heif.save(buffer)
    assert any(NOTE in note for note in photos.read(buffer.getvalue()).notes)
    heif.info["thumbnails"] = []
    buffer = io.BytesIO()
    heif.save(buffer)
    assert photos.read(buffer.getvalue()).notes == ()


def test_the_film_in_heif_and_avif_is_said():
    data = zoo.pillow(zoo.scene(3), "AVIF") + struct.pack(">I4s", 8 + len(FILM), b"mpvd") + FILM
    assert derivatives.FILM_NOTE in photos.read(data).notes
