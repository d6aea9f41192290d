import os
from pathlib import Path

import pytest

from ascjax import compilation


@pytest.fixture
def kept(monkeypatch):
    """Where programs are kept, for given variables of the environment."""

    def where(**variables):
        for name in (compilation.VARIABLE, "XDG_CACHE_HOME"):
            monkeypatch.setenv(name, "")  # to be put back after the test
            monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, str(value))
        compilation.keep()
        return os.environ.get(compilation.VARIABLE)

    return where


def test_programs_are_kept_in_the_users_cache_folder(kept, tmp_path):
    assert kept(HOME=tmp_path) == f"{tmp_path}/.cache/ascjax/xla"
    assert kept(HOME=tmp_path, XDG_CACHE_HOME=tmp_path / "x") == f"{tmp_path}/x/ascjax/xla"
    assert not list(tmp_path.iterdir())  # JAX makes the folder when there is something to keep


def test_the_users_own_choice_stands(kept):
    assert kept(**{compilation.VARIABLE: "/elsewhere"}) == "/elsewhere"


def test_a_folder_that_cannot_be_written_is_left_out(kept, tmp_path):
    (tmp_path / "file").touch()
    assert kept(XDG_CACHE_HOME=tmp_path / "file") is None
    assert kept(XDG_CACHE_HOME="relative") is None
    assert not Path("relative").exists()
