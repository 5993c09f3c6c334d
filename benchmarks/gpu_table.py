"""Prints the files of benchmarks/gpu.sh as one table in Markdown.

python -m benchmarks.gpu_table OUTPUT
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_GIB = 2.0**30
_TITLES = {"predict": "prediction", "train": "training step"}
_HEAD = (
    "| program | network | dtype | px | batch | images/s | PyTorch | ratio | of the matrix rate "
    "| memory GiB | estimate |"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_table", description=__doc__)
    parser.add_argument("output", type=Path, help="folder of benchmarks/gpu.sh")
    print("\n".join(table(parser.parse_args(argv).output)))
    return 0


def table(folder: Path) -> list[str]:
    """Returns the lines of the table of a folder."""
    parts = {path.stem: _rows(path) for path in sorted(folder.glob("*.jsonl"))}
    if not parts:
        return ["nothing was measured"]
    rates = {name.split(".")[1]: rows[0] for name, rows in parts.items() if _is(name, "rate")}
    lines = [_HEAD, "|---|---|---|" + "---:|" * 8]
    for name, rows in parts.items():
        kind, *rest = name.split(".")
        if kind in _TITLES:
            network, dtype = rest
            memory = parts.get(f"memory.{network}.{dtype}") if kind == "train" else None
            lines.append(_line(kind, network, dtype, rows, rates.get(dtype), memory))
    lines.append("")
    for dtype, row in rates.items():
        tera = row["flop_per_second"] / 1e12
        lines.append(f"- rate of a large matrix product in {dtype}: {tera:.1f} TFLOP/s")
    for name, rows in parts.items():
        if _is(name, "waiting"):
            lines += _waiting(rows[0])
    first = next(iter(parts.values()))[0]
    versions = ", ".join(f"{name} {version}" for name, version in first["versions"].items())
    return [*lines, f"- device: {first['device']}", f"- versions: {versions}"]


def _line(
    kind: str,
    network: str,
    dtype: str,
    rows: list[dict[str, Any]],
    rate: dict[str, Any] | None,
    memory: list[dict[str, Any]] | None,
) -> str:
    by_name = {row["row"]: row for row in rows}
    ours, peer = by_name["auto"], by_name.get("torch")
    own = ours.get("gflop_per_second")
    share = f"{1e9 * own / rate['flop_per_second']:.0%}" if own and rate else ""
    cells = [_TITLES[kind], network, dtype, ours["size"], ours["batch"]]
    cells += [f"{ours['images_per_second']:.1f}"]
    cells += [f"{peer['images_per_second']:.1f}" if peer else "", ours.get("ratio_to_peer", "")]
    cells += [share]
    for field in ("measured_bytes", "estimated_bytes"):
        value = memory[0][field] if memory else None
        cells.append("" if value is None else f"{value / _GIB:.2f}")
    return f"| {' | '.join(map(str, cells))} |"


def _waiting(row: dict[str, Any]) -> list[str]:
    where = f"U-Net, {row['size']} px, batch {row['batch']}, {row['dtype']}"
    lines = [
        f"- training on JPEG files, targets of the {row['targets']} ({where}): "
        f"{row['images_per_second']:.1f} images/s, {row['wait_share']:.0%} waiting for photos"
    ]
    for name, share in row.get("slowest", ()):
        lines.append(f"  - {share:.1%} of the device's time: `{name}`")
    return lines


def _is(name: str, kind: str) -> bool:
    return name.split(".")[0] == kind


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]


if __name__ == "__main__":
    raise SystemExit(main())
