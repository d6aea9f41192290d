"""Three steps of SGD with momentum in torch and here, from the same weights on the same batch.

In float64 on both sides: float32 rounding grows through ReLUs and small-batch normalisation until
it hides what is to be seen, such as a biased variance (1/n of its value).
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from fake_checkpoint import fake_state_dict
from flax import traverse_util

from ascjax import models
from convert.keymaps import KEY_MAPS
from convert.mapping import expected_slots
from convert.reference import import_torchvision

NUM_CLASSES = 5
LABELS = [0, 3, 1, 4]
STEPS = 3
LEARNING_RATE, MOMENTUM = 0.01, 0.9
TOLERANCE = {"rtol": 1e-7, "atol": 1e-9}


class Twin(torch.nn.Module):
    """torchvision's trunk, mean over positions, and a dense layer."""

    def __init__(self, name):
        super().__init__()
        with torch.device("meta"):
            self.network = import_torchvision().models.get_model(name, weights=None)
        self.slots = expected_slots(name, None)
        state = {key: tensor.double() for key, tensor in fake_state_dict(name).items()}
        self.network.load_state_dict(state, strict=False, assign=True)
        setattr(self.network, KEY_MAPS[name].top, torch.nn.Identity())
        children = list(self.network.children())
        self.trunk = torch.nn.Sequential(*children[:-2])  # without pooling and top
        self.fc = torch.nn.LazyLinear(NUM_CLASSES, dtype=torch.float64)

    def forward(self, x):
        return self.fc(self.trunk(x).mean((2, 3)))

    def variables(self, gradients=False):
        """The trunk's and head's tensors (or their gradients) in Flax's names and layout."""
        tensors = self.network.state_dict(keep_vars=True)
        flat = {
            slot.path: to_numpy(tensors[key], gradients, slot.axes)
            for key, slot in self.slots.items()
            if not gradients or slot.path.startswith("params/")
        }
        flat["params/head/dense/kernel"] = to_numpy(self.fc.weight, gradients, (1, 0))
        flat["params/head/dense/bias"] = to_numpy(self.fc.bias, gradients, None)
        return flat


def to_numpy(tensor, gradient, axes):
    array = (tensor.grad if gradient else tensor.detach()).numpy()
    return array.transpose(axes).copy() if axes else array.copy()


def train_in_torch(twin, images, labels):
    optimizer = torch.optim.SGD(twin.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    for _ in range(STEPS):
        loss = torch.nn.functional.cross_entropy(twin(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item(), twin.variables(gradients=True), twin.variables()


def train_here(name, flat, images, labels):
    model = models.create_model(name, "gap", NUM_CLASSES, planes=3).clone(dtype=jnp.float64)
    variables = traverse_util.unflatten_dict(flat, sep="/")
    params, batch_stats = variables["params"], variables.get("batch_stats", {})
    optimizer = optax.sgd(LEARNING_RATE, MOMENTUM)

    @jax.jit
    def step(params, batch_stats, state, images, labels):
        def loss_of(params):
            logits, updates = model.apply(
                {"params": params, "batch_stats": batch_stats},
                images,
                train=True,
                mutable=["batch_stats"],
            )
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean(), updates.get("batch_stats", {})

        (loss, batch_stats_), gradients = jax.value_and_grad(loss_of, has_aux=True)(params)
        updates, state = optimizer.update(gradients, state)
        return loss, gradients, optax.apply_updates(params, updates), batch_stats_, state

    state = optimizer.init(params)
    for _ in range(STEPS):
        loss, gradients, params, batch_stats, state = step(
            params, batch_stats, state, images, labels
        )
        yield (
            float(loss),
            traverse_util.flatten_dict({"params": gradients}, sep="/"),
            traverse_util.flatten_dict({"params": params, "batch_stats": batch_stats}, sep="/"),
        )


@pytest.mark.parametrize(
    ("name", "size"), [("alexnet", (63, 71)), ("vgg11_bn", (33, 47)), ("resnet18", (33, 47))]
)
def test_three_training_steps_equal_torchs(name, size):
    torch.manual_seed(0)
    images = np.random.default_rng(0).normal(size=(len(LABELS), *size, 3))
    labels = np.array(LABELS)
    twin = Twin(name)
    channels_first = torch.from_numpy(images).permute(0, 3, 1, 2)
    twin.eval()(channels_first)  # makes the lazy layer, leaves the running statistics
    twin.train()
    with jax.enable_x64(True):
        start = {key: jnp.array(value) for key, value in twin.variables().items()}
        ours = list(train_here(name, start, jnp.array(images), jnp.array(labels)))
    theirs = list(train_in_torch(twin, channels_first, torch.from_numpy(labels)))
    assert abs(theirs[0][0] - theirs[-1][0]) > 0.1  # something is learnt
    for step, (expected, got) in enumerate(zip(theirs, ours, strict=True)):
        assert got[0] == pytest.approx(expected[0], rel=1e-9), f"loss of step {step}"
        for want, have in zip(expected[1:], got[1:], strict=True):
            assert want.keys() == have.keys()
            for key in want:
                np.testing.assert_allclose(have[key], want[key], **TOLERANCE, err_msg=key)
