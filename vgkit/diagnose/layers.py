"""What a program's layers are, found without running it.

A **layer** is a product (`dot_general`, `conv_general_dilated`) of data with parameters
or a `tap`.
An **activation** is a chain of elementwise operations on one variable. A **cut** is a variable that
everything after it depends on through it alone, such as the stream of a residual network between
two blocks: its gradient is all that reaches the layers before it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from vgkit.diagnose.operations import (
    PRODUCTS,
    Source,
    bends,
    elementwise,
    floating,
    holds_product,
    kept_units,
    kind,
    units,
)
from vgkit.diagnose.program import Known, Program, Step, split_scan

TAP = "vgkit:"


def tap(z: Float[Array, "examples ..."], name: str) -> Float[Array, "examples ..."]:
    """Mark a value as a layer for `diagnose`; everywhere else this is the identity.

    For what `diagnose` can't see by itself: a layer that is no product of data and parameters.

    Args:
        z: Any floating-point array of the model, examples along its first axis.
        name: Name of the layer in the report.
    """
    return checkpoint_name(z, TAP + name)


class Loop(NamedTuple):
    """The scan that something is inside of.

    Attributes:
        length: Iterations.
        stride: Layers that one iteration goes deeper.
        reverse: Whether it runs backwards.
        rows: Parameters of which every iteration reads a row of its own.
    """

    length: int
    stride: int
    reverse: bool
    rows: frozenset[int]


class Site(NamedTuple):
    """A layer: its product `z`, its data `h`, its parameters, its place and the axes of its units.

    A tap has a name of its own and no parameters.
    """

    z: int
    h: int
    leaves: frozenset[int]
    depth: int
    units: tuple[int, ...]
    name: str = ""
    loop: Loop | None = None


class Cut(NamedTuple):
    """Variables that all later ones depend on through them alone."""

    variables: tuple[int, ...]
    depth: int
    loop: Loop | None = None


class Activation(NamedTuple):
    """A nonlinear elementwise function: `steps` lead from `root` to `finals`.

    Those of one `kind` carry out the same operations, with parameters of their own.
    """

    root: int
    finals: tuple[int, ...]
    steps: tuple[Step, ...]
    kind: str
    units: tuple[int, ...]
    depth: int
    loop: Loop | None = None


class Anatomy(NamedTuple):
    """Layers, cuts and activations; `unseen` names what holds layers but was not looked into."""

    sites: list[Site]
    cuts: list[Cut]
    activations: list[Activation]
    unseen: list[str]


def anatomy(program: Program, sources: Sequence[Source]) -> Anatomy:
    """Find the layers of a program whose inputs come from `sources`."""
    return _analyse(program, sources)[0]


def _analyse(
    program: Program, sources: Sequence[Source], inside: bool = False
) -> tuple[Anatomy, list[Source]]:
    """What a program holds, and where its outputs come from."""
    found = Anatomy([], [], [], [])
    known = {v: s._replace(root=v) for v, s in zip(program.inputs, sources, strict=True)}
    chains: dict[int, list[Step]] = {}
    cuts: dict[int, int] = {}
    last = {v: len(program.steps) for v in program.outputs if isinstance(v, int)}
    for place in range(len(program.steps) - 1, -1, -1):
        for v in program.steps[place].inputs:
            if isinstance(v, int):
                last.setdefault(v, place)
    live = {v for v in program.inputs if known[v].data and v in last}
    for place, step in enumerate(program.steps):
        inputs = [Source() if isinstance(v, Known) else known[v] for v in step.inputs]
        live = {v for v in live if last[v] > place}
        root = None
        if step.body is None:
            outputs = [_made(program, step, inputs, found)] * len(step.outputs)
            root = _root(program, step, inputs)
            if root is not None:
                chains.setdefault(root, []).append(step)
        elif inside:
            found.unseen.append("scan inside a scan")
            outputs = [_union(inputs)] * len(step.outputs)
        else:
            inner, outputs = _scanned(step, inputs)
            if live:
                inner.cuts.clear()
            for mine, its in zip(found, inner, strict=True):
                mine.extend(its)
        for v, source in zip(step.outputs, outputs, strict=True):
            known[v] = source._replace(root=v if root is None else root)
            if source.data and v in last and floating(program, v):
                live.add(v)
        if len(live) == 1 and (only := next(iter(live))) in program.shapes:
            cuts[known[only].depth] = only
    found.cuts.extend(Cut((v,), depth) for depth, v in cuts.items())
    _late(program, known, found)
    found.activations.extend(_activations(program, known, chains))
    return found, [Source() if isinstance(v, Known) else known[v] for v in program.outputs]


def _late(program: Program, known: dict[int, Source], found: Anatomy) -> None:
    """Move layers to the depth where what they make is used.

    A recurrent net that reads its input at every step has, unrolled, products of inputs at depth 1
    that join the state much later: what reaches them says nothing of the way to depth 1.
    """
    places = {site.z: i for i, site in enumerate(found.sites) if site.loop is None}
    last = max((source.depth for source in known.values() if source.data), default=0)
    latest = {v: last for v in program.outputs if isinstance(v, int)}
    for step in reversed(program.steps):
        depth = min((latest.get(v, last) for v in step.outputs), default=last)
        if step.body is not None:
            depth = min(known[v].depth for v in step.inputs if isinstance(v, int))
            depth = max([known[v].depth for v in split_scan(step, step.inputs)[1]
                         if isinstance(v, int) and known[v].data], default=depth)  # fmt: skip
        elif step.outputs[0] in places:
            i = places[step.outputs[0]]
            found.sites[i] = found.sites[i]._replace(depth=depth)
            depth -= 1
        for v in step.inputs:
            if isinstance(v, int):
                latest[v] = min(latest.get(v, last), depth)


def _union(inputs: Sequence[Source]) -> Source:
    """Where an operation's output comes from, if nothing more is known of the operation."""
    if any(source.data for source in inputs):
        return Source(data=True, depth=max(source.depth for source in inputs))
    return Source(frozenset().union(*(source.leaves for source in inputs)))


