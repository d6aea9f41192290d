import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ascjax import models
from ascjax.errors import UserError
from ascjax.models import weights
from convert import job, mapping, proof, reference


def convert(architecture, source, out, *, key=None, licence=None, prove=True):
    return job.convert(job.Request(architecture, source, key, licence), out, prove=prove)


@pytest.fixture
def small_proof(monkeypatch):
    monkeypatch.setattr(proof, "INPUT_SIZES", ((65, 79), (64, 64)))


def test_the_real_resnet18_of_200_classes(shared, tmp_path):
    source = shared / "weights" / "resnet18_tinyimagenet.pth"
    path = convert("resnet18", source, tmp_path)
    converted = weights.load(path)
    assert converted.metadata["classes"] == "200"
    assert converted.metadata["source"] == source.name
    assert converted.metadata["source_sha256"].startswith("5a29869b96c58341")
    result = proof.Proof.from_json(converted.metadata["proof"])
    assert result.passed
    assert list(result.differences) == ["224×224", "161×207"]

    # Fine-tuning starts from its trunk: one plane here equals three equal planes in torchvision.
    network = models.create_model("resnet18", "gap", 10)
    plane = np.random.default_rng(0).normal(size=(1, 45, 71, 1)).astype(np.float32)
    fresh = jax.eval_shape(lambda x: network.init(jax.random.key(0), x, False), plane)
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), fresh)
    variables = weights.load_weights(zeros, tmp_path, trunk="resnet18")
    run = jax.jit(lambda v, x: network.apply(v, x, False, capture_intermediates=True))
    _, captured = run(variables, plane)
    state = torch.load(source, weights_only=True)
    arrays = {key: tensor.numpy() for key, tensor in state.items()}
    (expected,) = reference.activations("resnet18", arrays, 200, [np.repeat(plane, 3, axis=-1)])
    features = captured["intermediates"]["trunk"]["__call__"][0]
    values, scale = expected["stage4"]
    np.testing.assert_allclose(features, values, atol=1e-5 * scale)


def test_the_real_backbone_of_vgg16(shared, tmp_path, small_proof):
    source = shared / "weights" / "vgg16_features_imagenet.pth"
    converted = weights.load(convert("vgg16", source, tmp_path, licence="CC BY 4.0"))
    assert converted.metadata["classes"] == "none"
    digest = "d235d4f0d8fab0b072208f8443a74e7762d3dfbee085a0fdf7426cdb1687c83c"
    assert converted.metadata["source_sha256"] == digest
    assert converted.metadata["licence"] == "CC BY 4.0"
    assert "the trunk alone" in converted.metadata["notes"]
    result = proof.Proof.from_json(converted.metadata["proof"])
    assert list(result.differences["65×79"]) == ["stage1", "stage2", "stage3", "stage4", "stage5"]
    assert len(converted.tensors) == 26


def test_a_safetensors_source_of_half_precision(tmp_path, state_dict, small_proof, capsys):
    source = tmp_path / "resnet18-0123abcd.safetensors"
    save_file({f"module.{k}": v.half() for k, v in state_dict("resnet18", 3).items()}, source)
    path = convert("resnet18", source, tmp_path / "out", licence="CC0")
    out = capsys.readouterr().out
    for text in ("removed module. from the keys", "float16 converted to float32", "passed"):
        assert text in out
    assert weights.load(path).metadata["licence"] == "CC0"


def test_a_source_is_never_written_over(tmp_path, state_dict):
    source = tmp_path / "resnet18.safetensors"
    save_file(state_dict("resnet18"), source)
    before = source.read_bytes()
    with pytest.raises(UserError, match="both .*resnet18.safetensors: give another --out"):
        convert("resnet18", source, tmp_path, prove=False)
    assert source.read_bytes() == before


def test_no_proof_needs_no_torchvision_and_is_marked(tmp_path, state_dict, monkeypatch):
    source = tmp_path / "x.safetensors"
    save_file(state_dict("resnet18"), source)

    def missing():
        raise AssertionError("torchvision was asked for")

    monkeypatch.setattr(reference, "import_torchvision", missing)
    path = convert("resnet18", source, tmp_path, prove=False)
    assert weights.load(path).metadata["proof"] == "none"


def test_a_licence_that_is_no_utf8(tmp_path):
    with pytest.raises(UserError, match=r"--licence: expected text in UTF-8, got 'caf\\udce9'"):
        convert("resnet18", tmp_path / "x.pth", tmp_path, licence="caf\udce9", prove=False)


def test_torchvisions_own_file_is_recognised(tmp_path, state_dict, small_proof, monkeypatch):
    source = tmp_path / "renamed.pth"
    torch.save(state_dict("resnet18", 3), source)
    digits = job.checkpoint.sha256([source])[:8]
    entry = reference.Official(f"https://x.org/resnet18-{digits}.pth", "V1", ("cat", "dog", "owl"))
    monkeypatch.setattr(reference, "official", lambda name: [entry])
    metadata = weights.load(convert("resnet18", source, tmp_path)).metadata
    assert metadata["source"] == f"https://x.org/resnet18-{digits}.pth (V1)"
    assert metadata["licence"].startswith("BSD-3-Clause")
    assert json.loads(metadata["class_names"]) == ["cat", "dog", "owl"]


