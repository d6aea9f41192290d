import pytest
import torch

from ascjax.errors import UserError
from convert.candidates import Group, candidates, select
from convert.keymaps import KEY_MAPS
from convert.mapping import expected_slots
from convert.reference import import_torchvision


def state_of(name, num_classes=None):
    """Tensors of the right shapes that take no memory."""
    slots = expected_slots(name, num_classes)
    return {key: torch.zeros(()).expand(slot.shape) for key, slot in slots.items()}


RESNET = state_of("resnet18", 10)
ALEXNET = state_of("alexnet")
COUNTERS = {"bn1.num_batches_tracked": torch.tensor(3), "layer1.0.total_ops": torch.zeros(1)}


def prefixed(prefix, state=RESNET):
    return {f"{prefix}{key}": tensor for key, tensor in state.items()}


def assert_taken(content, notes, name="resnet18", state=RESNET, key=None):
    taken, said = select(content, name, "x.pth", key)
    for wanted, tensor in state.items():
        assert taken[wanted] is tensor
    assert said == notes


REMOVED = "removed module. from the keys (DataParallel, torch.compile or such)"


@pytest.mark.parametrize("name", KEY_MAPS)
def test_every_architecture_fits_itself_alone(name):
    state = state_of(name)
    assert select(state, name, "x.pth") == (state, [])
    groups = [Group("", state, [], [])]
    for other in set(KEY_MAPS) - {name}:
        assert not any(candidate.fits for candidate in candidates(groups, other))


@pytest.mark.parametrize(
    ("asked", "given"),
    [("vgg16", "resnet34"), ("resnet18", "resnet34"), ("vgg11", "vgg11_bn"), ("alexnet", "vgg13")],
)
def test_another_architecture_is_named(asked, given):
    with pytest.raises(UserError, match=f"doesn't fit {asked}: these keys look like {given}$"):
        select({"net": state_of(given)}, asked, "x.pth")


@pytest.mark.parametrize("wrapper", ["net", "model", "model_ema", "state_dict_ema", "teacher", "G"])
def test_wrappers(wrapper):
    assert_taken({wrapper: RESNET}, [f"took {wrapper!r}"])


@pytest.mark.parametrize("prefix", ["backbone.", "encoder.", "0.", "model.net.", "layer1."])
def test_prefixes(prefix):
    assert_taken(prefixed(prefix), [f"took {prefix.rstrip('.')!r}"])


def test_a_wrapper_a_prefix_and_what_lies_beside():
    content = {
        "epoch": 3,
        "args": object(),
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}},
        "checkpoint": {
            "state_dict": {
                **prefixed("module.encoder_q.", {**RESNET, **COUNTERS}),
                "module.queue": torch.zeros(3),
                "step": 5,
            }
        },
    }
    notes = [
        "took 'checkpoint.state_dict.encoder_q'",
        REMOVED,
        "left what lay beside it: args, epoch, optimizer, queue, step",
    ]
    assert_taken(content, notes)


def test_averaged_model():
    content = {"n_averaged": torch.tensor(3), **prefixed("module.")}
    assert_taken(content, [REMOVED])


def test_features_alone_in_data_parallel():
    content = {key.replace("features.", "features.module."): t for key, t in ALEXNET.items()}
    assert_taken(content, [REMOVED], "alexnet", ALEXNET)


def test_keys_that_would_collide_stay():
    taken, notes = select({**RESNET, **prefixed("module.")}, "resnet18", "x.pth", key="module")
    assert taken["conv1.weight"] is RESNET["conv1.weight"]
    assert "removed" not in str(notes)


def test_an_average_beside_the_weights_is_a_choice():
    average = state_of("resnet18", 10)
    content = {"model": RESNET, "model_ema": {**prefixed("module.", average), "n_averaged": 3}}
    note = "an average of the weights lies beside it: --key=model_ema takes that"
    assert_taken(content, ["took 'model'", note])
    _, notes = select(content, "resnet18", "x.pth", key="model_ema")
    assert_taken(content, notes, state=average, key="model_ema")
    assert notes[0] == "took 'model_ema'"
    assert "another network that fits lies beside it: --key=model takes that" in notes
    for key in ("model_ema.module", "model_ema."):
        assert_taken(content, notes, state=average, key=key)


