"""Creates a workdir from published weights, for `colorize`, `--mode=eval` and `init_from`."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from colorjax import color
from colorjax.errors import RequestError, unknown_name
from colorjax.weights.checkpoint import Checkpoints
from colorjax.weights.torch import arrays as torch_arrays
from colorjax.weights.torch import ddcolor as ddcolor_weights
from colorjax.weights.torch import deoldify as deoldify_weights
from colorjax.weights.torch import file as torch_file
from colorjax.weights.torch import zhang as zhang_weights
from colorjax.weights.workdir import Workdir

_SIZE = 256  # pixels; the published size of both networks
# Kind -> its arguments `meaning`.
_MEANINGS = {
    "zhang16": {"folded_temperature"},
    "zhang17": {"mask_cent"},
    "ddcolor": set(),
    "deoldify": {"render_factor"},
}
_CENTERS = "model_out.weight"  # of zhang16: colors of the bins, over 110


def kinds() -> tuple[str, ...]:
    """Returns the kinds of `import_weights`."""
    return tuple(_MEANINGS)


def check_kind(kind: str) -> None:
    """Raises a RequestError if `import_weights` does not know this kind."""
    if kind not in _MEANINGS:
        raise unknown_name("kind of weights", kind, _MEANINGS)


def import_weights(
    kind: str,
    file: str | os.PathLike[str],
    output: str | os.PathLike[str],
    **meaning: float,
) -> list[str]:
    """Imports the weights of a PyTorch file, without PyTorch and without executing the file.

    Args:
        kind: "zhang16", "zhang17", "ddcolor" or "deoldify".
        file: state dict, saved by `torch.save` in either of its formats.
        output: workdir to create.
        **meaning: `folded_temperature` (zhang16) or `mask_cent` (zhang17), for weights other than
            the published ones; `render_factor` (deoldify), the working size in units of 16 px.

    Returns:
        Notices for the user, one line each; the first has the file's SHA-256.

    Raises:
        RequestError: unknown kind; unreadable or refused file; missing or misshapen arrays; an
            output that exists or is not writable.
    """
    check_kind(kind)
    workdir = Workdir(output)
    if workdir.config_file.exists() or workdir.checkpoints.exists():
        raise RequestError(f"{str(workdir.root)!r} already holds a run; give another --output")
    unknown = meaning.keys() - _MEANINGS[kind]
    if unknown:
        raise RequestError(f"weights of {kind} have no {', '.join(sorted(unknown))}")
    path = Path(file).expanduser()
    if kind == "ddcolor":
        return _import_ddcolor(path, workdir)
    if kind == "deoldify":
        return _import_deoldify(path, workdir, **meaning)
    published = zhang_weights.kind_of(kind)
    state = torch_file.read_state_dict(path)
    notices = [_compare_sum(torch_file.sha256(path))]
    model = published.model | meaning
    if kind == "zhang17" and "model_class.0.weight" not in state:
        model["class_head"] = False
        notices.append("the file has no class head (model_class); colors do not need it")
    variables, unused = zhang_weights.to_flax(published, state, model)
    if unused:
        notices.append(f"not used: {', '.join(unused)}")
    notices += _check_centers(kind, state)
    _write(workdir, _config(model), variables)
    return notices


def _import_ddcolor(path: Path, workdir: Workdir) -> list[str]:
    state = torch_file.read_state_dict(path)
    notices = [ddcolor_weights.compare_sum(torch_file.sha256(path))]
    model = ddcolor_weights.detect(state)
    config = ConfigDict(ddcolor_weights.config_of(model))
    variables, unused = ddcolor_weights.to_flax(state, model)  # empties the state: up to 0.9 GB
    if unused:
        notices.append(f"not used: {torch_arrays.listed(unused)}")
    _write(workdir, config, variables)
    number = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    size = f"{config.inference.size} px on the {config.inference.aspect} side"
    notices.append(
        f"encoder {model['encoder']}, {number:,} parameters; colors are predicted at {size}"
    )
    return notices


def _import_deoldify(
    path: Path, workdir: Workdir, render_factor: float = deoldify_weights.RENDER_FACTOR
) -> list[str]:
    state = torch_file.read_state_dict(path)
    notices = [deoldify_weights.compare_sum(torch_file.sha256(path))]
    model = deoldify_weights.detect(state)
    config = ConfigDict(deoldify_weights.config_of(model, render_factor))
    variables, unused = deoldify_weights.to_flax(state, model)
    if unused:
        notices.append(f"not used: {', '.join(unused)}")
    del state  # the largest file has 0.9 GB
    _write(workdir, config, variables)
    size = config.inference.size
    kind = f"{model['encoder']} with the {model['decoder']} decoder"
    notices.append(f"{kind}; colors are predicted at {size}x{size} px")
    return notices


def _compare_sum(digest: str) -> str:
    for kind in zhang_weights.KINDS.values():
        if kind.sha256 == digest:
            return f"sha256 {digest}: the published {kind.file}"
    return f"sha256 {digest}: neither of the two published files; used as it is"


def _check_centers(kind: str, state: zhang_weights.State) -> list[str]:
    if kind != "zhang16":
        return []
    centers = state[_CENTERS][:, :, 0, 0].T * color.AB_SCALE
    off = float(np.abs(centers - color.ab_bins()).max())
    if off <= 1e-2:
        return []
    return [f"{_CENTERS} is up to {off:.1f} ab units from the 313 bins; the file's own are used"]


def _config(model: dict[str, Any]) -> ConfigDict:
    """Returns the part of a config that prediction needs; imported weights have no run."""
    return ConfigDict(
        {
            "dtype": "float32",
            "model": model,
            "data": {"image_size": _SIZE, "saturation": 1.0, "saturation_clip": True},
            "inference": {"size": _SIZE},
        }
    )


def _write(workdir: Workdir, config: ConfigDict, variables: dict[str, Any]) -> None:
    """Writes the weights, then the config, which marks the folder as a workdir."""
    try:
        workdir.root.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(Checkpoints(workdir.checkpoints)) as checkpoints:
            checkpoints.save(0, variables)
    except OSError as error:
        raise RequestError(
            f"--output {str(workdir.root)!r} cannot be written ({error.strerror}); give another"
        ) from None
    workdir.prepare(config)
