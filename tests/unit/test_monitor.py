import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vgkit import monitor, nets

KEY = jax.random.key(0)
STEPS = 7


def parameters():
    """Two named layers of unlike shape; some gradients of them hold zeros."""
    return {
        "first": {"w": jax.random.normal(KEY, (4, 3)), "b": jnp.full(4, 0.5)},
        "second": {"w": jax.random.normal(KEY, (2, 4))},
    }


NAMES = ("first/b", "first/w", "second/w")  # dictionaries are in the order of their keys


def gradients(steps=STEPS):
    """One tree of gradients for each step, of many sizes, stacked."""

    def draw(leaf):
        drawn = jax.random.normal(KEY, (steps, *leaf.shape))
        sizes = 10.0 ** -jnp.arange(steps).reshape(-1, *[1] * leaf.ndim)
        return jnp.where(jnp.abs(drawn) < 0.3, 0.0, drawn * sizes)

    return jax.tree.map(draw, parameters())


def at(tree, index):
    return jax.tree.map(lambda leaf: leaf[index], tree)


def follow(optimiser, trees):
    """What a plain loop sees: the weights before every step, the updates, and the last state."""
    params = parameters()
    state, weights, updates = optimiser.init(params), [], []
    for step in range(len(jax.tree.leaves(trees)[0])):
        weights.append(params)
        update, state = optimiser.update(at(trees, step), state, params)
        params = optax.apply_updates(params, update)
        updates.append(update)
    return weights, updates, state


def by_hand(trees):
    """RMS, largest and share of zeros of every array of every tree, by loops over numbers."""
    table = []
    for tree in trees:
        rows = []
        for leaf in jax.tree.leaves(tree):
            numbers = [abs(float(number)) for number in np.ravel(leaf)]
            rms = (sum(number**2 for number in numbers) / len(numbers)) ** 0.5
            rows.append((rms, max(numbers), numbers.count(0.0) / len(numbers)))
        table.append(rows)
    return np.moveaxis(np.array(table), -1, 0)


def agrees(record, seen, weights, steps):
    """The record holds what the loops find in the trees that the monitor was shown."""
    rms, largest, zeros = by_hand([seen[step] for step in steps])
    (of_weights, _, _) = by_hand([weights[step] for step in steps])
    np.testing.assert_array_equal(record.step, steps)
    np.testing.assert_allclose(record.rms, rms, rtol=1e-12)
    np.testing.assert_allclose(record.largest, largest, rtol=1e-15)
    np.testing.assert_allclose(record.zeros, zeros, rtol=4e-16)
    np.testing.assert_allclose(record.weights, of_weights, rtol=1e-12)
    np.testing.assert_allclose(record.ratio, rms / of_weights, rtol=1e-12)
    assert not record.non_finite.any()


def test_first_in_the_chain_it_sees_gradients_last_it_sees_updates():
    watch = monitor.record(1, STEPS)
    optimiser = optax.chain(watch, optax.adam(0.01), watch)
    trees = gradients()
    weights, updates, state = follow(optimiser, trees)
    assert monitor.read(state[0]).names == NAMES
    seen = [at(trees, step) for step in range(STEPS)]
    agrees(monitor.read(state[0]), seen, weights, range(STEPS))
    agrees(monitor.read(state[-1]), updates, weights, range(STEPS))
    assert by_hand(seen)[2].any()  # there are zeros to count
    state = watch.init(parameters())
    assert watch.update(seen[0], state, parameters())[0] is seen[0]  # passed on as it is


def scanned(update, state, params, trees):
    def step(carry, gradient):
        params, state = carry
        update_, state = update(gradient, state, params)
        return (optax.apply_updates(params, update_), state), None

    return jax.lax.scan(step, (params, state), trees)[0][1]


def donated(update, state, params, trees):
    """A loop over a compiled update that takes over its state."""
    run, before = jax.jit(update, donate_argnums=1), state
    for step in range(STEPS):
        change, state = run(at(trees, step), state, params)
        params = optax.apply_updates(params, change)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(before))
    return state


def wrapped(inner):
    """Inside of as many of optax's wrappers as there are kinds of states."""
    inner = optax.masked(optax.named_chain(("inner", inner)), {"first": True, "second": True})
    accumulated = optax.MultiSteps(inner, 1)
    return optax.inject_hyperparams(
        lambda rate: optax.chain(
            optax.apply_if_finite(accumulated.gradient_transformation(), 3), optax.scale(rate)
        )
    )(1.0)


