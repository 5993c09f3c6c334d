"""Configs of earlier versions lack fields of today: they continue, and their weights open."""

import json

import pytest
from ml_collections import ConfigDict

from colorjax import methods
from colorjax.weights import workdir
from configs import cgan, edge_fusion, iizuka, unet, zhang17

LATER = {
    "model": ("norm_momentum", "norm_epsilon", "gray_range", "stride_padding"),
    "critic": ("norm_momentum", "norm_epsilon", "kernel_init", "gray_range"),
    "loss": ("colorfulness_weight", "judged_saturation"),
    "evaluation": ("hint_places",),
    "inference": ("bin_bias", "bin_temperature", "aspect"),
}
CONFIGS = [(unet, ""), (cgan, ""), (cgan, "dcgan"), (iizuka, ""), (edge_fusion, ""), (zhang17, "")]


def of_an_earlier_version(config):
    old = json.loads(json.dumps(config.to_dict()))
    for section, names in LATER.items():
        for name in names:
            old[section].pop(name, None)
    return ConfigDict(old, convert_dict=True)


@pytest.mark.parametrize(("module", "arg"), CONFIGS)
def test_a_run_of_an_earlier_version_continues(module, arg):
    config = module.get_config(arg)
    old = of_an_earlier_version(config)
    assert old.to_dict() != config.to_dict()
    assert workdir.compare(old, config) == ([], [])
    assert methods.build(old).network == methods.build(config).network
    assert methods.build(old).critic == methods.build(config).critic


@pytest.mark.parametrize(
    ("module", "arg", "field"),
    [
        (edge_fusion, "faithful", "model.stride_padding"),
        (unet, "faithful", "model.norm_epsilon"),
        (cgan, "nazeri,faithful", "critic.gray_range"),
    ],
)
def test_faithful_runs_of_an_earlier_version_are_other_runs(module, arg, field):
    """Their weights mean something else than today's, and open with their own config."""
    config = module.get_config(arg)
    old = of_an_earlier_version(config)
    assert field in workdir.compare(old, config)[1]
    methods.build(old)
