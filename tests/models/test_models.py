import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ascjax import models
from ascjax.errors import UserError
from ascjax.models import alexnet, vgg

# torchvision's own counts (each Weights entry's meta["num_params"]), 1000 classes.
NUM_PARAMS = {
    "alexnet": 61_100_840,
    "vgg11": 132_863_336,
    "vgg11_bn": 132_868_840,
    "vgg13": 133_047_848,
    "vgg13_bn": 133_053_736,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "vgg19": 143_667_240,
    "vgg19_bn": 143_678_248,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
}
# One channel in, so 2/3 of the first kernel fewer than torchvision's trunk.
TRUNK_SHAPES = {
    "alexnet": (3, 1, 256),
    "vgg16": (4, 2, 512),
    "vgg19_bn": (4, 2, 512),
    "resnet18": (4, 3, 512),
    "resnet50": (4, 3, 2048),
    "vgg_tiny": (4, 2, 128),
}


def traced(model, shape):
    """Shapes of the variables, and of the last feature map under "features"; nothing is run."""
    variables = jax.eval_shape(
        lambda: model.init_with_output(
            jax.random.key(0), jnp.zeros(shape), False, mutable=True, capture_intermediates=True
        )[1]
    )
    features = variables.pop("intermediates")["trunk"]["__call__"][0].shape
    return variables | {"features": features}


@functools.cache
def full(name):
    """torchvision's whole network on the smallest input."""
    return traced(models.create_full(name), (1, *models.min_input(name), 3))


def variables_of(model, shape):
    return jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros(shape), False))


def init(model, x):
    """Random variables by NumPy: compiling the initialisers takes longer than all else here."""
    rng = np.random.default_rng(0)

    def fill(path, leaf):
        if path[-1].key in ("var", "scale"):
            return jnp.ones(leaf.shape)
        std = 0.1 if leaf.ndim == 1 else np.sqrt(2 / np.prod(leaf.shape[:-1]))
        return jnp.array(rng.normal(0, std, leaf.shape).astype(np.float32))

    return jax.tree_util.tree_map_with_path(fill, variables_of(model, x.shape))


def train_logits(model, variables, x):
    apply = jax.jit(lambda v, x: model.apply(v, x, True, mutable=["batch_stats"]))
    return apply(variables, x)


def normal(*shape):
    return jnp.array(np.random.default_rng(1).normal(size=shape).astype(np.float32))


def size(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_every_trunk_is_counted():
    # "tiny" is the tests' own.
    assert set(models.TRUNKS) - {"tiny"} == {*NUM_PARAMS, "vgg_tiny", "vgg_micro", "baseline"}


@pytest.mark.parametrize("name", NUM_PARAMS)
def test_full_network_has_torchvisions_parameter_count(name):
    params = full(name)["params"]
    assert size(params) == NUM_PARAMS[name]
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("name", TRUNK_SHAPES)
def test_trunk_on_a_fragment_of_the_paper(name):
    model = models.create_model(name, "gap", 10)
    assert traced(model, (2, 128, 71, 1))["features"] == (2, *TRUNK_SHAPES[name])


@pytest.mark.parametrize("name", models.TRUNKS)
def test_min_input_is_the_smallest(name):
    mel, frame = models.min_input(name)

    def feature_map(mel, frame):
        x = jnp.zeros((1, mel, frame, 1))
        trunk = models.network.Trunk(models.TRUNKS[name])
        return jax.eval_shape(lambda: trunk.init_with_output(jax.random.key(0), x, False))[0].shape

    assert min(full(name)["features"] if name in NUM_PARAMS else feature_map(mel, frame)) == 1
    if mel > 1:
        assert min(feature_map(mel - 1, frame)) == 0
        with pytest.raises(UserError, match=f"at least {mel} mel bands × {frame} frames, got"):
            models.check_input(name, mel, frame - 1)


@pytest.mark.parametrize(("batch_norm", "fan"), [(True, 9 * 256), (False, 9 * 64)])
def test_vggs_kernels_start_by_fan_in_where_no_batchnorm_mends_the_size(batch_norm, fan):
    stage = vgg.Stage(1, 256, batch_norm)
    kernel = stage.init(jax.random.key(0), jnp.zeros((1, 2, 2, 64)), False)["params"]["conv1"]
    assert kernel["kernel"].std() == pytest.approx(np.sqrt(2 / fan), rel=0.02)


def test_alexnets_kernels_start_by_fan_in():
    stage = alexnet.Stage(256, window=3)
    kernel = stage.init(jax.random.key(0), jnp.zeros((1, 4, 4, 64)), False)["params"]["conv"]
    assert kernel["kernel"].std() == pytest.approx(np.sqrt(2 / (9 * 64)), rel=0.02)


def test_too_few_frames_for_alexnet_is_said_by_the_network():
    with pytest.raises(UserError, match="at least 63 mel bands × 63 frames, got 128 × 35"):
        variables_of(models.create_model("alexnet", "gap", 10), (1, 128, 35, 1))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"trunk": "vgg61"}, "did you mean"),
        ({"head": "gab"}, "head: expected one of gap, mlp, base"),
        ({"compute_dtype": "float16"}, "compute dtype: expected one of"),
        ({"freeze": "6"}, "up to 5 .stage1, stage2, stage3, stage4, stage5., got '6'"),
        ({"freeze": -1}, "expected none, trunk or a number of first blocks"),
        ({"freeze": "head"}, "expected none, trunk or a number of first blocks"),
    ],
)
def test_unknown_choices_are_named(kwargs, message):
    with pytest.raises(UserError, match=message):
        models.create_model(**{"trunk": "vgg16", "head": "gap", "num_scenes": 10, **kwargs})


