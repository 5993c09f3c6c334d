"""Device mesh, shardings of states and batches, and communication between hosts.

The mesh has two axes. Batches are sharded over both. States are replicated on every device, unless
`fsdp` devices share them: then each device holds a shard of the large arrays and gathers them to
compute.
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

# Sharding of state arrays over "fsdp": the first pattern that matches the path of an array applies.
# "widest": shard the largest divisible dimension; "whole": replicate on each device.
RULES: Rules = (
    (r"(^|/)(kernel|embedding)$", "widest"),  # also in the averages of the optimizer
    (r"", "whole"),  # biases, statistics, counters: a few numbers
)
SMALLEST = 1024  # elements; for smaller arrays a gather costs more than a copy


class Layout(NamedTuple):
    """A mesh and its shardings."""

    mesh: Mesh
    batch: NamedSharding  # rows sharded over the devices
    replicated: NamedSharding  # a full copy on each device
    rules: Rules = RULES

    @property
    def divides_states(self) -> bool:
        """Whether states are sharded over devices."""
        return self.mesh.shape["fsdp"] > 1

    def of_state(self, tree: Any) -> Any:
        """Returns the sharding of each array of a state.

        Args:
            tree: pytree of arrays or `jax.ShapeDtypeStruct`.
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
        """Returns the arrays of a state replicated on every device."""
        if not self.divides_states:
            return tree
        return jax.jit(lambda x: x, out_shardings=self.replicated)(tree)


def make_layout(
    *batch_sizes: int, fsdp: int = 1, rules: Rules = (), among: Sequence[jax.Device] | None = None
) -> Layout:
    """Builds the ("data", "fsdp") mesh of all devices of all hosts.

    Args:
        *batch_sizes: global batch sizes that must be multiples of the number of devices.
        fsdp: number of devices that share a state; 1: each has a full copy.
        rules: (pattern, "widest" or "whole") pairs that precede `RULES`.
        among: devices to use instead, for compilation only.

    Raises:
        RequestError: a size is not divisible (the message names the nearest valid one), or a rule
            is invalid.
    """
    devices = len(among or jax.devices())
    for size in batch_sizes:
        if size <= 0 or size % devices:
            nearest = max(devices, size - size % devices)
            raise RequestError(
                f"a batch of {size} cannot be divided over {devices} devices; set it to {nearest}"
            )
    if fsdp < 1 or devices % fsdp:
        able = ", ".join(str(n) for n in range(1, devices + 1) if devices % n == 0)
        raise RequestError(
            f"parallel.fsdp={fsdp} is not a divisor of {devices} devices; use one of {able}"
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
    """Builds the layout of a config for training and evaluation, on all devices or on `among`.

    Raises:
        RequestError: as `make_layout`, or a batch that cannot be divided into
            `parallel.accumulate` parts.
    """
    wanted = config.parallel
    sizes = config.batch_size, config.evaluation.batch_size
    layout = make_layout(*sizes, fsdp=wanted.fsdp, rules=wanted.rules, among=among)
    unit = layout.mesh.size * wanted.accumulate
    if wanted.accumulate < 1 or config.batch_size % unit:
        nearest = max(unit, config.batch_size - config.batch_size % max(1, unit))
        raise RequestError(
            f"a batch of {config.batch_size} cannot be divided into parallel.accumulate="
            f"{wanted.accumulate} parts over {layout.mesh.size} devices; "
            + (f"set batch_size to {nearest}" if wanted.accumulate > 0 else "use at least 1 part")
        )
    return layout


def _checked(rule: Any) -> tuple[str, str]:
    try:
        pattern, kind = rule
        re.compile(pattern)
    except (TypeError, ValueError, re.error):
        kind = None
    if kind not in ("widest", "whole"):
        raise RequestError(
            f'parallel.rules must be pairs (pattern, "widest" or "whole"), not {rule!r}'
        )
    return pattern, kind


def to_global(batch: dict[str, np.ndarray], layout: Layout) -> dict[str, jax.Array]:
    """Puts this host's rows of a batch on its devices, as shards of global arrays."""
    with _allow_transfer():
        return {
            name: jax.make_array_from_process_local_data(layout.batch, rows)
            for name, rows in batch.items()
        }


def _allow_transfer() -> contextlib.AbstractContextManager:
    """Allows transfers between host and devices inside the context."""
    return jax.transfer_guard("allow")


def to_host(tree: Any) -> Any:
    """Returns the full arrays as NumPy arrays on every host; all hosts must call it."""
    if jax.process_count() == 1:
        return jax.device_get(tree)
    with _allow_transfer():
        return multihost_utils.process_allgather(tree, tiled=True)


# Agreement between hosts; with one host these functions do nothing.


def is_first() -> bool:
    """Returns whether this process is process 0, the one that writes files."""
    return jax.process_index() == 0


def barrier(name: str) -> None:
    """Waits until every host has reached this barrier."""
    if jax.process_count() > 1:
        with _allow_transfer():
            multihost_utils.sync_global_devices(name)


def any_host(number: int) -> int:
    """Returns the first host's number on every host."""
    if jax.process_count() == 1:
        return number
    with _allow_transfer():
        return int(multihost_utils.broadcast_one_to_all(np.int32(number)))


def assert_same_on_hosts(what: str, text: str) -> None:
    """Checks that a text is the same on all hosts.

    Raises:
        RequestError: the texts differ; raised on every host.
    """
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) >> 1  # non-negative int32
    if len(set(allgather_ints([number], 1))) > 1:
        raise RequestError(f"{what} differ between hosts; give all hosts the same")


def allgather_ints(numbers: Sequence[int], most: int) -> list[int]:
    """Returns the non-negative numbers of all hosts, at most `most` from each."""
    if jax.process_count() == 1:
        return list(numbers)
    padded = np.full(most, -1, np.int32)
    padded[: len(numbers[:most])] = numbers[:most]
    with _allow_transfer():
        gathered = multihost_utils.process_allgather(padded)
    return [int(number) for number in gathered.ravel() if number >= 0]
