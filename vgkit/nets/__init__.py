"""Feedforward networks that carry their own form, written for one example.

`mlp` draws one; `net(x)` is its output for one example, `forward(net, x)` a batch's. The net's
`Form` says what a hidden layer has: a normalisation, a gate on its branch (ReZero), a learnt slope
(PReLU), a skip connection and a factor on the branch, in one of several orders.
"""

from vgkit.nets.layers import (
    BATCH,
    NORMALISATIONS,
    ORDERS,
    Form,
    Intermediates,
    Layer,
    Norm,
    Statistics,
)
from vgkit.nets.makers import Initialiser, from_arrays, initialiser, lsuv, mlp
from vgkit.nets.net import (
    Net,
    batch_statistics,
    forward,
    intermediates,
    pre_activations,
    stack,
    unstack,
)
