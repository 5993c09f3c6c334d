"""Ahead-of-time compilation: memory and FLOPs of each step, without running it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from ml_collections import ConfigDict

from colorjax import methods
from colorjax.errors import RequestError
from colorjax.methods import resolve
from colorjax.methods.method import Method
from colorjax.parallel import mesh as parallel
from colorjax.train import phases, steps
from colorjax.weights.checkpoint import with_sharding

_UNITS = {"": 1, "B": 1, "MIB": 2**20, "GIB": 2**30, "MB": 10**6, "GB": 10**9}
_GIB = 2.0**30


def report(
    config: ConfigDict, memory: str = "", devices: Sequence[jax.Device] | None = None
) -> int:
    """Prints a JSON line for each phase: bytes per device, FLOPs per step.

    Args:
        config: see configs/default.py; its data is not opened; two classes are assumed.
        memory: memory of a device, such as "16GiB"; empty: as the device reports, if it does.
        devices: to compile for; None: all of JAX's devices.

    Returns:
        0.

    Raises:
        RequestError: a step needs more memory; the message gives the sum.
    """
    limit = _parse_memory(memory) if memory else _own_memory()
    for needs in compile_phases(config, devices):
        print(json.dumps(needs), flush=True)
        if limit and needs["device_bytes"] > limit:
            raise RequestError(_too_much(needs, limit, config))
    return 0


def compile_phases(
    config: ConfigDict, devices: Sequence[jax.Device] | None = None
) -> Iterator[dict[str, Any]]:
    """Compiles the step of each phase for the given devices, or for all of JAX's devices.

    Yields:
        phase, devices, kind, fsdp, batch_size; in bytes per device: state_bytes, batch_bytes,
        temporary_bytes, and their sum device_bytes; flops: XLA's count of all devices in a step, or
        None if XLA gives none.

    Raises:
        RequestError: invalid config.
    """
    devices = devices or jax.devices()
    layout = parallel.layout_of(config, devices)
    loss = methods.build_loss(config)
    config = resolve.resolve(config, 2, loss)
    method = methods.build(config, loss=loss)
    plan = phases.build(config, method, num_photos=config.batch_size)
    key = jax.random.key(config.seed)
    shapes = jax.eval_shape(plan.create, key)
    for phase in plan.phases:
        shapes = jax.eval_shape(phase.begin, shapes) if phase.begin else shapes
        shardings = layout.of_state(shapes)
        state = with_sharding(shapes, shardings)
        batch = with_sharding(batch_shapes(config, method), layout.batch)
        step = jax.jit(
            steps.gathering(phase.step, layout),
            donate_argnums=0,
            out_shardings=(shardings, layout.replicated),
        )
        lowered = step.lower(state, batch)
        compiled = lowered.compile()
        memory = compiled.memory_analysis()
        parts = {
            "state_bytes": _bytes_of_device(state),
            "batch_bytes": _bytes_of_device(batch),
            "temporary_bytes": memory.temp_size_in_bytes if memory else 0,
        }
        yield {
            "phase": phase.name,
            "devices": len(devices),
            "kind": devices[0].device_kind,
            "fsdp": config.parallel.fsdp,
            "batch_size": config.batch_size,
            "device_bytes": sum(parts.values()),
            **parts,
            "flops": _flops_of(lowered, compiled, len(devices), config.parallel.accumulate),
        }


def _flops_of(lowered: Any, compiled: Any, devices: int, parts: int) -> float | None:
    """Returns the FLOPs of all devices and microbatches.

    A compiled program counts one device; XLA counts one microbatch.
    """
    analysis = lowered.cost_analysis() or {}
    if "flops" in analysis:
        return analysis["flops"] * parts
    own = (compiled.cost_analysis() or {}).get("flops")
    return None if own is None else own * devices * parts


def batch_shapes(config: ConfigDict, method: Method) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns the shapes of a batch of `colorjax.data.pipeline.train_batches`."""
    size, count = config.data.image_size, config.batch_size
    shape = (count, size, size)
    rgb = {"rgb": jax.ShapeDtypeStruct((*shape, 3), jnp.uint8)}
    on_host = config.data.targets == "host"
    fields = (
        {
            name: jax.ShapeDtypeStruct(x.shape, x.dtype)
            for name, x in _encoded(method, shape).items()
        }
        if on_host
        else rgb
    )
    if config.data.aged:
        fields["gray"] = jax.ShapeDtypeStruct((*shape, 1), jnp.float32)
    if "rgb" in method.wanted:
        fields = fields | rgb
    if "edges" in method.network.inputs:
        fields["edges"] = jax.ShapeDtypeStruct((*shape, 1), jnp.uint8)
    if config.data.hints:
        fields["hint_ab"] = jax.ShapeDtypeStruct((*shape, 2), jnp.float32)
        fields["hint_mask"] = jax.ShapeDtypeStruct((*shape, 1), jnp.float32)
    return fields | {"label": jax.ShapeDtypeStruct((count,), jnp.int32)}


def _encoded(method: Method, shape: tuple[int, int, int]) -> dict[str, Any]:
    photo = method.encode(np.zeros((1, *shape[1:], 3), np.uint8))
    return {
        name: jax.ShapeDtypeStruct((shape[0], *x.shape[1:]), x.dtype) for name, x in photo.items()
    }


def _bytes_of_device(tree: Any) -> int:
    def size(leaf: jax.ShapeDtypeStruct) -> int:
        assert isinstance(leaf.sharding, NamedSharding)
        shape = leaf.sharding.shard_shape(leaf.shape)
        dtype = leaf.dtype
        item = 8 if jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key) else dtype.itemsize
        return int(np.prod(shape)) * item

    return sum(size(leaf) for leaf in jax.tree.leaves(tree))


def _own_memory() -> int:
    stats = jax.local_devices()[0].memory_stats() or {}
    return stats.get("bytes_limit", 0)


def _parse_memory(text: str) -> int:
    match = re.fullmatch(r"([0-9.]+)\s*([A-Za-z]*)", text.strip())
    unit = _UNITS.get(match[2].upper()) if match else None
    try:
        size = float(match[1]) * unit if match and unit else 0
    except ValueError:
        size = 0
    if not size:
        raise RequestError(f"--memory must be a size such as 16GiB or 80GB, not {text!r}")
    return int(size)


def _too_much(needs: dict[str, Any], limit: int, config: ConfigDict) -> str:
    named = {"state": "state_bytes", "batch": "batch_bytes", "temporary": "temporary_bytes"}
    parts = " + ".join(f"{needs[key] / _GIB:.3g} ({name})" for name, key in named.items())
    fixes = f"batch_size={config.batch_size}, parallel.accumulate, parallel.fsdp, remat or dtype"
    return (
        f"phase {needs['phase']} needs {parts} = {needs['device_bytes'] / _GIB:.3g} GiB on each of "
        f"{needs['devices']} devices, which have {limit / _GIB:.3g}; change {fixes}"
    )
