"""What is diagnosed: a model, its parameters and a batch, checked and taken apart."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vgkit import _check, grads


class Subject(NamedTuple):
    """A model as a function of plain lists of arrays.

    Attributes:
        model: Function (leaves, inputs) -> outputs, any pytree.
        losses: Function (outputs, y) -> losses of the examples, or their mean over the batch.
        leaves: Floating-point parameters.
        names: Their paths in the parameters' tree.
        x: Leaves of the inputs, examples first.
        y: Targets, a pytree.
        tree: Makes a tree like the parameters' of leaves, with None for what is no leaf.
        examples: How many.
        known_loss: Its name, if it is one of `grads.LOSSES`.
        x64: Whether the caller's JAX allows float64.
    """

    model: Callable
    losses: Callable
    leaves: list[Any]
    names: list[str]
    x: list[Any]
    y: Any
    tree: Callable
    examples: int
    known_loss: str | None
    x64: bool


def x64_context(wide: bool) -> AbstractContextManager:
    """Allow float64 or not inside this context, in this thread, and as before after it."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(wide)
    from jax.experimental import enable_x64  # JAX before 0.8

    return enable_x64(wide)


def floating(value: Any) -> bool:
    """Whether a leaf is an array of real floating-point numbers."""
    return isinstance(value, (jax.Array, np.ndarray, np.floating)) and jnp.issubdtype(
        value.dtype, jnp.floating
    )


def subject(model: Any, params: Any, x: Any, y: Any, loss: Any) -> Subject:
    """Check everything that the user gives; see `diagnose` for what is allowed."""
    model, params = _as_function(model, params)
    flat, treedef = jax.tree.flatten(params)
    places = [i for i, leaf in enumerate(flat) if floating(leaf) and np.size(leaf)]
    if not places:
        kinds = ", ".join(sorted({type(leaf).__name__ for leaf in flat})) or "nothing"
        raise ValueError(f"params must hold a floating-point array; it holds {kinds}")
    names = [_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]

    def rebuild(leaves: Sequence[Any]) -> Any:
        whole = list(flat)
        for place, leaf in zip(places, leaves, strict=True):
            whole[place] = leaf
        return jax.tree.unflatten(treedef, whole)

    def tree(leaves: Sequence[Any]) -> Any:
        by_place = dict(zip(places, leaves, strict=True))
        return jax.tree.unflatten(treedef, [by_place.get(i) for i in range(len(flat))])

    inputs, inputs_tree = jax.tree.flatten(x)
    inputs = [jnp.asarray(value) for value in inputs]
    y = jax.tree.map(jnp.asarray, y)
    examples = _examples(inputs, y)
    leaves = [jnp.asarray(flat[i]) for i in places]

    def of_leaves(leaves: Sequence[Any], inputs: Sequence[Any]) -> Any:
        return model(rebuild(leaves), jax.tree.unflatten(inputs_tree, inputs))

    try:
        outputs = jax.eval_shape(of_leaves, leaves, inputs)
    except Exception as error:
        raise ValueError(
            "model must be a function (params, x) of the parameters and the whole batch; "
            f"called so it raised {type(error).__name__}: {str(error).splitlines()[0]}"
        ) from error
    known = loss if isinstance(loss, str) else None
    return Subject(
        of_leaves, _losses(loss, outputs, y, examples), leaves, [names[i] for i in places],
        inputs, y, tree, examples, known, jax.config.jax_enable_x64,
    )  # fmt: skip


def _name(path: Sequence[Any]) -> str:
    """Path of a leaf; Flax's Variables add one last part that says nothing."""
    parts = [str(getattr(p, "key", getattr(p, "name", getattr(p, "idx", p)))) for p in path]
    while len(parts) > 1 and parts[-1] in {"value", "raw_value", ".value"}:
        parts.pop()
    return "/".join(part.strip(".") for part in parts)


