import numpy as np
import pytest

from ascjax import models
from convert import files, mapping, proof, reference
from convert.proof import Difference, Proof


@pytest.fixture
def proven(tmp_path, monkeypatch, state_dict):
    """Proves a random checkpoint on one small odd-sized input, after changing what is written."""

    def prove(name, num_classes, change=lambda tensors: None, source_change=lambda source: None):
        monkeypatch.setattr(proof, "INPUT_SIZES", ((69, 83),))
        source = {key: tensor.numpy() for key, tensor in state_dict(name, num_classes).items()}
        source_change(source)
        variables = mapping.to_variables(source, name, "x.pth")
        images = proof.images(variables.planes)
        expected = reference.activations(name, source, num_classes, images)
        tensors = dict(variables.tensors)
        change(tensors)
        path = tmp_path / "x.safetensors"
        files.write(path, tensors, {"architecture": name})
        return proof.prove(path, images, expected, num_classes, reference.versions())

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


def test_one_input_plane(proven):
    def one_plane(source):
        source["features.0.weight"] = source["features.0.weight"].sum(1, keepdims=True)

    result = proven("alexnet", 3, source_change=one_plane)
    assert result.passed
    assert 0 < result.worst < 2e-5


def logits_of(source):
    images = [np.random.default_rng(0).standard_normal((1, 69, 83, 3), np.float32)]
    (outputs,) = reference.activations("resnet18", source, len(source["fc.bias"]), images)
    return outputs["logits"]


@pytest.mark.parametrize(("num_classes", "logit"), [(1, 2e-4), (1, -1e-6), (1, 0.0), (2, 0.0)])
def test_logits_near_zero(proven, num_classes, logit):
    def shift(source):
        source["fc.bias"] = source["fc.bias"] + (logit - logits_of(source).values[0])

    result = proven("resnet18", num_classes, source_change=shift)
    assert result.passed
    (row,) = result.differences.values()
    assert row["logits"].relative < 1e-5


def transpose_the_head(tensors):
    key = "params/classifier/dense/kernel"
    tensors[key] = tensors[key][::-1]


@pytest.mark.parametrize("num_classes", [1, 5])
def test_a_wrong_head_fails(proven, num_classes):
    result = proven("resnet18", num_classes, transpose_the_head)
    (row,) = result.differences.values()
    assert [block for block, d in row.items() if d.relative > proof.TOLERANCE] == ["logits"]


def test_the_scale_of_logits_by_hand(state_dict):
    source = {key: tensor.numpy() for key, tensor in state_dict("resnet18", 2).items()}
    for key in ("fc.weight", "fc.bias"):
        source[key] = np.zeros_like(source[key])
    source["fc.bias"] = np.array([-3.0, 1.0], np.float32)
    assert logits_of(source).scale == 3.0
    source["fc.weight"] = np.zeros((2, 512), np.float32)
    source["fc.weight"][0, :2] = 1e6, 0.0
    logits, scale = logits_of(source)
    np.testing.assert_allclose(scale, np.hypot(logits[0, 0] + 3.0, 3.0), rtol=1e-5)


def test_difference_by_hand():
    def difference(ours, values, scale):
        return proof._difference(np.array(ours), reference.Output(np.array(values), scale))

    assert difference([1.0, -4.5, 2.0], [1.0, -4.0, 2.0], 4.0) == (0.5, 0.125)
    assert difference([0.0], [0.0], 0.0) == (0.0, 0.0)
    assert difference([1.0], [0.0], 0.0) == (1.0, np.inf)
    assert difference([1.0, 1.0], [1.0], 1.0).relative == np.inf
    assert np.isnan(difference([np.nan], [np.nan], 1.0).relative)


@pytest.mark.parametrize(
    ("relative", "passed"), [(1e-4, True), (1.1e-4, False), (np.nan, False), (np.inf, False)]
)
def test_passes_within_the_tolerance_only(relative, passed):
    rows = {"1×1": {"a": Difference(0.0, 0.0), "b": Difference(1.0, relative)}}
    assert Proof(rows, {}).passed is passed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "3",
        "[]",
        '{"differences": 3, "versions": {}}',
        '{"differences": {}, "versions": {}}',
        '{"differences": {"1": {}}, "versions": {}}',
        '{"differences": {"1": {"a": [1]}}, "versions": {}}',
        '{"differences": {"1": {"a": [1, "x"]}}, "versions": {}}',
        '{"differences": {"1": {"a": [1, 2]}, "2": {"b": [1, 2]}}, "versions": {}}',
        '{"differences": {"1": {"a": [1, 2]}}, "versions": 3}',
    ],
)
def test_damaged_json(text):
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        Proof.from_json(text)


def test_json_keeps_everything():
    rows = {"1×1": {"a": Difference(1e-7, 2e-7)}, "2×3": {"a": Difference(0.0, 0.0)}}
    original = Proof(rows, {"torch": "2"})
    assert Proof.from_json(original.to_json()) == original
