"""Files of torch.save: parity with PyTorch, and refusal of invalid files."""

import hashlib
import os
import pickle
import random
import sys
import tarfile
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from helpers.torch_writing import (
    CONTAINERS,
    MAGIC,
    NUMBERS,
    STREAM,
    ZIP,
    hand_made,
    in_container,
    integer,
    outcome,
    refusal,
    saved,
    state_of,
    tensor,
    text,
    written,
)

from colorjax.errors import RequestError
from colorjax.weights.torch import file as torch_file


class TestRoundTrip:
    def compare(self, path):
        """Compares with torch.load; returns the result."""
        expected = torch.load(path, weights_only=False)  # which warns of protocols other than 2
        actual = torch_file.read_state_dict(path)
        assert list(actual) == list(expected)
        for name, reference in expected.items():
            if reference.dtype == torch.bfloat16:
                reference = reference.float()
            reference = reference.detach().numpy()
            assert type(actual[name]) is np.ndarray
            assert actual[name].dtype == reference.dtype
            assert actual[name].dtype.isnative
            np.testing.assert_array_equal(actual[name], reference, strict=True)
            assert actual[name].flags.c_contiguous
            assert actual[name].flags.writeable
            assert actual[name].flags.owndata
        return actual

    @CONTAINERS
    @pytest.mark.parametrize(
        "dtype",
        ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8"],
    )
    def test_dtypes(self, tmp_path, dtype, container):
        numbers = torch.linspace(0, 120, 24).reshape(2, 3, 4).to(getattr(torch, dtype))
        actual = self.compare(
            saved(tmp_path / "f", {"x": numbers, "scalar": numbers[1, 2, 3]}, container)
        )
        assert actual["x"].dtype == (dtype if dtype != "bfloat16" else "float32")
        assert actual["scalar"].shape == ()
        assert actual["scalar"] == 120

    @CONTAINERS
    def test_special_numbers(self, tmp_path, container):
        values = [float("inf"), float("-inf"), -0.0, 1e-40, 3.0e38, float("nan")]
        state = {str(d): torch.tensor(values).to(d) for d in (torch.float32, torch.bfloat16)}
        actual = self.compare(saved(tmp_path / "f", state, container))
        assert np.signbit(actual["torch.bfloat16"][2])

    @CONTAINERS
    def test_bool(self, tmp_path, container):
        state = {"mask": torch.tensor([True, False, True]), "scalar": torch.tensor(True)}
        self.compare(saved(tmp_path / "f", state, container))

    def test_a_bool_that_is_neither(self, tmp_path):
        item = tensor(kind="BoolStorage")
        path = hand_made(tmp_path / "f", item, storages={"0": (2, b"\x00\x07")})
        actual = torch_file.read_state_dict(path)["a"]
        assert actual.view(np.uint8).tolist() == [0, 1]

    @CONTAINERS
    def test_views(self, tmp_path, container):
        base = torch.arange(120, dtype=torch.float32).reshape(4, 5, 6)
        state = {
            "base": base,
            "transposed": base.permute(2, 0, 1),
            "offset": base[1:3, 2, 1:],
            "steps": base[::2, ::3, 1::2],
            "column": base[:, 4, 5],
            "element": base[3, 4, 5],
            "unit axes": base[:1].transpose(0, 2),
            "empty": base[:, :0],
            "tied": base,
            "channels_last": torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
        }
        actual = self.compare(saved(tmp_path / "f", state, container))
        actual["tied"][:] = 0
        assert actual["base"].any()

    @CONTAINERS
    def test_bfloat16_views(self, tmp_path, container):
        base = torch.arange(12).to(torch.bfloat16).reshape(3, 4)
        self.compare(saved(tmp_path / "f", {"a": base.T, "b": base[1:, ::2]}, container))

    @CONTAINERS
    def test_parameters(self, tmp_path, container):
        state = {"a": torch.nn.Parameter(torch.ones(2, 3)), "b": torch.ones(2, requires_grad=True)}
        self.compare(saved(tmp_path / "f", state, container))

    @CONTAINERS
    @pytest.mark.parametrize("protocol", [2, 3, 4, 5])
    def test_state_dict_of_a_module(self, tmp_path, container, protocol):
        net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
        net(torch.rand(2, 3, 8, 8))
        state = net.state_dict()
        assert isinstance(state, OrderedDict)
        assert state._metadata
        actual = self.compare(saved(tmp_path / "f", state, container, pickle_protocol=protocol))
        assert actual["1.num_batches_tracked"].dtype == np.int64
        assert actual["1.num_batches_tracked"] == 1

    def test_without_torch(self, tmp_path, monkeypatch):
        path = saved(tmp_path / "f", {"x": torch.ones(2)})
        monkeypatch.setitem(sys.modules, "torch", None)
        assert torch_file.read_state_dict(str(path))["x"].tolist() == [1, 1]

    def test_big_endian(self, tmp_path):
        """As written by PyTorch on such a machine: zips in its order, streams little-endian."""
        numbers = {"0": (2, np.array([1.5, -2], ">f4").tobytes())}
        path = hand_made(tmp_path / "f", tensor(), storages=numbers)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("archive/byteorder", "big")
        assert self.compare(path)["a"].tolist() == [1.5, -2]
        info = [pickle.dumps(value, 2) for value in (MAGIC, 1001, {"little_endian": False})]
        path = in_container(tmp_path / "g", state_of(tensor()), STREAM, NUMBERS, before=info)
        assert torch_file.read_state_dict(path)["a"].tolist() == [1.5, -2]

    def test_unknown_byte_order(self, tmp_path):
        path = hand_made(tmp_path / "f", tensor())
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("archive/byteorder", "middle")
        assert "damaged" in refusal(path)

    @CONTAINERS
    def test_python_2(self, tmp_path, container):
        """Byte strings, and an OrderedDict made of pairs, with _metadata as its state."""
        pairs = b"](]U\x01aa" + tensor() + b"ae"
        program = b"\x80\x02ccollections\nOrderedDict\n" + pairs + b"\x85R}U\x09_metadata}sb."
        path = in_container(tmp_path / "f", program, container, NUMBERS)
        assert torch_file.read_state_dict(path)["a"].tolist() == [1.5, -2]

    def test_view_of_a_storage(self, tmp_path):
        """Streams before PyTorch 0.4 name a part of a storage: (key, first, size)."""
        part = tensor(shape=(1,), view=b"(" + text("1") + integer(1) + integer(1) + b"t")
        path = hand_made(tmp_path / "f", part, container=STREAM)
        assert self.compare(path)["a"].tolist() == [-2]
        part = tensor(shape=(2,), view=b"(" + text("1") + integer(1) + integer(1) + b"t")
        assert "outside" in refusal(hand_made(tmp_path / "g", part, container=STREAM))
        part = tensor(shape=(1,), view=b"(" + text("1") + integer(1) + integer(2) + b"t")
        assert "outside" in refusal(hand_made(tmp_path / "h", part, container=STREAM))


