import io
from types import SimpleNamespace

import imagecodecs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from helpers.synthetic import synthetic_images
from PIL import Image, ImageCms
from skimage.color import lab2rgb, rgb2lab
from torch.nn import functional

from colorjax import color
from colorjax.data.decode import decode_rgb
from colorjax.data.sources.source import read_sample
from colorjax.data.targets import TargetEncoder
from colorjax.errors import RequestError
from colorjax.inference.colorizer import Colorizer
from colorjax.inference.engines.jax import JaxEngine
from colorjax.inference.tiling import Tiling
from colorjax.inference.working_size import WorkingSize
from colorjax.photos.color_space import to_srgb_through

SIZES = [(1, 1), (7, 9), (33, 250), (250, 33)]
TOLERANCE = 100 / 255  # of L
ORIENTATION, MAKE, DATE_TAKEN = 0x0112, 0x010F, 0x9003


class ConstantMethod:
    """Predicts one strong color everywhere."""

    takes_hints = False
    global_size = None
    encode = TargetEncoder()
    saturation, decode, bin_bias, bin_temperature = 1.0, "ab", (), 1.0
    predicts_lightness = False
    network = SimpleNamespace(
        inputs=frozenset({"gray"}),
        outputs=frozenset({"ab"}),
        size_multiple=4,
        fixed_size=None,
        fit="pad",
    )

    def __init__(self, a, b):
        self.ab = (a, b)

    def predict_shown(self, variables, fields):
        return jnp.broadcast_to(jnp.array(self.ab, jnp.float32), (*fields["gray"].shape[:3], 2))


def painter(a, b):
    return Colorizer(JaxEngine(ConstantMethod(a, b), {}), WorkingSize(32, 4, is_fixed=False))


@pytest.fixture(scope="module")
def violet():
    return painter(90.0, -120.0)


def lightness_of(rgb_u8):
    return color.rgb_u8_to_lab(rgb_u8)[..., 0]


def random_rgb(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_load_finds_the_checkpoint(colorizer):
    assert colorizer.step == 7


def test_load_says_what_is_wanted(tmp_path):
    with pytest.raises(RequestError, match=r"or the workdir of a run or of imported weights"):
        Colorizer.load("zhang61")
    with pytest.raises(RequestError, match=r"run `colorjax weights get zhang16`"):
        Colorizer.load("zhang16")
    with pytest.raises(RequestError, match=r"or the workdir of a run or of imported weights"):
        Colorizer.load(tmp_path)


@pytest.mark.parametrize("size", SIZES)
def test_lightness_is_kept_under_saturated_predictions(violet, size):
    for pixels in (random_rgb(*size), random_rgb(*size)[..., :1].repeat(3, -1)):
        result = violet.colorize(pixels)
        assert np.abs(lightness_of(result) - lightness_of(pixels)).max() <= TOLERANCE


def test_every_gray_keeps_its_lightness_and_gets_color(violet):
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)
    result = violet.colorize(gray)
    expected = lightness_of(np.stack([gray] * 3, -1))
    assert np.abs(lightness_of(result) - expected).max() <= TOLERANCE
    middle = result[np.abs(gray.astype(int) - 128) < 40].astype(int)
    assert (middle[:, 2] - middle[:, 1] > 20).all()


def test_a_network_that_predicts_gray_gives_back_gray():
    gray = np.arange(256, dtype=np.uint8).reshape(8, 32)
    np.testing.assert_array_equal(painter(0.0, 0.0).colorize(gray), np.stack([gray] * 3, -1))


