"""Conversion of a JAX function to an ONNX graph, equation by equation of its jaxpr."""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from colorjax.errors import RequestError
from colorjax.weights.onnx.graph import Graph, Value, constant
from colorjax.weights.onnx.rules import ELEMENTWISE, RULES, fold, resize

_CALLS = {  # primitive -> parameter that holds the called jaxpr
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
}


def convert(graph: Graph, closed: Any, inputs: Sequence[Value]) -> list[Value]:
    """Adds the nodes of a jaxpr to a graph.

    What does not depend on the inputs is computed now. Calls are inlined.

    Args:
        graph: to add to.
        closed: a ClosedJaxpr.
        inputs: its arguments.

    Returns:
        Its results.

    Raises:
        RequestError: an operation without a rule.
    """
    return _run(graph, closed.jaxpr, closed.consts, list(inputs))


def _run(graph: Graph, jaxpr: Any, consts: Sequence[Any], inputs: list[Value]) -> list[Value]:
    values: dict[Any, Value] = {}
    values.update(zip(jaxpr.constvars, map(constant, consts), strict=True))
    values.update(zip(jaxpr.invars, inputs, strict=True))
    uses: collections.Counter[Any] = collections.Counter()
    for variables in (*(eqn.invars for eqn in jaxpr.eqns), jaxpr.outvars):
        uses.update(v for v in variables if not hasattr(v, "val"))

    def read(variable: Any) -> Value:
        if hasattr(variable, "val"):  # a literal
            return constant(np.asarray(variable.val, variable.aval.dtype))
        value = values[variable]
        if uses[variable] > 1:
            value.conv = None  # what else uses it must not see later terms
        return value

    for eqn in jaxpr.eqns:
        results = _apply(graph, eqn, [read(v) for v in eqn.invars])
        values.update(zip(eqn.outvars, results, strict=True))
    return [read(v) for v in jaxpr.outvars]


def _apply(graph: Graph, eqn: Any, inputs: list[Value]) -> list[Value]:
    name = eqn.primitive.name
    shapes = [(tuple(v.aval.shape), v.aval.dtype) for v in eqn.outvars]
    if name in _CALLS:
        if eqn.params.get("name", "").startswith("_enlarged_"):
            return [resize(graph, eqn, inputs[0], *shapes[0])]
        called = eqn.params[_CALLS[name]]
        inner, consts = (called.jaxpr, called.consts) if hasattr(called, "consts") else (called, ())
        return _run(graph, inner, consts, inputs)
    if all(x.constant is not None for x in inputs) and (
        results := fold(eqn, inputs, is_elementwise=name in ELEMENTWISE)
    ):
        return results
    rule: Callable[..., Value | list[Value]] | None = RULES.get(name)
    if rule is None:
        raise RequestError(
            f"this network uses the operation {name!r}, which export does not know yet; please "
            "report it (CONTRIBUTING.md), or use --format stablehlo"
        )
    result = rule(graph, eqn, inputs, *shapes[0])
    return result if isinstance(result, list) else [result]


def trace(function: Callable[..., Any], *specs: Any) -> Any:
    """Returns the ClosedJaxpr of a function whose result is a flat tuple of arrays."""
    return jax.make_jaxpr(function)(*specs)