def test_the_momentum_encoder_is_an_average():
    content = {
        **prefixed("module.encoder_k.", state_of("resnet18")),
        **prefixed("module.encoder_q."),
    }
    _, notes = select(content, "resnet18", "x.pth")
    assert notes[0] == "took 'encoder_q'"
    assert "--key=encoder_k takes that" in notes[2]


def test_two_that_fit_are_a_choice():
    content = {"student": RESNET, "teacher": state_of("resnet18")}
    message = "x.pth: 2 networks in it fit; say which with --key, one of student, teacher"
    with pytest.raises(UserError, match=message):
        select(content, "resnet18", "x.pth")
    assert_taken(
        content,
        [
            "took 'student'",
            "another network that fits lies beside it: --key=teacher takes that",
        ],
        key="student",
    )
    with pytest.raises(UserError, match="--key: expected one of student, teacher, got 'tutor'"):
        select(content, "resnet18", "x.pth", key="tutor")
    with pytest.raises(UserError, match="x.pth: --key=student: nothing in it fits vgg11"):
        select(content, "vgg11", "x.pth", key="student")


@pytest.mark.parametrize("prefix", ["", "0.", "trunk."])
@pytest.mark.parametrize("name", ["alexnet", "vgg11_bn", "vgg16"])
def test_features_saved_alone_have_bare_numbers(name, prefix):
    state = state_of(name)
    bare = {prefix + key.removeprefix("features."): tensor for key, tensor in state.items()}
    notes = [f"took {prefix.rstrip('.')!r}"] if prefix else []
    assert_taken(bare, notes, name, state)


def test_the_children_of_a_resnet_have_bare_numbers():
    model = import_torchvision().models.resnet18(num_classes=3)
    children = torch.nn.Sequential(*list(model.children())[:-1])
    taken, _ = select(prefixed("0.", children.state_dict()), "resnet18", "x.pth")
    for key, tensor in model.state_dict().items():
        if not key.startswith("fc."):
            torch.testing.assert_close(taken[key], tensor)


def test_one_plane_fits():
    plane = {**RESNET, "conv1.weight": torch.zeros(64, 1, 7, 7)}
    assert_taken(plane, [], state=plane)


@pytest.mark.parametrize(
    "name", ["wide_resnet50_2", "resnext50_32x4d", "densenet121", "mobilenet_v2", "vit_b_16"]
)
@pytest.mark.parametrize("asked", ["resnet50", "vgg16"])
def test_other_networks_are_called_so(name, asked):
    with torch.device("meta"):
        state = import_torchvision().models.get_model(name, weights=None).state_dict()
    with pytest.raises(UserError) as raised:
        select(prefixed("model.net.", state), asked, "x.pth")
    first, second = str(raised.value).splitlines()
    assert first == (
        f"x.pth doesn't fit {asked}: its network is none of the 14 architectures that --list shows"
    )
    assert second.startswith("its keys are model.net.")
    assert second.endswith("all begin with 'model.net.'")


def test_one_key_alone_shares_no_prefix():
    with pytest.raises(UserError) as raised:
        select({"m": {"a.weight": torch.zeros(1)}}, "alexnet", "x.pth")
    assert str(raised.value).endswith("its keys under 'm' are a.weight")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.ones(1)], "expected a state_dict .*, got a list"),
        ({1: torch.ones(1)}, "expected a state_dict .*, got a dict"),
        ({}, "no tensors in it"),
        ({"epoch": 3}, "expected a state_dict .*, got a dict"),
        (3, "expected a state_dict .*, got a int"),
    ],
)
def test_no_state_dict(content, message):
    with pytest.raises(UserError, match=message):
        select(content, "resnet18", "x.pth")


def test_mappings_without_end():
    content = {"a.weight": torch.zeros(1)}
    content["self"] = content
    for _ in range(2000):
        content = {"x": content}
    with pytest.raises(UserError, match="expected a state_dict"):
        select(content, "resnet18", "x.pth")
