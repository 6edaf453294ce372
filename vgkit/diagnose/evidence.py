"""What the signals say of every layer, in numbers that can be judged."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from vgkit.diagnose.layers import Loop
from vgkit.diagnose.signals import GRID, Measured, Model, as_numpy, forward


class Layer(NamedTuple):
    """One layer, or one iteration of a layer in a scan.

    Attributes:
        name: Path of its weights in the parameters' tree, or the name of a tap.
        depth: Place in the order from the input, from 1 on.
        units: How many it has.
        output: Whether nothing comes after it.
        signal: L2 norm of the error signal dL_i/dz of one example, RMS over the examples.
        error: RMS of the error signal over examples and units.
        flowing: L2 norm, as `signal`, of what reaches the layers up to here: the gradient with
            respect to the cut behind this layer. NaN where there is none.
        gradient: RMS of the gradient of the mean loss with respect to its weights.
        weights: RMS of its weights.
        alike: Mean cosine between the layer's data h for two different examples.
        dead: Share of its units whose activation has no slope for any example.
        saturated: Share of its activation's slopes below a tenth of the largest, where the
            activation is flat on both sides.
    """

    name: str
    depth: int
    units: int
    output: bool
    signal: float
    error: float
    flowing: float
    gradient: float
    weights: float
    alike: float
    dead: float
    saturated: float


def layers(model: Model, measured: Measured) -> list[Layer]:
    """One entry for each layer, input side first."""
    found, subject = model.anatomy, model.subject
    flows = dict(_flows(model, measured))
    slopes = dict(_slopes(model, measured))
    last = max((_depths(site.depth, site.loop)[-1] for site in found.sites), default=0)
    final = {site.leaves for site in found.sites if last in _depths(site.depth, site.loop)}
    others = any(site.leaves not in final for site in found.sites)
    rows, seen = [], {}
    for i, site in enumerate(found.sites):
        signals, data = measured.signals[site.z], measured.records[f"h{i}"]
        label = site.name or " * ".join(subject.names[leaf] for leaf in sorted(site.leaves))
        gradients = [measured.gradients[leaf] for leaf in sorted(site.leaves)]
        weights = [np.asarray(subject.leaves[leaf], np.float64) for leaf in sorted(site.leaves)]
        main = max(range(len(weights)), key=lambda k: weights[k].size) if weights else None
        for t, depth in enumerate(_depths(site.depth, site.loop)):
            signal = signals if site.loop is None else signals[t]
            name, part = label, ...
            if site.loop is not None:
                name = f"{label}[{t}]"
                part = t if main is not None and set(site.leaves) <= site.loop.rows else ...
            seen[name] = seen.get(name, 0) + 1
            row = Layer(
                name=name if seen[name] == 1 else f"{name}, use {seen[name]}",
                depth=depth,
                units=int(np.prod([signal.shape[axis] for axis in site.units])),
                output=site.leaves in final if others else depth == last,
                signal=np.sqrt(np.sum(signal**2) / subject.examples),
                error=rms(signal),
                flowing=flows.get(depth, np.nan),
                gradient=np.nan if main is None else rms(gradients[main][part]) / subject.examples,
                weights=np.nan if main is None else rms(weights[main][part]),
                alike=alike(data if site.loop is None else data[t], subject.examples),
                dead=slopes.get(depth, (np.nan, np.nan))[0],
                saturated=slopes.get(depth, (np.nan, np.nan))[1],
            )
            rows.append(row._replace(**{k: float(v) for k, v in row._asdict().items()
                                        if isinstance(v, np.floating)}))  # fmt: skip
    return sorted(rows, key=lambda row: row.depth)


def _depths(depth: int, loop: Loop | None) -> list[int]:
    """Depth in every iteration, as the iterations are stored."""
    if loop is None:
        return [depth]
    order = range(loop.length)
    return [depth + loop.stride * t for t in (reversed(order) if loop.reverse else order)]


def _flows(model: Model, measured: Measured) -> Iterator[tuple[int, float]]:
    """Depth and norm of the gradient with respect to every cut."""
    for cut in model.anatomy.cuts:
        squares = 0.0
        for v in cut.variables:
            signal = measured.signals[v]
            axes = tuple(range(0 if cut.loop is None else 1, signal.ndim))
            squares = squares + np.sum(signal**2, axis=axes)
        norms = np.sqrt(np.atleast_1d(squares) / model.subject.examples)
        yield from zip(_depths(cut.depth, cut.loop), norms.tolist(), strict=True)


def _slopes(model: Model, measured: Measured) -> Iterator[tuple[int, tuple[float, float]]]:
    """Depth, dead share and saturated share of every activation."""
    for depth, dead, flat in unit_slopes(model, measured.records):
        yield depth, (float(np.mean(dead)) if dead is not None else np.nan, flat)


def unit_slopes(model: Model, records: dict[str, Any]) -> Iterator[tuple[int, Any, float]]:
    """Depth, which units are dead and which share of slopes is saturated, for every activation.

    Units can be dead where the activation is flat on one side, and saturated where it is on both.
    """
    curves: dict[str, np.ndarray] = {}
    for i, activation in enumerate(model.anatomy.activations):
        slope = records[f"slope{i}"]
        curve = records.get(f"curve{i}")
        if curve is not None:
            curves[activation.kind] = np.nan_to_num(curve.reshape(-1, len(GRID)).max(axis=0))
        curve = curves[activation.kind]
        largest = curve.max()
        # A branch that is multiplied by 0 has no slope anywhere, whatever its activation.
        left, right = (curve[:2].max(), curve[-2:].max()) if largest > 0 else (1.0, 1.0)
        for t, depth in enumerate(_depths(activation.depth, activation.loop)):
            here = slope if activation.loop is None else slope[t]
            others = tuple(axis for axis in range(here.ndim) if axis not in activation.units)
            dead = None
            if (left < 1e-3 * largest) != (right < 1e-3 * largest):
                dead = np.max(here, axis=others) < 1e-3 * largest
            both = max(left, right) < 0.01 * largest
            flat = float(np.mean(here < 0.1 * largest)) if both else np.nan
            yield depth, dead, flat


def dead_units(
    model: Model, measured: Measured, leaves: Any, inputs: Any
) -> tuple[dict[int, float], frozenset[int], bool]:
    """Units without slope on the batch, looked at again with random inputs wider than the data.

    Returns:
        The share that is dead on both, by depth; the depths where all are dead on the batch; and
        whether such inputs could be made.
    """
    dead = [(d, units) for d, units, _ in unit_slopes(model, measured.records) if units is not None]
    off = frozenset(depth for depth, units in dead if np.all(units))
    wide_inputs = all(v.dtype.kind == "f" for v in inputs)
    if wide_inputs and any(np.mean(units) > 0.3 for _, units in dead):

        @jax.jit
        def slopes(inputs: Any) -> dict[str, Any]:
            _, records = forward(model, leaves, inputs, {})
            return {name: v for name, v in records.items() if name.startswith("slope")}

        random = np.random.default_rng(0)
        for k in range(max(4, -(-512 // model.subject.examples))):
            wider = [_wider(random, v, (1.0, 3.0)[k % 2]) for v in inputs]
            again = unit_slopes(model, measured.records | as_numpy(slopes(wider)))
            others = [units for _, units, _ in again if units is not None]
            dead = [(d, a & b) for (d, a), b in zip(dead, others, strict=True)]
    shares: dict[int, float] = {}
    for depth, units in dead:
        shares[depth] = max(float(np.mean(units)), shares.get(depth, 0.0))
    return shares, off, wide_inputs


def _wider(random: np.random.Generator, data: np.ndarray, scale: float) -> Any:
    """Gaussian inputs around the data's mean, wider than the data."""
    spread = scale * (data.std(axis=0) + data.std())
    return data.mean(axis=0) + spread * random.standard_normal(data.shape)


def rms(array: np.ndarray) -> np.floating:
    """Root mean square, also of numbers whose squares are too small for the format."""
    largest = np.max(np.abs(array), initial=0.0)
    if not 0 < largest < np.inf:
        return np.float64(largest)
    return largest * np.sqrt(np.mean(np.square(array / largest)))


def alike(data: np.ndarray, examples: int) -> float:
    """Mean cosine between two examples' vectors; NaN for fewer than two that are not 0."""
    axis = [i for i, size in enumerate(data.shape) if size == examples]
    axis += [i for i, size in enumerate(data.shape) if size % examples == 0]
    if examples < 2 or not axis:
        return np.nan
    rows = np.moveaxis(np.asarray(data, np.float64), axis[0], 0).reshape(examples, -1)
    norms = np.linalg.norm(rows, axis=1)
    rows = rows[norms > 0] / norms[norms > 0, None]
    count = len(rows)
    if count < 2:
        return np.nan
    return float((np.sum(np.sum(rows, axis=0) ** 2) - count) / (count * (count - 1)))
