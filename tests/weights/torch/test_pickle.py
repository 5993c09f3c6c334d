"""Malicious pickles: refused, without side effects."""

import collections
import copyreg
import io
import os
import pickle
import random
import struct
import sys
import types
import zipfile

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
from colorjax.weights.torch import pickle as torch_pickle

MARKER = "marker"  # made in the working directory by every program below
MAKE = text(MARKER) + b"\x85R"
EVAL = text(f"__import__('os').mkdir('{MARKER}')") + b"\x85R"


class MakesFolder:
    def __reduce__(self):
        return os.mkdir, (MARKER,)


class RunsShell:
    def __reduce__(self):
        return os.system, (f"mkdir {MARKER}",)


class MadeByBuild:
    def __setstate__(self, state):
        os.mkdir(MARKER)


# Expressions, without the PROTO and STOP around them.
EVIL = {
    "system": pickle.dumps(RunsShell(), 2)[2:-1],
    "reduce": pickle.dumps(MakesFolder(), 2)[2:-1],
    "stack global": pickle.dumps(MakesFolder(), 4)[2:-1],
    "text protocol": b"cposix\nmkdir\n(S'" + MARKER.encode() + b"'\ntR",
    "eval": b"cbuiltins\neval\n" + EVAL,
    "exec": b"cbuiltins\nexec\n" + EVAL,
    "getattr": b"cbuiltins\ngetattr\ncos\n__dict__\n\x86R",
    "inst": b"(" + text(MARKER) + b"iposix\nmkdir\n",
    "obj": b"(cposix\nmkdir\n" + text(MARKER) + b"o",
    "newobj": b"cbuiltins\nmap\ncposix\nmkdir\n(" + text(MARKER) + b"t\x86\x81",
    "newobj_ex": b"cbuiltins\nmap\ncposix\nmkdir\n(" + text(MARKER) + b"t\x86}\x92",
    "class": b"cvictim\nMadeByBuild\n",
    "setstate": b"cvictim\nmade\n}b",
    "dotted": text("collections") + text("OrderedDict.fromkeys") + b"\x93(tR",
    "globals": text("torch._utils") + text("_rebuild_tensor_v2.__globals__") + b"\x93",
    "build function": b"ctorch._utils\n_rebuild_tensor_v2\n}" + text("__code__") + b"Nsb",
    "build slots": b"ctorch._utils\n_rebuild_parameter\nN}" + text("__call__") + b"Ns\x86b",
    "build class": b"ccollections\nOrderedDict\n}" + text("get") + b"Nsb",
    "build storage type": b"ctorch\nFloatStorage\n}" + text("name") + text("x") + b"sb",
    "build list": b"]}" + text("append") + b"Nsb",
    "call a type": b"ctorch\nFloatStorage\n)R",
    "call text": text("eval") + b")R",
    "call a dict": b"})R",
    "allowed class, obj": b"(ccollections\nOrderedDict\no",
    "allowed class, newobj": b"ccollections\nOrderedDict\n)\x81",
    "allowed class, inst": b"(icollections\nOrderedDict\n",
    "extension": b"\x82\x01",
    "persistent text": b"Pmodule\n",
    "persistent module": b"(" + text("module") + b"NNNtQ",
    "buffer": b"\x97",
}
# Programs with which pickle itself creates the marker; the others change or import something.
LOADED = ["system", "reduce", "stack global", "text protocol", "eval", "exec", "inst", "obj"]
LOADED += ["setstate"]


