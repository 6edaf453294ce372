"""Does a wrong formula turn a test red? `python -m benchmarks.mutations [file ...]`.

Each of `MUTATIONS` changes one formula of vgkit. The tests that concern it, which pass without it,
run on a copy of the project. What they let pass is printed as MISSED. About 15 minutes for all.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Mutation(NamedTuple):
    """One change: the file in vgkit, what is replaced by what (once), and which tests shall see."""

    file: str
    old: str
    new: str
    tests: str


def _of(tests: str, **changes: list[tuple[str, str]]) -> list[Mutation]:
    """Mutations of files, named with __ for a folder, that the same tests concern."""
    return [
        Mutation(f"{file.replace('__', '/')}.py", old, new, tests)
        for file, pairs in changes.items()
        for old, new in pairs
    ]


MUTATIONS = [
    *_of(
        "test_activations.py",
        activations=[
            ("jnp.where(z > 0, z, alpha * z)", "jnp.where(z > 0, z, alpha)"),
            ("_GELU_SLOPE = (-0.12890414, 1.12890414)", "_GELU_SLOPE = (-0.12890414, 1.1284)"),
            ("<= threshold * largest", "<= threshold"),
        ],
    ),
    *_of(
        "test_nets.py test_remedies.py",
        nets__norms=[
            ("count / (count - 1)", "1.0"),
            ("rsqrt(var + EPSILON)", "rsqrt(var)"),
            ("(1 - momentum) * old + momentum * new", "momentum * old + (1 - momentum) * new"),
        ],
        nets__forward=[
            ("factor * value + skip * h", "factor * (value + skip * h)"),
            ("return a, h, phi(a), seen", "return a, h, phi(h), seen"),
        ],
        nets__lsuv=[("w=start.w / spread", "w=start.w / spread**2")],
        nets__initialisers=[
            ("jax.nn.initializers.he_normal(**", "jax.nn.initializers.lecun_normal(**")
        ],
        nets__layers=[("+ layer.b[:, None]).reshape", "- layer.b[:, None]).reshape")],
        nets__stacks=[("number < depth, new, old", "number <= depth, new, old")],
    ),
    *_of(
        "test_grads.py test_remedies.py",
        grads__signals=[
            (
                "return jnp.sum(jax.vmap(loss)(outputs, y))\n\n    zeros",
                "return jnp.mean(jax.vmap(loss)(outputs, y))\n\n    zeros",
            ),
            ("- count) / (count * (count - 1))", "- count) / (count * count)"),
            ("jnp.sqrt(jnp.mean(jnp.square(array / scale)))", "jnp.mean(jnp.abs(array / scale))"),
            ("error_norms[0] / error_norms[-2]", "error_norms[0] / error_norms[-1]"),
            ("/ jnp.sum(layer**2)", "/ len(norms)"),
        ],
        grads__profiles=[
            ("jax.vmap(rms, 1)(by_probe) * len(x)", "jax.vmap(rms, 1)(by_probe)"),
            ("slope_bound * spectral_norms + skip", "slope_bound * (spectral_norms + skip)"),
            ("jax.vmap(rms, 1)(by_hidden)", "jax.vmap(rms, 1)(by_probe)"),
        ],
        grads__jacobians=[("product = matrix @ product", "product = product @ matrix")],
    ),
    *_of(
        "test_formats.py",
        grads__formats=[
            ("& path) / jnp.sum(path)", "& path) / path.size"),
            ("(jnp.float64) / scale.astype(jnp.float64)", "(jnp.float64)"),
        ],
    ),
    *_of(
        "test_recurrent.py test_echo.py",
        grads__through_time=[
            ("u @ h[length]", "u @ h[length - 1]"),
            ("norm(jnp.concatenate([h, c], axis=1))", "norm(h)"),
        ],
        recurrent__cells=[
            ("jax.nn.sigmoid(f) * state.c", "jax.nn.sigmoid(i) * state.c"),
            ("(1 - z) * n + z * state.h", "z * n + (1 - z) * state.h"),
        ],
        recurrent__makers=[("b.at[1].set(forget_bias)", "b.at[0].set(forget_bias)")],
    ),
    *_of(
        "test_echo.py",
        recurrent__echo=[
            ("return w * (radius / now)", "return w * radius"),
            ("jnp.max(jnp.linalg.norm(states", "jnp.mean(jnp.linalg.norm(states"),
            ("jnp.square(jnp.sum(a * b)) /", "jnp.abs(jnp.sum(a * b)) /"),
        ],
        recurrent__readout=[("level - w @ middle", "level + w @ middle")],
    ),
    *_of(
        "test_theory.py",
        theory__layer=[
            ("(resolve(activation), length, 2)", "(resolve(activation), length, 1)"),
            ("length) + sigma_b**2", "length) + sigma_b"),
        ],
        theory__predictions=[
            ("3 * slope4 / slope2**2 - 1", "2 * slope4 / slope2**2 - 1"),
            ("2 / (fan_in + fan_out)", "1 / (fan_in + fan_out)"),
        ],
        theory__fixed_points=[
            ("*(1 / jnp.abs(jnp.log(factor))", "*(2 / jnp.abs(jnp.log(factor))"),
            ("return 1 / jnp.sqrt(chi_1", "return 1 / (chi_1"),
        ],
    ),
    *_of(
        "test_monitor.py",
        monitor=[
            ("ratio = rms / weights", "ratio = weights / rms"),
            ("jnp.sqrt(jnp.mean(jnp.square(size / scale)))", "jnp.mean(size / scale)"),
        ],
    ),
    *_of(
        "test_train.py test_trials.py",
        train__loop=[("update_ratio=ratios / every", "update_ratio=ratios")],
        train__history=[("jnp.subtract, net, initial", "jnp.add, net, initial")],
        train__trials=[("mean_loss(test, data.y_test)", "mean_loss(train, data.y_train)")],
    ),
    *_of(
        "test_diagnose.py",
        diagnose__verdicts=[("np.sqrt(5 * sum(", "np.sqrt(50 * sum(")],
        diagnose__evidence=[
            ("np.sqrt(np.sum(signal**2) / subject.examples)", "np.sqrt(np.sum(signal**2))"),
            ("np.max(here, axis=others) < 1e-3", "np.max(here, axis=others) < 0.5"),
        ],
        diagnose__signals=[("(examples if losses.ndim == 0 else 1)", "1")],
    ),
]  # fmt: skip


def passes(tests: str, folder: Path) -> bool:
    """Whether tests pass on the copy of the project in a folder."""
    files = [f"tests/unit/{name}" for name in tests.split()]
    command = [sys.executable, "-m", "pytest", "-x", "-q", *files]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode not in (0, 1, 2):  # 2: the tests cannot even be collected
        raise RuntimeError(done.stdout + done.stderr)
    return done.returncode == 0


def caught(mutation: Mutation, folder: Path) -> bool:
    """Whether the tests that concern a change fail with it."""
    path = folder / "vgkit" / mutation.file
    text = path.read_text()
    if text.count(mutation.old) != 1:
        raise ValueError(f"old must stand once in {mutation.file}; got {mutation.old!r}")
    path.write_text(text.replace(mutation.old, mutation.new))
    seen = not passes(mutation.tests, folder)
    path.write_text(text)
    return seen


def main() -> None:
    """Try the changes of the files named, or all, and say how many are caught."""
    asked = [m for m in MUTATIONS if not sys.argv[1:] or any(a in m.file for a in sys.argv[1:])]
    number = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("vgkit", "vgcourse", "tests", "tools", "benchmarks", "chapters"):
            shutil.copytree(
                ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__")
            )
        for part in ("pyproject.toml", "_toc.yml"):
            shutil.copy(ROOT / part, folder / part)
        for tests in dict.fromkeys(mutation.tests for mutation in asked):
            if not passes(tests, folder):
                sys.exit(f"The tests fail without any change: {tests}")
        for mutation in asked:
            begin = time.perf_counter()
            seen = caught(mutation, folder)
            number += seen
            print(
                f"{'caught' if seen else 'MISSED'} {mutation.file}: {mutation.new!r} "
                f"[{time.perf_counter() - begin:.0f} s]", flush=True,
            )  # fmt: skip
    print(f"{number} of {len(asked)} changes are caught")


if __name__ == "__main__":
    main()
