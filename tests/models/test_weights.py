import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from safetensors.numpy import save_file

from ascjax import models
from ascjax.errors import UserError
from ascjax.models import weights

METADATA = {"architecture": "vgg_tiny", "classes": "7"}


def flat_variables(planes, seed=0, head="gap"):
    """Variables of vgg_tiny filled by NumPy: the initialisers would take seconds to compile."""
    network = models.create_model("vgg_tiny", head, 4, planes=planes)
    shapes = jax.eval_shape(
        lambda: network.init(jax.random.key(0), jnp.zeros((1, 32, 32, 1)), False)
    )
    rng = np.random.default_rng(seed)
    return {
        key: rng.uniform(0.1, 0.5, leaf.shape).astype(np.float32) - (0.3 if leaf.ndim > 1 else 0)
        for key, leaf in traverse_util.flatten_dict(shapes, sep="/").items()
    }


def variables(planes, seed=1, head="gap"):
    flat = flat_variables(planes, seed, head)
    return traverse_util.unflatten_dict({k: jnp.array(v) for k, v in flat.items()}, sep="/")


@pytest.fixture
def converted(tmp_path):
    """A converted three-plane vgg_tiny with a classifier of its own."""
    tensors = {k: v for k, v in flat_variables(3).items() if k.split("/")[1] == "trunk"}
    tensors["params/classifier/dense3/bias"] = np.zeros(7, np.float32)
    path = tmp_path / "vgg_tiny.safetensors"
    save_file(tensors, path, METADATA)
    return path, tensors


def rewritten(path, tensors, metadata=METADATA):
    save_file(tensors, path, metadata)
    return path


def logits(planes, variables, x):
    network = models.create_model("vgg_tiny", "gap", 4, planes=planes)
    return jax.jit(lambda v, x: network.apply(v, x, False))(variables, x)


def test_a_runs_weights_are_no_start(tmp_path):
    save_file(flat_variables(1), tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="got those of a run, which no training begins from"):
        weights.load(tmp_path / "model.safetensors")
    (tmp_path / "run.json").touch()
    with pytest.raises(UserError, match="got those of a run, which no training begins from"):
        weights.resolve(str(tmp_path), "vgg_tiny", "weights")


def test_load_is_memory_mapped(converted):
    path, tensors = converted
    loaded = weights.load(path)
    assert loaded.metadata == METADATA
    assert loaded.tensors.keys() == tensors.keys()
    for key, array in loaded.tensors.items():
        np.testing.assert_array_equal(array, tensors[key])
        base = array
        while not isinstance(base, np.memmap):
            base = base.base
        assert base.filename == path.resolve()


def test_trunk_is_replaced_and_head_kept(converted):
    path, tensors = converted
    fresh = variables(planes=3)
    before = jax.tree.map(np.array, fresh)
    loaded = weights.load_weights(fresh, path.parent, trunk="vgg_tiny", input_channel="replicate")
    jax.tree.map(np.testing.assert_array_equal, fresh, before)
    for key, value in traverse_util.flatten_dict(loaded, sep="/").items():
        assert isinstance(value, jax.Array)
        if key.split("/")[1] == "trunk":
            np.testing.assert_array_equal(value, tensors[key])
        else:
            assert key.startswith("params/head/")
    jax.tree.map(np.testing.assert_array_equal, loaded["params"]["head"], before["params"]["head"])


def test_sum_equals_feeding_three_equal_planes(converted):
    path, _ = converted
    x = jnp.array(np.random.default_rng(2).normal(size=(2, 40, 33, 1)).astype(np.float32))
    one = weights.load_weights(variables(1), path, trunk="vgg_tiny", input_channel="sum")
    three = weights.load_weights(variables(3), path, trunk="vgg_tiny", input_channel="replicate")
    three["params"]["head"] = one["params"]["head"]
    expected = logits(3, three, jnp.concatenate([x, x, x], axis=-1))
    np.testing.assert_array_equal(logits(3, three, x), expected)
    np.testing.assert_allclose(logits(1, one, x), expected, rtol=1e-5, atol=1e-6)
    assert np.std(expected) > 1e-3


@pytest.mark.parametrize(("input_channel", "factor"), [("sum", 1), ("mean", 1 / 3)])
def test_one_plane_kernels_by_hand(converted, input_channel, factor):
    path, tensors = converted
    loaded = weights.load_weights(variables(1), path, trunk="vgg_tiny", input_channel=input_channel)
    kernel = tensors["params/trunk/stage1/conv1/kernel"]
    summed = kernel[:, :, 0] + kernel[:, :, 1] + kernel[:, :, 2]
    got = loaded["params"]["trunk"]["stage1"]["conv1"]["kernel"]
    assert got.shape == (3, 3, 1, 16)
    np.testing.assert_allclose(got[:, :, 0], factor * summed, rtol=1e-6, atol=1e-7)


