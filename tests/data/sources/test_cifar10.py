"""CIFAR-10's original files, with batches of 20 photos instead of 10,000.

That `tfds:cifar10` reads is tested in test_sources.py.
"""

import hashlib
import io
import os
import pickle
import struct
import tarfile

import numpy as np
import pytest
from helpers.synthetic import tiny_config
from PIL import Image

from colorjax.data.selection import splits
from colorjax.data.sources import cifar10
from colorjax.data.sources.cifar10 import Cifar10Source, parse_slice
from colorjax.data.sources.source import FolderSource
from colorjax.errors import RequestError

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
PUBLISHED = dict(cifar10._MD5)
BATCHES = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
N = 20  # photos in a batch
RNG = np.random.default_rng(0)
PHOTOS = RNG.integers(0, 256, (6 * N, 32, 32, 3), np.uint8)  # 100 train, then 20 test
LABELS = RNG.integers(0, 10, 6 * N)


def planes(photo):
    """A photo as CIFAR-10 stores it: 1,024 bytes of red row by row, then green, then blue."""
    return b"".join(bytes(photo[:, :, channel].ravel().tolist()) for channel in range(3))


def string(text):
    """A string as Python 2 pickles it."""
    data = text.encode("latin1") if isinstance(text, str) else text
    if len(data) < 256:
        return b"U" + bytes([len(data)]) + data
    return b"T" + struct.pack("<i", len(data)) + data


def python2_array(data, rows):
    """A (rows, 3072) uint8 array as NumPy 1 under Python 2 pickles it, protocol 2."""
    dtype = b"cnumpy\ndtype\n" + string("u1") + b"K\x00K\x01\x87R"
    dtype += b"(K\x03" + string("|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    return (
        made
        + b"(K\x01"
        + b"M"
        + struct.pack("<H", rows)
        + b"M\x00\x0c\x86"
        + dtype
        + (b"\x89" + string(data) + b"tb")
    )


def python2_batch(number):
    """One batch, opcode by opcode as the authors' files have it."""
    first = number * N
    data = b"".join(planes(photo) for photo in PHOTOS[first : first + N])
    labels = b"](" + b"".join(b"K" + bytes([label]) for label in LABELS[first : first + N]) + b"e"
    names = b"](" + b"".join(string(f"{at}.png") for at in range(N)) + b"e"
    content = b"\x80\x02}("
    content += string("batch_label") + string(f"training batch {number + 1} of 5")
    content += string("labels") + labels
    content += string("data") + python2_array(data, N)
    return content + string("filenames") + names + b"u."


def python3_batch(number, protocol=4, **changes):
    data = np.array([list(planes(photo)) for photo in PHOTOS[number * N : (number + 1) * N]])
    labels = LABELS[number * N : (number + 1) * N].tolist()
    fields = {"data": data.astype(np.uint8), "labels": labels}
    return pickle.dumps(fields | changes, protocol=protocol)


def binary_batch(number):
    pairs = zip(LABELS, PHOTOS, strict=True)
    return b"".join([bytes([label]) + planes(photo) for label, photo in pairs][number * N :][:N])


def python_files():
    files = {name: python2_batch(number) for number, name in enumerate(BATCHES)}
    return files | {"batches.meta": pickle.dumps({"label_names": NAMES}, protocol=2)}


def binary_files():
    files = {f"{name}.bin": binary_batch(number) for number, name in enumerate(BATCHES)}
    return files | {"batches.meta.txt": "\n".join([*NAMES, "", ""]).encode()}


FORMS = {
    "python": (python_files(), "cifar-10-batches-py", "cifar-10-python.tar.gz"),
    "binary": (binary_files(), "cifar-10-batches-bin", "cifar-10-binary.tar.gz"),
}