def _as_function(model: Any, params: Any) -> tuple[Callable, Any]:
    """The model as a function of its parameters: modules of Flax and Equinox carry their own."""
    libraries = {kind.__module__.partition(".")[0] for kind in type(model).__mro__}
    if params is None and "equinox" in libraries:
        return lambda module, x: jax.vmap(module)(x), model
    if params is None and "flax" in libraries and not hasattr(model, "apply"):
        from flax import nnx

        graph, state = nnx.split(model)
        return lambda state, x: nnx.merge(graph, state)(x), state
    if "flax" in libraries and hasattr(model, "apply"):
        if params is None:
            raise ValueError("params must be the variables of a linen module; got None")
        return model.apply, params
    if not callable(model):
        raise ValueError(f"model must be a function (params, x) -> outputs; got {model!r}")
    return model, params


def _examples(inputs: Sequence[Any], y: Any) -> int:
    """Number of examples, the same in all of x and y."""
    sizes = {np.shape(v)[0] if np.ndim(v) else None for v in [*inputs, *jax.tree.leaves(y)]}
    if len(sizes) != 1 or None in sizes or not inputs:
        shapes = [np.shape(v) for v in [*inputs, *jax.tree.leaves(y)]]
        raise ValueError(f"x and y must have one row for each example; got shapes {shapes}")
    (examples,) = sizes
    if not examples:
        raise ValueError("x must hold at least one example; got an empty batch")
    _check.finite("x", [v for v in inputs if jnp.issubdtype(v.dtype, jnp.floating)])
    _check.finite("y", [v for v in jax.tree.leaves(y) if jnp.issubdtype(v.dtype, jnp.floating)])
    return examples


def _losses(loss: Any, outputs: Any, y: Any, examples: int) -> Callable:
    """Losses of the examples from outputs and targets, for a loss of one example or of a batch."""
    if not callable(loss):
        one = _check.choice("loss", loss, grads.LOSSES)
        shape, target = getattr(outputs, "shape", None), getattr(y, "shape", None)
        if shape is None or target is None:
            raise ValueError(f"model and y must give one array for loss {loss!r}")
        if loss == "cross_entropy":
            _check_labels(y, shape)
        elif np.prod(shape) != np.prod(target):
            raise ValueError(f"y must have the shape of the outputs, {shape}; got {target}")

        def known(outputs: Any, y: Any) -> Any:
            if loss == "mean_squared_error":
                y = jnp.reshape(y, outputs.shape)
                return jax.vmap(lambda o, t: one(jnp.ravel(o), jnp.ravel(t)))(outputs, y)
            flat = jax.vmap(one)(outputs.reshape(-1, outputs.shape[-1]), jnp.ravel(y))
            return flat.reshape(examples, -1).mean(axis=1)

        return known
    problems = []
    for form, shape in ((jax.vmap(loss), (examples,)), (loss, (examples,)), (loss, ())):
        try:
            value = jax.eval_shape(form, outputs, y)
        except Exception as error:  # whatever the user's function raises
            problems.append(f"{type(error).__name__}: {str(error).splitlines()[0]}")
            continue
        if getattr(value, "shape", None) == shape and jnp.issubdtype(value.dtype, jnp.floating):
            return form
        problems.append(f"shape {getattr(value, 'shape', None)}")
    raise ValueError(
        "loss must be a function (output, target) -> scalar of one example, or of the whole batch; "
        f"got {'; '.join(dict.fromkeys(problems))}"
    )


def _check_labels(y: Any, shape: tuple[int, ...]) -> None:
    if len(shape) < 2 or y.shape != shape[:-1]:
        raise ValueError(
            f"y must hold one label for each output, shape {shape[:-1]}; got shape {y.shape}"
        )
    if not jnp.issubdtype(y.dtype, jnp.integer):
        raise ValueError(f"y must hold whole-number labels for cross_entropy; got {y.dtype}")
    _check.labels("y", y, shape[-1])
