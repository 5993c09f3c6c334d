"""Devices and hosts: one mesh, the shardings of states and batches, and what hosts tell each other.

The mesh has two axes. A batch is divided over both; a state is whole on every device, unless
`fsdp` devices share it: then each holds a part of the large arrays, and gathers them to compute.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from colorjax.errors import RequestError

Rules = Sequence[tuple[str, str]]

# What of a state is divided over "fsdp": the first pattern found in an array's path decides.
# "widest": along its widest dimension that divides; "whole": a copy on each device.
RULES: Rules = (
    (r"(^|/)(kernel|embedding)$", "widest"),  # of the optimizer's averages too
    (r"", "whole"),  # biases, statistics, counters: a few numbers
)
SMALLEST = 1024  # elements; below that a gather costs more than the copy


class Layout(NamedTuple):
    """Where arrays live: one mesh and its shardings."""

    mesh: Mesh
    batch: NamedSharding  # rows divided over the devices
    replicated: NamedSharding  # a whole copy on each
    rules: Rules = RULES

    @property
    def divides_states(self) -> bool:
        """Whether devices share a state."""
        return self.mesh.shape["fsdp"] > 1

    def of_state(self, tree: Any) -> Any:
        """Returns the sharding of each array of a state.

        Args:
            tree: of arrays or `jax.ShapeDtypeStruct`.
        """
        return jax.tree_util.tree_map_with_path(self._of_array, tree)

    def _of_array(self, path: tuple, leaf: Any) -> NamedSharding:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        kind = next((kind for pattern, kind in self.rules if re.search(pattern, name)), "whole")
        parts = self.mesh.shape["fsdp"]
        able = [axis for axis, side in enumerate(leaf.shape) if side % parts == 0]
        if kind == "whole" or parts == 1 or leaf.size < SMALLEST or not able:
            return self.replicated
        widest = max(able, key=lambda axis: leaf.shape[axis])
        return NamedSharding(self.mesh, PartitionSpec(*[None] * widest, "fsdp"))

    def whole(self, tree: Any) -> Any:
        """Returns arrays of a state with a whole copy of each on every device."""
        if not self.divides_states:
            return tree
        return jax.jit(lambda x: x, out_shardings=self.replicated)(tree)


def make_layout(
    *batch_sizes: int, fsdp: int = 1, rules: Rules = (), among: Sequence[jax.Device] | None = None
) -> Layout:
    """Builds the ("data", "fsdp") mesh of all devices of all hosts.

    Args:
        *batch_sizes: global batch sizes that have to divide over the devices.
        fsdp: devices that share a state; 1: each has the whole.
        rules: (pattern, "widest" or "whole") that come before `RULES`.
        among: these devices instead, to compile for.

    Raises:
        RequestError: one does not divide; the message names the nearest that does. Or a rule that
            means nothing.
    """
    devices = len(among or jax.devices())
    for size in batch_sizes:
        if size <= 0 or size % devices:
            nearest = max(devices, size - size % devices)
            raise RequestError(
                f"a batch of {size} does not divide over {devices} devices; take {nearest}"
            )
    if fsdp < 1 or devices % fsdp:
        able = ", ".join(str(n) for n in range(1, devices + 1) if devices % n == 0)
        raise RequestError(
            f"parallel.fsdp={fsdp} does not divide {devices} devices; take one of {able}"
        )
    rules = (*(_checked(rule) for rule in rules), *RULES)
    mesh = jax.make_mesh(
        (devices // fsdp, fsdp),
        ("data", "fsdp"),
        axis_types=(AxisType.Auto, AxisType.Auto),
        devices=among,
    )
    rows = NamedSharding(mesh, PartitionSpec(("data", "fsdp")))
    return Layout(mesh, rows, NamedSharding(mesh, PartitionSpec()), rules)


def layout_of(config: ConfigDict, among: Sequence[jax.Device] | None = None) -> Layout:
    """Builds the layout of a config's training and evaluation, on all devices or `among` some.

    Raises:
        RequestError: as `make_layout`, or a batch that does not fall into `parallel.accumulate`
            parts.
    """
    wanted = config.parallel
    sizes = config.batch_size, config.evaluation.batch_size
    layout = make_layout(*sizes, fsdp=wanted.fsdp, rules=wanted.rules, among=among)
    unit = layout.mesh.size * wanted.accumulate
    if wanted.accumulate < 1 or config.batch_size % unit:
        nearest = max(unit, config.batch_size - config.batch_size % max(1, unit))
        raise RequestError(
            f"a batch of {config.batch_size} does not fall into parallel.accumulate="
            f"{wanted.accumulate} parts over {layout.mesh.size} devices; "
            + (f"take a batch of {nearest}" if wanted.accumulate > 0 else "take at least 1")
        )
    return layout


def _checked(rule: Any) -> tuple[str, str]:
    try:
        pattern, kind = rule
        re.compile(pattern)
    except (TypeError, ValueError, re.error):
        kind = None
    if kind not in ("widest", "whole"):
        raise RequestError(f'parallel.rules are pairs (pattern, "widest" or "whole"), not {rule!r}')
    return pattern, kind


def to_global(batch: dict[str, np.ndarray], layout: Layout) -> dict[str, jax.Array]:
    """Puts this host's rows of a batch on its devices, as parts of one global array each."""
    with _meant():
        return {
            name: jax.make_array_from_process_local_data(layout.batch, rows)
            for name, rows in batch.items()
        }


def _meant() -> contextlib.AbstractContextManager:
    """Says that what crosses between host and devices inside is meant to."""
    return jax.transfer_guard("allow")


def to_host(tree: Any) -> Any:
    """Returns whole arrays as NumPy's, on every host; all hosts have to call it alike."""
    if jax.process_count() == 1:
        return jax.device_get(tree)
    with _meant():
        return multihost_utils.process_allgather(tree, tiled=True)


# What hosts agree on. With one host nothing is to be agreed on.


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return jax.process_index() == 0


def barrier(name: str) -> None:
    """Waits until every host is here."""
    if jax.process_count() > 1:
        with _meant():
            multihost_utils.sync_global_devices(name)


def any_host(number: int) -> int:
    """Returns the first host's number on every host."""
    if jax.process_count() == 1:
        return number
    with _meant():
        return int(multihost_utils.broadcast_one_to_all(np.int32(number)))


def assert_same_on_hosts(what: str, text: str) -> None:
    """Compares a text between all hosts.

    Raises:
        RequestError: they differ; on every host.
    """
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) >> 1  # int32, not below 0
    if len(set(allgather_ints([number], 1))) > 1:
        raise RequestError(f"the hosts see different {what}; give all of them the same")


def allgather_ints(numbers: Sequence[int], most: int) -> list[int]:
    """Returns the numbers, at least 0, of all hosts, up to `most` of each."""
    if jax.process_count() == 1:
        return list(numbers)
    padded = np.full(most, -1, np.int32)
    padded[: len(numbers[:most])] = numbers[:most]
    with _meant():
        found = multihost_utils.process_allgather(padded)
    return [int(number) for number in found.ravel() if number >= 0]
