"""A sweep of 100,000 networks over all devices: `python -m benchmarks.sweep FOLDER [--seeds N]`.

`sweep` itself takes any function. Its settings are shared out among all of JAX's devices by
`jax.sharding`; GPUs, or the devices of several hosts after `jax.distributed.initialize()`, need no
change (several hosts must see the same folder). Finished parts are files: started again after a
kill, the same command goes on with what is missing.
"""

import argparse
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec

from vgkit import activations, data, grads, nets

Compute = Callable[..., Mapping[str, jax.Array]]
Axes = Mapping[str, Sequence[int | float]]


def runner(
    compute: Compute, axes: Axes, rows: int
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """A compiled function of up to so many rows of the outer arguments' values.

    The last argument is vectorised over. The rows go to the devices in equal shares, and each
    device takes its own one after the other, so that a `lax.switch` evaluates a single branch.
    """
    *outer, inner = axes
    inner_values = jnp.asarray(axes[inner])
    devices = jax.sharding.Mesh(jax.devices(), "settings")
    spec = PartitionSpec("settings")

    def row(values: list[jax.Array]) -> Mapping[str, jax.Array]:
        setting = dict(zip(outer, values, strict=True))
        return jax.vmap(lambda value: compute(**setting, **{inner: value}))(inner_values)

    def share(columns: list[jax.Array]) -> Mapping[str, jax.Array]:
        return jax.lax.map(row, columns)

    run = jax.jit(
        jax.shard_map(share, mesh=devices, in_specs=spec, out_specs=spec, check_vma=False)
    )

    def evaluate(part: np.ndarray) -> dict[str, np.ndarray]:
        full = rows + -rows % devices.size  # of one size, else the last would be compiled anew
        padded = np.pad(part, [(0, full - len(part)), (0, 0)], mode="edge")
        columns = [
            jax.device_put(
                column.astype(np.asarray(axes[name]).dtype), NamedSharding(devices, spec)
            )
            for name, column in zip(outer, padded.T, strict=True)
        ]
        found = multihost_utils.process_allgather(run(columns), tiled=True)
        return {name: np.asarray(array)[: len(part)] for name, array in found.items()}

    return evaluate


def parts(axes: Axes, rows: int) -> Iterator[np.ndarray]:
    """Combinations of the outer arguments' values, so many at a time."""
    *outer, _ = axes
    combinations = itertools.product(*(axes[name] for name in outer))
    while part := list(itertools.islice(combinations, rows)):
        yield np.array(part, dtype=float)


def sweep(
    compute: Compute, axes: Axes, folder: Path, rows: int = 64, say: Callable = lambda *_: None
) -> dict[str, np.ndarray]:
    """Results of `compute` for every combination of its arguments' values.

    Args:
        compute: JAX function of numbers, given by name, that returns named arrays.
        axes: Values of every argument; the last one is vectorised over.
        folder: Where finished parts are kept, and found again.
        rows: Combinations of the other arguments in one part.
        say: Told, after each part, how many parts are done and how many there are.

    Returns:
        One array for each name, with a leading axis for each argument.

    Raises:
        ValueError: If the folder holds another sweep.
    """
    told = json.dumps({"axes": {k: list(map(float, v)) for k, v in axes.items()}, "rows": rows})
    mine, head = jax.process_index() == 0, folder / "sweep.json"
    if mine:
        folder.mkdir(parents=True, exist_ok=True)
        if not head.exists():
            head.write_text(told)
    multihost_utils.sync_global_devices("folder")
    if head.read_text() != told:
        raise ValueError(f"folder must be empty or hold this very sweep; got {folder}")
    evaluate, work = runner(compute, axes, rows), list(parts(axes, rows))
    files = [folder / f"part-{number:06}.npz" for number in range(len(work))]
    # All hosts must agree on what is missing before any adds to it.
    missing = multihost_utils.broadcast_one_to_all(np.array([not f.exists() for f in files]))
    for number in np.flatnonzero(missing):
        found = evaluate(work[number])
        if mine:
            unfinished = files[number].with_suffix(".tmp")
            with unfinished.open("wb") as file:
                np.savez(file, **found)
            os.replace(unfinished, files[number])  # a part is there as a whole, or not at all
        say(number + 1, len(files))
    multihost_utils.sync_global_devices("finished")
    loaded = [dict(np.load(file)) for file in files]
    sizes = [len(values) for values in axes.values()]
    joined = {name: np.concatenate([part[name] for part in loaded]) for name in loaded[0]}
    return {name: a.reshape(*sizes, *a.shape[2:]) for name, a in joined.items()}


def bar(begin: float) -> Callable[[int, int], None]:
    """A progress bar on the screen."""

    def say(done: int, total: int) -> None:
        filled = 40 * done // total
        text = f"[{'#' * filled}{'.' * (40 - filled)}] {done} of {total} parts"
        print(f"\r{text}, {time.perf_counter() - begin:.0f} s", end="", file=sys.stderr, flush=True)

    return say


NAMES = [name for name in activations.ACTIVATIONS if name != "prelu"]
DEPTH, WIDTH = 50, 32


def deep_nets(seeds: int) -> tuple[Compute, Axes]:
    """Error signal, first layer over last, by seed, activation, gain and depth: 10,000 a seed."""
    digits = data.digits()
    x, y = digits.x_train[:8, :WIDTH], digits.y_train[:8]

    def compute(seed, activation, gain, depth):
        net = nets.mlp_stack(jax.random.key(seed), DEPTH, WIDTH, 10)
        net = net._replace(hidden=net.hidden._replace(w=gain * net.hidden.w))
        phi = activations.by_index(activation, NAMES)
        signal = grads.profile(net, x, y, "cross_entropy", phi, depth).error_signal
        return {"ratio": signal[0] / signal[depth - 1]}

    gains = np.linspace(0.1, 4, 10_000 // (DEPTH * len(NAMES))).round(4).tolist()
    axes = {"seed": range(seeds), "activation": range(len(NAMES)), "gain": gains}
    return compute, {**axes, "depth": range(1, DEPTH + 1)}


def main() -> None:
    """Run the sweep named above and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=10, help="10,000 settings each")
    given = parser.parse_args()
    begin = time.perf_counter()
    compute, axes = deep_nets(given.seeds)
    found = sweep(compute, axes, given.folder, say=bar(begin))["ratio"]
    print(f"\n{found.size:,} settings on {jax.device_count()} devices in {given.folder}")


if __name__ == "__main__":
    main()