def test_only_the_lightness_of_a_colored_input_counts(colorizer):
    rgb = synthetic_images(1, 48)[0]
    lab = color.rgb_u8_to_lab(rgb)
    lab[..., 1:] = 0
    gray = color.lab_to_rgb_u8(lab)
    result = [colorizer.colorize(image).astype(int) for image in (rgb, gray)]
    assert np.abs(result[0] - result[1]).max() <= 2  # gray was rounded to 8 bits


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [(), (1,), (3,), (2,), (4,)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_arrays_keep_size_dtype_and_alpha(colorizer, size, channels, dtype):
    pixels = np.random.default_rng(1).random((*size, *channels))
    pixels = (pixels * 255).astype(np.uint8) if dtype == np.uint8 else pixels.astype(dtype)
    before = pixels.copy()
    result = colorizer.colorize(pixels)
    has_alpha = channels in ((2,), (4,))
    assert result.shape == (*size, 4 if has_alpha else 3)
    assert result.dtype == dtype
    np.testing.assert_array_equal(pixels, before)
    if has_alpha:
        np.testing.assert_array_equal(result[..., 3], pixels[..., -1])
    if dtype != np.uint8:
        assert result.min() >= 0
        assert result.max() <= 1


def test_semantic_takes_photos_of_any_size(semantic_workdir):
    loaded = Colorizer.load(semantic_workdir)
    for size in [(1, 1), (1, 40), (7, 9), (40, 33)]:
        rgb = random_rgb(*size)
        result = loaded.colorize(rgb)
        assert result.shape == rgb.shape
        assert np.abs(lightness_of(result) - lightness_of(rgb)).max() <= TOLERANCE
        assert np.ptp(result, axis=-1).max() > 0  # in color


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_floats_agree_with_bytes(colorizer, dtype):
    rgb = synthetic_images(1, 20)[0]
    result = colorizer.colorize((rgb / 255).astype(dtype))
    assert result.dtype == dtype
    np.testing.assert_allclose(result * 255.0, colorizer.colorize(rgb), atol=1.5)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ([[0.5]], "NumPy array or a Pillow image"),
        (np.zeros((4, 4, 5), np.uint8), "must have shape"),
        (np.zeros(4, np.uint8), "must have shape"),
        (np.zeros((0, 4), np.uint8), "must have shape"),
        (np.zeros((2, 4, 4, 3), np.uint8), "must have shape"),
        (np.zeros((4, 4), np.int32), "must hold uint8"),
        (np.zeros((4, 4), bool), "must hold uint8"),
        (np.full((4, 4), 128.0), r"must be in \[0, 1\]"),
        (np.full((4, 4), np.nan), r"must be in \[0, 1\]"),
    ],
)
def test_other_arrays_are_refused(colorizer, image, says):
    with pytest.raises(ValueError, match=f"image.*{says}"):
        colorizer.colorize(image)


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "CMYK", "YCbCr", "I", "F", "HSV"])
@pytest.mark.parametrize("size", [(9, 7), (250, 33)])
def test_pillow_images_become_rgb(colorizer, mode, size):
    result = colorizer.colorize(Image.fromarray(random_rgb(*size[::-1])).convert(mode))
    assert (result.mode, result.size) == ("RGB", size)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_pillow_images_keep_their_alpha(colorizer, mode):
    alpha = random_rgb(7, 9)[..., 0]
    image = Image.fromarray(np.dstack([random_rgb(7, 9, 1), alpha]))
    if mode == "P":
        image = image.convert("RGB").convert("P")
        image.info["transparency"] = 3
        alpha = np.where(np.asarray(image) == 3, 0, 255)
    else:
        image = image.convert(mode)
        alpha = np.asarray(image.convert("RGBA"))[..., 3]
    result = colorizer.colorize(image)
    assert (result.mode, result.size) == ("RGBA", (9, 7))
    np.testing.assert_array_equal(np.asarray(result)[..., 3], alpha)