@pytest.mark.parametrize("run, every, wrap", [(donated, 3, optax.chain), (scanned, 1, wrapped)])
def test_every_way_of_running_gives_the_same_record(run, every, wrap):
    optimiser = wrap(optax.chain(optax.sgd(0.1), monitor.record(every, STEPS)))
    trees = gradients()
    weights, updates, _ = follow(optax.sgd(0.1), trees)
    state = run(optimiser.update, optimiser.init(parameters()), parameters(), trees)
    agrees(monitor.read(state), updates, weights, range(0, STEPS, every))


def test_multi_transform_shows_each_monitor_its_own_layers():
    optimiser = optax.multi_transform(
        {
            "slow": optax.chain(optax.sgd(0.01), monitor.record(1, STEPS)),
            "fast": optax.chain(optax.sgd(1.0), monitor.record(1, STEPS)),
            "none": monitor.record(rows=STEPS),
        },
        {"first": "slow", "second": "fast"},
    )
    trees = gradients()
    weights, updates, state = follow(optimiser, trees)
    for name, part in (("slow", "first"), ("fast", "second")):
        record = monitor.read(state.inner_states[name])
        assert record.names == tuple(name for name in NAMES if name.startswith(part))
        agrees(record, [u[part] for u in updates], [w[part] for w in weights], range(STEPS))
    nothing = monitor.read(state.inner_states["none"])
    assert nothing.names == () and nothing.rms.shape == (0, 0)


def after(optimiser, updates, params):
    """The state once these updates have passed."""
    state = optimiser.init(params)
    update = jax.jit(optimiser.update)
    for one in updates:
        _, state = update(one, state, params)
    return state


@pytest.mark.parametrize("every, length", [(1, 1), (1, 3), (2, 3)])
def test_the_ring_keeps_the_newest_rows_in_time_order(length, every):
    updates = [{"w": jnp.full(2, 10.0 + step)} for step in range(20)]
    for steps in (0, 1, 5, 6, 7, 20):
        state = after(monitor.record(every, length), updates[:steps], {"w": jnp.ones(2)})
        record, newest = monitor.read(state), list(range(0, steps, every))[-length:]
        np.testing.assert_array_equal(record.step, newest)
        np.testing.assert_array_equal(record.rms[:, 0], [10.0 + step for step in newest])


def test_seeds_side_by_side_are_read_at_once():
    optimiser, params = monitor.record(1, 2), {"w": jnp.ones(2)}

    def run(size):
        return after(optimiser, [{"w": jnp.full(2, size + step)} for step in range(3)], params)

    record = monitor.read(jax.vmap(run)(jnp.array([1.0, 20.0, 300.0])))
    np.testing.assert_array_equal(record.step, [1, 2])
    np.testing.assert_array_equal(record.rms[..., 0], [[2, 3], [21, 22], [301, 302]])
    uneven = jax.tree.map(lambda *rows: jnp.stack(rows), run(1.0), optimiser.init(params))
    with pytest.raises(ValueError, match="took the same steps; read one at a time"):
        monitor.read(uneven)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_small_and_large_numbers_keep_their_size(dtype):
    # Squares of these are 0 or infinite in the format; 3-4-5 triangles have the RMS 5 / sqrt(2).
    limits = jnp.finfo(dtype)
    scales = [float(limits.tiny) * 2, float(limits.max) / 8]
    updates = [jnp.array([3, -4], dtype) * jnp.asarray(scale, dtype) for scale in scales]
    record = monitor.read(after(monitor.record(1, 2), updates, jnp.ones(2, dtype)))
    assert record.rms.dtype == (np.float64 if dtype == "float64" else np.float32)
    expected = [5 / 2**0.5 * float(jnp.asarray(scale, dtype)) for scale in scales]
    np.testing.assert_allclose(record.rms[:, 0], expected, rtol=4 * float(limits.eps))


def test_what_is_no_number_is_counted():
    updates = [jnp.array([0.0, 1.0, jnp.nan, jnp.inf]), jnp.array([0.0, 0.0, -jnp.inf, 1.0])]
    record = monitor.read(after(monitor.record(1, 2), updates, jnp.ones(4)))
    np.testing.assert_array_equal(record.non_finite[:, 0], [0.5, 0.25])
    np.testing.assert_array_equal(record.zeros[:, 0], [0.25, 0.5])
    assert not np.isfinite(record.rms).any() and not np.isfinite(record.largest).any()


