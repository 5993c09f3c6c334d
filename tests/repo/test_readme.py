"""The examples of README.md and docs/ run, and their commands are ones that there are."""

import itertools
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from helpers.synthetic import synthetic_images
from PIL import Image

from colorjax import color
from colorjax.cli import main as cli

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


EXAMPLES = [
    pytest.param(block, id=f"{page.name} {number}")
    for page in (ROOT / "README.md", ROOT / "docs/colorize.md", ROOT / "docs/photos.md")
    for number, block in enumerate(blocks(page, "python"))
]


def your_colours(srgb):
    """Stands for a colorizer of the reader's own."""
    lab = color.rgb_u8_to_lab(srgb)
    lab[..., 1:] = 10, 20
    return color.lab_to_rgb_u8(lab, gamut="shrink_chroma")


@pytest.mark.parametrize("example", EXAMPLES)
def test_python_examples_run(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photo = Image.fromarray(synthetic_images(1, 48)[0]).convert("L")
    photo.save("mill.tif")
    photo.save("old.jpg")
    photo.save("phone.jpg")
    (tmp_path / "album").mkdir()
    photo.save("album/1.jpg")
    found = {"image": np.asarray(photo), "your_colours": your_colours}
    exec(compile(example, "example", "exec"), found)
    results = [value for name, value in found.items() if name.startswith("colored")]
    for value in results:
        assert np.asarray(value).shape[-1] == 3
    assert results or list(tmp_path.glob("*color*"))


def commands():
    for page in PAGES:
        for block in blocks(page, "[a-z]*"):
            for line in re.sub(r"\\\n\s*", " ", block).splitlines():
                words = line.split("#")[0] if " # " in line else line
                if re.match(r"(\.venv/bin/)?colorjax ", words):
                    yield pytest.param(words, id=f"{page.name}: {words[:60]}")


@pytest.mark.parametrize("line", commands())
def test_commands_are_ones_that_there_are(line):
    words = shlex.split(line)[1:]
    words = list(itertools.takewhile(lambda word: word not in ("<", ">", "|", "&"), words))
    cli.parse(words)
