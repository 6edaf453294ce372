"""A network that carries its own form, and its forward pass."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vgkit import _check, activations
from vgkit.nets.layers import BATCH, NORMALISATIONS, ORDERS, Form, Intermediates, hidden_layer

CHOICES = tuple(field.name for field in dataclasses.fields(Form))


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Net:
    r"""A feedforward network: hidden layers, a linear readout, and the form of it all.

    .. math:: z_\ell = W_\ell u_{\ell-1} + b_\ell, \quad
              h_\ell = s\, h_{\ell-1} + a\, \phi(N(z_\ell)), \quad u_\ell = h_\ell, \quad
              \hat y = W_L u_{L-1} + b_L

    It is a pytree whose leaves are its parameters, so that `jax.grad`, `jax.tree.map` and optax
    work on it. `net(x)` is the output for one example. Make one with `mlp` or `from_arrays`.

    Attributes:
        layers: The hidden layers, input side first; or, stacked, one layer whose arrays have the
            hidden layers on their leading axis.
        readout: The linear output layer.
        form: `Form`, whose choices are attributes of the net too, as in `net.activation`.
    """

    layers: Any
    readout: Any
    form: Form = dataclasses.field(metadata={"static": True})

    def __call__(self, x: Array, *, statistics: Any = None) -> Float[Array, " outputs"]:
        """Output for one example; `statistics` are those of a batch normalisation at inference."""
        return intermediates(self, x, statistics=statistics)[1]

    def __getattr__(self, name: str) -> Any:
        if name in CHOICES:
            return getattr(self.form, name)
        raise AttributeError(f"a Net has no attribute {name!r}")

    @property
    def stacked(self) -> bool:
        """Whether the hidden layers are in one array each."""
        return not isinstance(self.layers, tuple)

    @property
    def size(self) -> int:
        """Number of hidden layers that there are."""
        return self.layers.b.shape[-2] if self.stacked else len(self.layers)

    @property
    def depth(self) -> Any:
        """Number of hidden layers in use."""
        return self.size if self.form.depth is None else self.form.depth

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of one example, None for any size."""
        first = self.layers if self.stacked else (*self.layers, self.readout)[0]
        return first.input_shape

    def replace(self, **changes: Any) -> "Net":
        """The same network with other layers or another form.

        Args:
            **changes: `layers`, `readout`, or choices of the form: `activation`, `skip`, `branch`,
                `order`, `norm` and, for a stacked net, `depth`, how many of its layers are used.
        """
        parts = {name: changes.pop(name) for name in changes.keys() - set(CHOICES)}
        for name in parts:
            _check.choice("a change", name, {"layers": name, "readout": name})
        net = dataclasses.replace(self, **parts, form=dataclasses.replace(self.form, **changes))
        if changes:
            check_net(net)
        return net

    def __repr__(self) -> str:
        if all(hasattr(leaf, "shape") for leaf in jax.tree.leaves(self)):
            return "\n".join(_described(self))
        return f"Net({self.layers!r}, {self.readout!r})"  # labels in the shape of a net, say


def check_net(net: Net) -> None:
    """Require a form whose choices the layers can carry out."""
    form, layers = net.form, (net.layers,) if net.stacked else net.layers
    activations.function(form.activation)
    for name, allowed in (("order", ORDERS), ("norm", NORMALISATIONS)):
        chosen = getattr(form, name)
        if not isinstance(chosen, jax.Array):
            _check.choice(name, chosen, dict.fromkeys(allowed))
    if form.skip is False and not isinstance(form.branch, jax.Array) and form.branch != 1:
        raise ValueError(f"branch must be 1 without skip connections; got {form.branch!r}")
    if form.depth is not None and not net.stacked:
        raise ValueError(f"depth must be left out for a net not stacked; got {form.depth!r}")
    known = form.depth is not None and not _check.traced(form.depth)
    if known and _check.int_at_least("depth", form.depth, 1) > net.size:
        most = f"{net.size}, the layers there are"
        raise ValueError(f"depth must be at most {most}; got {form.depth}")
    if form.norm != "none" and any(layer.norm is None for layer in layers):
        raise ValueError(f"norm must be 'none' for layers drawn without one; got {form.norm!r}")
    if form.skip is False and any(layer.gate is not None for layer in layers):
        raise ValueError("skip must be True for a net with gates on its branches; got False")
    if form.activation != "prelu" and any(layer.alpha is not None for layer in layers):
        raise ValueError(
            f"activation must be 'prelu' for a net with learnt slopes; got {form.activation!r}"
        )


class Probes(NamedTuple):
    """What is added to z and h of every hidden layer, and to the output, to differentiate by."""

    z: Any
    h: Any
    output: Any


