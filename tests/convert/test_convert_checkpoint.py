import hashlib
import os
import pickle
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ascjax.errors import UserError
from convert.checkpoint import read, sha256

STATE = {"conv1.weight": torch.arange(6.0).reshape(2, 3), "fc.bias": torch.ones(4)}


def assert_is_state(tensors):
    assert tensors.keys() == STATE.keys()
    for key, tensor in STATE.items():
        np.testing.assert_array_equal(tensors[key], tensor.numpy())


@pytest.mark.parametrize("zipped", [True, False])
def test_both_of_torchs_formats(tmp_path, zipped):
    path = tmp_path / "x.pth"
    torch.save(STATE, path, _use_new_zipfile_serialization=zipped)
    tensors, notes = read(path)
    assert_is_state(tensors)
    assert notes == []


def test_safetensors_without_torch(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    save_file(STATE, path)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert_is_state(read(path).tensors)


def test_torchs_format_without_torch(tmp_path, monkeypatch):
    path = tmp_path / "x.pth"
    torch.save(STATE, path)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match="x.pth: reading torch's format needs torch: pip install"):
        read(path)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_precisions(tmp_path, suffix, dtype):
    path = tmp_path / f"x.{suffix}"
    state = {key: tensor.to(dtype) for key, tensor in STATE.items()}
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    tensors = read(path).tensors
    assert {f"torch.{array.dtype.name}" for array in tensors.values()} == {str(dtype)}
    assert_is_state({key: array.astype(np.float32) for key, array in tensors.items()})


def test_wrapped_and_prefixed(tmp_path):
    path = tmp_path / "x.pth"
    inner = {f"module.{key}": torch.nn.Parameter(tensor) for key, tensor in STATE.items()}
    torch.save({"epoch": 3, "state_dict": inner, "optimizer": {"lr": 0.1}}, path)
    tensors, notes = read(path)
    assert_is_state(tensors)
    assert notes == [
        "unwrapped 'state_dict'",
        "removed module. from the keys (DataParallel, torch.compile or such)",
    ]


def test_features_alone_in_data_parallel(tmp_path):
    path = tmp_path / "x.pth"
    names = ("features.module.0.weight", "_orig_mod.module.classifier.0.weight", "submodule.a")
    torch.save({name: torch.ones(1) for name in names}, path)
    tensors, _ = read(path)
    assert list(tensors) == ["features.0.weight", "classifier.0.weight", "submodule.a"]


def test_keys_that_would_collide_stay(tmp_path):
    path = tmp_path / "x.pth"
    torch.save({"module.a": torch.ones(1), "a": torch.ones(1)}, path)
    assert read(path).tensors.keys() == {"module.a", "a"}


def test_wrappers_in_wrappers(tmp_path):
    path = tmp_path / "x.pth"
    torch.save({"model": {"state_dict": {"model.a": torch.ones(1)}}}, path)
    tensors, notes = read(path)
    assert list(tensors) == ["a"]
    assert notes[:2] == ["unwrapped 'model'", "unwrapped 'state_dict'"]


def test_what_is_no_plain_tensor_is_described(tmp_path):
    path = tmp_path / "x.pth"
    torch.save({"a": torch.ones(2).to(torch.float8_e4m3fn)}, path)
    with pytest.raises(UserError, match="'a' is torch.strided, torch.float8_e4m3fn, cpu"):
        read(path)


def test_converted_already(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"params/a": torch.ones(1)}, path, {"architecture": "vgg11"})
    with pytest.raises(UserError, match="converted already: start from it with --config.init"):
        read(path)


class Malicious:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("function", [eval, os.system])
@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_code_is_never_run(tmp_path, form, function):
    path, victim = tmp_path / "x.pth", tmp_path / "victim"
    action = f"open({str(victim)!r}, 'w')" if function is eval else f"touch {victim}"
    content = {**STATE, "extra": Malicious(function, action)}
    if form == "pickle":
        path.write_bytes(pickle.dumps(content["extra"]))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    name = function.__name__
    message = "not a whole torch checkpoint" if form == "pickle" else rf"holds code \(.*{name}\)"
    with pytest.raises(UserError, match=message):
        read(path)
    assert not victim.exists()


def test_a_whole_module_is_code(tmp_path):
    path = tmp_path / "x.pth"
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(UserError, match=r"holds code .*Linear.*save model.state_dict\(\) alone"):
        read(path)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_truncated_files(tmp_path, zipped, share):
    path = tmp_path / "x.pth"
    torch.save({"a": torch.ones(5000)}, path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match="x.pth: not a whole torch checkpoint"):
        read(path)


@pytest.mark.parametrize("content", [b"GIF89a...", b"<html>404</html>", b"PK\x03\x04 no archive"])
def test_other_files(tmp_path, content):
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match="x.pth: not a whole torch checkpoint"):
        read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.ones(1)], "expected a state_dict .*, got a list"),
        ({1: torch.ones(1)}, "expected a state_dict .*, got a dict"),
        ({}, "no tensors in it"),
        ({"a": torch.ones(1), "epoch": 3}, "but 'epoch' is int"),
        ({"a": torch.ones(2, 2).to_sparse()}, "but 'a' is torch.sparse_coo"),
    ],
)
def test_no_state_dict(tmp_path, content, message):
    path = tmp_path / "x.pth"
    torch.save(content, path)
    with pytest.raises(UserError, match=message):
        read(path)


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / "nowhere.pth", tmp_path):
        with pytest.raises(UserError, match=f"--source: can't read {path}"):
            read(path)


def test_sha256(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc" * 1000)
    assert sha256(path) == hashlib.sha256(b"abc" * 1000).hexdigest()
