"""The README's tables: what `colorjax evaluate` measured, in fewer columns, in Markdown.

    python -m benchmarks.results_table measured/val/result.json --equal-time equal_time.jsonl

With the rows that `benchmarks.equal_time` printed, methods get their parameters and steps. Runs of
one method with several seeds (names METHOD-SEED) become one row: the mean of the seeds and their
standard deviation, with n - 1 in the denominator. Other rows keep their intervals over photos.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from pathlib import Path
from typing import Any

from colorjax.evaluate.tables import estimate_text, markdown_table
from colorjax.metrics import table as metrics

COLUMNS = ("psnr", "mae_ab_8bit", "auc_8bit", "auc_rebalanced_8bit", "colorfulness")


def table(result: dict[str, Any], trained: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Returns the cells of a table, its head first.

    Args:
        result: the content of result.json.
        trained: method -> a row of `benchmarks.equal_time`.
    """
    about = ["parameters", "photos seen"] if trained else []
    lines = [["", *about, *map(metrics.heading, COLUMNS)]]
    for method, runs in by_method(result["rows"]).items():
        if method.startswith("oracle"):
            continue
        known = trained.get(method)
        millions = f"{known['parameters'] / 1e6:.1f} M" if known else ""
        seen = f"{known['steps'] * known['batch']:,}" if known else ""
        values = [metrics.current_names(run["metrics"]) for run in runs]
        cells = [cell(name, [value[name] for value in values]) for name in COLUMNS]
        lines.append([method, *([millions, seen] if trained else []), *cells])
    truth = result["truth"]
    cells = [metrics.text(name, truth[name]) if name in truth else "" for name in COLUMNS]
    return [*lines, ["truth", *[""] * len(about), *cells]]


def by_method(rows: dict[str, Any]) -> dict[str, list[Any]]:
    """Groups rows named METHOD-SEED by their method; a row without a seed is its own group."""
    groups: dict[str, list[Any]] = {}
    for name, row in rows.items():
        groups.setdefault(re.sub(r"-\d+$", "", name), []).append(row)
    return groups


def cell(name: str, values: list[dict[str, Any]]) -> str:
    """Formats a metric: with its interval over photos, or its deviation over several seeds."""
    if len(values) == 1:
        return estimate_text(values[0], name)
    means = [value["mean"] for value in values]
    mean, deviation = statistics.mean(means), statistics.stdev(means)
    return f"{metrics.text(name, mean)} ± {metrics.text(name, deviation)}"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("result", help="result.json of `colorjax evaluate`")
    parser.add_argument("--equal-time", metavar="FILE", help="what benchmarks.equal_time printed")
    args = parser.parse_args(argv)
    trained = {}
    if args.equal_time:
        rows = map(json.loads, Path(args.equal_time).read_text().splitlines())
        trained = {row["method"]: row for row in rows}
    print(markdown_table(table(json.loads(Path(args.result).read_text()), trained)), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
