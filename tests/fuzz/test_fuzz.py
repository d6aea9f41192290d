"""Every target with what once failed, and a few changes of it; `make fuzz` does a million."""

from functools import cache

import pytest
from fuzz_targets import TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st


@cache
def reader(name):
    return TARGETS[name].make()


@cache
def corpus(name):
    return [*TARGETS[name].seeds(), *TARGETS[name].failed()]


@pytest.mark.parametrize("name", TARGETS)
def test_files_that_once_failed_and_sound_ones(name):
    for data in corpus(name):
        reader(name)(data)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=20)
@given(data=st.data())
def test_changed_files_let_out_errors_of_their_own_alone(name, data):
    content = bytearray(data.draw(st.sampled_from([c for c in corpus(name) if len(c) < 10_000])))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        stop = start + data.draw(st.integers(0, 8))
        content[start:stop] = data.draw(st.binary(max_size=8))
    reader(name)(bytes(content))


@pytest.mark.slow
def test_the_fuzzer_runs_and_finds_nothing(tmp_path):
    pytest.importorskip("atheris", reason="pip install 'ascjax[fuzz]'")
    import fuzz

    assert fuzz.supervise("npz", 300, 0, tmp_path) >= 300
    assert not list(tmp_path.glob("*-*"))