STATE = {"w": torch.ones(2), "b": torch.zeros(1)}


@CONTAINERS
class TestMapping:
    @pytest.mark.parametrize("wrapper", ["state_dict", "model"])
    def test_wrapper(self, tmp_path, container, wrapper):
        optimizer = {"state": {0: {"momentum": torch.ones(9)}}, "param_groups": [{"lr": 0.1}]}
        whole = {"epoch": 3, "best": 0.5, wrapper: STATE, "optimizer": optimizer, "x": None}
        actual = torch_file.read_state_dict(saved(tmp_path / "f", whole, container))
        assert list(actual) == ["w", "b"]

    def test_one_level_only(self, tmp_path, container):
        whole = {"model": {"state_dict": STATE}}
        assert "holds no tensors" in refusal(saved(tmp_path / "f", whole, container))

    def test_module_is_stripped(self, tmp_path, container):
        whole = {"state_dict": {f"module.{name}": value for name, value in STATE.items()}}
        actual = torch_file.read_state_dict(saved(tmp_path / "f", whole, container))
        assert list(actual) == ["w", "b"]

    def test_module_is_kept_where_some_have_it(self, tmp_path, container):
        state = {"module.w": torch.ones(2), "b": torch.zeros(1)}
        actual = torch_file.read_state_dict(saved(tmp_path / "f", state, container))
        assert list(actual) == ["module.w", "b"]

    @pytest.mark.parametrize(
        "whole", [{}, {"epoch": 3}, {"model": {}}, [torch.ones(2)], torch.ones(2), 7, None]
    )
    def test_no_tensors(self, tmp_path, container, whole):
        assert "the state_dict()" in refusal(saved(tmp_path / "f", whole, container))

    @pytest.mark.parametrize("name", [0, "a\nb", "\x1b[2J", "\ud800"])
    def test_odd_names(self, tmp_path, container, name):
        state = {name: torch.ones(2)}
        assert "without names" in refusal(saved(tmp_path / "f", state, container))

    def test_a_whole_module_is_refused(self, tmp_path, container):
        message = refusal(saved(tmp_path / "f", torch.nn.Linear(2, 2), container))
        assert "asks for torch.nn.modules.linear.Linear" in message


def small(path, container):
    state = OrderedDict(a=torch.arange(6.0).reshape(2, 3).T, b=torch.ones(2).to(torch.bfloat16))
    return saved(path, state, container).read_bytes()


