import re
from pathlib import Path

import jax
import numpy as np
import pytest

from ascjax.compute import devices
from ascjax.compute.devices import (
    check_batch_size,
    free_memory,
    local_devices,
    peak_memory_gb,
    pmap,
    pmean,
    psum,
    replicate,
    unreplicate,
)
from ascjax.errors import UserError


def test_replicate_and_first_are_inverse_and_every_device_has_a_copy():
    used = local_devices(4)
    tree = {"a": np.arange(3.0, dtype=np.float32), "b": np.float32(2)}
    replicated = replicate(tree, used)
    assert replicated["a"].shape == (4, 3)
    assert replicated["a"].sharding.device_set == set(used)
    jax.tree.map(np.testing.assert_array_equal, unreplicate(replicated), tree)


def test_sums_and_means_go_over_devices():
    used = local_devices(4)
    step = pmap(lambda _, x: (psum(x), pmean(x)), used)
    total, mean = step(replicate(np.float32(0), used), np.arange(4, dtype=np.float32))
    np.testing.assert_array_equal(total, [6, 6, 6, 6])
    np.testing.assert_array_equal(mean, [1.5, 1.5, 1.5, 1.5])


def test_convolutions_and_products_are_xlas_own_on_the_cpu_and_sums_are_not():
    def step(kernel, planes):
        dimensions = ("NHWC", "HWIO", "NHWC")
        out = jax.lax.conv_general_dilated(
            planes, kernel, (1, 1), "SAME", dimension_numbers=dimensions
        )
        return out, out @ kernel[0, 0], out.sum((0, 1, 2))

    used = local_devices(2)
    kernel = np.ones((2, 3, 3, 64, 64), np.float32)
    planes = np.random.default_rng(0).normal(size=(2, 2, 16, 18, 64)).astype(np.float32)
    ours, plain = pmap(step, used), jax.pmap(step, devices=used)
    program = ours.lower(kernel, planes).compile().as_text()
    assert " convolution(" in program
    assert " dot(" in program
    assert program.count('"__ynn_fusion"') == 1
    for got, expected in zip(ours(kernel, planes), plain(kernel, planes), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=0.02)


def test_an_xla_without_those_options_is_served_too(monkeypatch):
    monkeypatch.setattr(devices, "_CPU_OPTIONS", {"xla_cpu_of_another_version": ""})
    step = pmap(lambda _, x: 2 * x, local_devices(2))
    np.testing.assert_array_equal(step(np.zeros(2), np.arange(2.0)), [0, 2])


def test_too_many_devices_and_unequal_shares_are_the_users_to_mend():
    with pytest.raises(UserError, match=r"at most 8 devices"):
        local_devices(99)
    with pytest.raises(UserError, match=r"a positive multiple of 4"):
        check_batch_size(10, 4)


def test_peak_memory_is_the_kernels():
    kernels = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak_memory_gb() == {"host": pytest.approx(int(kernels[1]) * 1.024e-6, rel=0.05)}
    assert np.isinf(free_memory(local_devices()))  # that of CPUs isn't known


def test_processes_take_as_many_devices_each(monkeypatch):
    monkeypatch.setattr(devices.processes, "count", lambda: 3)
    with pytest.raises(UserError, match="expected a multiple of 3, as 3 processes share"):
        devices.all_devices(2)
    monkeypatch.setattr(devices.processes, "gather", lambda found: [found, 2, 4])
    with pytest.raises(UserError, match="as many devices in each process, got 1 to 4; pass 3"):
        devices.all_devices(3)
