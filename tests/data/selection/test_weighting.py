import contextlib
import itertools
import json
from collections import Counter

import numpy as np
import pytest
from helpers.synthetic import tiny_config
from PIL import Image

from colorjax.cli import main as cli
from colorjax.data import pipeline
from colorjax.data.decode import decode_rgb
from colorjax.data.prepare import prepare
from colorjax.data.selection import weighting
from colorjax.data.selection.weighting import Order, Passes
from colorjax.data.sources import subsets
from colorjax.data.sources.records import ArrayRecordSource
from colorjax.data.sources.source import FolderSource
from colorjax.errors import RequestError
from colorjax.train import loop

SIZES = {"cats": 20, "houses": 7, "streets": 5}
WEIGHTS = (("cats", 0.3), ("streets", 2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photos of one color each; the red value numbers them."""
    root = tmp_path_factory.mktemp("sources")
    numbers = itertools.count()
    for name, size in SIZES.items():
        (root / name / "deeper").mkdir(parents=True)
        for index in range(size):
            pixel = (next(numbers) * 8, 100, 50)
            Image.new("RGB", (16, 16), pixel).save(root / name / f"deeper/{index:02d}.png")
    return root


@pytest.fixture
def source(folder):
    return FolderSource.open(folder, labels="none")


def names_seen(source, order, first, last):
    return [source.keys[order[element]] for element in range(first, last)]


def test_each_pass_sees_the_share_of_each_source(source):
    passes = Passes(source, WEIGHTS, seed=3)
    assert len(passes) == weighting.pass_length(source, WEIGHTS) == 6 + 7 + 10
    assert weighting.pass_length(source, ()) == 32
    order = Order(passes, seed=3)
    for number in range(4):
        seen = names_seen(source, order, number * 23, number * 23 + 23)
        by_source = Counter(name.split("/")[0] for name in seen)
        assert by_source == {"cats": 6, "houses": 7, "streets": 10}
        by_photo = Counter(seen)
        assert {by_photo[name] for name in seen if name.startswith("streets")} == {2}
        assert max(by_photo[name] for name in seen if name.startswith("cats")) == 1


def test_photos_of_a_source_take_turns(source):
    """After ten passes of 6 in 20 each photo was seen three times, and never off by more than 1."""
    order = Order(Passes(source, WEIGHTS, seed=0), seed=0)
    seen = Counter()
    for number in range(10):
        seen.update(names_seen(source, order, number * 23, number * 23 + 23))
        cats = [seen[key] for key in source.keys if key.startswith("cats")]
        assert max(cats) - min(cats) <= 1
    assert set(cats) == {3}
    assert {seen[key] for key in source.keys if key.startswith("houses")} == {10}


def test_order_depends_on_the_seed_and_the_pass(source):
    def seen(seed, number):
        return names_seen(source, Order(Passes(source, WEIGHTS, seed), seed), *spans[number])

    spans = [(0, 23), (23, 46)]
    assert seen(1, 0) == seen(1, 0)
    assert seen(1, 0) != seen(2, 0)
    assert sorted(seen(1, 0)) != sorted(seen(1, 1))  # other cats
    houses = [[name for name in seen(1, n) if name.startswith("houses")] for n in (0, 1)]
    assert houses[0] != houses[1]
    assert sorted(houses[0]) == sorted(houses[1])


def test_a_weight_of_0_leaves_a_source_out_and_a_small_one_keeps_a_photo(source):
    passes = Passes(source, (("cats", 0), ("streets", 0.01)))
    seen = {source.keys[passes.photo(0, slot)].split("/")[0] for slot in range(len(passes))}
    assert seen == {"houses", "streets"}
    assert len(passes) == 7 + 1


def take(number, source, data, **options):
    options = {"seed": 3, "batch_size": 6, "weights": WEIGHTS} | options
    with contextlib.closing(pipeline.train_batches(source, data, **options)) as batches:
        return [batch["rgb"] for batch in itertools.islice(batches, number)]


def test_batches_are_a_function_of_the_step_with_any_workers_and_hosts(source, folder):
    changes = {"data.targets": "device", "data.image_size": 8}
    data = tiny_config(folder, **changes).data
    whole = take(9, source, data)
    shares = dict.fromkeys(SIZES, 0)
    ends = np.cumsum(list(SIZES.values()))
    for red in np.concatenate(whole)[:46, 0, 0, 0]:  # two passes
        shares[list(SIZES)[int(np.searchsorted(ends, red / 8 + 0.5))]] += 1
    assert shares == {"cats": 12, "houses": 14, "streets": 20}
    np.testing.assert_array_equal(take(4, source, data, start_step=5), whole[5:])
    hosts = [take(9, source, data, host=host, hosts=2) for host in (0, 1)]
    np.testing.assert_array_equal(np.concatenate(hosts, axis=1), whole)
    assert not np.array_equal(take(9, source, data, weights=()), whole)


@pytest.mark.slow
def test_worker_processes_change_nothing(source, folder):
    changes = {"data.targets": "device", "data.image_size": 8}
    whole = take(9, source, tiny_config(folder, **changes).data)
    changes["data.num_workers"] = 2
    np.testing.assert_array_equal(take(9, source, tiny_config(folder, **changes).data), whole)


def test_shards_know_the_sources(source, folder, tmp_path):
    prepare(folder, tmp_path / "shards", num_shards=3, labels="none", jobs=1)
    records = ArrayRecordSource(tmp_path / "shards")
    names, ids = records.sources()
    assert names == list(SIZES)
    reds = [decode_rgb(records[number].image)[0, 0, 0] // 8 for number in range(len(records))]
    expected = np.searchsorted(np.cumsum(list(SIZES.values())), reds, side="right")
    np.testing.assert_array_equal(ids, expected)
    assert len(Passes(records, WEIGHTS)) == len(Passes(source, WEIGHTS))
    half = subsets.Subset(records, np.flatnonzero(ids != 1))
    assert len(Passes(half, WEIGHTS)) == 6 + 10

    (tmp_path / "shards/index.npz").unlink()
    with pytest.raises(RequestError, match="run the same colorjax prepare again"):
        Passes(records, WEIGHTS)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ((("dogs", 0.3),), r"unknown source in data.weights 'dogs'; known: cats, houses, streets"),
        ((("cats", -0.1),), "at least 0, not -0.1 of cats"),
        ((("cats", float("nan")),), "at least 0, not nan of cats"),
        ((("cats", "a"),), "at least 0, not 'a' of cats"),
        ((("cats", 1), ("cats", 0.5)), "names 'cats' twice"),
        (("cats", 0.3), r"pairs \(source, weight\), not 'cats'"),
        (tuple((name, 0) for name in SIZES), "excludes all photos"),
    ],
)
def test_weights_that_mean_nothing(weights, message, source):
    with pytest.raises(RequestError, match=message):
        Passes(source, weights)


def test_data_without_sources_is_refused(source):
    class NoSources:
        keys = ("a",)

    with pytest.raises(RequestError, match="folder or array_record"):
        Passes(NoSources(), WEIGHTS)


def test_the_prior_of_a_weighted_set(source, folder, tmp_path, capsys):
    seen = weighting.first_pass(source, WEIGHTS)
    assert Counter(key.split("/")[0] for key in seen.keys) == {
        "cats": 6,
        "houses": 7,
        "streets": 10,
    }
    arguments = ["prior", str(folder), "--output", str(tmp_path / "p.npz")]
    assert cli.run([*arguments, "--weight", "cats=0.3", "--weight", "streets=2"]) == 0
    assert "23 photos" in capsys.readouterr().out
    assert cli.run([*arguments, "--overwrite", "--weight", "dogs=1"]) == 2
    assert "unknown source in data.weights 'dogs'" in capsys.readouterr().err
    assert cli.run([*arguments, "--overwrite", "--weight", "cats"]) == 2
    assert "--weight 'cats' must be SOURCE=NUMBER" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_with_weights_resumes_where_it_was(folder, tmp_path):
    def run(workdir, steps):
        config = tiny_config(folder, **{"data.weights": WEIGHTS, "total_steps": steps})
        loop.train_and_evaluate(config, str(tmp_path / workdir))
        lines = map(json.loads, (tmp_path / workdir / "metrics.jsonl").read_text().splitlines())
        return {line["step"]: line["train/loss"] for line in lines if "train/loss" in line}

    whole = run("whole", 6)
    assert whole.keys() >= {4, 5, 6}
    run("parts", 3)
    assert run("parts", 6) == whole


def test_a_run_refuses_an_unknown_source_before_it_makes_its_workdir(folder, tmp_path):
    config = tiny_config(folder, **{"data.weights": (("dogs", 0.3),)})
    with pytest.raises(RequestError, match=r"unknown source in data\.weights 'dogs'; known: cats"):
        loop.train_and_evaluate(config, str(tmp_path / "unknown"))
    assert not (tmp_path / "unknown").exists()
