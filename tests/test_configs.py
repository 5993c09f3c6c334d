from pathlib import Path

import jax
import pytest
from ml_collections import ConfigDict

from colorjax import method
from configs import default, plain_cnn

CONFIGS = sorted(p.stem for p in Path(default.__file__).parent.glob("*.py"))
METHODS = {"plain_cnn": plain_cnn}
ARGS = {"plain_cnn": ["", "size=32", "size=128", "variant=dense", "demo", "size=32,batch=8,debug"]}


def test_no_config_escapes_these_tests():
    assert set(CONFIGS) - {"__init__", "default"} == set(METHODS) == set(ARGS)


@pytest.mark.parametrize(("name", "arg"), [(n, a) for n in METHODS for a in ARGS[n]])
def test_every_config_builds(name, arg):
    config = METHODS[name].get_config(arg).lock()
    assert isinstance(config, ConfigDict)
    built = method.build(config)
    shapes = jax.eval_shape(built.init, jax.random.key(0))
    assert shapes["params"]
    assert METHODS[name].__doc__.count("--config=configs/") >= 1


@pytest.mark.parametrize("name", METHODS)
def test_fields_outside_the_model_are_those_of_default(name):
    def fields(config, prefix=""):
        for key, value in config.items():
            if isinstance(value, ConfigDict):
                yield from fields(value, f"{prefix}{key}.")
            else:
                yield prefix + key

    known = set(fields(default.get_config()))
    found = {key for key in fields(METHODS[name].get_config()) if not key.startswith("model.")}
    assert {key for key in known if not key.startswith("model.")} == found


@pytest.mark.parametrize(
    ("arg", "says"),
    [
        ("sise=3", "unknown config argument 'sise'; known: size, batch"),
        ("size=big", "wants int, not 'big'"),
        ("size", "needs a value"),
        ("demo=maybe", "true or false"),
    ],
)
def test_arguments_say_what_is_wrong(arg, says):
    with pytest.raises(ValueError, match=says):
        plain_cnn.get_config(arg)
