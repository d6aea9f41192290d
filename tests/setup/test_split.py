"""The parts of a set under each protocol."""

from pathlib import Path
from unittest.mock import create_autospec

import numpy as np
import pytest

from ascjax.configs import common
from ascjax.data.batches import Fragments
from ascjax.data.dataset import Dataset
from ascjax.data.listing import Fold, Recording
from ascjax.data.store import FeatureStore
from ascjax.setup.data import Data, split

SCENES = ("bus", "park")
RECORDINGS = tuple(
    Recording(f"{scene}/{i}.wav", Path(f"{scene}-{i}.wav"), scene, location=f"{scene}-{i // 2}")
    for scene in SCENES
    for i in range(24)
)
TEST = tuple(range(20, 24))
LISTED = Dataset(
    root=Path("set"), layout="folders", reason="", scenes=SCENES, recordings=RECORDINGS,
    train=tuple(sorted(set(range(48)) - set(TEST))), test=TEST, unknown=Fold((), ()),
    folds=(1,), left_out=(), notes=(),
)  # fmt: skip


def parts(protocol="validated", **settings):
    config = common.get_config()
    config.update_from_flattened_dict({"protocol": protocol, **settings})
    return split(config, LISTED)


def test_the_papers_protocol_holds_nothing_out():
    assert vars(parts("paper")) == {"train": LISTED.train, "validation": None, "test": TEST}


def test_a_validation_part_shares_no_location():
    made = parts()
    assert sorted([*made.train, *made.validation]) == list(LISTED.train)
    assert made.test == TEST
    train, held_out = ({RECORDINGS[i].location for i in part} for part in
                       (made.train, made.validation))  # fmt: skip
    assert not train & held_out
    assert {RECORDINGS[i].scene for i in made.validation} == set(SCENES)


@pytest.mark.parametrize("fraction", [0.2, 0.5])
def test_its_share_is_the_configs(fraction):
    made = parts(**{"data.validation_fraction": fraction})
    assert len(made.validation) == pytest.approx(fraction * len(LISTED.train), abs=2)


def test_the_validation_seed_chooses_it_and_the_seed_of_training_does_not():
    first = parts().validation
    assert all(parts(seed=seed).validation == first for seed in range(1, 6))
    assert any(parts(**{"data.validation_seed": n}).validation != first for n in range(1, 6))


def test_the_fingerprint_knows_the_recordings_of_none_of_the_scenes():
    def part(*indices):
        labels = np.zeros(len(indices), np.int32)
        return Fragments(np.zeros((48, 1, 2, 3), np.float32), np.array(indices), labels, 1)

    def fingerprint(unknown):
        features = create_autospec(FeatureStore)
        return Data(LISTED, features, part(0), None, part(1), unknown).fingerprint

    none, some, swapped = map(fingerprint, (None, (part(2), part(3)), (part(3), part(2))))
    assert len({none, some, swapped}) == 3
