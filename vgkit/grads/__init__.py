"""Exact gradients, layer by layer: error signals, weight gradients, layer Jacobians.

`signals(net, x, y)` measures them all in one backward pass. The **error signal** of a layer,
delta_l = dL/dz_l, is what travels backward. The **weight gradient**,
dL/dW_l = delta_l u_(l-1)^T, is what moves the weights. They can differ by many orders of magnitude.
Layers count from 1 at the input; arrays are ordered likewise. In recurrent nets time steps take the
place of layers, and the state that of the error signal.
"""

from vgkit._numbers import l2, mean_cosine, rms
from vgkit.grads.jacobians import jacobians, product_spectrum, singular_values
from vgkit.grads.kernel import (
    FORMATS,
    LOSSES,
    Loss,
    cross_entropy,
    loss_function,
    mean_squared_error,
)
from vgkit.grads.measure import signals
from vgkit.grads.signals import NORMS, PerLayer, Signals, decades_per_layer, per_layer
from vgkit.grads.through_time import StateNorms, state_gradients, state_jacobians, state_norms
from vgkit.grads.units import unit_signals

__all__ = [
    "FORMATS",
    "LOSSES",
    "NORMS",
    "Loss",
    "PerLayer",
    "Signals",
    "StateNorms",
    "cross_entropy",
    "decades_per_layer",
    "jacobians",
    "l2",
    "loss_function",
    "mean_cosine",
    "mean_squared_error",
    "per_layer",
    "product_spectrum",
    "rms",
    "signals",
    "singular_values",
    "state_gradients",
    "state_jacobians",
    "state_norms",
    "unit_signals",
]
