"""Exact gradients, layer by layer: weight gradients, error signals, layer Jacobians.

Two signals are kept apart. The **error signal** of a layer, delta_l = dL/dz_l, is what travels
backward. The **weight gradient**, dL/dW_l = delta_l h_(l-1)^T, is what moves the weights. They can
differ by many orders of magnitude. Layers count from 1 at the input; arrays are ordered likewise.
In recurrent nets time steps take the place of layers, and the state that of the error signal.
"""

from vgkit.grads.formats import (
    FORMATS,
    Comparison,
    Entries,
    Limits,
    Signals,
    compare_formats,
    entries,
    format_limits,
    format_profile,
    gradients_in,
)
from vgkit.grads.jacobians import jacobians, product_spectrum, singular_values
from vgkit.grads.losses import LOSSES, Loss, cross_entropy, mean_squared_error
from vgkit.grads.profiles import Profile, error_bound, profile
from vgkit.grads.signals import (
    NORMS,
    correlation,
    decades_per_layer,
    end_to_end_ratio,
    error_signals,
    input_gradients,
    l2,
    norms,
    rms,
    weight_gradients,
    weight_norms,
)
from vgkit.grads.through_time import (
    StateNorms,
    StatesLoss,
    state_gradients,
    state_jacobians,
    state_norms,
    state_profile,
)

__all__ = [
    "FORMATS",
    "LOSSES",
    "NORMS",
    "Comparison",
    "Entries",
    "Limits",
    "Loss",
    "Profile",
    "Signals",
    "StateNorms",
    "StatesLoss",
    "compare_formats",
    "correlation",
    "cross_entropy",
    "decades_per_layer",
    "end_to_end_ratio",
    "entries",
    "error_bound",
    "error_signals",
    "format_limits",
    "format_profile",
    "gradients_in",
    "input_gradients",
    "jacobians",
    "l2",
    "mean_squared_error",
    "norms",
    "product_spectrum",
    "profile",
    "rms",
    "singular_values",
    "state_gradients",
    "state_jacobians",
    "state_norms",
    "state_profile",
    "weight_gradients",
    "weight_norms",
]
