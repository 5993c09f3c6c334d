import numpy as np
import pytest
from PIL import Image

from colorjax.cli import main as cli
from colorjax.data import prior


def test_counts_a_folder_and_says_what_is_unusual(photos, tmp_path, capsys):
    out = tmp_path / "deep" / "prior.npz"
    assert cli.run(["prior", str(photos), "--output", str(out)]) == 0
    message = capsys.readouterr()
    assert "40 photos, 64000 pixels" in message.out
    assert "bins are nearly empty" in message.err  # 40 discs and ramps do not fill 313 bins
    shares = prior.load(out)
    assert shares.sum() == pytest.approx(1)
    before = out.read_bytes()
    assert cli.run(["prior", str(photos), "--output", str(out)]) == 2
    assert "exists; give another --output, or --overwrite" in capsys.readouterr().err
    assert out.read_bytes() == before
    assert cli.run(["prior", str(photos), "--output", str(out), "--overwrite"]) == 0


def test_unreadable_photos_are_counted(photos, tmp_path, capsys):
    Image.fromarray(np.full((16, 16, 3), 128, np.uint8)).save(tmp_path / "grey.png")
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    assert cli.run(["prior", str(tmp_path), "--output", str(tmp_path / "p.npz")]) == 0
    assert "1 photos cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["nowhere", "--output", "p.npz"], "does not exist"),
        (["PHOTOS", "--output", "p.npy"], "must end in .npz"),
        (["PHOTOS", "--output", "p.npz", "--short-side", "2"], "must be at least 8 pixels"),
        (["tfds:nothing", "--output", "p.npz"], "nothing"),
        (["PHOTOS"], "--output"),
    ],
)
def test_a_wrong_request_is_one_line(args, text, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    args = [str(photos) if arg == "PHOTOS" else arg for arg in args]
    assert cli.run(["prior", *args]) == 2
    message = capsys.readouterr().err
    assert text in message
    assert message.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
