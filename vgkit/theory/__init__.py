r"""What mean-field theory predicts for wide random networks, layer by layer.

A layer's weights are independent with mean 0 and variance sigma_w^2 / fan_in, its biases with
variance sigma_b^2. Where layers are wide, the pre-activations of a layer are normal with mean 0 and
a variance q_l, the *length*; going back, each layer changes the squared error signal by a factor,
at the length that deep layers settle at: chi_1. {cite}`poole2016`, {cite}`schoenholz2017`
"""

from vgkit.theory.fixed_points import DepthScales, Edge, depth_scales, edge_of_chaos, fixed_point
from vgkit.theory.layer import chi_1, length_map
from vgkit.theory.predictions import Prediction, gains, predict

__all__ = [
    "DepthScales",
    "Edge",
    "Prediction",
    "chi_1",
    "depth_scales",
    "edge_of_chaos",
    "fixed_point",
    "gains",
    "length_map",
    "predict",
]