def phone_photo(orientation, profile=b"", mode="RGB", file_format="JPEG", size=(16, 24)):
    """A file whose stored pixels are turned, with EXIF, resolution and an optional profile."""
    pixels = np.asarray(Image.fromarray(synthetic_images(1, 48)[0]).resize(size).convert(mode))
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKE] = orientation, "Maker"
    exif.get_ifd(0x8769)[DATE_TAKEN] = "2020:01:02 03:04:05"
    file = io.BytesIO()
    options = {"icc_profile": profile} if profile else {}
    Image.fromarray(pixels).save(file, file_format, exif=exif, dpi=(300, 72), **options)
    return file.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pillow_images_are_turned_upright_and_keep_their_metadata(violet, orientation):
    data = phone_photo(orientation)
    image = Image.open(io.BytesIO(data))
    result = violet.colorize(image)
    upright = decode_rgb(data)
    assert result.size == upright.shape[1::-1]
    change = lightness_of(np.asarray(result)) - lightness_of(upright)
    assert np.abs(change).max() <= TOLERANCE
    exif = result.getexif()
    assert ORIENTATION not in exif
    assert (exif[MAKE], exif.get_ifd(0x8769)[DATE_TAKEN]) == ("Maker", "2020:01:02 03:04:05")
    assert result.info["dpi"] == ((72, 300) if orientation > 4 else (300, 72))
    assert image.getexif()[ORIENTATION] == orientation  # the input is unchanged
    saved = io.BytesIO()
    result.save(saved, "JPEG", exif=result.info["exif"], quality=95)
    again = decode_rgb(saved.getvalue())  # turned once
    assert again.shape == upright.shape


def test_a_turned_tiff_is_turned_once(violet):
    data = phone_photo(6, file_format="TIFF")
    result = violet.colorize(Image.open(io.BytesIO(data)))
    assert result.size == (24, 16)
    change = lightness_of(np.asarray(result)) - lightness_of(decode_rgb(data))
    assert np.abs(change).max() <= TOLERANCE


def test_colors_are_painted_in_the_space_of_the_profile(violet):
    """The same color in another space has other values; the profile stays with them."""
    profile = imagecodecs.cms_profile("adobergb")
    plain, wide = (
        violet.colorize(Image.open(io.BytesIO(phone_photo(1, each, "RGB", "PNG"))))
        for each in (imagecodecs.cms_profile("srgb"), profile)
    )
    assert wide.info["icc_profile"] == profile
    assert np.abs(np.asarray(wide).astype(int) - np.asarray(plain)).max() > 5
    shown = to_srgb_through((np.asarray(wide) / 255).astype(np.float32), profile, "rgb")
    wanted = to_srgb_through(
        np.asarray(Image.open(io.BytesIO(phone_photo(1, file_format="PNG"))), np.float32) / 255,
        profile,
        "rgb",
    )
    change = color.rgb_to_lab(shown)[..., 0] - color.rgb_to_lab(wanted)[..., 0]
    assert np.abs(change).max() <= 2 * TOLERANCE  # 8 bits before and after the conversion


def test_a_gray_profile_becomes_srgb(violet):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    gray = Image.open(io.BytesIO(phone_photo(1, profile, "L", "PNG")))
    result = violet.colorize(gray)
    assert (result.mode, result.info["icc_profile"]) == ("RGB", profile)
    assert "transparency" not in result.info


@pytest.mark.parametrize("kind", ["path", "str", "bytes"])
def test_files_are_opened_as_by_pillow(violet, tmp_path, kind):
    path = tmp_path / "phone.jpg"
    path.write_bytes(phone_photo(6))
    given = {"path": path, "str": str(path), "bytes": path.read_bytes()}[kind]
    result = violet.colorize(given)
    np.testing.assert_array_equal(result, violet.colorize(Image.open(path)))
    assert result.size == (24, 16)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_jax_arrays_give_jax_arrays(violet, dtype):
    rgb = synthetic_images(1, 24)[0]
    rgb = rgb if dtype == np.uint8 else (rgb / 255).astype(dtype)
    result = violet.colorize(jnp.asarray(rgb))
    assert isinstance(result, jax.Array)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, violet.colorize(rgb))


