"""A verdict on any JAX model, from the signals that run through it.

    report = vgkit.diagnose(model, params, x, y)
    print(report)

`model` is a function (params, x) -> outputs for a whole batch; nothing in it has to be changed.
"""

from vgkit.diagnosis.report import Report, diagnose
from vgkit.diagnosis.verdicts import LINES, REMEDIES, Finding
from vgkit.trace.layers import tap
