"""The model card of a hub folder: README.md with YAML front matter."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from colorjax.runtime.file_names import printable

UNKNOWN = "unknown"  # the hub's name for "no license stated"
_METRICS = ("psnr", "ssim", "mae_ab", "colorfulness", "delta_e_2000", "auc", "auc_rebalanced")


@dataclasses.dataclass(frozen=True)
class Claims:
    """What a card says that the weights do not contain.

    Attributes:
        license: identifier as on the hub, lower case: "apache-2.0", "cc-by-nc-4.0", ...
        origin: where the weights come from; empty: they were trained with colorjax.
        data: name of the training photos; empty: not stated.
        metrics: name -> value of the run's evaluation.
        dataset: name of the photos of the evaluation.
        previews: file names of pictures in the folder.
    """

    license: str = UNKNOWN
    origin: str = ""
    data: str = ""
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    dataset: str = ""
    previews: Sequence[str] = ()

    def fields(self) -> dict[str, Any]:
        """Returns the claims that config.json repeats."""
        return {
            "license": self.license,
            "origin": self.origin,
            "data": self.data,
            "metrics": dict(self.metrics),
        }


def text(about: Mapping[str, Any], claims: Claims) -> str:
    """Returns the card.

    Args:
        about: content of config.json.
        claims: license, data and metrics.
    """
    front = yaml.safe_dump(_front_matter(about, claims), sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n{_body(about, claims)}"


def _front_matter(about: Mapping[str, Any], claims: Claims) -> dict[str, Any]:
    network = about["model_type"]
    shown = {name: claims.metrics[name] for name in _METRICS if name in claims.metrics}
    front: dict[str, Any] = {
        "license": claims.license,
        "library_name": "colorjax",
        "pipeline_tag": "image-to-image",
        "tags": ["colorjax", "jax", "flax", "image-colorization", network],
    }
    if re.fullmatch(r"[\w./-]+", claims.data):  # names only, no descriptions
        front["datasets"] = [claims.data]
    if shown:
        front["metrics"] = list(shown)
        result = {
            "task": {"type": "image-to-image", "name": "Image colorization"},
            "dataset": {"type": "photos", "name": claims.dataset or "photos of the evaluation"},
            "metrics": [{"type": n, "name": n, "value": float(v)} for n, v in shown.items()],
        }
        front["model-index"] = [{"name": network, "results": [result]}]
    return front


def _body(about: Mapping[str, Any], claims: Claims) -> str:
    network, size = about["model_type"], about["config"]["data"]["image_size"]
    lines = [
        f"# Image colorization: {printable(network)}",
        "",
        f"Weights of the network `{printable(network)}` of colorjax {about['colorjax_version']}: "
        f"{about['parameters']:,} parameters, step {about['step']}, trained at {size} px. The "
        "colors are predicted; nobody can know the true ones.",
        "",
        "```python",
        "from colorjax import Colorizer",
        "",
        'colored = Colorizer.from_pretrained("FOLDER").colorize("photo.jpg")',
        "```",
        "",
        "or `colorjax colorize photo.jpg --checkpoint FOLDER`. FOLDER is this folder, or "
        "`hf:OWNER/NAME` after `colorjax weights get hf:OWNER/NAME`.",
        "",
        "| | |",
        "|---|---|",
        f"| license | {printable(claims.license)} |",
        f"| weights from | {printable(claims.origin) or 'a training with colorjax'} |",
        f"| training photos | {printable(claims.data) or 'not stated'} |",
        f"| names of the arrays | {printable(about['names'])} |",
        f"| SHA-256 of model.safetensors | {about['sha256']} |",
    ]
    if claims.metrics:
        lines += ["", f"## Results ({printable(claims.dataset) or 'evaluation of the run'})", ""]
        lines += ["| metric | value |", "|---|---:|"]
        lines += [f"| {_heading(n)} | {v:.4g} |" for n, v in claims.metrics.items()]
    if claims.previews:
        lines += ["", "## Examples", "", "Gray input, prediction, original.", ""]
        lines += [f"![{printable(name)}]({printable(name)})\n" for name in claims.previews]
    return "\n".join(lines).rstrip() + "\n"


def _heading(name: str) -> str:
    from colorjax.metrics import table  # imports JAX

    return table.heading(name) if name in table.METRICS else printable(name)