def test_planes_of_each_choice():
    assert [weights.planes(choice) for choice in ("sum", "mean", "replicate")] == [1, 1, 3]
    with pytest.raises(UserError, match="input planes: expected one of sum, mean"):
        weights.planes("average")


def test_every_problem_is_listed(converted):
    path, tensors = converted
    tensors["params/trunk/stage9/conv1/kernel"] = tensors.pop("params/trunk/stage2/conv1/bias")
    tensors["batch_stats/trunk/stage3/bn1/var"] = np.ones(65, np.float32)
    with pytest.raises(UserError) as raised:
        weights.load_weights(variables(1), rewritten(path, tensors), trunk="vgg_tiny")
    for text in (
        str(path),
        "missing params/trunk/stage2/conv1/bias",
        "unexpected params/trunk/stage9/conv1/kernel",
        "batch_stats/trunk/stage3/bn1/var is [65], expected [64]",
    ):
        assert text in str(raised.value)


def test_a_long_list_is_cut():
    problems = weights.mismatches({f"k{i}": (1,) for i in range(20)}, {}, limit=3)
    assert problems == ["unexpected k0, k1, k2 and 17 more"]


def test_replicate_needs_a_network_of_three_planes(converted):
    with pytest.raises(UserError, match=r"conv1/kernel is \[3, 3, 3, 16\], expected \[3, 3, 1, 1"):
        weights.load_weights(
            variables(1), converted[0], trunk="vgg_tiny", input_channel="replicate"
        )


def test_another_architectures_file(converted):
    path, tensors = converted
    rewritten(path, tensors, {"architecture": "resnet34"})
    with pytest.raises(UserError, match="holds resnet34, but the trunk is vgg_tiny"):
        weights.load_weights(variables(1), path, trunk="vgg_tiny")


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_a_file_that_convert_did_not_make(converted, metadata):
    path, tensors = converted
    with pytest.raises(UserError, match="names no architecture"):
        weights.load(rewritten(path, tensors, metadata))


def with_header(path, header, content=b"\0" * 8):
    encoded = json.dumps(header).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"not a safetensors file at all"),
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(path.read_bytes() + b"more"),
        lambda path: path.write_bytes((1 << 60).to_bytes(8, "little") + path.read_bytes()[8:]),
        lambda path: with_header(
            path, {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}
        ),
        lambda path: with_header(
            path, {"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}
        ),
        lambda path: with_header(path, ["a list"]),
    ],
)
def test_unsound_files(converted, damage):
    path, _ = converted
    damage(path)
    with pytest.raises(UserError, match="not a sound safetensors file") as raised:
        weights.load(path)
    assert str(path) in str(raised.value)


def test_a_type_that_weights_never_have(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"a": np.zeros(2, np.bool_)}, path)
    with pytest.raises(UserError, match="x.safetensors: a is BOOL; expected one of F64, F32"):
        weights.read_tensors(path)


def test_a_missing_file_says_how_to_make_it(tmp_path, close):
    folder = tmp_path / "weights"
    command = f"ascjax convert vgg16 --out {folder}/"
    for call in (
        lambda: weights.resolve("imagenet", "vgg16", folder),
        lambda: weights.load(folder / "vgg16.safetensors"),
        lambda: weights.load_weights({}, folder / "vgg16.safetensors", trunk="vgg16"),
    ):
        with pytest.raises(UserError) as raised:
            call()
        assert command in str(raised.value)
    close(folder)
    for resolve_or_load in (
        lambda: weights.resolve("imagenet", "vgg16", folder),
        lambda: weights.load(folder / "vgg16.safetensors"),
    ):
        with pytest.raises(UserError, match="no converted weights at"):
            resolve_or_load()


def test_resolve(converted):
    path, _ = converted
    assert weights.resolve("imagenet", "vgg_tiny", path.parent) == path
    assert weights.resolve(str(path), "vgg_tiny", "nowhere") == path
    assert weights.resolve(str(path.parent), "vgg_tiny", "nowhere") == path
    with pytest.raises(UserError, match="vgg_tiny has no counterpart in torchvision"):
        weights.resolve("imagenet", "vgg_tiny", "nowhere")