def write_folder(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def write_archive(path, files, below):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in reversed(files.items()):  # the real ones are in no order either
            member = tarfile.TarInfo(f"{below}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def write(kind, at):
    """Writes one of the eight ways to have the data; returns what data.path is then."""
    files, folder, archive = FORMS[kind.split()[0]]
    at.mkdir()
    match kind.split()[1:]:
        case ["files"]:
            return write_folder(at, files)
        case ["folder"]:
            return write_folder(at / folder, files).parent
        case ["archive"]:
            return write_archive(at / archive, files, folder)
        case _:
            return write_archive(at / archive, files, folder).parent


WAYS = [f"{form} {way}" for form in FORMS for way in ("files", "folder", "archive", "beside")]


def md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """Batches of 20, whose sums, and those of archives made here, are not the published ones."""
    monkeypatch.setattr(cifar10, "_PHOTOS", N)
    sums = {name: md5(content) for name, content in FORMS["python"][0].items()}
    monkeypatch.setattr(cifar10, "_MD5", cifar10._MD5 | sums)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def publish(monkeypatch, path):
    monkeypatch.setitem(cifar10._MD5, path.name, md5(path.read_bytes()))


def test_published_sums():
    """As torchvision/datasets/cifar.py has them, and the authors' page those of the archives."""
    assert PUBLISHED == {
        "cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a",
        "cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530",
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    }


@pytest.mark.parametrize("way", WAYS)
def test_every_form_gives_the_same_photos(way, tmp_path, monkeypatch):
    path = write(way, tmp_path / "data")
    for archive in (path if path.is_dir() else path.parent).glob("*.tar.gz"):
        publish(monkeypatch, archive)
    before = sorted(tmp_path.rglob("*"))
    train, test = Cifar10Source(path, "train"), Cifar10Source(str(path), "test")
    assert (len(train), len(test)) == (100, 20)
    assert train.class_names == test.class_names == tuple(NAMES)
    for source, first in [(train, 0), (test, 100)]:
        for index in (0, 7, len(source) - 1):
            np.testing.assert_array_equal(source[index].image, PHOTOS[first + index])
            assert source[index].label == LABELS[first + index]
        assert source[0].image.dtype == np.uint8
        assert source.labels().dtype == np.int32
    np.testing.assert_array_equal(train.labels(), LABELS[:100])
    np.testing.assert_array_equal(np.stack([photo.image for photo in train]), PHOTOS[:100])
    assert train.keys[:2] == ["train/00000", "train/00001"]
    assert test.keys[-1] == "test/00019"
    other = write_folder(tmp_path / "other", FORMS["binary"][0])
    assert train.fingerprint() == Cifar10Source(other, "train").fingerprint()
    assert len({train.fingerprint(), test.fingerprint()}) == 2
    assert [p for p in sorted(tmp_path.rglob("*")) if "other" not in p.parts] == before


def test_slices_take_the_photos_they_name(tmp_path):
    path = write("binary files", tmp_path / "data")
    for split, first, last in [
        ("train[:13]", 0, 13),
        ("train[15:45]", 15, 45),  # of three batches
        ("train[90%:]", 90, 100),
        ("test[-5:]", 115, 120),
    ]:
        source = Cifar10Source(path, split)
        np.testing.assert_array_equal([photo.image for photo in source], PHOTOS[first:last])
        np.testing.assert_array_equal(source.labels(), LABELS[first:last])
    assert source.keys == [f"test/{number:05d}" for number in range(15, 20)]
    for number in (2, 3, 4, 5):
        os.remove(path / f"data_batch_{number}.bin")
    assert len(Cifar10Source(path, "train[:20]")) == 20  # reads what it needs
    with pytest.raises(RequestError, match=r"lacks data_batch_2\.bin; download and unpack cifar"):
        Cifar10Source(path, "train[:21]")


@pytest.mark.parametrize(
    ("split", "wanted"),
    [
        ("train", (0, 50_000)),
        ("test", (0, 10_000)),
        ("train[:1000]", (0, 1_000)),
        ("train[10%:]", (5_000, 50_000)),
        ("train[-10%:]", (45_000, 50_000)),
        ("test[33%:67%]", (3_300, 6_700)),
        ("train[45000:-1]", (45_000, 49_999)),
    ],
)
def test_slices_are_those_of_tfds(split, wanted, monkeypatch):
    import tensorflow_datasets as tfds

    monkeypatch.setattr(cifar10, "_PHOTOS", 10_000)
    parsed = parse_slice(split)
    assert (parsed.start, parsed.stop) == wanted
    sizes = {"train": 50_000, "test": 10_000}
    infos = {
        name: tfds.core.SplitInfo(
            name=name,
            shard_lengths=[number],
            num_bytes=0,
            filename_template=tfds.core.ShardedFileTemplate(
                data_dir="/", dataset_name="cifar10", split=name, filetype_suffix="array_record"
            ),
        )
        for name, number in sizes.items()
    }
    (part,) = tfds.core.ReadInstruction.from_spec(split).to_absolute(infos)
    stop = sizes[part.splitname] if part.to is None else part.to
    assert (part.splitname, part.from_ or 0, stop) == tuple(parsed)


@pytest.mark.parametrize(
    ("split", "says"),
    [
        ("validation", "has no split 'validation'; it has train and test, and slices"),
        ("train[:10", "has no split"),
        ("train+test", "has no split"),
        ("train[::2]", "has no split"),
        ("", "has no split ''"),
        ("train[50:40]", r"no photos in 'train\[50:40\]': train has 100"),
        ("train[:101]", "no photos"),
        ("train[:101%]", "no photos"),
        ("test[20:]", "no photos"),
        ("test[-21:]", "no photos"),
    ],
)
def test_splits_that_are_none(split, says):
    with pytest.raises(RequestError, match=says):
        parse_slice(split)


def test_without_labels(tmp_path):
    source = Cifar10Source(write("binary files", tmp_path / "data"), "test", with_labels=False)
    assert source.labels() is None
    assert source.class_names == ()
    assert source[0].label == -1


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_batches_that_python_3_wrote(protocol, tmp_path):
    """By NumPy 2 with its new module names, and with those of NumPy 1."""
    content = python3_batch(5, protocol)
    assert b"numpy._core.multiarray" in content
    older = content.replace(b"cnumpy._core.multiarray", b"cnumpy.core.multiarray")
    for number, batch in enumerate([content, older]):
        path = write_folder(tmp_path / str(number), {"test_batch": batch})
        source = Cifar10Source(path, "test", verify=False)
        np.testing.assert_array_equal([photo.image for photo in source], PHOTOS[100:])


class Evil:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("call", "named"),
    [
        ((os.system, ("touch touched",)), "posix.system"),
        ((eval, ("open('touched', 'w')",)), "eval is not allowed"),
        ((np.load, ("x",)), "numpy.load is not allowed"),
        ((getattr, ("a", "join")), "getattr is not allowed"),
    ],
)
def test_a_pickle_that_calls_anything_else_is_refused(call, named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for batch in (pickle.dumps(Evil(*call)), python3_batch(5, extra=Evil(*call))):
        path = write_folder(tmp_path / "data", {"test_batch": batch})
        with pytest.raises(RequestError, match=named) as caught:
            Cifar10Source(path, "test", verify=False)
        assert "test_batch' is not a CIFAR-10 file: UnpicklingError" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "touched").exists()


def test_codecs_encode_is_only_for_bytes_as_python_3_writes_them(tmp_path):
    bomb = b"\x80\x02c_codecs\nencode\n" + b"X\x01\x00\x00\x00aX\x06\x00\x00\x00base64\x86R."
    with pytest.raises(RequestError, match="encoding 'base64'"):
        Cifar10Source(write_folder(tmp_path, {"test_batch": bomb}), "test", verify=False)


@pytest.mark.parametrize(
    ("batch", "says"),
    [
        (python2_batch(5)[:-3000], "is not a CIFAR-10 file"),
        (b"", "EOFError"),
        (b"no pickle", "is not a CIFAR-10 file"),
        (pickle.dumps([1, 2]), "it holds list, not a dictionary"),
        (pickle.dumps({}), "'data' is not 20 x 3072 bytes"),
        (python3_batch(5, data=None), "'data' is not 20 x 3072 bytes"),
        (python3_batch(5, data=np.zeros((19, 3072), np.uint8)), "'data' is not 20 x 3072 bytes"),
        (python3_batch(5, data=np.zeros((20, 3072), np.uint16)), "'data' is not 20 x 3072 bytes"),
        (python3_batch(5, data=np.zeros((20, 3072), np.int8)), "'data' is not 20 x 3072 bytes"),
        (python3_batch(5, labels=[1] * 19), "'labels' are not 20 numbers"),
        (python3_batch(5, labels=["1"] * 20), "'labels' are not 20 numbers"),
        (python3_batch(5, labels=[[1], 2]), "'labels' are not 20 numbers"),
        (python3_batch(5, labels=None), "'labels' are not 20 numbers"),
        (python3_batch(5, labels=[1] * 19 + [10]), "a label is not in 0 to 9"),
        (python3_batch(5, labels=[-1] * 20), "a label is not in 0 to 9"),
    ],
)
def test_a_python_batch_that_is_none(batch, says, tmp_path):
    path = write_folder(tmp_path / "data", {"test_batch": batch})
    with pytest.raises(RequestError, match=says) as caught:
        Cifar10Source(path, "test", verify=False)
    assert "test_batch" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(RequestError, match=r"test_batch' has the md5 sum .*data\.verify=False"):
        Cifar10Source(path, "test")


@pytest.mark.parametrize("verify", [False, True])
def test_a_binary_batch_that_is_none(verify, tmp_path):
    content = binary_batch(5)
    for batch, says in [
        (content[:-1], "it has 61459 bytes, not 61460"),
        (content + b"\0", "it has 61461 bytes, not 61460"),
        (b"", "it has 0 bytes"),
        (b"\x0a" + content[1:], "a label is not in 0 to 9"),
    ]:
        path = write_folder(tmp_path, {"test_batch.bin": batch})
        with pytest.raises(RequestError, match=rf"test_batch\.bin' is not a CIFAR-10 file: {says}"):
            Cifar10Source(path, "test", verify=verify)


def test_the_size_of_a_real_binary_batch(tmp_path, monkeypatch):
    """The authors' page: each file is exactly 30,730,000 bytes long."""
    monkeypatch.setattr(cifar10, "_PHOTOS", 10_000)
    path = write_folder(tmp_path, {"test_batch.bin": binary_batch(5)})
    with pytest.raises(RequestError, match="it has 61460 bytes, not 30730000"):
        Cifar10Source(path, "test")


def test_a_changed_file_is_told_by_its_sum(tmp_path):
    path = write("python files", tmp_path / "data")
    content = bytearray((path / "data_batch_3").read_bytes())
    content[len(content) // 2] ^= 1  # a pixel
    (path / "data_batch_3").write_bytes(content)
    with pytest.raises(RequestError, match=r"data_batch_3' has the md5 sum .* set data\.verify="):
        Cifar10Source(path, "train")
    assert len(Cifar10Source(path, "train", verify=False)) == 100
    assert len(Cifar10Source(path, "train[:40]")) == 40
    (path / "batches.meta").write_bytes(pickle.dumps({"label_names": NAMES[::-1]}))
    with pytest.raises(RequestError, match=r"batches\.meta' has the md5 sum"):
        Cifar10Source(path, "test")
    with pytest.raises(RequestError, match="its class names are not those of CIFAR-10"):
        Cifar10Source(path, "test", verify=False)


def test_a_changed_archive(tmp_path, monkeypatch):
    path = write("binary archive", tmp_path / "data")
    with pytest.raises(RequestError, match=r"cifar-10-binary.tar.gz' has the md5 sum .*published"):
        Cifar10Source(path, "test")
    assert len(Cifar10Source(path, "test", verify=False)) == 20
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"no archive", b""):
        path.write_bytes(damaged)
        with pytest.raises(RequestError, match=r"cifar-10-binary\.tar\.gz' cannot be read|lacks"):
            Cifar10Source(path, "train", verify=False)
    files = {name: content for name, content in FORMS["binary"][0].items() if "5" not in name}
    write_archive(path, files, "cifar-10-batches-bin")
    with pytest.raises(RequestError, match=r"lacks data_batch_5\.bin; download"):
        Cifar10Source(path, "train", verify=False)


def test_other_names_of_classes_and_none(tmp_path):
    path = write("binary files", tmp_path / "data")
    (path / "batches.meta.txt").write_text("a\nb\n")
    with pytest.raises(RequestError, match="its class names are not those of CIFAR-10"):
        Cifar10Source(path, "test")
    (path / "batches.meta.txt").unlink()
    assert Cifar10Source(path, "test").class_names == tuple(NAMES)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: "", r"data\.path is empty; give the folder of the CIFAR-10 files"),
        (lambda path: path / "nowhere", "does not exist; give a folder with data_batch_1"),
        (lambda path: path, "is not CIFAR-10; give a folder with data_batch_1"),
        (lambda path: path / "file.zip", "is not CIFAR-10"),
    ],
)
def test_no_data_there(make, says, tmp_path):
    (tmp_path / "file.zip").write_text("x")
    with pytest.raises(RequestError, match=says):
        Cifar10Source(make(tmp_path), "train")


