"""Global features of another photo, edges, other gray inputs than L, and working sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab
from skimage.feature import canny

from colorjax import color
from colorjax.cli import main as cli
from colorjax.errors import RequestError
from colorjax.inference import colorizer as colorizer_module
from colorjax.inference.colorizer import Colorizer
from colorjax.inference.pixels import open_pixels
from colorjax.inference.working_size import WorkingSize


def blocks(side, seed):
    """A photo of colored squares of 8 px: it has edges, and differs from the next."""
    few = np.random.default_rng(seed).integers(0, 256, (side // 8, side // 8, 3), np.uint8)
    return few.repeat(8, 0).repeat(8, 1)


PHOTO, OTHER = blocks(48, 3), blocks(48, 4) // 4


@pytest.fixture(scope="module")
def iizuka(iizuka_workdir):
    return Colorizer.load(iizuka_workdir)


def difference(one, two):
    return np.abs(np.asarray(one).astype(int) - np.asarray(two).astype(int)).max()


def test_another_photos_global_features_change_the_colors(iizuka):
    plain = iizuka.colorize(PHOTO)
    assert difference(iizuka.colorize(PHOTO, global_image=PHOTO), plain) <= 1
    moody = iizuka.colorize(PHOTO, global_image=OTHER)
    assert difference(moody, plain) > 3
    lightness = [color.rgb_u8_to_lab(rgb)[..., 0] for rgb in (moody, PHOTO)]
    assert np.abs(lightness[0] - lightness[1]).max() <= 0.4
    # A Pillow image with alpha, of another size and shape.
    large = Image.fromarray(OTHER).resize((96, 40)).convert("RGBA")
    assert difference(iizuka.colorize(PHOTO, global_image=large), plain) > 3
    assert difference(iizuka.colorize(PHOTO), plain) == 0  # no state is kept


def test_another_photos_palette_changes_the_colors(semantic_workdir):
    colorizer = Colorizer.load(semantic_workdir)
    plain = colorizer.colorize(PHOTO)
    large = Image.fromarray(OTHER).resize((400, 200))
    given = colorizer.colorize(PHOTO, global_image=large)
    assert difference(given, plain) > 3
    assert difference(colorizer.colorize(PHOTO), plain) == 0  # no state is kept
    gray = Image.fromarray(OTHER).convert("L")  # a palette too, and another one
    assert difference(colorizer.colorize(PHOTO, global_image=gray), given) > 3
    lent = colorizer._from_reference(large, lambda pixels: np.empty(0))
    assert lent.size == 0  # the palette of only the last image, `gray`, is cached


def test_the_palette_is_that_of_the_photo_at_128_px():
    whole = colorizer_module._palette_of(open_pixels(PHOTO))
    ab = rgb2lab(PHOTO / 255)[..., 1:]
    np.testing.assert_allclose(whole[0, :-1], color.palette(ab), atol=1e-4)
    assert whole[0, -1] == 1
    large = np.repeat(np.repeat(PHOTO, 8, 0), 8, 1)  # 384 px: shrunk by 3
    np.testing.assert_allclose(colorizer_module._palette_of(open_pixels(large)), whole, atol=0.05)


def test_one_global_image_is_looked_at_once_for_a_whole_album(iizuka, monkeypatch):
    looked = []
    look = Colorizer.look

    def noted(self, pixels):
        looked.append((pixels.height, pixels.width))
        return look(self, pixels)

    monkeypatch.setattr(Colorizer, "look", noted)
    lender, another = Image.fromarray(OTHER).resize((40, 24)), Image.fromarray(PHOTO[:16])
    album = list(iizuka.colorize_many([PHOTO, PHOTO[::-1], PHOTO], global_image=lender))
    assert looked.count((24, 40)) == 1
    assert looked.count((48, 48)) == 3
    assert difference(album[0], album[2]) == 0
    changed = iizuka.colorize(PHOTO, global_image=another)
    assert looked.count((16, 48)) == 1
    assert difference(changed, album[0]) > 0


def test_weights_without_global_features_say_so(colorizer):
    with pytest.raises(RequestError, match="weights of semantic, iizuka or edge_fusion"):
        colorizer.colorize(PHOTO, global_image=OTHER)


@pytest.mark.slow
def test_the_global_image_on_the_command_line(iizuka_workdir, tmp_path, capsys):
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    Image.fromarray(OTHER).save(tmp_path / "b.png")
    command = ["colorize", str(tmp_path / "a.png"), "--recolor"]
    command += ["--checkpoint", str(iizuka_workdir)]
    for name, more in (
        ("plain", []),
        ("moody", ["--global-image", str(tmp_path / "b.png")]),
        ("own", ["--size", "own"]),
    ):
        assert cli.run([*command, "--output", str(tmp_path / name), *more]) == 0
    pictures = {n: Image.open(tmp_path / n / "a.png") for n in ("plain", "moody", "own")}
    assert difference(pictures["plain"], pictures["moody"]) > 3
    assert difference(pictures["plain"], pictures["own"]) > 3
    (tmp_path / "c.png").write_bytes(b"no photo")
    capsys.readouterr()
    status = cli.run([*command, "--overwrite", "--global-image", str(tmp_path / "c.png")])
    out, err = capsys.readouterr()
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert "--global-image" in err
    assert "cannot be read as a photo" in err


def test_luma_is_what_iizuka_sees(iizuka):
    """Returns the picture of the network's prediction from 2 Y - 1, at its own size."""
    square = PHOTO[:32, :32]
    luma = square.astype(np.float32) @ np.float32([0.299, 0.587, 0.114]) / 255
    method = iizuka._engine.method
    ab = jax.jit(method.predict_ab)(
        iizuka._engine.variables, {"gray": (2 * luma - 1)[None, ..., None]}
    )
    lab = np.dstack([color.rgb_u8_to_lab(square)[..., 0], np.asarray(ab[0])])
    expected = color.lab_to_rgb_u8(lab.astype(np.float32), gamut="shrink_chroma")
    assert difference(iizuka.colorize(square), expected) <= 1
    seen = {"gray": color.rgb_u8_to_lab(square)[None, ..., :1] / 50 - 1}
    by_lightness = jax.jit(method.predict_ab)(iizuka._engine.variables, seen)
    assert jnp.abs(by_lightness - ab).max() > 1


