"""Feedforward networks as plain pytrees, written for one example; batch them with `jax.vmap`.

A network is a list of layers, input side first: dense (`Layer`) or convolutional (`Conv`). The last
layer is linear: its z is the network's output. A hidden layer computes z_l from what the layer
before hands on, and hands on h_l. What it does besides are parts that combine freely: a
normalisation, a gate on its branch (ReZero), a learnt slope (PReLU), see `equip`; a skip
connection, a factor on the branch, and the order of it all, see `trace`.
"""

from vgkit.nets.batches import batch_statistics, forward_batch
from vgkit.nets.forward import (
    ORDERS,
    Trace,
    dense,
    forward,
    pre_activations,
    probes,
    trace,
)
from vgkit.nets.initialisers import INITIALISERS, Initialiser, initialiser
from vgkit.nets.layers import MLP, Conv, Layer, Net, input_size
from vgkit.nets.lsuv import lsuv
from vgkit.nets.makers import conv_net, equip, from_arrays, mlp
from vgkit.nets.norms import (
    BATCH,
    NORMALISATIONS,
    BatchNorm,
    ChosenNorm,
    LayerNorm,
    Statistics,
    moving_average,
    normalise,
)
from vgkit.nets.stacks import Stack, mlp_stack, stack, stack_trace, unstack

__all__ = [
    "BATCH",
    "INITIALISERS",
    "MLP",
    "NORMALISATIONS",
    "ORDERS",
    "BatchNorm",
    "ChosenNorm",
    "Conv",
    "Initialiser",
    "Layer",
    "LayerNorm",
    "Net",
    "Stack",
    "Statistics",
    "Trace",
    "batch_statistics",
    "conv_net",
    "dense",
    "equip",
    "forward",
    "forward_batch",
    "from_arrays",
    "initialiser",
    "input_size",
    "lsuv",
    "mlp",
    "mlp_stack",
    "moving_average",
    "normalise",
    "pre_activations",
    "probes",
    "stack",
    "stack_trace",
    "trace",
    "unstack",
]