def _made(program: Program, step: Step, inputs: Sequence[Source], found: Anatomy) -> Source:
    """Where an operation's output comes from; a layer goes to `found`."""
    made, name = _union(inputs), step.primitive.name
    if not made.data:
        return made
    made = made._replace(units=kept_units(program, step, inputs))
    (z, *_), (h, *_) = step.outputs, step.inputs
    deeper = made._replace(depth=made.depth + 1)
    if name in PRODUCTS and inputs[0].data != inputs[1].data:
        data = int(inputs[1].data)
        if leaves := inputs[1 - data].leaves:
            deeper = deeper._replace(units=units(program, step, data))
            site = Site(z, step.inputs[data], leaves, deeper.depth, deeper.units)
            found.sites.append(site)
            return deeper
    if name == "name" and step.params["name"].startswith(TAP):
        label = step.params["name"].removeprefix(TAP)
        for i, site in enumerate(found.sites):
            if site.z == inputs[0].root:  # the product itself is marked: its layer gets the name
                found.sites[i] = site._replace(name=label)
                return made
        deeper = deeper._replace(units=made.units or (len(program.shapes[z].shape) - 1,))
        found.sites.append(Site(z, h, frozenset(), deeper.depth, deeper.units, label))
        return deeper
    if any(source.leaves for source in inputs) and holds_product(step):
        found.unseen.append(name)
    return made


def _root(program: Program, step: Step, inputs: Sequence[Source]) -> int | None:
    """The one variable that an operation's output is an elementwise function of, if there is."""
    roots = {source.root for source in inputs if source.data}
    if len(roots) != 1 or len(step.outputs) != 1 or not elementwise(step):
        return None
    (root,) = roots
    same = program.shapes[root].shape == program.shapes[step.outputs[0]].shape
    return root if same else None


def _activations(
    program: Program, known: dict[int, Source], chains: dict[int, list[Step]]
) -> list[Activation]:
    """Chains that are not linear and whose result does more than open and close a gate."""
    users: dict[int, list[Step | None]] = {}
    for step in program.steps:
        for v in step.inputs:
            if isinstance(v, int):
                users.setdefault(v, []).append(step)
    for v in program.outputs:
        users.setdefault(v, []).append(None)
    found = []
    for root, steps in chains.items():
        finals = []
        for step in steps:
            (v,) = step.outputs
            outside = [user for user in users.get(v, []) if user not in steps]
            gate = all(user and user.primitive.name == "mul" for user in outside)
            if outside and not gate and floating(program, v):
                finals.append(v)
        source, bent = known[root], any(bends(step, known) for step in steps)
        if finals and bent and source.units is not None and floating(program, root):
            label = " ".join(map(kind, steps))
            parts = tuple(finals), tuple(steps), label, source.units, source.depth
            found.append(Activation(root, *parts))
    return found


def _scanned(step: Step, inputs: Sequence[Source]) -> tuple[Anatomy, list[Source]]:
    """What a scan's body holds, and where the scan's outputs come from."""
    constants, carry, rows = split_scan(step, inputs)
    depth = max((source.depth for source in carry if source.data), default=0)
    while True:
        outputs = _flow(step.body, [*constants, *carry, *rows])
        pairs = zip(carry, outputs[: len(carry)], strict=True)
        new = [a if a.data or not b.data else Source(data=True) for a, b in pairs]
        new = [a._replace(depth=depth) if a.data else a for a in new]
        if new == carry:
            break
        carry = new
    inner, outputs = _analyse(step.body, [*constants, *carry, *rows], inside=True)
    state = [i for i, source in enumerate(carry) if source.data]
    deepest = max([outputs[i].depth for i in state], default=depth)
    stride = deepest - depth
    length = step.params["length"]
    loop = Loop(
        length, stride, step.params["reverse"], frozenset().union(*(row.leaves for row in rows))
    )
    variables = [step.body.inputs[len(constants) + i] for i in state]
    variables = tuple(v for v in variables if floating(step.body, v))
    if variables and stride and not any(cut.depth > depth for cut in inner.cuts):
        inner.cuts.append(Cut(variables, depth))
    inner = Anatomy(
        *([part._replace(loop=loop) for part in parts] for parts in inner[:3]), inner.unseen
    )
    further = stride * (length - 1)
    return inner, [s._replace(depth=s.depth + further) if s.data else s for s in outputs]


def _flow(program: Program, sources: Sequence[Source]) -> list[Source]:
    """Where a program's outputs come from, without its layers."""
    known = dict(zip(program.inputs, sources, strict=True))

    def read(v: Any) -> Source:
        return Source() if isinstance(v, Known) else known[v]

    for step in program.steps:
        made = _union([read(v) for v in step.inputs])
        known.update((v, made) for v in step.outputs)
    return [read(v) for v in program.outputs]
