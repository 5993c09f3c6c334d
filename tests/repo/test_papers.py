"""docs/papers.md states the values of the faithful variants that the configs have."""

import ast
import re
from pathlib import Path

import pytest

from configs import cgan, ddcolor, edge_fusion, iizuka, unet, zhang16, zhang17

MODULES = {
    "cgan": cgan,
    "ddcolor": ddcolor,
    "edge_fusion": edge_fusion,
    "iizuka": iizuka,
    "unet": unet,
    "zhang16": zhang16,
    "zhang17": zhang17,
}
TEXT = (Path(__file__).parents[2] / "docs" / "papers.md").read_text()
SECTION = TEXT.partition("## The faithful variants, field by field")[2].partition("\n## ")[0]
VARIANTS = dict(re.findall(r"^### (\w+:[\w,]+)\n(.*?)(?=^### |\Z)", SECTION, re.M | re.S))


def test_every_variant_has_a_table():
    assert set(VARIANTS) == {
        "iizuka:faithful",
        "iizuka:tf1",
        "edge_fusion:faithful",
        "zhang16:faithful",
        "zhang17:faithful",
        "unet:faithful",
        "cgan:nazeri,faithful",
        "cgan:dcgan,faithful",
        "ddcolor:faithful",
    }
    assert all("Differences that stay: " in text for text in VARIANTS.values())


@pytest.mark.parametrize("variant", VARIANTS)
def test_its_values_are_those_of_the_config(variant):
    name, _, arg = variant.partition(":")
    config = MODULES[name].get_config(arg)
    rows = re.findall(r"^\| `([\w.]+)` \|.*\| `([^`]+)` \|$", VARIANTS[variant], re.M)
    assert len(rows) >= 10
    for path, stated in rows:
        value = config
        for key in path.split("."):
            value = value[key]
        try:
            wanted = ast.literal_eval(stated)
        except (ValueError, SyntaxError):
            wanted = stated
        is_number = isinstance(wanted, float | int) and not isinstance(wanted, bool)
        assert value == (pytest.approx(wanted, rel=1e-5) if is_number else wanted), path


def test_the_stages_of_zhang17_are_stated():
    rows = re.findall(r"^\| (\d) \| (\w+).*? \| (\S+) \| \d+ \| ([\d,]+) \|$", SECTION, re.M)
    assert len(rows) == 4
    for number, learns, rate, steps in rows:
        config = zhang17.get_config(f"stage={number}")
        stated = (learns, float(rate), int(steps.replace(",", "")))
        actual = (config.model.learns, config.optimizer.learning_rate, config.total_steps)
        assert stated == actual