def test_build_full_knows_only_torchvisions():
    with pytest.raises(UserError, match="got 'vgg_tiny'"):
        models.create_full("vgg_tiny")


def test_replicate_repeats_the_single_plane():
    model = models.create_model("vgg_tiny", "gap", 3, planes=3)
    x = normal(2, 32, 40, 1)
    variables = init(model, x)
    assert variables["params"]["trunk"]["stage1"]["conv1"]["kernel"].shape == (3, 3, 3, 16)
    apply = jax.jit(lambda x: model.apply(variables, x, False))
    np.testing.assert_array_equal(apply(x), apply(jnp.concatenate([x, x, x], -1)))


def test_bfloat16_keeps_parameters_and_logits_in_float32():
    model = models.create_model("vgg_tiny", "mlp", 3, compute_dtype="bfloat16")
    x = normal(4, 40, 40, 1)
    variables = init(model, x)
    logits, updates = train_logits(model, variables, x)
    assert logits.dtype == jnp.float32
    for leaf in jax.tree.leaves((variables, updates)):
        assert leaf.dtype == jnp.float32
    exact, _ = train_logits(models.create_model("vgg_tiny", "mlp", 3), variables, x)
    assert 0 < np.abs(logits - exact).max() < 0.05


@pytest.mark.parametrize(
    ("trunk", "freeze"),
    [
        ("vgg_tiny", "none"),
        ("vgg_tiny", 3),
        ("vgg_tiny", "trunk"),
        ("resnet18", "2"),
        ("baseline", "1"),
    ],
)
def test_frozen_blocks_neither_learn_nor_update_statistics(trunk, freeze):
    model = models.create_model(trunk, "gap", 3, freeze=freeze)
    x = normal(2, 32, 32, 1)
    variables = init(model, x)

    @jax.jit
    def gradients(params):
        def loss(params):
            logits, updates = model.apply(
                {**variables, "params": params}, x, True, mutable=["batch_stats"],
                rngs={"dropout": jax.random.key(2)},
            )  # fmt: skip
            return jnp.square(logits).sum(), updates

        return jax.grad(loss, has_aux=True)(params)

    grads, updates = gradients(variables["params"])
    num_frozen = {"none": 0, "trunk": 5}.get(freeze, freeze)
    blocks = list(models.TRUNKS[trunk].blocks)
    mask = models.frozen_mask(variables["params"], trunk, freeze)
    assert not any(jax.tree.leaves(mask["head"]))
    for index, block in enumerate(blocks):
        frozen = index < int(num_frozen)
        assert set(jax.tree.leaves(mask["trunk"][block])) == {frozen}
        before, after = (v["batch_stats"]["trunk"][block] for v in (variables, updates))
        for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
            assert np.array_equal(old, new) == frozen
        moved = [np.any(leaf != 0) for leaf in jax.tree.leaves(grads["trunk"][block])]
        assert any(moved) != frozen


@pytest.mark.parametrize(
    ("trunk", "head", "shape"),
    [("vgg_tiny", "mlp", (2, 32, 33, 1)), ("baseline", "baseline", (2, 20, 20, 1))],
)
def test_remat_gives_the_same_gradients_and_keeps_less(trunk, head, shape):
    """XLA's CPU compiler undoes it, so what is kept is counted before compiling."""
    x = normal(*shape)
    results, kept = [], []
    for remat in (False, True):
        model = models.create_model(trunk, head, 3, remat=remat)
        variables = init(model, x)
        rngs = {"dropout": jax.random.key(0)}

        def loss(params, model=model, variables=variables, rngs=rngs):
            wanted = {**variables, "params": params}
            logits, updates = model.apply(wanted, x, True, rngs=rngs, mutable=["batch_stats"])
            return jnp.square(logits).sum(), updates

        results.append(jax.jit(jax.grad(loss, has_aux=True))(variables["params"]))
        pull_back = jax.eval_shape(
            lambda p, loss=loss: jax.vjp(loss, p, has_aux=True)[1], variables["params"]
        )
        kept.append(sum(leaf.size for leaf in jax.tree.leaves(pull_back)))
    for a, b in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert kept[1] - parameters < (kept[0] - parameters) / 3
