"""The sweep over all devices: its numbers, its restart after a kill, several hosts."""

import json
import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest
from conftest import ROOT

from benchmarks import sweep

AXES = {"a": [1, 2, 3], "b": [0.5, 1.5, 2.5, 3.5, 4.5], "c": [1, 2, 4, 8]}

# Run with a folder; kills itself where the fourth of eight parts begins, the first time.
PROGRAM = """
import json, os, signal, sys
from pathlib import Path
import jax, jax.numpy as jnp, numpy as np
from benchmarks import sweep

folder, hosts, host, port = Path(sys.argv[1]), *map(int, sys.argv[2:])
if hosts > 1:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", hosts, host)
killed = folder.with_suffix(".killed")

def fatal(c):
    killed.touch()
    os.kill(os.getpid(), signal.SIGKILL)

def compute(a, b, c):
    if not killed.exists() and hosts == 1:
        jax.lax.cond((a == 2) & (b == 1.5), lambda: jax.debug.callback(fatal, c), lambda: None)
    steps = jnp.arange(3)
    power = jax.lax.switch(a - 1, [jnp.sin, jnp.cos, jnp.tan], b * c)
    return {"sum": a + b * c + steps, "power": power}

found = sweep.sweep(compute, json.loads(os.environ["AXES"]), folder, rows=2)
print("RESULT", jax.device_count(), json.dumps({k: v.tolist() for k, v in found.items()}))
"""


def start(folder, devices, hosts=1, host=0, port=0):
    environment = {
        **os.environ,
        "AXES": json.dumps(AXES),
        "PYTHONPATH": str(ROOT),
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
    }
    command = [sys.executable, "-c", PROGRAM, str(folder), *map(str, (hosts, host, port))]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def check(process, devices):
    """The numbers by NumPy."""
    (line,) = [s for s in process.communicate()[0].splitlines() if s.startswith("RESULT")]
    count, found = line.removeprefix("RESULT ").split(" ", 1)
    a, b, c = np.meshgrid(*AXES.values(), indexing="ij")
    power = np.select([a == 1, a == 2, a == 3], [np.sin(b * c), np.cos(b * c), np.tan(b * c)])
    found = {name: np.array(values) for name, values in json.loads(found).items()}
    assert process.returncode == 0 and int(count) == devices
    np.testing.assert_allclose(found["sum"], (a + b * c)[..., None] + np.arange(3), rtol=1e-6)
    np.testing.assert_allclose(found["power"], power, rtol=1e-5)  # float32


def test_a_killed_sweep_goes_on_and_devices_do_not_matter(tmp_path):
    folder = tmp_path / "sweep"
    killed = start(folder, devices=8)
    killed.communicate()
    assert killed.returncode == -9
    done = {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*.npz")}
    assert sorted(done) == [f"part-{k:06}.npz" for k in range(3)]  # a = 2, b = 1.5 is row 6 of 15
    check(start(folder, devices=1), 1)  # half of it by one device
    after = {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*.npz")}
    assert len(after) == 8 and done.items() <= after.items()  # finished work is not done again
    assert not list(folder.glob("*.tmp"))


def test_several_hosts(tmp_path):
    (tmp_path / "sweep.killed").touch()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    hosts = [start(tmp_path / "sweep", 4, 2, host, port) for host in range(2)]
    for host in hosts:
        check(host, 8)


def test_devices_make_no_difference_to_real_nets(tmp_path):
    compute, axes = sweep.deep_nets(1)
    assert np.prod([len(values) for values in axes.values()]) == 10_000
    few = {**axes, "activation": [0, 4], "gain": [1.0, 3.0], "depth": [1, 7, 50]}
    found = sweep.sweep(compute, few, tmp_path, rows=3)["ratio"]
    for position in np.ndindex(1, 2, 2, 3):
        setting = {n: few[n][k] for n, k in zip(few, position, strict=True)}
        alone = jax.jit(compute)(**setting)["ratio"]
        np.testing.assert_allclose(found[position], alone, rtol=1e-9, err_msg=str(setting))
    assert (found[..., 0] == 1).all()


def test_a_folder_keeps_one_sweep(tmp_path):
    def double(a, b):
        return {"double": 2 * (a + b)}

    said = []
    found = sweep.sweep(double, {"a": [1, 2], "b": [1.0]}, tmp_path, 1, lambda *n: said.append(n))
    np.testing.assert_array_equal(found["double"], [[4], [6]])
    assert said == [(1, 2), (2, 2)]
    with pytest.raises(ValueError, match="folder must be empty or hold this very sweep"):
        sweep.sweep(double, {"a": [1, 3], "b": [1.0]}, tmp_path, 1)
