"""Layer Jacobians and their singular values."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vgkit import _check, nets
from vgkit.nets.layers import hidden_layer


def jacobians(net: nets.Net, x: Float[Array, " fan_in"]) -> list[Float[Array, "_fan_out _fan_in"]]:
    r"""Jacobian of every hidden layer at one example, by forward-mode differentiation.

    .. math:: J_\ell = \frac{\partial h_\ell}{\partial h_{\ell-1}}
              = \mathrm{diag}(\phi'(z_\ell))\, W_\ell \ (+\, I \text{ with a skip})

    Args:
        net: A network in the order "standard" without batch normalisation.
        x: One example.

    Returns:
        One matrix for each hidden layer, input side first.

    Raises:
        ValueError: If `x` does not fit or is not finite.
    """
    _check.shape("x", x, net.input_shape)
    _check.finite("x", [x])
    _check.finite("net", jax.tree.leaves(net))
    matrices, h = [], x
    for layer in nets.unstack(net).layers:

        def output(h: Array, layer: nets.Layer = layer) -> Array:
            return hidden_layer(layer, (h, h), net.form).h

        matrices.append(jax.jacfwd(output)(h))
        h = output(h)
    return matrices


def singular_values(
    matrices: Sequence[Float[Array, "_fan_out _fan_in"]] | Float[Array, "_stack _fan_out _fan_in"],
) -> list[Float[Array, " _rank"]]:
    """Singular values of every matrix, largest first.

    Args:
        matrices: A list of matrices, or one array with the matrices on its leading axis.
    """
    return [jnp.linalg.svd(matrix, compute_uv=False) for matrix in matrices]


def product_spectrum(
    jacobians: Sequence[Float[Array, "_fan_out _fan_in"]] | Float[Array, "_stack _fan_out _fan_in"],
) -> Float[Array, " rank"]:
    r"""Singular values of the product of layer Jacobians, largest first.

    .. math:: \mathrm{svd}(J_{L-1} \cdots J_2 J_1)

    Values below the largest times the format's precision (2e-16 in float64) are rounding noise.

    Args:
        jacobians: Matrices, input side first, such as what `jacobians` returns.

    Raises:
        ValueError: If there is no matrix, or neighbours do not fit together.
    """
    if not len(jacobians):
        raise ValueError("jacobians must hold at least one matrix; got none")
    product = jacobians[0]
    for number, matrix in enumerate(jacobians[1:], start=2):
        _check.shape(f"jacobian {number}", matrix, (None, product.shape[0]))
        product = matrix @ product
    return jnp.linalg.svd(product, compute_uv=False)