def config(path, **changes):
    fields = {"name": "cifar10", "path": str(path)} | changes
    return tiny_config("", **{f"data.{name}": value for name, value in fields.items()}).data


def test_by_config(tmp_path):
    path = write("python folder", tmp_path / "data")
    parts = splits.open_splits(config(path, eval_split="test"))
    assert [len(part) for part in parts][2] == 20
    assert len(parts.train) + len(parts.validation) == 100
    assert parts.train.class_names == tuple(NAMES)
    parts = splits.open_splits(config(path, eval_split="test", classes=("cat", "dog")))
    assert set(parts.train.labels()) == {3, 5}
    parts = splits.open_splits(config(path, split="test", labels="none"))
    assert sum(len(part) for part in parts) == 20
    assert parts.train[0].label == -1
    (path / "cifar-10-batches-py" / "test_batch").write_bytes(python3_batch(5))
    with pytest.raises(RequestError, match="md5"):
        splits.open_splits(config(path, eval_split="test"))
    assert splits.open_splits(config(path, eval_split="test", verify=False))
    assert len(splits.open_data("cifar10", str(path))) == 100
    hue = config(path, eval_split="test", verify=False, validation="hue", validation_fraction=0.1)
    parts = splits.open_splits(hue)
    assert [len(part) for part in parts] == [90, 10, 20]
    assert splits.hue_histograms(parts, hue) is not None