def test_a_name_that_promises_another_hash_is_noted(tmp_path, state_dict):
    source = tmp_path / "resnet18-f37072fd.pth"
    torch.save(state_dict("resnet18", 3), source)
    metadata = weights.load(convert("resnet18", source, tmp_path, prove=False)).metadata
    assert "its name promises SHA-256 f37072fd" in metadata["notes"]


def test_a_failed_proof_leaves_nothing(tmp_path, state_dict, small_proof, monkeypatch, capsys):
    source = tmp_path / "x.pth"
    torch.save(state_dict("resnet18"), source)
    to_variables = mapping.to_variables

    def wrong(*arguments):
        variables = to_variables(*arguments)
        key = "params/trunk/stage2/unit0/conv1/conv/kernel"
        return variables._replace(
            tensors={**variables.tensors, key: variables.tensors[key].transpose(1, 0, 2, 3)}
        )

    monkeypatch.setattr(mapping, "to_variables", wrong)
    with pytest.raises(UserError, match=r"x.pth: the proof failed .*nothing was written"):
        convert("resnet18", source, tmp_path / "out")
    assert "FAILED" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["run-20231105.pth", "x-f37072fd.pth", "resnet18-F37072FD.pth"])
def test_other_names_promise_nothing(tmp_path, state_dict, name):
    source = tmp_path / name
    torch.save(state_dict("alexnet"), source)
    metadata = weights.load(convert("alexnet", source, tmp_path, prove=False)).metadata
    assert "promises" not in metadata["notes"]


def test_one_input_plane_starts_a_training(tmp_path, state_dict, small_proof):
    state = state_dict("alexnet")
    three = tmp_path / "three.pth"
    torch.save(state, three)
    one = tmp_path / "one.pth"
    plane = {"features.0.weight": state["features.0.weight"].sum(1, keepdim=True)}
    torch.save({**state, **plane}, one)
    network = models.create_model("alexnet", "gap", 4)
    image = jnp.zeros((1, 64, 64, 1))
    fresh = jax.eval_shape(lambda x: network.init(jax.random.key(0), x, False), image)
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), fresh)
    starts = [
        weights.load_weights(
            zeros, convert("alexnet", source, tmp_path / source.stem), trunk="alexnet"
        )
        for source in (three, one)
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), *starts)


def test_shards_and_the_licence_that_they_state(tmp_path, state_dict, small_proof):
    state = state_dict("alexnet")
    folder = tmp_path / "model"
    folder.mkdir()
    for i, keys in enumerate((list(state)[:4], list(state)[4:]), start=1):
        save_file({k: state[k] for k in keys}, folder / f"model-{i:05}-of-00002.safetensors")
    converted = weights.load(convert("alexnet", folder, tmp_path))
    assert converted.metadata["source"] == "model"
    assert "read from 2 shards" in converted.metadata["notes"]
    single = tmp_path / "single.safetensors"
    save_file(state, single, {"license": "MIT"})
    metadata = weights.load(convert("alexnet", single, tmp_path, prove=False)).metadata
    assert metadata["licence"] == "MIT"
    metadata = weights.load(convert("alexnet", single, tmp_path, prove=False, licence="X")).metadata
    assert metadata["licence"] == "X"


def test_tensors_that_a_small_file_claims(tmp_path, state_dict):
    source = tmp_path / "x.pth"
    one = torch.ones(1)
    state = state_dict("alexnet")
    torch.save({key: one.expand(tensor.shape) for key, tensor in state.items()}, source)
    with pytest.raises(UserError, match="x.pth claims 9,878,784 bytes of weights, but has .*:"):
        convert("alexnet", source, tmp_path / "out", prove=False)
    assert not (tmp_path / "out").exists()


def test_an_average_is_taken_by_its_key(tmp_path, state_dict):
    state = state_dict("alexnet")
    source = tmp_path / "x.pth"
    average = {f"module.{key}": tensor + 1 for key, tensor in state.items()}
    torch.save({"model": state, "model_ema": average}, source)
    path = convert("alexnet", source, tmp_path, key="model_ema", prove=False)
    bias = weights.load(path).tensors["params/trunk/stage1/conv/bias"]
    np.testing.assert_array_equal(bias, state["features.0.bias"].numpy() + 1)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "num_classes"), [("vgg11", 4), ("resnet152", 5)])
def test_large_ones(tmp_path, state_dict, name, num_classes):
    source = tmp_path / "x.pth"
    torch.save(state_dict(name, num_classes), source)
    assert weights.load(convert(name, source, tmp_path)).metadata["classes"] == str(num_classes)
