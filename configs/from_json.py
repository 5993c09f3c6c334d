"""Replays a run: `--config=RUN/config.json`, short for `--config=configs/from_json.py:FILE`.

    python -m colorjax.main --config=runs/unet/config.json --workdir=runs/unet-again --config.seed=1

Reads the config that a run wrote into its workdir. Fields that an older config lacks take the
defaults of configs/default.py.
"""

import json

from ml_collections import ConfigDict

from configs import default


def get_config(arg: str = "") -> ConfigDict:
    """Returns the config in the JSON file `arg`.

    Raises:
        ValueError: the file is not a config of colorjax.
    """
    if not arg:
        raise ValueError("give the file: --config=configs/from_json.py:RUN/config.json")
    try:
        with open(arg, encoding="utf-8") as file:
            fields = json.load(file)
    except FileNotFoundError:
        raise ValueError(f"--config: {arg} does not exist") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"--config: {arg} cannot be read as JSON: {error}") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("model"), dict):
        raise ValueError(f"--config: {arg} is not the config.json of a run")
    if "optimizer" not in fields:
        raise ValueError(
            f"--config: {arg} belongs to imported weights; train from them with "
            "--config=NAME --config.init_from=FOLDER"
        )
    fields = {name: _tuples(value) for name, value in fields.items()}
    return ConfigDict(_completed(fields, default.get_config().to_dict()))


def _tuples(value):
    """Returns the value with every JSON list as a tuple, the type of sequences in configs."""
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _completed(fields: dict, defaults: dict) -> dict:
    """Returns the fields, with the defaults of those that are missing; `model` is the method's."""
    result = dict(fields)
    for name, value in defaults.items():
        if name not in fields:
            result[name] = value
        elif isinstance(value, dict) and isinstance(fields[name], dict) and name != "model":
            result[name] = _completed(fields[name], value)
    return result
