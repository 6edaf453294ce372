"""All of a network's gradients, layer by layer: what a measurement returns."""

import dataclasses
import itertools
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vgkit import _check, nets
from vgkit._numbers import l2, rms
from vgkit._typeset import table, typeset


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PerLayer:
    """One array for each layer, input side first; it can be indexed and iterated like a list.

    Attributes:
        hidden: Arrays of the hidden layers, or one with the layers on its leading axis.
        output: The output layer's array, or None where there is none.
    """

    hidden: Any
    output: Any = None

    def __len__(self) -> int:
        return len(self.hidden) + (self.output is not None)

    def __getitem__(self, layer: int) -> Array:
        return list(self)[layer]

    def __iter__(self) -> Iterator[Array]:
        yield from self.hidden
        if self.output is not None:
            yield self.output

    def norms(self, kind: str = "rms") -> Float[Array, " layers"]:
        """Size of every layer's array, as one number each.

        Args:
            kind: "rms", comparable between layers of different width, or "l2".
        """
        norm = _check.choice("kind", kind, {"rms": rms, "l2": l2})
        if not len(self):
            raise ValueError("arrays must hold at least one layer; got none")
        runs = [self.hidden]
        if isinstance(self.hidden, tuple):  # equal neighbours in one piece: cheaper than one by one
            runs = [jnp.stack([*run]) for _, run in itertools.groupby(self.hidden, jnp.shape)]
        runs += [] if self.output is None else [self.output[None]]
        return jnp.concatenate([jax.vmap(norm)(run) for run in runs])


def per_layer(net: nets.Net, name: str = "w") -> PerLayer:
    """One parameter of every layer of a net or of its gradient.

    Args:
        name: "w" or "b".
    """
    of = operator.attrgetter(name)
    hidden = of(net.layers) if net.stacked else tuple(map(of, net.layers))
    return PerLayer(hidden, of(net.readout))


def decades_per_layer(
    norms: Float[Array, " layers"], depth: int | Array | None = None
) -> Float[Array, ""]:
    r"""Powers of ten that a signal loses with every layer on its way back.

    .. math:: \log_{10} \|g_\ell\| \approx a + d\, \ell

    Args:
        norms: Size of a signal at every layer, input side first, all positive.
        depth: How many of the layers count, a number that may be traced; all if left out.

    Returns:
        d by least squares. Positive: the signal vanishes towards the input. Negative: it explodes.

    Raises:
        ValueError: If there are fewer than two layers, or a norm is not positive and finite.
    """
    norms = jnp.asarray(norms)
    if norms.ndim != 1 or len(norms) < 2:
        raise ValueError(f"norms must hold at least two layers; got shape {norms.shape}")
    depth = len(norms) if depth is None else depth
    used = jnp.arange(len(norms)) < depth
    if not _check.traced(norms) and not _check.traced(depth):
        _check.positive("norms", norms[:depth])
    layer = jnp.where(used, jnp.arange(len(norms)) - (depth - 1) / 2, 0.0)
    return jnp.sum(layer * jnp.log10(jnp.where(used, norms, 1.0))) / jnp.sum(layer**2)


def _norms(name: str, doc: str) -> property:
    """Sizes of one kind of arrays, over all units and examples; NaN for layers beyond the depth."""

    def norms(self: "Signals") -> Float[Array, " layers"]:
        arrays = getattr(self, name)
        norms, size = arrays.norms(), len(arrays.hidden)
        if isinstance(self.depth, int) and self.depth == size:
            return norms
        layer = jnp.arange(len(norms))
        return jnp.where((layer < self.depth) | (layer >= size), norms, jnp.nan)

    return property(norms, doc=doc)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Signals:
    r"""Error signals and gradients of every layer of a network, for one batch.

    .. math:: \delta_{\ell,i} = \frac{\partial L_i}{\partial z_{\ell,i}}, \quad
              \frac{\partial L}{\partial W_\ell} = \frac{1}{B} \sum_i \delta_{\ell,i}\,
              u_{\ell-1,i}^{\mathsf T}, \quad
              \frac{\partial L}{\partial b_\ell} = \frac{1}{B} \sum_i \delta_{\ell,i}

    Where a batch normalisation makes examples depend on each other, the sum of all losses takes the
    place of L_i.

    Attributes:
        losses: Loss of every example, shape (batch,).
        error_signals: `PerLayer` of dL_i/dz, shape (batch, units), loss per unit of pre-activation.
        hidden_gradients: `PerLayer` of dL_i/dh of the hidden layers, with h what a layer hands on.
        weight_gradients: `PerLayer` of dL/dW, loss per unit of weight.
        bias_gradients: `PerLayer` of dL/db.
        gradient: Of the mean loss with respect to all parameters, in their own tree.
        depth: Number of hidden layers in use.
        names: Names of the layers, or empty where they are numbered.
    """

    losses: Any
    error_signals: PerLayer
    hidden_gradients: PerLayer | None
    weight_gradients: PerLayer
    bias_gradients: PerLayer
    gradient: Any
    depth: Any
    names: tuple[str, ...] = dataclasses.field(default=(), metadata={"static": True})

    @property
    def loss(self) -> Float[Array, ""]:
        """Mean loss."""
        return jnp.mean(self.losses)

    error_norms = _norms("error_signals", "RMS of dL/dz for each layer, the output layer last.")
    weight_norms = _norms("weight_gradients", "RMS of dL/dW, likewise.")
    bias_norms = _norms("bias_gradients", "RMS of dL/db, likewise.")
    hidden_norms = _norms("hidden_gradients", "RMS of dL/dh for each hidden layer.")

    @property
    def ratio(self) -> Float[Array, ""]:
        r"""Change of the error signal from the last hidden layer back to the first.

        .. math:: G = \frac{\|\delta_1\|}{\|\delta_{L-1}\|}

        Below 1 it shrinks on its way to the input, above 1 it grows.
        """
        norms = self.error_norms
        return norms[0] / norms[self.depth - 1]

    @property
    def decades_per_layer(self) -> Float[Array, ""]:
        """Powers of ten that the error signal loses with every hidden layer on its way back."""
        return decades_per_layer(self.error_norms[: len(self.error_signals.hidden)], self.depth)

    def __repr__(self) -> str:
        if not isinstance(self.losses, jax.Array | np.ndarray) or _check.traced(self.losses):
            return "Signals(traced)"
        if np.ndim(self.losses) > 1:
            return f"Signals of {np.shape(self.losses)[:-1]} networks"
        return "\n".join(_table(self))


def _table(signals: Signals) -> Iterator[str]:
    names = signals.names or (*map(str, range(1, len(signals.error_signals))), "output")
    rows = zip(names, signals.error_norms, signals.weight_norms, signals.bias_norms, strict=True)
    used = [(name, sizes) for name, *sizes in rows if not np.isnan(sizes[0])]
    cells = [(name, *(typeset(f"{size:.1e}") for size in sizes)) for name, sizes in used]
    yield from table([("layer", "dL/dz", "dL/dW", "dL/db"), *cells])
    yield typeset(f"RMS of every layer. The loss is {signals.loss:.3g}.")
    if len(signals.error_signals.hidden) > 1:
        yield typeset(f"Layer 1 has {signals.ratio:.1e} of the last hidden layer's error signal.")
