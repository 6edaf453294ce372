"""Synthetic tasks, drawn from a key."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def two_spirals(
    key: Array, examples: int = 128, noise: float = 0.05
) -> tuple[Float[Array, "examples 2"], Int[Array, " examples"]]:
    r"""Points on two interleaved spirals, labelled by the spiral they lie on.

    .. math:: x = \tfrac{t}{3\pi} (\cos(t + c\pi), \sin(t + c\pi)) + \text{noise},
              \quad t \sim U[0, 3\pi],\ c \in \{0, 1\}
    """
    key_angle, key_noise = jax.random.split(key)
    label = jnp.arange(examples) % 2
    angle = 3 * jnp.pi * jax.random.uniform(key_angle, (examples,))
    turned = angle + jnp.pi * label
    points = jnp.stack([jnp.cos(turned), jnp.sin(turned)], axis=1) * (angle / (3 * jnp.pi))[:, None]
    return points + noise * jax.random.normal(key_noise, (examples, 2)), label


def adding_problem(
    key: Array, examples: int, length: int
) -> tuple[Float[Array, "examples length 2"], Float[Array, "examples 1"]]:
    r"""Sequences of numbers, two of them marked: what is the sum of the two?

    .. math:: x_t = (v_t, m_t), \quad v_t \sim U[0, 1],\ m_t \in \{0, 1\}, \quad
              y = \sum_t v_t m_t

    One mark is in the first half, one in the second. The constant answer 1 has a mean squared error
    of 1/6, the variance of y.

    Source:
        {cite}`hochreiter1997`; in the form of {cite:t}`arjovsky2016`.
    """
    key_value, key_first, key_second = jax.random.split(key, 3)
    values = jax.random.uniform(key_value, (examples, length))
    first = jax.random.randint(key_first, (examples,), 0, length // 2)
    second = jax.random.randint(key_second, (examples,), length // 2, length)
    marks = jax.nn.one_hot(first, length) + jax.nn.one_hot(second, length)
    return jnp.stack([values, marks], axis=2), jnp.sum(values * marks, axis=1, keepdims=True)


def copy_memory(
    key: Array, examples: int, delay: int, *, symbols: int = 4, memory: int = 4
) -> tuple[Float[Array, "examples time inputs"], Int[Array, "examples time"]]:
    r"""Symbols to be remembered over a delay, then written down in their order.

    .. math:: x = (a_1, \dots, a_m,\ \text{blank} \times (d - 1),\ \text{go},\
              \text{blank} \times m), \quad
              y = (\text{blank} \times (m + d),\ a_1, \dots, a_m)

    A symbol is a whole number from 0 to `symbols` - 1, the blank is `symbols` and the signal to go
    `symbols` + 1; inputs are one-hot, answers are labels. A net that remembers no symbol, but
    answers at the right steps, has a cross-entropy of m ln(symbols) / (2m + d) a step.

    Source:
        {cite}`hochreiter1997`; in the form of {cite:t}`arjovsky2016`.
    """
    drawn = jax.random.randint(key, (examples, memory), 0, symbols)
    blanks = jnp.full((examples, memory + delay), symbols)
    shown = jnp.concatenate([drawn, blanks], axis=1).at[:, memory + delay - 1].set(symbols + 1)
    return jax.nn.one_hot(shown, symbols + 2), jnp.concatenate([blanks, drawn], axis=1)