def test_only_floating_point_arrays_that_hold_something_are_recorded():
    params = {
        "count": jnp.arange(3), "empty": jnp.zeros((0, 2)), "flag": jnp.array(True), "key": KEY,
        "missing": None, "phase": jnp.array([3 + 4j]), "w": jnp.full(2, 2.0),
    }  # fmt: skip
    updates = {**params, "count": np.zeros(3, jax.dtypes.float0)}
    optimiser = monitor.record(1, 1)
    record = monitor.read(optimiser.update(updates, optimiser.init(params), params)[1])
    assert record.names == ("phase", "w")
    np.testing.assert_allclose(record.rms, [[5.0, 2.0]], rtol=1e-12)


def test_names():
    net = nets.mlp(KEY, (3, 4, 2), "tanh", init="glorot_normal")
    coinciding = {"a": {"b/c": jnp.ones(1)}, "a/b": {"c": jnp.ones(1)}}
    for params, names in (
        (net, ("layers/0/w", "layers/0/b", "readout/w", "readout/b")),
        (coinciding, ("['a']['b/c']", "['a/b']['c']")),
    ):
        assert monitor.read(monitor.record(rows=1).init(params)).names == names


def test_ratio_without_parameters_and_of_weights_of_zero():
    optimiser = monitor.record(1, 2)
    params = {"w": jnp.zeros(2)}
    _, state = optimiser.update({"w": jnp.ones(2)}, optimiser.init(params))
    record = monitor.read(optimiser.update({"w": jnp.ones(2)}, state, params)[1])
    np.testing.assert_array_equal(record.rms, [[1], [1]])
    np.testing.assert_array_equal(record.weights, [[np.nan], [0]])
    np.testing.assert_array_equal(record.ratio, [[np.nan], [np.inf]])


def test_optax_tools_for_states_still_work():
    optimiser = optax.chain(optax.adam(0.1), monitor.record(1, 2))
    _, _, state = follow(optimiser, gradients())
    assert optax.tree_utils.tree_get(state, "count") == STEPS  # the monitor's has another name
    doubled = optax.tree_utils.tree_map_params(optimiser, lambda leaf: 2 * leaf, state)
    before, after = (optax.tree_utils.tree_get(s, "mu") for s in (state, doubled))
    jax.tree.map(lambda b, a: np.testing.assert_array_equal(2 * b, a), before, after)
    np.testing.assert_array_equal(monitor.read(doubled).rms, monitor.read(state).rms)


def test_flax_nnx_modules_and_optimisers():
    nnx = pytest.importorskip("flax.nnx")

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.first = nnx.Linear(3, 4, rngs=rngs)
            self.second = nnx.Linear(4, 2, rngs=rngs)
            self.dropout = nnx.Dropout(0.5, rngs=rngs)

        def __call__(self, x):
            return self.second(jnp.tanh(self.first(x)))

    net = Net(nnx.Rngs(0))
    optimiser = nnx.Optimizer(net, optax.chain(monitor.record(1, 3), optax.sgd(0.1)), wrt=nnx.Param)

    @nnx.jit
    def step(net, optimiser):
        gradient = nnx.grad(lambda net: jnp.sum(net(jnp.ones((1, 3))) ** 2))(net)
        optimiser.update(net, gradient)
        return gradient

    seen = [step(net, optimiser) for _ in range(2)]
    record = monitor.read(optimiser.opt_state)
    layers = [f"{layer}/{kind}" for layer in ("first", "second") for kind in ("bias", "kernel")]
    assert record.names == tuple(layers)  # without the "value" that Flax adds
    np.testing.assert_allclose(record.rms, by_hand(seen)[0], rtol=1e-6)


ONE, W = monitor.record(rows=1), {"w": jnp.ones(2)}
TWO = optax.chain(ONE, ONE).init(W)
BAD = {
    "rows must be a whole number of at least 1; got 0": lambda: monitor.record(rows=0),
    "every must be a whole.*at least 1; got 0": lambda: monitor.record(0),
    "params must hold a floating-point array; got only bool, int64":
        lambda: ONE.init({"n": jnp.arange(3), "m": jnp.array(True)}),
    "the 3 floating-point arrays of the start; got 1 and 1":
        lambda: ONE.update(W, ONE.init(parameters()), W),
    "must hold one monitor; got a state with 0": lambda: monitor.read(optax.adam(0.1).init(W)),
    "state must hold one monitor; got a state with 2": lambda: monitor.read(TWO),
    "state must be known; got a traced one: read it outside of jax.jit":
        lambda: jax.jit(lambda state: monitor.read(state).rms)(TWO[0]),
}  # fmt: skip


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_refused(unchecked, message):
    with pytest.raises(ValueError, match=message):
        BAD[message]()
