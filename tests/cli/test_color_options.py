"""Color options of the command line."""

import argparse

import pytest

from colorjax.cli import color_options
from colorjax.errors import RequestError
from colorjax.inference.tiling import Tiling


def read(*args):
    parser = argparse.ArgumentParser()
    color_options.add(parser)
    return color_options.read(parser.parse_args(args))


def test_what_is_not_said_is_as_it_was():
    loading, coloring = read()
    assert loading == {"temperature": None, "decode": None, "size": None, "aspect": None}
    assert coloring == {
        "saturation": 1.0,
        "strength": 1.0,
        "quality": "normal",
        "upsampling": "guided",
    }


@pytest.mark.parametrize(
    ("args", "tiling"),
    [
        (["--tile", "256"], Tiling((256, 256), (128, 128), "hann")),
        (
            ["--tile", "512x384", "--stride", "128,96", "--combine", "maximum", "--keep-global"],
            Tiling((384, 512), (96, 128), "maximum", True),
        ),
        (["--tile", "exact"], "exact"),
    ],
)
def test_tiles(args, tiling):
    assert read(*args)[1]["tiling"] == tiling


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--combine", "hann"], "give --tile WxH"),
        (["--tile", "exact", "--stride", "8"], "--tile exact takes no --stride"),
        (["--tile", "exact", "--size", "32"], "leave --size and --aspect out"),
        (["--tile", "256", "--quality", "best"], "--quality best is for whole photos"),
        (["--tile", "256*256"], "--tile must be one or two numbers of pixels, such as 512x384"),
        (["--tile", "4"], "sides of at least 8 px"),
        (["--tile", "64", "--stride", "65"], "stride from 1 px to its side"),
        (["--strength", "1.5"], "--strength must be from 0 to 1"),
        (["--saturation", "-1"], "--saturation must be at least 0"),
        (["--temperature", "nan"], "--temperature must be at least 0"),
    ],
)
def test_wrong_ones(args, says):
    with pytest.raises(RequestError, match=says):
        read(*args)
