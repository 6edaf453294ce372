"""Exact gradients, layer by layer: error signals, weight gradients, layer Jacobians.

`signals(net, x, y)` measures them all in one backward pass. The **error signal** of a layer,
delta_l = dL/dz_l, is what travels backward. The **weight gradient**,
dL/dW_l = delta_l u_(l-1)^T, is what moves the weights. They can differ by many orders of magnitude.
Layers count from 1 at the input; arrays are ordered likewise. In recurrent nets time steps take the
place of layers, and the state that of the error signal.
"""

from vgkit._numbers import l2, mean_cosine, rms
from vgkit.grads.jacobians import (
    StateNorms,
    jacobians,
    state_gradients,
    state_jacobians,
    state_norms,
)
from vgkit.grads.measure import FORMATS, LOSSES, Loss, cross_entropy, signals
from vgkit.grads.signals import PerLayer, Signals, decades_per_layer, per_layer
from vgkit.grads.units import unit_signals
