"""One mesh of all devices, the shardings of states and batches, and global batches."""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from colorjax.errors import RequestError


class Layout(NamedTuple):
    """Where arrays live: one mesh and its two shardings."""

    mesh: Mesh
    batch: NamedSharding  # rows divided over the devices
    replicated: NamedSharding  # a whole copy on each


def make_layout(*batch_sizes: int) -> Layout:
    """Builds the ("data",) mesh of all devices of all hosts.

    Args:
        *batch_sizes: global batch sizes that have to divide over the devices.

    Raises:
        RequestError: one does not; the message names the nearest that does.
    """
    devices = jax.device_count()
    for size in batch_sizes:
        if size <= 0 or size % devices:
            nearest = max(devices, size - size % devices)
            raise RequestError(
                f"a batch of {size} does not divide over {devices} devices; take {nearest}"
            )
    mesh = jax.make_mesh((devices,), ("data",), axis_types=(AxisType.Auto,))
    return Layout(
        mesh, NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())
    )


def to_global(batch: dict[str, np.ndarray], layout: Layout) -> dict[str, jax.Array]:
    """Puts this host's rows of a batch on its devices, as parts of one global array each."""
    return {
        name: jax.make_array_from_process_local_data(layout.batch, rows)
        for name, rows in batch.items()
    }
