import numpy as np
import pytest

from ascjax import models
from convert import files, mapping, proof, reference
from convert.proof import Difference, Proof


@pytest.fixture
def proven(tmp_path, monkeypatch, state_dict):
    """Proves a random checkpoint on one small odd-sized input, after changing what is written."""

    def prove(name, num_classes, change=lambda tensors: None):
        monkeypatch.setattr(proof, "INPUT_SIZES", ((69, 83),))
        source = {key: tensor.numpy() for key, tensor in state_dict(name, num_classes).items()}
        variables = mapping.to_variables(source, name, "x.pth")
        expected = reference.activations(name, source, num_classes, proof.images())
        tensors = dict(variables.tensors)
        change(tensors)
        path = tmp_path / "x.safetensors"
        files.write(path, tensors, {"architecture": name})
        return proof.prove(path, expected, num_classes, reference.versions())

    return prove


@pytest.mark.parametrize(
    ("name", "num_classes"), [("resnet50", 3), ("vgg13_bn", None), ("alexnet", 6)]
)
def test_equal_to_torchvision(proven, name, num_classes):
    result = proven(name, num_classes)
    assert result.passed
    assert 0 < result.worst < 2e-5
    blocks = list(models.TRUNKS[name].blocks)
    (row,) = result.differences.values()
    assert list(row) == blocks + (["logits"] if num_classes else [])
    assert set(result.versions) == {"torch", "torchvision", "jax"}


def flip_a_kernel(tensors):
    key = "params/trunk/stage3/unit1/conv1/conv/kernel"
    tensors[key] = tensors[key].transpose(1, 0, 2, 3)


def swap_mean_and_bias(tensors):
    mean, bias = "batch_stats/trunk/stem/conv1/bn/mean", "params/trunk/stem/conv1/bn/bias"
    tensors[mean], tensors[bias] = tensors[bias], tensors[mean]


def negate_a_variance(tensors):
    key = "batch_stats/trunk/stage4/unit0/conv2/bn/var"
    tensors[key] = -tensors[key]


@pytest.mark.parametrize(
    ("change", "first_wrong"),
    [(flip_a_kernel, "stage3"), (swap_mean_and_bias, "stem"), (negate_a_variance, "stage4")],
)
def test_a_wrong_file_fails_at_its_block(proven, change, first_wrong):
    result = proven("resnet18", None, change)
    assert not result.passed
    (row,) = result.differences.values()
    within = {block: difference.relative <= proof.TOLERANCE for block, difference in row.items()}
    wrong = list(within).index(first_wrong)
    assert list(within.values()) == [True] * wrong + [False] * (5 - wrong)


def test_difference_by_hand():
    reference_ = np.array([1.0, -4.0, 2.0])
    assert proof._difference(np.array([1.0, -4.5, 2.0]), reference_) == (0.5, 0.125)
    assert proof._difference(np.zeros(3), np.zeros(3)) == (0.0, 0.0)
    assert proof._difference(np.ones(3), np.zeros(3)) == (1.0, np.inf)
    assert proof._difference(np.ones(2), np.ones(3)).relative == np.inf
    assert np.isnan(proof._difference(np.array([np.nan]), np.array([np.nan])).relative)


@pytest.mark.parametrize(
    ("relative", "passed"), [(1e-4, True), (1.1e-4, False), (np.nan, False), (np.inf, False)]
)
def test_passes_within_the_tolerance_only(relative, passed):
    rows = {"1×1": {"a": Difference(0.0, 0.0), "b": Difference(1.0, relative)}}
    assert Proof(rows, {}).passed is passed


def test_json_keeps_everything():
    rows = {"1×1": {"a": Difference(1e-7, 2e-7)}, "2×3": {"a": Difference(0.0, 0.0)}}
    original = Proof(rows, {"torch": "2"})
    assert Proof.from_json(original.to_json()) == original