class TestDamage:
    @CONTAINERS
    def test_cut_short_anywhere(self, tmp_path, container):
        whole = small(tmp_path / "f", container)
        assert outcome(tmp_path / "f")
        for length in {*range(0, len(whole), 5), *range(len(whole) - 40, len(whole))}:
            assert not outcome(written(tmp_path / "f", whole[:length])), length

    @CONTAINERS
    def test_words(self, tmp_path, container):
        whole = small(tmp_path / "f", container)
        assert "truncated or damaged" in refusal(written(tmp_path / "f", whole[:-9]))

    @CONTAINERS
    def test_random_bytes(self, tmp_path, container):
        whole = small(tmp_path / "f", container)
        for seed in range(250):
            outcome(written(tmp_path / "f", mutated(whole, seed)))

    def test_random_bytes_in_the_pickle(self, tmp_path):
        """With a correct checksum."""
        small(tmp_path / "f", ZIP)
        with zipfile.ZipFile(tmp_path / "f") as archive:
            program, numbers = (archive.read(f"f/{n}") for n in ("data.pkl", "data/0"))
        storages = {"0": (6, numbers), "1": (2, numbers[:4])}
        read = 0
        for seed in range(400):
            path = in_container(tmp_path / "g", mutated(program, seed), ZIP, storages)
            read += outcome(path)
        assert 0 < read < 400

    def test_damaged_numbers_are_noticed_in_a_zip(self, tmp_path):
        whole = small(tmp_path / "f", ZIP)
        at = whole.index(np.arange(6, dtype="<f4").tobytes())
        assert "CRC" in refusal(written(tmp_path / "f", whole[:at] + b"\x01" + whole[at + 1 :]))


def mutated(content, seed):
    generator = random.Random(seed)
    content = bytearray(content)
    for _ in range(generator.randint(1, 6)):
        content[generator.randrange(len(content))] = generator.randrange(256)
    return bytes(content)


class TestOtherFiles:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is empty"),
            (b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(600), "is a JPEG photo"),
            (b"\x89PNG\r\n\x1a\n" + bytes(600), "is a PNG photo"),
            (b"<!DOCTYPE html><html>not found</html>", "the download failed"),
            (b"\xef\xbb\xbf\n <HTML>", "the download failed"),
            (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "the download failed"),
            (b'{"message": "Not Found"}', "the download failed"),
            (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
            (b"\x89HDF\r\n\x1a\n" + bytes(90), "is an HDF5 file"),
            (b"\x1f\x8b\x08" + bytes(90), "is packed by gzip"),
            (bytes(600), "is not a file of torch.save"),
            (b"\xf0\x9f", "is not a file of torch.save"),
            (pickle.dumps({"a": 1}), "is not a file of torch.save"),
            (pickle.dumps(MAGIC, 2) + pickle.dumps(1002, 2), "is of an unknown version"),
            (pickle.dumps(np.ones(2)), "is refused: it asks for numpy"),
        ],
    )
    def test_kinds(self, tmp_path, content, message):
        assert message in refusal(written(tmp_path / "f", content))

    def test_tar(self, tmp_path):
        with tarfile.open(tmp_path / "f", "w", format=tarfile.PAX_FORMAT) as archive:
            archive.addfile(tarfile.TarInfo("sys_info"))
        assert "is in the tar format" in refusal(tmp_path / "f")

    @pytest.mark.parametrize("name", ["constants.pkl", "code/__torch__.py"])
    def test_torch_script(self, tmp_path, name):
        path = hand_made(tmp_path / "f", tensor())
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(f"archive/{name}", b"")
        assert "is a TorchScript archive" in refusal(path)

    @pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
    def test_torch_script_of_torch(self, tmp_path):
        torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "f")
        assert "is a TorchScript archive" in refusal(tmp_path / "f")

    def test_other_zip(self, tmp_path):
        np.savez(tmp_path / "f.npz", x=np.ones(2))
        assert "is a zip archive, but not one of torch.save" in refusal(tmp_path / "f.npz")

    def test_two_archives_in_one(self, tmp_path):
        path = hand_made(tmp_path / "f", tensor())
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("other/data.pkl", state_of(tensor()))
        assert "not one of torch.save" in refusal(path)

    def test_missing_and_folder_and_pipe(self, tmp_path):
        assert "does not exist" in refusal(tmp_path / "f")
        assert "is not a file" in refusal(tmp_path)
        os.mkfifo(tmp_path / "pipe")
        assert "is not a file" in refusal(tmp_path / "pipe")

    def test_unreadable(self, tmp_path, monkeypatch):
        path = saved(tmp_path / "f", {"x": torch.ones(2)})

        def no(*_):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(type(path), "open", no)
        assert "cannot be read (Permission denied)" in refusal(path)


def test_sha256(tmp_path):
    content = bytes(range(256)) * 5000
    path = written(tmp_path / "f", content)
    assert torch_file.sha256(path) == hashlib.sha256(content).hexdigest()
    assert torch_file.sha256(str(path)) == torch_file.sha256(path)
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert torch_file.sha256(written(tmp_path / "g", b"")) == empty
    with pytest.raises(RequestError, match="does not exist"):
        torch_file.sha256(tmp_path / "missing")
