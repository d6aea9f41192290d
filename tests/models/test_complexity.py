import jax
import jax.numpy as jnp
import pytest
import torch
from flax import linen as nn
from torch.utils.flop_counter import FlopCounterMode

from ascjax import models
from ascjax.compute import convolution
from ascjax.models import complexity, resnet, vgg
from ascjax.models.layers import conv
from convert.reference import import_torchvision


def products_of_vgg16(height, width, planes, scenes):
    """By hand: nine products and a bias a position and channel out; padding counts."""
    total = 0
    for num_convs, channels in zip(vgg.NUM_CONVS["vgg16"], (64, 128, 256, 512, 512), strict=True):
        for _ in range(num_convs):
            total += height * width * channels * (9 * planes + 1)
            planes = channels
        height, width = height // 2, width // 2
    return total + 513 * scenes


def test_vgg16_takes_the_products_counted_by_hand_and_by_the_literature():
    network = models.create_model("vgg16", "gap", 1000, planes=3)
    macs = complexity.of_example(network, (224, 224)).macs
    assert macs == products_of_vgg16(224, 224, 3, 1000)
    # 15.47 billion with the three dense layers that the trunk lacks (torchvision's model page).
    assert macs + 123.6e6 - 513_000 == pytest.approx(15.47e9, rel=1e-3)


@pytest.mark.parametrize("trunk", ["alexnet", "vgg16", "resnet18", "resnet50"])
def test_operations_are_those_that_torch_and_nessi_count_in_torchvisions_networks(trunk):
    with torch.device("meta"):
        network = import_torchvision().models.get_model(trunk, weights=None, num_classes=10)
        if hasattr(network, "features"):
            features = network.features
            pooled = torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.LazyLinear(10)
            network = torch.nn.Sequential(features, *pooled)
        beside = []  # what torchinfo, NeSsi's counter, adds to the products

        def add(layer, _, output):
            if isinstance(layer, torch.nn.BatchNorm2d):
                beside.append(2 * layer.num_features)
            elif getattr(layer, "bias", None) is not None:
                beside.append(output.numel())

        for layer in network.modules():
            layer.register_forward_hook(add)
        with FlopCounterMode(display=False) as counter:
            network.eval()(torch.zeros(1, 3, 128, 216))
    ours = models.create_model(trunk, "gap", 10, planes=3)
    macs = complexity.of_example(ours, (128, 216)).macs
    assert macs == counter.get_total_flops() / 2 + sum(beside)


def test_the_small_network_takes_what_torchinfo_counts():
    # torchinfo 1.8.0 on the same five layers with biases and BatchNorm in PyTorch, input 1×128×44.
    network = models.create_model("vgg_micro", "gap", 10)
    assert complexity.of_example(network, (128, 44)).macs == 15_421_898


class Sketch(nn.Module):
    """A layer and the wider one after it, joined to its own input."""

    convolutions: str = "auto"

    @nn.compact
    def __call__(self, x, train=False):
        with convolution.use(self.convolutions):
            first = nn.relu(conv(4, 3, padding=1)(x))
            wide = nn.relu(conv(16, 3, padding=1)(first))
        return nn.Dense(3)((wide[..., :4] + first).mean((1, 2)))


def test_activations_live_until_their_last_use():
    found = complexity.of_example(Sketch(), (10, 20))
    # The first layer's output is needed again after the second's, and ReLU writes over its input.
    assert found.peak_activation_bytes == 4 * 200 * (4 + 16)
    assert found.macs == 200 * (4 * (9 + 1) + 16 * (9 * 4 + 1)) + 3 * (4 + 1)


class Branches(nn.Module):
    """Four layers of one input, side by side."""

    convolutions: str = "auto"

    @nn.compact
    def __call__(self, x, train=False):
        with convolution.use(self.convolutions):
            branches = [nn.relu(conv(4, 3, padding=1)(x)) for _ in range(4)]
        return nn.Dense(3)(jnp.concatenate(branches, -1).mean((1, 2)))


class Chain(nn.Module):
    """Layers one after the other, the widest in the middle."""

    convolutions: str = "auto"

    @nn.compact
    def __call__(self, x, train=False):
        with convolution.use(self.convolutions):
            for channels in (8, 2, 40, 40, 8):
                x = nn.relu(conv(channels, 3, padding=1)(x))
        return nn.Dense(3)(x.mean((1, 2)))


class Bottlenecks(nn.Module):
    """Two of ResNet-50's units on four planes."""

    convolutions: str = "auto"

    @nn.compact
    def __call__(self, x, train=False):
        with convolution.use(self.convolutions):
            x = resnet.Stage(2, 4, stride=1, bottleneck=True)(conv(4, 3, padding=1)(x), train)
        return nn.Dense(3)(x.mean((1, 2)))


@pytest.mark.parametrize(
    ("network", "planes"),
    [
        (Branches(), 4 * 4 + 16),  # what is joined, and the whole
        (Chain(), 40 + 40),
        (Bottlenecks(), 4 + 16 + 16),  # the first one's input, and the two that are added
    ],
)
def test_what_layers_of_one_shape_give_is_counted_apart(network, planes):
    # JAX traces ReLU once for each shape; what its calls return are different arrays.
    assert complexity.of_example(network, (10, 20)).peak_activation_bytes == 4 * 200 * planes


def test_half_the_precision_takes_half_the_memory():
    # BatchNorm computes in float32 in both.
    whole, half = (
        complexity.of_example(
            models.create_model("vgg_micro", "gap", 3, compute_dtype=dtype), (64, 64)
        )
        for dtype in ("float32", "bfloat16")
    )
    assert (half.macs, 2 * half.peak_activation_bytes) == (whole.macs, whole.peak_activation_bytes)


class Loop(nn.Module):
    """A dense layer applied five times."""

    convolutions: str = "auto"

    @nn.compact
    def __call__(self, x, train=False):
        kernel = self.param("kernel", nn.initializers.ones, (7, 7))
        x = x.reshape(len(x), -1)
        return jax.lax.scan(lambda y, _: (jnp.tanh(y @ kernel), None), x, length=5)[0]


def test_a_loop_counts_as_often_as_it_runs():
    assert complexity.of_example(Loop(), (7, 1)).macs == 5 * 49