def test_slices_that_share_photos_are_refused(tmp_path):
    path = write("binary files", tmp_path / "data")
    other = write("python archive", tmp_path / "other")
    for split, eval_split in [("train", "train[:10]"), ("train[:51]", "train[50:]")]:
        with pytest.raises(RequestError, match=r"share photos; give slices that do not"):
            splits.open_splits(config(path, split=split, eval_split=eval_split))
    with pytest.raises(RequestError, match="share photos"):  # CIFAR-10 is one, wherever it lies
        splits.open_splits(config(path, eval_path=str(other), verify=False))
    parts = splits.open_splits(config(path, split="train[:50]", eval_split="train[50:]"))
    assert [len(parts.train) + len(parts.validation), len(parts.eval)] == [50, 50]


def test_an_image_folder_of_cifar10_reads(tmp_path):
    """As the data set is also passed around: train/airplane/0001.png."""
    for number in (0, 1):
        folder = tmp_path / "train" / NAMES[number]
        folder.mkdir(parents=True)
        Image.fromarray(PHOTOS[number]).save(folder / "0001.png")
    source = FolderSource.open(tmp_path / "train", labels="folder")
    assert list(source.keys) == ["airplane/0001.png", "automobile/0001.png"]
    assert source.class_names == ("airplane", "automobile")
    with Image.open(io.BytesIO(source[1].image)) as image:
        np.testing.assert_array_equal(np.asarray(image), PHOTOS[1])