def run(
    net: Net,
    x: Float[Array, "..."],
    keep: Callable[[Intermediates], Any],
    *,
    probes: Probes | None = None,
    statistics: Any = None,
    dtype: Any = None,
) -> tuple[Any, Float[Array, " outputs"]]:
    """What is kept of each hidden layer, rounded to `dtype`, for one example; and the output."""

    def rounded(tree: Any) -> Any:
        return tree if dtype is None else jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), tree)

    def step(before: tuple[Array, Array], given: tuple) -> tuple[tuple[Array, Array], Any]:
        layer, z, h, fixed, number = given
        layer, z, h = rounded((layer, z, h))
        here = hidden_layer(layer, before, net.form, statistics=fixed, probe=z, hidden_probe=h)
        after = here.h, here.u
        if net.form.depth is not None:
            used = number < net.depth
            after = jax.tree.map(lambda new, old: jnp.where(used, new, old), after, before)
        return after, keep(here)

    x = rounded(x)
    if net.stacked:
        zeros = jnp.zeros(net.size, net.layers.b.dtype)
        z, h = (zeros, zeros) if probes is None else (probes.z, probes.h)
        if dtype is not None:  # recomputed: XLA would widen all layers of a narrow format at each
            step = jax.checkpoint(step)
        inputs = net.layers, z, h, statistics, jnp.arange(net.size)
        (_, u), kept = jax.lax.scan(step, (x, x), inputs)
    else:
        none = [0.0] * net.size
        z, h = (none, none) if probes is None else (probes.z, probes.h)
        fixed, kept, carry = statistics or [None] * net.size, [], (x, x)
        for number, given in enumerate(zip(net.layers, z, h, fixed, strict=True)):
            carry, row = step(carry, (*given, number))
            kept.append(row)
        u = carry[1]
    output = rounded(net.readout)(u)
    return kept, output if probes is None else output + rounded(probes.output)


def intermediates(
    net: Net, x: Float[Array, "..."], *, statistics: Any = None
) -> tuple[Any, Float[Array, " outputs"]]:
    """Every hidden layer's `Intermediates` for one example (stacked for a stacked net), and output.

    Args:
        x: One example.
        statistics: For batch normalisation at inference, see `batch_statistics`.

    Raises:
        ValueError: If `x` does not fit, or batch normalisation has neither statistics nor a batch.
    """
    _check.shape("x", x, net.input_shape)
    return run(net, x, lambda here: here, statistics=statistics)


def pre_activations(net: Net, x: Float[Array, "..."]) -> list[Float[Array, "..."]]:
    """Pre-activations z of every layer for one example; the last is the output.

    The arguments are those of `intermediates`, and so are the errors.
    """
    hidden, output = intermediates(net, x)
    return [*(hidden.z if net.stacked else [here.z for here in hidden]), output]


def forward(
    net: Net, x: Float[Array, "batch ..."], *, statistics: Any = None
) -> Float[Array, "batch outputs"]:
    """Outputs for a batch; batch normalisation takes its statistics unless given others.

    The arguments are those of `intermediates`, and so are the errors.
    """
    return jax.vmap(lambda x: net(x, statistics=statistics), axis_name=BATCH)(x)


def batch_statistics(net: Net, x: Float[Array, "batch ..."]) -> Any:
    """Mean and variance that every batch normalisation meets on a batch, with examples in rows.

    For inference take them over all training examples, or average them batch by batch with
    `optax.incremental_update`. The arguments are those of `intermediates`, and so are the errors.

    Returns:
        `Statistics` of each hidden layer (stacked for a stacked net), None where not normalised so.
    """

    def one(x: Array) -> Any:
        return run(net, x, lambda here: here.statistics)[0]

    return jax.vmap(one, out_axes=None, axis_name=BATCH)(x)


def stack(net: Net) -> Net:
    """Put equal hidden layers into one array each, through which one `jax.lax.scan` runs.

    It compiles in the same time whatever the depth, and its depth can be chosen at run time. All
    hidden layers must be as wide as the input. A stacked net stays as it is.
    """
    if net.stacked:
        return net
    if not net.layers:
        raise ValueError("net must have at least one hidden layer; got none")
    shape = net.layers[0].w.shape
    for number, layer in enumerate(net.layers, start=1):
        _check.shape(f"weights of layer {number}", layer.w, (shape[0], *shape[:1], *shape[2:]))
    return net.replace(layers=jax.tree.map(lambda *leaves: jnp.stack(leaves), *net.layers))


def unstack(net: Net) -> Net:
    """Give every hidden layer in use arrays of its own; a net not stacked stays as it is."""
    if not net.stacked:
        return net
    layers = [jax.tree.map(lambda leaf, i=i: leaf[i], net.layers) for i in range(net.depth)]
    return net.replace(layers=tuple(layers), depth=None)


def _described(net: Net) -> Iterator[str]:
    form, count = net.form, sum(np.size(leaf) for leaf in jax.tree.leaves(net))
    parts = [getattr(form.activation, "__name__", str(form.activation)), form.init]
    parts += ["skip"] if form.skip is not False else []
    parts += ["scaled branch"] if not isinstance(form.branch, float) or form.branch != 1 else []
    parts += [str(form.order)] if form.order != "standard" else []
    parts += [f"{form.norm} norm"] if form.norm != "none" else []
    yield f"Net({', '.join(parts)}): {net.size} hidden layers, {count:,} parameters"
    each = [np.shape(net.layers.w)[1:]] * net.size if net.stacked else None
    start, rows = 1, []
    for shape, run in itertools.groupby(each or [np.shape(layer.w) for layer in net.layers]):
        end = start + len([*run]) - 1
        rows.append((f"layer {end}" if start == end else f"layers {start} to {end}", shape))
        start = end + 1
    for label, shape in [*rows, ("output", np.shape(net.readout.w))]:
        yield f"  {label:15} {' × '.join(map(str, shape[1:]))} → {shape[0]}"
