from pathlib import Path

import pytest
import standin


@pytest.fixture(scope="session")
def official(shared, tmp_path_factory) -> Path:
    """A full-size stand-in for TUT Urban Acoustic Scenes 2018."""
    return standin.make(shared, tmp_path_factory.mktemp("official") / "set")
