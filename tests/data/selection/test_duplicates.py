import io
import json

import numpy as np
import pytest
from PIL import Image

from colorjax.cli import main as cli
from colorjax.data import prepare as preparing
from colorjax.data.decode import decode_reduced, decode_rgb
from colorjax.data.prepare import prepare
from colorjax.data.selection import duplicates
from colorjax.data.selection.cleaning import MAX_BITS
from colorjax.data.selection.duplicates import MAX_BITS_EXCLUDED, Reason, find_duplicates, select
from colorjax.data.sources.archives import open_archive
from colorjax.data.sources.records import ArrayRecordSource
from colorjax.data.sources.source import FolderSource
from colorjax.errors import RequestError


def drawn(seed, width=160, height=120):
    """A picture with enough structure for a hash of its own."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(picture)


def save(path, rgb, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path, **options)


@pytest.fixture
def sources(tmp_path):
    """Two sources with copies of each other, of an excluded photo, and photos of no use."""
    root = tmp_path / "sources"
    for number in range(4):
        save(root / f"birds/{number}.jpg", drawn(number), quality=90)
        save(root / f"ships/{number}.png", drawn(10 + number, 200, 150))
    save(root / "ships/4_smaller_copy.jpg", drawn(0, 100, 75), quality=60)
    save(root / "ships/5_mirrored_copy.jpg", drawn(1)[:, ::-1], quality=80)
    save(root / "ships/6_of_the_test.jpg", drawn(50)[:, ::-1], quality=80)
    save(root / "ships/7_small.jpg", drawn(60, 80, 59))
    (root / "ships/8_broken.jpg").write_bytes((root / "birds/0.jpg").read_bytes()[:500])
    save(tmp_path / "test/deep/50.png", drawn(50, 300, 225))
    return root


COUNTS = {"birds": [4, 0, 0, 0, 0], "ships": [4, 1, 1, 1, 2]}  # in the order of Reason


def reference_bits(one, other):
    """The bits by which two photos differ: 64 across and 64 down, by NumPy alone."""
    bits = []
    for rgb in (one, other):
        gray = np.asarray(Image.fromarray(rgb).convert("L"))
        across = np.asarray(Image.fromarray(gray).resize((9, 8), Image.Resampling.BOX), int)
        down = np.asarray(Image.fromarray(gray).resize((8, 9), Image.Resampling.BOX), int)
        bits.append([across[:, 1:] > across[:, :-1], down[1:] > down[:-1]])
    return int((np.array(bits[0]) != np.array(bits[1])).sum())


def test_reasons_of_each_photo(sources, tmp_path):
    archive = open_archive(sources)
    reasons = select(archive, [open_archive(tmp_path / "test")], min_side=60, jobs=1)
    by_name = dict(zip(archive.keys, reasons, strict=True))
    assert by_name.pop("ships/4_smaller_copy.jpg") == Reason.DUPLICATE
    assert by_name.pop("ships/5_mirrored_copy.jpg") == Reason.DUPLICATE
    assert by_name.pop("ships/6_of_the_test.jpg") == Reason.EXCLUDED
    assert by_name.pop("ships/7_small.jpg") == Reason.TOO_SMALL
    assert by_name.pop("ships/8_broken.jpg") == Reason.UNREADABLE
    assert set(by_name.values()) == {Reason.KEPT}
    assert duplicates.count_by_source(archive.keys, reasons) == COUNTS
    # Without the test photo and the limit both photos stay.
    assert (select(archive, jobs=1) == Reason.KEPT).sum() == 10


def test_duplicates_are_those_of_a_pairwise_comparison():
    """Hashes at every distance from 0 to 40 bits of an earlier one, against a plain double loop."""
    rng = np.random.default_rng(4)
    bits = rng.random((20, 2, 128)) < 0.5  # photo and mirror image
    copies = []
    for distance in range(41):
        photo, way = rng.integers(20), rng.integers(2)
        near = bits[photo, 0].copy()
        near[rng.choice(128, distance, replace=False)] ^= True
        other = rng.random(128) < 0.5
        copies.append([near, other] if way else [other, near])
    bits = np.concatenate([bits, copies])
    excluded = bits[:5, 0].copy()
    bits = bits[5:]
    expected, kept = [], []
    for both in bits:

        def nearest(known, both=both):
            return min((int((one != other).sum()) for one in known for other in both), default=128)

        if nearest(excluded) <= MAX_BITS_EXCLUDED:
            expected.append(Reason.EXCLUDED)
        elif nearest(kept) <= MAX_BITS:
            expected.append(Reason.DUPLICATE)
        else:
            expected.append(Reason.KEPT)
            kept.append(both[0])

    def packed(values):
        return np.packbits(values.reshape(*values.shape[:-1], 2, 64), axis=-1).view(np.uint64)[
            ..., 0
        ]

    reasons = find_duplicates(packed(bits), packed(excluded))
    assert reasons.tolist() == expected
    assert len(set(expected)) == 3


@pytest.mark.parametrize("copy", ["smaller", "mirrored"])
def test_the_hash_of_a_copy_agrees_with_numpy(copy, sources):
    """Draft decoding, as the selection has it, moves no more than a few bits."""
    files = {"smaller": "ships/4_smaller_copy.jpg", "mirrored": "ships/5_mirrored_copy.jpg"}
    original = {"smaller": "birds/0.jpg", "mirrored": "birds/1.jpg"}[copy]
    looks = [
        duplicates._look(open_archive(sources), number, number + 1)
        for number, key in enumerate(open_archive(sources).keys)
        if key in (original, files[copy])
    ]
    way = int(copy == "mirrored")
    bits = np.bitwise_count(looks[0].hashes[0, 0] ^ looks[1].hashes[0, way]).sum()
    rgb = [decode_rgb((sources / name).read_bytes()) for name in (original, files[copy])]
    mirrored = rgb[1][:, ::-1] if way else rgb[1]
    assert reference_bits(rgb[0], mirrored) <= MAX_BITS
    assert abs(int(bits) - reference_bits(rgb[0], mirrored)) <= 4
    assert reference_bits(rgb[0], drawn(99)) > 2 * MAX_BITS_EXCLUDED - 10


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_a_turned_photo_is_hashed_upright(kind):
    upright = drawn(7, 200, 120)
    turned = Image.fromarray(np.rot90(upright).copy())
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    buffer = io.BytesIO()
    turned.save(buffer, kind, exif=exif)
    for short_side in (400, 64):
        decoded = decode_reduced(buffer.getvalue(), short_side)
        assert decoded.shape[0] < decoded.shape[1]
        whole = decode_rgb(buffer.getvalue())
        np.testing.assert_allclose(whole.mean((0, 1)), upright.mean((0, 1)), atol=1)
        assert whole.shape == upright.shape
        assert reference_bits(decoded, upright) <= 4


def test_prepare_writes_what_is_left_and_prints_the_counts(sources, tmp_path, capsys):
    out = tmp_path / "shards"
    arguments = ["prepare", str(sources), "--output", str(out), "--shards", "2", "--jobs", "1"]
    arguments += ["--exclude", str(tmp_path / "test"), "--min-side", "60"]
    assert cli.run(arguments) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == ["birds", "4", "0", "0", "0", "0", "4"]
    assert lines[2] == ["ships", "9", "1", "1", "1", "2", "4"]
    assert lines[3] == ["all", "13", "1", "1", "1", "2", "8"]
    records, folder = ArrayRecordSource(out), FolderSource.open(sources, labels="folder")
    kept = [folder[n] for n, key in enumerate(folder.keys) if "_" not in key]
    assert sorted(records[number] for number in range(8)) == sorted(kept)
    assert records.class_names == ("birds", "ships")

    before = {path.name: path.read_bytes() for path in out.iterdir()}
    (out / "photos-00001-of-00002.array_record").unlink()
    assert cli.run(arguments) == 0
    assert "4 written now" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert cli.run([*arguments, "--exclude", str(sources / "birds")]) == 2
    assert "holds shards of other photos, or of another" in capsys.readouterr().err


def test_the_selection_is_stored_and_a_damaged_one_made_again(sources, tmp_path, monkeypatch):
    options = {"num_shards": 2, "min_side": 60, "jobs": 1, "exclude": [tmp_path / "test"]}
    seen = []
    first = prepare(sources, tmp_path / "a", selecting=seen.append, **options)
    assert sum(seen) == 14  # and the excluded one
    assert first.counts == COUNTS
    stored = tmp_path / "a/selection.npz"
    stored.write_bytes(stored.read_bytes()[:-30])
    assert prepare(sources, tmp_path / "a", **options).counts == COUNTS
    monkeypatch.setattr(preparing.duplicates, "select", None)  # not called again
    again = prepare(sources, tmp_path / "a", **options)
    assert (again.counts, again.num_written) == (COUNTS, 0)


@pytest.mark.slow
def test_processes_write_the_same_shards(sources, tmp_path):
    options = {"num_shards": 2, "min_side": 60, "exclude": [tmp_path / "test"]}
    for jobs in (1, 2):
        prepare(sources, tmp_path / str(jobs), jobs=jobs, **options)
    for path in (tmp_path / "1").iterdir():
        assert path.read_bytes() == (tmp_path / "2" / path.name).read_bytes()


def test_plans_without_a_selection_are_those_of_earlier_versions(sources, tmp_path):
    prepare(sources, tmp_path / "s", jobs=1)
    plan = json.loads((tmp_path / "s/plan.json").read_text())
    assert sorted(plan) == ["labels", "num_shards", "photos", "size"]


def test_every_photo_becomes_a_jpeg_of_the_quality_asked_for(tmp_path):
    save(tmp_path / "in/large.png", drawn(1, 300, 200))
    save(tmp_path / "in/small.bmp", drawn(2, 90, 70))
    save(tmp_path / "in/small.jpg", drawn(3, 90, 70), quality=60)
    prepare(tmp_path / "in", tmp_path / "out", size=96, quality=85, labels="none", jobs=1)
    records = ArrayRecordSource(tmp_path / "out")
    large, small, same = (records[number].image for number in range(3))
    expected = io.BytesIO()
    whole = Image.fromarray(drawn(1, 300, 200)).resize((144, 96), Image.Resampling.LANCZOS)
    whole.save(expected, "JPEG", quality=85, subsampling=0)
    assert large == expected.getvalue()
    assert same == (tmp_path / "in/small.jpg").read_bytes()
    with Image.open(io.BytesIO(small)) as image:
        assert (image.format, image.size) == ("JPEG", (90, 70))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quality": 90}, "needs --size"),
        ({"quality": 101, "size": 32}, "from 1 to 100"),
        ({"min_side": -1}, "--min-side must be at least 0"),
        ({"min_side": 5000}, "0 of 13 photos remain for 1 shards; lower --shards or --min-side"),
        ({"exclude": ["nowhere"]}, "'nowhere' does not exist"),
    ],
)
def test_options_that_mean_nothing(options, message, sources, tmp_path):
    with pytest.raises(RequestError, match=message):
        prepare(sources, tmp_path / "out", jobs=1, **options)
