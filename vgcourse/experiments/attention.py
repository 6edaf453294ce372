"""The gradient through a small transformer before training.

    python -m vgcourse.experiments.attention [--write]

One block is causal self-attention of 4 heads and then two layers with GELU, each a branch beside
the stream h of 16 tokens, 64 wide. Measured for 24 blocks is how large dL/dh is after every block,
and dL/dW of a block's last weights, the ones of all kinds that add to the stream. The loss is the
cross-entropy of a next token drawn at random. Takes seconds.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vgcourse import results
from vgkit import grads

DEPTH, WIDTH, HEADS, TOKENS, WORDS, BATCH, SEEDS, KEY = 24, 64, 4, 16, 32, 8, 5, 8


def layer_norm(h: Float[Array, "tokens width"]) -> Float[Array, "tokens width"]:
    """Every token less its mean, over its standard deviation."""
    return jax.nn.standardize(h, epsilon=1e-5)


def rms_norm(h: Float[Array, "tokens width"]) -> Float[Array, "tokens width"]:
    """Every token over its root mean square."""
    return h * jax.lax.rsqrt(jnp.mean(h * h, axis=-1, keepdims=True) + 1e-5)


class Kind(NamedTuple):
    """How a branch f joins the stream: pre-norm h + a f(N(h)), post-norm N(s h + a f(h)).

    Attributes:
        norm: N.
        post: Whether the normalisation comes after the sum.
        branch: a.
        stream: s.
    """

    norm: Callable[[Array], Array]
    post: bool = False
    branch: float = 1.0
    stream: float = 1.0


KINDS = {
    "no norm": Kind(lambda h: h),
    "post-norm": Kind(layer_norm, post=True),
    "post-norm, scaled stream": Kind(layer_norm, post=True, stream=(2 * DEPTH) ** 0.25),
    "pre-norm": Kind(layer_norm),
    "pre-norm, scaled branch": Kind(layer_norm, branch=(2 * DEPTH) ** -0.5),
    "pre-norm, RMSNorm": Kind(rms_norm),
}
"""The stream scaled by (2L)^(1/4) as in DeepNorm, branches by (2L)^(-1/2) as at GPT-2's start."""


class Block(NamedTuple):
    """Weights of one block, or of many on a leading axis; every matrix acts from the right."""

    attend: Float[Array, "*stack width triple"]
    project: Float[Array, "*stack width width"]
    widen: Float[Array, "*stack width wide"]
    narrow: Float[Array, "*stack wide width"]


def attention(block: Block, h: Float[Array, "tokens width"]) -> Float[Array, "tokens width"]:
    """What each token takes from itself and those before it."""
    query, key, value = (h @ block.attend).reshape(len(h), 3, HEADS, -1).swapaxes(0, 1)
    mixed = jax.nn.dot_product_attention(query, key, value, is_causal=True)
    return mixed.reshape(h.shape) @ block.project


def feedforward(block: Block, h: Float[Array, "tokens width"]) -> Float[Array, "tokens width"]:
    """Two layers for each token by itself."""
    return jax.nn.gelu(h @ block.widen) @ block.narrow


def draw(key: Array) -> tuple[Array, Block, Array]:
    """Embeddings of variance 1, blocks and readout of variance 1 / fan-in."""
    first, last, *keys = jax.random.split(key, 6)
    weights = jax.nn.initializers.lecun_normal(batch_axis=(0,))
    shapes = Block((WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, 4 * WIDTH), (4 * WIDTH, WIDTH))
    blocks = Block(*(weights(k, (DEPTH, *shape)) for k, shape in zip(keys, shapes, strict=True)))
    readout = jax.random.normal(last, (WIDTH, WORDS)) / WIDTH**0.5
    return jax.random.normal(first, (WORDS, WIDTH)), blocks, readout


@partial(jax.jit, static_argnums=0)
def profile(kind: Kind, key: Array) -> dict[str, Float[Array, " blocks"]]:
    """RMS of dL/dh after every block, each sequence by itself, and of dL/dW of its last weights."""
    draw_key, words_key = jax.random.split(key)
    embeddings, blocks, readout = draw(draw_key)
    words = jax.random.randint(words_key, (BATCH, TOKENS + 1), 0, WORDS)

    def join(h: Array, f: Callable[[Array], Array]) -> Array:
        if kind.post:
            return kind.norm(kind.stream * h + kind.branch * f(h))
        return h + kind.branch * f(kind.norm(h))

    def loss(blocks: Block, zeros: Array, words: Array) -> Array:
        def step(h: Array, given: tuple[Block, Array]) -> tuple[Array, None]:
            block, zero = given
            for f in (attention, feedforward):
                h = join(h, partial(f, block))
            return h + zero, None

        h, _ = jax.lax.scan(step, embeddings[words[:-1]], (blocks, zeros))
        outputs = (h if kind.post else kind.norm(h)) @ readout
        return jnp.mean(jax.vmap(grads.cross_entropy)(outputs, words[1:]))

    zeros = jnp.zeros((DEPTH, TOKENS, WIDTH))
    by_block, by_state = jax.vmap(jax.grad(loss, (0, 1)), (None, None, 0))(blocks, zeros, words)
    by_weights = jnp.mean(by_block.narrow, axis=0)
    return {
        "dL/dh": jnp.sqrt(jnp.mean(by_state**2, axis=(0, 2, 3))),
        "dL/dW": jnp.sqrt(jnp.mean(by_weights**2, axis=(1, 2))),
    }


def measure(kind: Kind) -> dict[str, list[float]]:
    """Both profiles, the median of all seeds."""
    keys = jax.random.split(jax.random.key(KEY), SEEDS)
    found = jax.vmap(partial(profile, kind))(keys)
    return {
        name: [float(f"{value:.2g}") for value in np.median(rows, axis=0)]
        for name, rows in found.items()
    }


def main() -> None:
    """Measure every kind."""
    runs: dict[str, Any] = {name: measure(kind) for name, kind in KINDS.items()}
    for name, rows in runs.items():
        print(name, *(f"{what}: {row[0]} {row[-1]}" for what, row in rows.items()), flush=True)
    if "--write" in sys.argv:
        results.save("attention", {"runs": runs}, seeds=SEEDS, key=KEY, depth=DEPTH, width=WIDTH)


if __name__ == "__main__":
    main()
