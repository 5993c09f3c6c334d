import shutil

import pytest
import skimage.data
from helpers.page_server import serving
from helpers.synthetic import synthetic_images
from PIL import Image

from colorjax.inference.colorizer import Colorizer


@pytest.fixture
def album(tmp_path):
    """A folder of two gray photos and a color photo."""
    folder = tmp_path / "album"
    folder.mkdir()
    first, second = (Image.fromarray(image) for image in synthetic_images(2, 64))
    first.convert("L").crop((0, 0, 64, 48)).save(folder / "a.png", dpi=(300, 300))
    second.convert("L").save(folder / "b.jpg", quality=95)
    Image.fromarray(skimage.data.astronaut()).resize((64, 64)).save(folder / "c.png")
    return folder


@pytest.fixture(scope="session")
def semantic(semantic_workdir):
    """The weights of a tiny network, whose programs all tests share."""
    return Colorizer.load(semantic_workdir)


@pytest.fixture
def loaded_once(semantic, semantic_workdir, monkeypatch):
    """Makes `Colorizer.load` return `semantic` for its workdir."""
    load = Colorizer.load

    def load_once(path, **options):
        same = str(path) == str(semantic_workdir)
        return semantic if same else load(path, **options)

    monkeypatch.setattr(Colorizer, "load", load_once)


@pytest.fixture
def page(album, semantic_workdir, tmp_path, loaded_once):
    """A server of the album, with the weights of a tiny network."""
    results = tmp_path / "dropped"
    with serving([album], semantic_workdir, tmp_path / "private", results=results) as page:
        yield page


@pytest.fixture(scope="session")
def shared_page(tmp_path_factory, semantic_workdir):
    """A server for tests that change nothing."""
    root = tmp_path_factory.mktemp("shared")
    (root / "album").mkdir()
    for number, image in enumerate(synthetic_images(3, 64)):
        Image.fromarray(image).convert("L").save(root / "album" / f"{number}.png")
    with serving([root / "album"], semantic_workdir, root / "private", results=root / "r") as page:
        yield page
    shutil.rmtree(root, ignore_errors=True)