def test_edges_are_those_of_training(edge_fusion_workdir):
    colorizer = Colorizer.load(edge_fusion_workdir)
    square = PHOTO[:32, :32]
    lightness = color.rgb_u8_to_lab(square)[..., :1]
    edges = canny(lightness[..., 0] / 100, 1.0, 0.1, 0.2)[None, ..., None]
    assert 0.01 < edges.mean() < 0.5
    fields = {"gray": lightness[None] / 50 - 1, "edges": edges}
    method = colorizer._engine.method
    ab = jax.jit(method.predict_ab)(colorizer._engine.variables, fields)
    lab = np.concatenate([lightness, np.asarray(ab[0])], axis=-1)
    expected = color.lab_to_rgb_u8(lab, gamut="shrink_chroma")
    assert difference(colorizer.colorize(square), expected) <= 1
    none = jax.jit(method.predict_ab)(colorizer._engine.variables, fields | {"edges": 0 * edges})
    assert jnp.abs(none - ab).max() > 0.5


@pytest.mark.parametrize(
    ("size", "photo", "works_at"),
    [
        (64, (3000, 4000), (64, 88)),
        (60, (100, 100), (64, 64)),
        (3, (100, 100), (8, 8)),
        (0, (250, 333), (248, 336)),
        (0, (1, 3), (8, 8)),
        (0, (4096, 4096), (2048, 2048)),
    ],
)
def test_working_sizes_are_the_nearest_multiples(size, photo, works_at):
    assert WorkingSize(size, 8, is_fixed=False).of(*photo) == works_at


@pytest.mark.parametrize("size", [0, -8, "big", 1.5])
def test_sizes_that_mean_nothing(iizuka_workdir, size):
    with pytest.raises(RequestError, match="size must be a number of pixels above 0, or 'own'"):
        Colorizer.load(iizuka_workdir, size=size)


@pytest.mark.slow
def test_the_size_decides_where_colors_are_predicted(iizuka_workdir):
    wide = blocks(96, 5)
    result = [Colorizer.load(iizuka_workdir, size=s).colorize(wide) for s in (32, 96, "own")]
    assert difference(result[1], result[2]) == 0
    assert difference(result[0], result[1]) > 3
