"""A model of any library as a function of plain lists of arrays."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vgkit import _check

BATCH = "batch"
"""Name of the batch's axis while a model of one example is mapped over it."""


class Model(NamedTuple):
    """A model and its arguments."""

    function: Callable  # (parameters, inputs) -> outputs, any pytree
    parameters: list[Any]  # floating-point arrays
    names: list[str]  # their paths in the parameters' tree
    inputs: list[Any]  # leaves of x, examples first
    examples: int
    tree: Callable  # makes a tree like the parameters' of such arrays, with None for other leaves


def floating(value: Any) -> bool:
    """Whether a leaf is an array of real floating-point numbers."""
    return isinstance(value, (jax.Array, np.ndarray, np.floating)) and jnp.issubdtype(
        value.dtype, jnp.floating
    )


def read_model(model: Any, params: Any, x: Any) -> Model:
    """Check a model and its arguments, and take their trees apart."""
    function, params = as_function(model, params)
    leaves, treedef = jax.tree.flatten(params)
    places = [i for i, leaf in enumerate(leaves) if floating(leaf) and np.size(leaf)]
    if not places:
        kinds = ", ".join(sorted({type(leaf).__name__ for leaf in leaves})) or "nothing"
        raise ValueError(f"params must hold a floating-point array; it holds {kinds}")
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    names = [jax.tree_util.keystr(paths[i], simple=True, separator="/") for i in places]
    # Flax's variables add a last part to the path that tells nothing.
    names = [name.removesuffix("/value").removesuffix("/raw_value") for name in names]
    inputs, inputs_tree = jax.tree.flatten(x)
    inputs = [jnp.asarray(value) for value in inputs]
    examples = count_examples("x", inputs)
    _check.finite("x", filter(floating, inputs))

    def tree(arrays: Sequence[Any], others: Sequence[Any] = (None,) * len(leaves)) -> Any:
        by_place = dict(zip(places, arrays, strict=True))
        return treedef.unflatten([by_place.get(i, leaf) for i, leaf in enumerate(others)])

    def of_arrays(parameters: Sequence[Any], inputs: Sequence[Any]) -> Any:
        return function(tree(parameters, leaves), inputs_tree.unflatten(inputs))

    parameters = [jnp.asarray(leaves[i]) for i in places]
    try:
        jax.eval_shape(of_arrays, parameters, inputs)
    except Exception as error:  # whatever the user's function raises
        raise ValueError(
            "model must be a function (params, x) of the parameters and the whole batch; "
            f"called so it raised {type(error).__name__}: {str(error).splitlines()[0]}"
        ) from error
    return Model(of_arrays, parameters, names, inputs, examples, tree)


def as_function(model: Any, params: Any) -> tuple[Callable, Any]:
    """The model as a function (params, x) of a batch, and its parameters.

    Modules of Flax nnx hold their parameters, and so do Equinox's and any other pytree that can be
    called with one example. A linen module has its `apply`, a pair of Haiku's `transform` likewise.
    """
    flax = any(kind.__module__.startswith("flax.") for kind in type(model).__mro__)
    if params is None and flax and not hasattr(model, "apply"):
        from flax import nnx

        graph, state = nnx.split(model)
        return lambda state, x: nnx.merge(graph, state)(x), state
    if params is None and callable(model) and any(map(floating, jax.tree.leaves(model))):
        return lambda module, x: jax.vmap(module, axis_name=BATCH)(x), model
    if hasattr(model, "apply") and (flax or not callable(model)):
        if params is None:
            raise ValueError("params must be the variables of the model; got None")
        model = model.apply
    if not callable(model):
        raise ValueError(f"model must be a function (params, x) -> outputs; got {model!r}")
    if list(inspect.signature(model).parameters)[1:2] == ["rng"]:  # of hk.transform
        return lambda params, x: model(params, None, x), params
    return model, params


def count_examples(argument: str, arrays: Sequence[Any]) -> int:
    """Number of examples along the first axis of some arrays."""
    sizes = {np.shape(array)[0] if np.ndim(array) else None for array in arrays}
    if len(sizes) != 1 or None in sizes:
        shapes = [np.shape(array) for array in arrays]
        raise ValueError(f"{argument} must have one row for each example; got shapes {shapes}")
    (examples,) = sizes
    if not examples:
        raise ValueError(f"{argument} must hold at least one example; got an empty batch")
    return examples
