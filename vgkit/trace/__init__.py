"""A model's layers, found in its jaxpr, whatever library it is written in.

    print(trace.read(model, params, x))

A layer is a product of data with parameters. Nothing in the model has to be changed: its operations
are traced as JAX traces them, and can be run again with probes added to every layer.
"""

from vgkit.trace.traced import Traced, read
