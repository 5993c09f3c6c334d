import json

import jax
import jaxlib
import pytest
from helpers.program import TINY, run, says_one_line
from helpers.synthetic import tiny_config

from colorjax.errors import RequestError
from colorjax.runtime import jax_setup
from colorjax.train import compile_check


def test_a_report_counts_what_a_device_holds(photos, capsys):
    config = tiny_config(photos)
    assert compile_check.report(config) == 0
    (line,) = capsys.readouterr().out.splitlines()
    report = json.loads(line)
    shape = (config.batch_size // 4, config.data.image_size, config.data.image_size)
    pixels = shape[0] * shape[1] * shape[2]
    assert report["batch_bytes"] == 3 * 4 * pixels + 4 * shape[0]  # gray, ab, label
    assert report["flops"] > 0
    assert report["devices"] == jax.device_count() == 4
    parts = ("state_bytes", "batch_bytes", "temporary_bytes")
    assert report["device_bytes"] == sum(report[name] for name in parts)


def test_a_report_for_other_devices(photos, capsys):
    config = tiny_config(photos)
    assert compile_check.report(config, devices=jax.devices()[:2]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["devices"] == 2
    pixels = config.batch_size // 2 * config.data.image_size**2
    assert report["batch_bytes"] == 3 * 4 * pixels + 4 * config.batch_size // 2


def test_a_tpu_is_compiled_for_with_libtpu(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"--topology=v5e:2x2 needs .* pip install 'jax\[tpu\]'"):
        jax_setup.tpu_devices("v5e:2x2")


def test_what_does_not_fit_is_refused_with_the_sum(photos):
    with pytest.raises(RequestError, match=r"phase train needs .* \+ .* = .* which have 9.31e-05"):
        compile_check.report(tiny_config(photos), "100000B")
    for wrong in ("much", "12 parsecs", "1.2.3GiB", "0"):
        with pytest.raises(RequestError, match="--memory must be a size such as 16GiB"):
            compile_check.report(tiny_config(photos), wrong)


@pytest.mark.slow
def test_compiled_programs_are_kept_by_version(tmp_path):
    flags = [*TINY, "--mode=compile", "--devices=1"]
    result = run(*flags, f"--compilation_cache={tmp_path / 'cache'}")
    assert result.returncode == 0, result.stderr
    (folder,) = (tmp_path / "cache").iterdir()
    assert folder.name == f"jax-{jax.__version__}-{jaxlib.__version__}"
    assert any(folder.iterdir())
    (tmp_path / "file").write_text("")
    result = run(*flags, f"--compilation_cache={tmp_path / 'file/cache'}")
    says_one_line(result, "cannot be written")