def test_premultiplied_gray_is_painted(violet):
    straight = Image.fromarray(random_rgb(7, 9)).convert("L")
    straight.putalpha(Image.fromarray(random_rgb(7, 9, 1)[..., 0]))
    result = violet.colorize(straight.convert("La"))
    assert result.mode == "RGBA"
    np.testing.assert_array_equal(
        np.asarray(result)[..., 3], np.asarray(straight.convert("La").convert("LA"))[..., 1]
    )


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ("no/such.jpg", r"image 'no/such.jpg' does not exist; give the path"),
        (b"no image", r"given as bytes, cannot be opened by Pillow"),
        (phone_photo(1)[:400], r"given as bytes, cannot be opened by Pillow"),
        (3, "not int; convert it with numpy.asarray"),
        (None, "not NoneType"),
    ],
)
def test_other_pictures_are_refused_with_a_fix(violet, image, says):
    with pytest.raises(RequestError, match=says):
        violet.colorize(image)


def test_a_truncated_pillow_image_is_refused(violet):
    with pytest.raises(RequestError, match="cannot be read as RGB"):
        violet.colorize(Image.open(io.BytesIO(phone_photo(1, size=(200, 200))[:1000])))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"saturation": "1.3"}, r"saturation must be at least 0 \(a number\), not '1.3'"),
        ({"saturation": True}, "saturation must be"),
        ({"saturation": None}, "saturation must be"),
        ({"strength": "1"}, "strength must be from 0 to 1"),
        ({"tiling": 256}, r"tiling must be a .*Tiling\(\(256, 256\), \(128, 128\)\).*not 256"),
        ({"tiling": (256, 256)}, r"tiling must be .* not \(256, 256\)"),
        ({"tiling": "all"}, "tiling must be"),
        ({"hints": "1,2,#ffffff"}, "hints must be a list"),
        ({"hints": 3}, "hints must be a list"),
        ({"hints": np.zeros((40, 3))}, r"hints must be a list, .*, not array[^\n]{,60}$"),
        ({"satuation": 1.0}, "unknown option 'satuation'.*saturation"),
        ({"quality": None}, "quality"),
        ({"quality": ["best"]}, "quality"),
        ({"upsampling": 2}, "upsampling"),
    ],
)
def test_options_of_a_wrong_type_are_refused(violet, options, says):
    for colorize in (violet.colorize, violet.prepare):
        with pytest.raises(RequestError, match=says):
            colorize(np.zeros((8, 8), np.uint8), **options)


@pytest.mark.parametrize("sides", [(256, 128), (None, (8, 8)), ((8.5, 8), (8, 8)), ((8,), (8, 8))])
def test_tiles_are_pairs(sides):
    with pytest.raises(RequestError, match=r"must be \(height, width\) in whole pixels"):
        Tiling(*sides)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"size": True}, "size must be a number of pixels"),
        ({"size": "64"}, "size must be a number of pixels"),
        ({"temperature": "0.38"}, "temperature must be at least 0"),
        ({"aspect": 1}, "aspect"),
    ],
)
def test_load_refuses_wrong_types(zhang16_workdir, options, says):
    with pytest.raises(RequestError, match=says):
        Colorizer.load(zhang16_workdir, **options)
    with pytest.raises(RequestError, match="weights must be a name or the path"):
        Colorizer.load(3)


def test_strength_leaves_the_photos_own_colors(violet):
    rgb = synthetic_images(1, 40)[0]
    own = color.rgb_u8_to_lab(rgb)
    half = color.rgb_u8_to_lab(violet.colorize(rgb, strength=0.5))
    none = violet.colorize(rgb, strength=0.0).astype(int)
    assert np.abs(none - rgb).max() <= 2
    assert np.abs(half[..., 0] - own[..., 0]).max() <= TOLERANCE
    toward = (half - own)[..., 1:] @ np.array([90.0, -120.0])
    assert toward.mean() > 0


