"""A new front end, trunk, head, fusion or layout is one file and one line: a user's package."""

import json
import sys
import textwrap

import numpy as np
import pytest
import tiny_set

import ascjax
from ascjax.audio.frontends import FRONT_ENDS
from ascjax.data.dataset import LAYOUTS
from ascjax.models import HEADS, TRUNKS
from ascjax.scoring.fusion import METHODS

REGISTRIES = (FRONT_ENDS, TRUNKS, HEADS, METHODS, LAYOUTS)
PACKAGE = {
    "front_end.py": """
        import dataclasses
        from typing import ClassVar
        import numpy as np
        from ascjax.audio.frontend import FrontEnd

        @dataclasses.dataclass(frozen=True)
        class Energy(FrontEnd):
            name: ClassVar[str] = "energy"
            bands: int = 40
            num_mels = property(lambda self: self.bands)
            hop_length = property(lambda self: 160)
            def num_frames(self, num_samples):
                return num_samples // 160
            def compute(self, wave, shares):
                wave = wave if shares is None else shares @ wave
                count = self.num_frames(wave.shape[-1])
                frames = wave[..., : 160 * count].reshape(*wave.shape[:-1], count, 160)
                spectrum = np.abs(np.fft.rfft(frames))[..., : self.bands]
                return np.log(spectrum + 1e-5).swapaxes(-1, -2).astype(np.float32)
            reference = compute
    """,
    "trunk.py": """
        import flax.linen as nn
        from ascjax.models import Architecture, layers

        class Block(nn.Module):
            dtype: object = None
            axis_name: str | None = None
            @nn.compact
            def __call__(self, x, train):
                return nn.relu(layers.conv(8, 3, 2, 1, name="conv")(x))

        small = Architecture("mine", {"block": Block}, "block/conv/kernel", None, (1, 1))
    """,
    "head.py": """
        import flax.linen as nn

        class Max(nn.Module):
            num_scenes: int
            dropout: float = 0.0
            head_width: int = 256
            axis_name: str | None = None
            @nn.compact
            def __call__(self, features, train):
                return nn.Dense(self.num_scenes, name="dense")(features.max((1, 2)))
    """,
    "fusion.py": """
        def least(posteriors):
            return posteriors.min(axis=-2) + 1e-9
    """,
    "layout.py": """
        from ascjax.data.layouts import Layout
        from ascjax.data.listing import Listing, Recording, numbered

        def read(root, request):
            files = sorted(root.glob("*/*.wav"))
            recordings = [Recording(f.name + f.parent.name, f, f.parent.name) for f in files]
            return Listing(recordings, numbered([3 - int(file.name[0]) for file in files]))

        LAYOUT = Layout("wav files, a folder for each scene", lambda root: "", read)
    """,
    "__init__.py": """
        from ascjax.audio.frontends import FRONT_ENDS
        from ascjax.data.dataset import LAYOUTS
        from ascjax.models import HEADS, TRUNKS
        from ascjax.scoring.fusion import METHODS
        from mine import front_end, fusion, head, layout, trunk

        FRONT_ENDS["energy"] = front_end.Energy
        TRUNKS["small"] = trunk.small
        HEADS["max"] = head.Max
        METHODS["least"] = fusion.least
        LAYOUTS["wavs"] = layout.LAYOUT
    """,
}
CONFIG = """
import mine
from ascjax.configs import common

def get_config():
    config = common.get_config()
    config.features.name = "energy"
    config.model.trunk = "small"
    config.model.head = "max"
    config.fusion.fragments = "least"
    config.data.layout = "wavs"
    return config
"""


@pytest.fixture(scope="module", autouse=True)
def one_worker_is_this_process():
    """It isn't: a worker's own process has to find the package."""


@pytest.fixture
def package(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    for name, text in PACKAGE.items():
        (tmp_path / "mine" / name).write_text(textwrap.dedent(text))
    (tmp_path / "config.py").write_text(CONFIG)
    monkeypatch.syspath_prepend(tmp_path)
    before = [dict(registry) for registry in REGISTRIES]
    yield tmp_path / "config.py"
    for registry, entries in zip(REGISTRIES, before, strict=True):
        registry.clear()
        registry.update(entries)
    for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
        del sys.modules[name]


def test_one_of_each_is_used_by_name(package, tmp_path):
    root = tiny_set.write_set(tmp_path / "set", per_scene=4)
    settings = {key: value for key, value in tiny_set.overrides(tmp_path).items()
                if key not in ("model.trunk", "features.num_mels")}  # fmt: skip
    run = ascjax.train(
        package, tmp_path / "run", **settings, **{"data.root": str(root), "num_devices": 1}
    )
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    assert info["front_end"] == {"name": "energy", "sample_rate_hz": 16000, "bands": 40}
    assert (run.info.model.trunk, run.info.model.head) == ("small", "max")
    assert (run.info.fusion.fragments, run.info.data.layout) == ("least", "wavs")
    files = sorted(root.glob("*/2*.wav"))
    posteriors = ascjax.load(tmp_path / "run").posteriors(files)
    np.testing.assert_allclose(posteriors, run.posteriors, atol=1e-5)
