import pytest
import torch

from ascjax import models
from convert.keymaps import ALEXNET, IGNORED, KEY_MAPS, source_of
from convert.mapping import expected_slots
from convert.reference import import_torchvision


def test_every_trunk_but_ours_has_a_table():
    assert set(KEY_MAPS) == set(models.TRUNKS) - {"vgg_tiny", "vgg_micro", "baseline", "tiny"}
    for name, key_map in KEY_MAPS.items():
        assert list(key_map.block_ends) == list(models.TRUNKS[name].blocks)


@pytest.mark.parametrize("name", KEY_MAPS)
@pytest.mark.parametrize("num_classes", [1000, 7])
def test_tables_are_a_bijection_onto_torchvisions_keys_and_shapes(name, num_classes):
    with torch.device("meta"):
        make = import_torchvision().models.get_model
        network = make(name, weights=None, num_classes=num_classes)
    expected = {
        key: tuple(tensor.shape)
        for key, tensor in network.state_dict().items()
        if not IGNORED.search(key)
    }
    slots = expected_slots(name, num_classes)
    assert {key: slot.shape for key, slot in slots.items()} == expected
    assert len({slot.path for slot in slots.values()}) == len(slots)
    num_parameters = sum(p.numel() for p in network.parameters())
    counted = sum(
        torch.Size(slot.shape).numel() for slot in slots.values() if slot.path.startswith("params/")
    )
    assert counted == num_parameters


def test_counters_are_ignored_by_their_last_name():
    for key in ("n_averaged", "bn1.num_batches_tracked", "layer1.0.total_ops", "total_params"):
        assert IGNORED.search(key)
    for key in ("conv1.weight", "fc.total", "my_total_ops.weight"):
        assert not IGNORED.search(key)


def test_a_path_without_a_row_is_a_gap_in_the_table():
    assert source_of("params/trunk/stage2/conv/kernel", ALEXNET) == (
        "features.3.weight",
        (2, 3, 1, 0),
    )
    for path in ("params/trunk/stage6/conv/kernel", "params/trunk/stage2/conv/scale"):
        with pytest.raises(KeyError):
            source_of(path, ALEXNET)