@pytest.fixture
def marker(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    victim = types.ModuleType("victim")
    victim.MadeByBuild, victim.made = MadeByBuild, MadeByBuild()
    monkeypatch.setitem(sys.modules, "victim", victim)
    return tmp_path / MARKER


def all_of(module):
    """Returns a module's names and their attributes, which an attack could change."""
    names = vars(module).items()
    return {
        name: (value, dict(vars(value)) if hasattr(value, "__dict__") else None)
        for name, value in names
        if not name.startswith("__")
    }


class TestEvil:
    @pytest.mark.parametrize("name", LOADED)
    def test_these_programs_do_run_elsewhere(self, marker, name):
        pickle.loads(b"\x80\x04" + EVIL[name] + b".")
        assert marker.exists()

    @CONTAINERS
    @pytest.mark.parametrize("name", EVIL)
    def test_is_refused_without_effect(self, tmp_path, marker, name, container):
        modules = torch_file, torch_pickle, torch._utils, collections
        before = [all_of(module) for module in modules]
        evil = EVIL[name]
        metadata = b"}" + text("_metadata") + evil + b"sb"
        ordered = b"ccollections\nOrderedDict\n)R"
        programs = {
            "alone": b"\x80\x04" + evil + b".",
            "value": state_of(tensor(), evil),
            "in a list": state_of(tensor(), b"](" + evil + b"e"),
            "state": b"\x80\x02" + ordered + text("a") + tensor() + b"s" + metadata + b".",
            "popped": b"\x80\x02" + evil + b"0" + state_of(tensor())[2:],
            "argument": b"\x80\x02" + ordered[:-2] + evil + b"\x85R" + b".",
        }
        for kind, program in programs.items():
            message = refusal(in_container(tmp_path / "f", program, container, NUMBERS))
            assert "is refused: " in message, kind
            assert not marker.exists(), kind
        assert [all_of(module) for module in modules] == before

    @pytest.mark.parametrize("position", range(5))
    def test_is_refused_in_every_pickle_of_a_stream(self, tmp_path, marker, position):
        evil = b"\x80\x02" + EVIL["reduce"] + b"."
        parts = [pickle.dumps(value, 2) for value in (MAGIC, 1001, {})] + [state_of(tensor())]
        parts.append(pickle.dumps(["0"], 2))
        good = b"".join(parts) + struct.pack("<q", 2) + NUMBERS["0"][1]
        assert outcome(written(tmp_path / "f", good))
        parts[position] = evil
        assert "asks for posix.mkdir" in refusal(written(tmp_path / "f", b"".join(parts)))
        assert not marker.exists()

    @pytest.mark.parametrize("module", [b"builtins", b"__builtin__"])
    def test_a_slice_is_data(self, tmp_path, module):
        """fastai's optimizers have learning rates that are slices; they are not used."""
        name = b"c" + module + b"\nslice\n"
        learning_rate = name + b"NK\x01N\x87R"
        found = torch_file.read_state_dict(hand_made(tmp_path / "f", tensor(), learning_rate))
        assert list(found) == ["a"]
        for wrong in (name + b")R", name + b"(NNNNtR", name + b"N\x85R}b", name + b")\x81"):
            with pytest.raises(RequestError):
                torch_file.read_state_dict(hand_made(tmp_path / "f", tensor(), wrong))

    def test_extensions_of_the_process_are_not_used(self, tmp_path, marker):
        copyreg.add_extension("posix", "mkdir", 241)
        try:
            program = b"\x80\x02\x82\xf1" + MAKE + b"."
            pickle.loads(program)  # and is cached from now on
            marker.rmdir()
            assert "EXT1" in refusal(in_container(tmp_path / "f", program, ZIP))
            assert not marker.exists()
        finally:
            copyreg.remove_extension("posix", "mkdir", 241)
            copyreg.clear_extension_cache()

    def test_the_words(self, tmp_path, marker):
        path = in_container(tmp_path / "f", state_of(EVIL["system"]), ZIP)
        with pytest.raises(RequestError) as caught:
            torch_file.read_state_dict(path)
        assert str(caught.value) == (
            f"{str(path)!r} is refused: it asks for posix.system, which a weights file never "
            "needs; save only the state_dict()"
        )

    def test_names_of_the_file_cannot_spoil_the_terminal(self, tmp_path):
        name = "\x1b[2J\nfine" + "x" * 10000
        program = b"\x80\x04" + text("os") + text(name) + b"\x93."
        assert r"os.\x1b[2J\nfine" in refusal(in_container(tmp_path / "f", program, ZIP))

    def test_attributes_of_an_ordered_dict_are_dropped(self, tmp_path):
        shadows = b"".join(text(name) + b"N" for name in ("items", "get", "__class__", "values"))
        program = state_of(tensor())[:-1] + b"}(" + shadows + b"ub."
        path = in_container(tmp_path / "f", program, ZIP, NUMBERS)
        assert torch_file.read_state_dict(path)["a"].tolist() == [1.5, -2]


DEEP = b")" + b"\x85" * 5_000
FAN = b")" + b"q\x01h\x01\x86" * 100  # (t, t) of (t, t) of...
BOMBS = {
    "deep key": b"}" + DEEP + b"Ns",
    "deep value": DEEP,
    "deep name": b"(" + DEEP + b"NNNNtQ",
    "deep lists": b"]" * 5_000 + b"a" * 4_999,
    "fan key": b"}" + FAN + b"Ns",
    "fan value": FAN,
    "cycle": b"]q\x01h\x01a",
    "cycle as state": b"}q\x01" + text("x") + b"h\x01s",
    "memo index": b"Nr\xff\xff\xff\x7f",
    "long text": b"X\xff\xff\xff\xff",
    "very long text": b"\x8d" + struct.pack("<Q", 2**62),
    "long bytes": b"\x8e" + struct.pack("<Q", 2**40),
    "bytearray": b"\x96" + struct.pack("<Q", 2**40),
    "long integer": b"\x8b" + struct.pack("<i", 2**31 - 1),
    "huge key": b"}\x8b" + struct.pack("<i", 10**5) + b"\x7f" * 10**5 + b"Ns",
    "frame": b"\x95" + struct.pack("<Q", 2**60) + b"N",
    "axes": tensor(shape=(1,) * 64, strides=(1,) * 64),
    "more axes": tensor(shape=(1,) * 3, strides=(1,) * 2),
}


class TestBombs:
    @CONTAINERS
    @pytest.mark.parametrize("name", BOMBS)
    def test_do_no_harm(self, tmp_path, container, name):
        for program in (b"\x80\x04" + BOMBS[name] + b".", state_of(tensor(), BOMBS[name])):
            outcome(in_container(tmp_path / "f", program, container, NUMBERS))

    def test_a_list_of_pairs_is_used_once(self, tmp_path):
        pairs = b"](" + b"".join(b"](" + text(f"k{i}") + b"Ne" for i in range(3)) + b"eq\x01"
        make = b"ccollections\nOrderedDict\nh\x01\x85R"
        machine = torch_pickle.Machine()
        actual = machine.run(io.BytesIO(b"\x80\x02(" + pairs + make + make + b"t."))
        assert [len(each) for each in actual] == [0, 3, 0]

    def test_a_pickle_without_end(self, tmp_path, monkeypatch):
        monkeypatch.setattr(torch_file, "_MOST_PICKLE", 1000)
        program = state_of(tensor(), b"(" + b"N" * 2000 + b"t")
        for container in (ZIP, STREAM):
            assert "damaged" in refusal(in_container(tmp_path / "f", program, container, NUMBERS))

    @CONTAINERS
    @pytest.mark.parametrize("numel", [3, 2**31, 2**47, 2**48, 2**70, -1])
    def test_a_storage_larger_than_the_file(self, tmp_path, container, numel):
        storages = {"0": (min(numel, 2**62), NUMBERS["0"][1])}
        item = tensor(shape=(max(numel, 1),), numel=numel)
        refusal(hand_made(tmp_path / "f", item, container=container, storages=storages))

    @pytest.mark.parametrize("elements", [-1, 0, 1, 3, 2**60])
    def test_a_stream_that_contradicts_itself(self, tmp_path, elements):
        storages = {"0": (elements, NUMBERS["0"][1])}
        path = hand_made(tmp_path / "f", tensor(), container=STREAM, storages=storages)
        assert "damaged" in refusal(path)

    def test_an_unread_storage_is_checked_too(self, tmp_path):
        state = {"model": {"a": torch.ones(2)}, "optimizer": torch.ones(50)}
        whole = saved(tmp_path / "f", state, STREAM).read_bytes()
        assert outcome(written(tmp_path / "f", whole))
        for cut in range(1, 230, 13):
            assert not outcome(written(tmp_path / "f", whole[:-cut]))

    def test_entries_that_overlap(self, tmp_path):
        """Many names for the same bytes of the archive."""
        numbers = bytes(4000)
        items = [tensor(shape=(1000,), numel=1000, key=str(index)) for index in range(3)]
        path = in_container(tmp_path / "f", state_of(*items), ZIP, {"0": (1000, numbers)})
        with zipfile.ZipFile(path, "a") as archive:
            entry = archive.getinfo("archive/data/0")
            for key in "12":
                other = zipfile.ZipInfo(f"archive/data/{key}")
                for field in ("CRC", "compress_size", "file_size", "header_offset"):
                    setattr(other, field, getattr(entry, field))
                archive.filelist.append(other)
            archive._didModify = True
        assert "declares 12000 bytes" in refusal(path)

    def test_an_entry_that_is_compressed(self, tmp_path):
        for compressed in ("data.pkl", "data/0"):
            with zipfile.ZipFile(tmp_path / "f", "w") as archive:
                for name, content in {
                    "data.pkl": state_of(tensor(shape=(1000,), numel=1000)),
                    "data/0": random.Random(0).randbytes(4000),
                }.items():
                    method = zipfile.ZIP_DEFLATED if name == compressed else zipfile.ZIP_STORED
                    archive.writestr(f"archive/{name}", content, method)
            assert "compressed" in refusal(tmp_path / "f")

    def test_an_entry_of_another_size(self, tmp_path):
        for size in (0, 7, 9, 12):
            path = hand_made(tmp_path / "f", tensor(), storages={"0": (2, bytes(size))})
            assert "damaged" in refusal(path)

    @CONTAINERS
    @pytest.mark.parametrize(
        ("shape", "strides", "offset"),
        [
            ((3,), (1,), 0),
            ((2,), (1,), 1),
            ((1,), (1,), 2),
            ((), (), 2),
            ((2,), (2,), 0),
            ((2,), (2**47,), 0),
            ((2**47,), (1,), 0),
            ((2**40, 2**40), (2**40, 1), 0),
            ((2,), (-1,), 1),
            ((-2,), (1,), 0),
            ((2,), (1,), -1),
            ((2,), (0,), 0),
            ((2, 2), (1, 1), 0),
            ((2**20, 2**20), (0, 0), 0),
            ((0, 2**60), (1, 1), 0),
            ((0, 2**47, 2**47), (1, 1, 1), 0),
            ((2,), (), 0),
            ((2.0,), (1,), 0),
            ((True,), (1,), 0),
        ],
    )
    def test_views_outside_or_over_themselves(self, tmp_path, container, shape, strides, offset):
        path = hand_made(tmp_path / "f", tensor(shape, strides, offset), container=container)
        refusal(path)

    @pytest.mark.parametrize(
        "item",
        [
            tensor(shape=(-2,)),
            tensor(strides=(-1,)),
            tensor(offset=-1),
            tensor(numel=-1),
            tensor(numel=2**48),
            tensor(shape=(True,)),
            tensor(shape=(1, 1)),
            tensor(shape=(1,) * 33, strides=(1,) * 33),
            tensor(view=b"NN"),
            tensor()[:-2] + b"NNtR",
        ],
    )
    def test_nonsense_is_found_before_numbers_are_read(self, item):
        torch_pickle.Machine().run(io.BytesIO(b"\x80\x02" + tensor() + b"."))
        with pytest.raises(ValueError, match=r"expected|negative or too large|a tuple of"):
            torch_pickle.Machine().run(io.BytesIO(b"\x80\x02" + item + b"."))

    def test_expanded(self, tmp_path):
        few, many = (torch.ones(1).expand(count) for count in (10, 10**9))
        assert "x overlaps itself" in refusal(saved(tmp_path / "f", {"x": few}))
        assert "declares 4000000000 bytes" in refusal(saved(tmp_path / "f", {"x": many}))

    @pytest.mark.parametrize("key", ["deep key", "fan key", "huge key"])
    def test_keys_whose_hash_is_the_bomb(self, tmp_path, key):
        path = in_container(tmp_path / "f", b"\x80\x04" + BOMBS[key] + b".", ZIP)
        assert "int expected, got tuple" in refusal(path) or key == "huge key"
        assert "damaged" in refusal(path)

    def test_many_large_views_of_one_storage(self, tmp_path):
        base = torch.ones(10_000)
        state = {str(index): base[index:] for index in range(100)}
        assert "declares" in refusal(saved(tmp_path / "f", state))

    def test_a_storage_of_two_kinds(self, tmp_path):
        items = tensor(), tensor(kind="IntStorage")
        assert "damaged" in refusal(hand_made(tmp_path / "f", *items))

    def test_a_storage_that_is_missing(self, tmp_path):
        for container in (ZIP, STREAM):
            path = hand_made(
                tmp_path / "f", tensor(), container=container, storages={"1": (0, b"")}
            )
            assert "damaged" in refusal(path)

    @CONTAINERS
    def test_keys_are_no_paths(self, tmp_path, container):
        (tmp_path / "secret").write_bytes(bytes(8))
        item = tensor(key="../../secret")
        assert "damaged" in refusal(hand_made(tmp_path / "f", item, container=container))

    def test_negative_view(self, tmp_path):
        negative = torch._neg_view(torch.ones(2))
        assert "negative view" in refusal(saved(tmp_path / "f", {"x": negative}))
