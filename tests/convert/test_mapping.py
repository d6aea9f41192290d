import jax.numpy as jnp
import numpy as np
import pytest

from ascjax.errors import UserError
from convert.mapping import to_variables

NO_HEAD = "no torchvision head: the trunk alone is converted"


@pytest.fixture
def arrays(state_dict):
    return lambda *arguments: {k: v.numpy() for k, v in state_dict(*arguments).items()}


def test_kernels_are_views_with_their_axes_moved(arrays):
    source = arrays("resnet18", 3)
    tensors, num_classes, notes, used, planes = to_variables(source, "resnet18", "x.pth")
    assert used == source
    assert planes == 3
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
    tensors, num_classes, notes, _, _ = to_variables(arrays(name), name, "x.pth")
    assert num_classes is None
    assert not any("classifier" in path for path in tensors)
    assert notes == [NO_HEAD]


def test_counters_are_named_as_ignored(arrays):
    source = arrays("resnet18")
    counters = ("bn1.num_batches_tracked", "layer1.0.total_ops", "n_averaged", "total_params")
    source |= dict.fromkeys(counters, np.array(3))
    notes = to_variables(source, "resnet18", "x.pth").notes
    counted = "ignored counters: n_averaged, num_batches_tracked, total_ops, total_params"
    assert notes == [counted, NO_HEAD]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_precisions_stay_and_are_said(arrays, dtype):
    source = {k: v.astype(jnp.dtype(dtype)) for k, v in arrays("resnet18").items()}
    tensors, _, notes, _, _ = to_variables(source, "resnet18", "x.pth")
    assert f"{dtype} converted to float32" in notes
    assert {array.dtype.name for array in tensors.values()} == {dtype}
    kernel = tensors["params/trunk/stem/conv1/conv/kernel"]
    np.testing.assert_array_equal(
        kernel[1, 2, 0, 3], np.float32(source["conv1.weight"][3, 0, 1, 2])
    )


def test_all_problems_are_in_one_error(arrays):
    source = arrays("resnet18", 4)
    del source["layer3.1.bn2.running_mean"]
    source["layer2.1.se.weight"] = np.zeros((4, 4), np.float32)
    source["layer1.0.conv1.weight"] = np.zeros((64, 64, 3, 5), np.float32)
    source["bn1.weight"] = source["bn1.weight"].astype(np.int64)
    with pytest.raises(UserError) as raised:
        to_variables(source, "resnet18", "x.pth")
    for text in (
        "missing layer3.1.bn2.running_mean",
        "unexpected layer2.1.se.weight",
        "layer1.0.conv1.weight is [64, 64, 3, 5], expected [64, 64, 3, 3]",
        "bn1.weight is int64, expected floating point",
    ):
        assert text in str(raised.value)


HEADS = {
    "dense in a row": {"fc.1.weight": (4, 512), "fc.1.bias": (4,)},
    "no bias": {"fc.weight": (4, 512)},
    "no weight": {"fc.bias": (4,)},
    "other width": {"fc.weight": (4, 100), "fc.bias": (4,)},
    "nothing in it": {"fc.weight": (0, 512), "fc.bias": (0,)},
    "a scalar": {"fc.bias": ()},
    "more in it": {"fc.weight": (4, 512), "fc.bias": (4,), "fc.scale": (1,)},
    "projection": {"projection_head.0.weight": (8, 512), "prototypes.weight": (3, 8)},
    "a criterion": {"criterion.weight": (10,)},
}


@pytest.mark.parametrize("head", HEADS)
def test_under_another_head_the_trunk_is_taken(arrays, head):
    left = {key: np.zeros(shape, np.float32) for key, shape in HEADS[head].items()}
    source = arrays("resnet18")
    variables = to_variables({**source, **left}, "resnet18", "x.pth")
    assert variables.num_classes is None
    assert variables.source == source
    assert variables.notes == [f"left out, not resnet18's: {', '.join(left)}", NO_HEAD]


def test_under_another_head_of_vgg(arrays):
    source = arrays("vgg11", 3)
    source["classifier.6.0.weight"] = source.pop("classifier.6.weight")
    source["classifier.6.0.bias"] = source.pop("classifier.6.bias")
    variables = to_variables(source, "vgg11", "x.pth")
    assert variables.num_classes is None
    assert variables.notes[0].startswith("left out, not vgg11's: classifier.0.bias, ")
    assert variables.notes[0].endswith(" and 2 more")


def test_what_lies_beside_a_whole_network_is_left(arrays):
    source = {**arrays("resnet18", 4), "criterion.weight": np.zeros(4, bool)}
    variables = to_variables(source, "resnet18", "x.pth")
    assert variables.num_classes == 4
    assert "left out, not resnet18's: criterion.weight" in variables.notes


def test_one_input_plane(arrays):
    source = arrays("resnet18")
    source["conv1.weight"] = source["conv1.weight"][:, :1]
    variables = to_variables(source, "resnet18", "x.pth")
    assert variables.planes == 1
    assert variables.notes[0] == "its first kernel sees one plane"
    assert variables.tensors["params/trunk/stem/conv1/conv/kernel"].shape == (7, 7, 1, 64)


def test_four_input_planes_are_refused(arrays):
    source = arrays("resnet18")
    source["conv1.weight"] = np.zeros((64, 4, 7, 7), np.float32)
    message = r"conv1.weight is \[64, 4, 7, 7\], expected \[64, 3, 7, 7\]"
    with pytest.raises(UserError, match=message):
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