def test_many_are_as_one_after_the_other(colorizer):
    images = synthetic_images(3, 24)
    result = list(colorizer.colorize_many(iter(images), saturation=0.5))
    for image, one in zip(images, result, strict=True):
        np.testing.assert_array_equal(one, colorizer.colorize(image, saturation=0.5))


def test_colors_predicted_apart_are_painted_as_together(colorizer):
    photo = synthetic_images(1, 64)[0]
    ab = colorizer.predict_ab(photo)
    np.testing.assert_array_equal(colorizer.paint_ab(photo, ab), colorizer.colorize(photo))


@pytest.mark.parametrize("size", [(40, 96), (96, 40)])
def test_what_is_mirrored_to_a_square_is_cut_off_again(workdir, size):
    loaded = Colorizer.load(workdir, aspect="pad_square")
    photo = synthetic_images(1, 96)[0][: size[0], : size[1]]
    ab = loaded.predict_ab(photo)
    assert ab.shape[:2] == loaded.working_size.of(*size)
    assert ab.shape[0] != ab.shape[1]
    np.testing.assert_array_equal(loaded.paint_ab(photo, ab), loaded.colorize(photo))
    exact = loaded.colorize(photo, tiling="exact")
    np.testing.assert_array_equal(exact, Colorizer.load(workdir).colorize(photo, tiling="exact"))


def test_colors_are_enlarged_without_a_seam(monkeypatch, colorizer):
    photo = synthetic_images(1, 200)[0]
    whole = colorizer.colorize(photo)
    monkeypatch.setattr("colorjax.inference.colorizer.BAND_PIXELS", 1024)
    np.testing.assert_array_equal(colorizer.colorize(photo), whole)


@pytest.mark.parametrize(
    ("photo", "expected"),
    [((300, 400), (64, 88)), ((400, 300), (88, 64)), ((1, 1), (64, 64)), ((9, 900), (64, 256))],
)
def test_working_size_keeps_the_aspect_up_to_four(photo, expected):
    assert WorkingSize(64, 4, is_fixed=False).of(*photo) == expected
    assert WorkingSize(128, 128, is_fixed=True, aspect="squash").of(*photo) == (128, 128)


@pytest.mark.parametrize("name", ["zhang16_workdir", "zhang17_workdir"])
def test_squash_and_draft_are_the_demo_of_zhang(request, name):
    """As the released demo: bicubic 8-bit resizing to a square, bilinear ab; colors inside sRGB."""
    rgb = np.asarray(Image.fromarray(read_sample("astronaut.png")).resize((300, 200)))
    colorizer = Colorizer.load(request.getfixturevalue(name), aspect="squash", size=64)
    result = colorizer.colorize(rgb, quality="draft")
    small = np.asarray(Image.fromarray(rgb).resize((64, 64), Image.Resampling.BICUBIC))
    ab = colorizer.predict_ab(small)  # already of the working size
    assert ab.shape == (64, 64, 2)
    assert np.abs(ab).mean() > 2
    large = (
        functional.interpolate(
            torch.tensor(ab.transpose(2, 0, 1))[None], size=(200, 300), mode="bilinear"
        )[0]
        .numpy()
        .transpose(1, 2, 0)
    )
    lab = np.concatenate([rgb2lab(rgb)[..., :1], large], axis=-1)
    demo = np.clip(lab2rgb(lab), 0, 1) * 255
    inside = ((demo > 0) & (demo < 255)).all(axis=-1)  # the demo clips the others
    assert inside.mean() > 0.4
    change = np.abs(result - demo)[inside].mean()
    assert change < 1
    normal = Colorizer.load(request.getfixturevalue(name), size=64).colorize(rgb)
    assert np.abs(normal - demo)[inside].mean() > 1.2 * change


def test_real_photos_keep_their_lightness(violet, colorizer):
    for name in ("coffee.png", "rocket.jpg"):
        rgb = read_sample(name)
        for each in (violet, colorizer):
            result = each.colorize(rgb)
            assert np.abs(lightness_of(result) - lightness_of(rgb)).max() <= TOLERANCE
