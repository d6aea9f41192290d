import jax.numpy as jnp
import numpy as np
import pytest

from ascjax.errors import UserError
from convert.mapping import to_variables


@pytest.fixture
def arrays(state_dict):
    return lambda *arguments: {k: v.numpy() for k, v in state_dict(*arguments).items()}


def test_kernels_are_views_with_their_axes_moved(arrays):
    source = arrays("resnet18", 3)
    tensors, num_classes, notes = to_variables(source, "resnet18", "x.pth")
    assert num_classes == 3
    assert notes == ["3 classes, not ImageNet's 1000"]
    assert len(tensors) == len(source)
    kernel = tensors["params/trunk/stage2/unit0/shortcut/conv/kernel"]
    original = source["layer2.0.downsample.0.weight"]
    assert kernel.shape == (1, 1, 64, 128)
    assert kernel[0, 0, 5, 7] == original[7, 5, 0, 0]
    assert np.shares_memory(kernel, original)
    np.testing.assert_array_equal(tensors["params/classifier/dense/kernel"], source["fc.weight"].T)
    np.testing.assert_array_equal(
        tensors["batch_stats/trunk/stem/conv1/bn/var"], source["bn1.running_var"]
    )


@pytest.mark.parametrize("name", ["resnet18", "vgg11", "alexnet"])
def test_backbone_only(arrays, name):
    tensors, num_classes, notes = to_variables(arrays(name), name, "x.pth")
    assert num_classes is None
    assert not any("classifier" in path for path in tensors)
    assert notes == ["no classifier in the file: the trunk alone is converted and proven"]


def test_counts_are_named_as_ignored(arrays):
    source = arrays("resnet18")
    source["bn1.num_batches_tracked"] = np.array(3)
    source["layer1.0.bn1.num_batches_tracked"] = np.array(3)
    notes = to_variables(source, "resnet18", "x.pth").notes
    assert "ignored 2 keys num_batches_tracked: nothing uses them" in notes


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_precisions_stay_and_are_said(arrays, dtype):
    source = {k: v.astype(jnp.dtype(dtype)) for k, v in arrays("resnet18").items()}
    tensors, _, notes = to_variables(source, "resnet18", "x.pth")
    assert f"{dtype} converted to float32" in notes
    assert {array.dtype.name for array in tensors.values()} == {dtype}
    kernel = tensors["params/trunk/stem/conv1/conv/kernel"]
    np.testing.assert_array_equal(
        kernel[1, 2, 0, 3], np.float32(source["conv1.weight"][3, 0, 1, 2])
    )


@pytest.mark.parametrize(
    ("asked", "given"),
    [("vgg16", "resnet34"), ("resnet18", "resnet34"), ("vgg11", "vgg11_bn"), ("alexnet", "vgg13")],
)
def test_another_architecture_is_recognised(arrays, asked, given):
    with pytest.raises(UserError) as raised:
        to_variables(arrays(given), asked, "x.pth")
    first, second = str(raised.value).splitlines()
    assert first == f"x.pth doesn't fit {asked}: these keys look like {given}"
    assert "missing" in second or "unexpected" in second


def test_keys_that_look_like_nothing(arrays):
    with pytest.raises(UserError) as raised:
        to_variables({"encoder.weight": np.zeros((2, 2), "f4")}, "resnet18", "x.pth")
    assert "look like" not in str(raised.value)
    assert "unexpected encoder.weight" in str(raised.value)


def test_all_problems_are_in_one_error(arrays):
    source = arrays("resnet18", 4)
    del source["layer3.1.bn2.running_mean"]
    source["fc2.weight"] = np.zeros((4, 4), np.float32)
    source["layer1.0.conv1.weight"] = np.zeros((64, 64, 3, 5), np.float32)
    source["bn1.weight"] = source["bn1.weight"].astype(np.int64)
    with pytest.raises(UserError) as raised:
        to_variables(source, "resnet18", "x.pth")
    for text in (
        "missing layer3.1.bn2.running_mean",
        "unexpected fc2.weight",
        "layer1.0.conv1.weight is [64, 64, 3, 5], expected [64, 64, 3, 3]",
        "bn1.weight is int64, expected floating point",
    ):
        assert text in str(raised.value)
    assert "look like" not in str(raised.value)


@pytest.mark.parametrize("key", ["fc.bias", "fc.weight"])
def test_half_a_classifier_is_not_a_backbone(arrays, key):
    source = arrays("resnet18", 4)
    del source[key]
    with pytest.raises(UserError, match=f"missing {key}"):
        to_variables(source, "resnet18", "x.pth")


@pytest.mark.parametrize(
    ("dtype", "value", "text"),
    [
        ("float32", np.nan, "conv1.weight holds 1 NaN and 0 infinities"),
        ("float32", -np.inf, "conv1.weight holds 0 NaN and 1 infinities"),
        ("float16", np.inf, "conv1.weight holds 0 NaN and 1 infinities"),
        ("bfloat16", np.nan, "conv1.weight holds 1 NaN and 0 infinities"),
        ("float64", 1e300, "conv1.weight holds too large values"),
    ],
)
def test_values_must_be_finite(arrays, dtype, value, text):
    source = arrays("resnet18")
    source["conv1.weight"] = source["conv1.weight"].astype(jnp.dtype(dtype))
    source["conv1.weight"][3, 1, 2, 2] = value
    with pytest.raises(UserError, match="x.pth: weights must be finite float32") as raised:
        to_variables(source, "resnet18", "x.pth")
    assert text in str(raised.value)


def test_a_variance_below_zero_is_refused(arrays):
    source = dict(arrays("resnet18"))
    source["bn1.running_var"] = -source["bn1.running_var"]
    with pytest.raises(UserError, match="bn1.running_var holds a negative variance"):
        to_variables(source, "resnet18", "x.pth")
