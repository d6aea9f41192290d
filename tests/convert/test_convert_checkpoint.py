import hashlib
import json
import os
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ascjax.errors import UserError
from convert.checkpoint import locate, read, sha256, to_numpy

STATE = {"conv1.weight": torch.arange(6.0).reshape(2, 3), "fc.bias": torch.ones(4)}
PARTS = [{"conv1.weight": STATE["conv1.weight"]}, {"fc.bias": STATE["fc.bias"]}]


def assert_is_state(content):
    assert content.keys() == STATE.keys()
    for key, tensor in STATE.items():
        np.testing.assert_array_equal(to_numpy(key, content[key], "x"), tensor.numpy())


@pytest.mark.parametrize("zipped", [True, False])
def test_both_of_torchs_formats(tmp_path, zipped):
    path = tmp_path / "x.pth"
    torch.save(STATE, path, _use_new_zipfile_serialization=zipped)
    checkpoint = read([path])
    assert_is_state(checkpoint.content)
    assert checkpoint.notes == []


def test_safetensors_without_torch(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    save_file(STATE, path, {"license": "CC0"})
    monkeypatch.setitem(sys.modules, "torch", None)
    checkpoint = read(locate(path))
    assert_is_state(checkpoint.content)
    assert checkpoint.metadata == {"license": "CC0"}


def test_safetensors_of_another_suffix(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    save_file(STATE, path)
    checkpoint = read(locate(path))
    assert_is_state(checkpoint.content)
    assert checkpoint.notes == ["a safetensors file by its content"]


def test_torchs_format_without_torch(tmp_path, monkeypatch):
    path = tmp_path / "x.pth"
    torch.save(STATE, path)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match="x.pth: reading torch's format needs torch: pip install"):
        read([path])


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_precisions(tmp_path, suffix, dtype):
    path = tmp_path / f"x.{suffix}"
    state = {key: tensor.to(dtype) for key, tensor in STATE.items()}
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    arrays = {key: to_numpy(key, value, "x") for key, value in read([path]).content.items()}
    assert {f"torch.{array.dtype.name}" for array in arrays.values()} == {str(dtype)}
    assert_is_state({key: array.astype(np.float32) for key, array in arrays.items()})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.ones(2).to(torch.float8_e4m3fn), "'a' is torch.strided, torch.float8_e4m3fn, cpu"),
        (torch.ones(2, 2).to_sparse(), "'a' is torch.sparse_coo"),
        (3, "'a' is int"),
    ],
)
def test_what_is_no_plain_tensor_is_described(value, message):
    with pytest.raises(UserError, match=f"x.pth: expected a state_dict .*{message}"):
        to_numpy("a", value, "x.pth")


def test_converted_already(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"params/a": torch.ones(1)}, path, {"architecture": "vgg11"})
    with pytest.raises(UserError, match="converted already: start from it with --config.init"):
        read([path])


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
@pytest.mark.parametrize("by", ["index", "folder with an index", "folder"])
def test_shards(tmp_path, suffix, by):
    names = [f"model-{i:05}-of-00002.{suffix}" for i in (1, 2)]
    for name, part in zip(names, PARTS, strict=True):
        path = tmp_path / name
        save_file(part, path) if suffix == "safetensors" else torch.save(part, path)
    index = tmp_path / f"model.{suffix}.index.json"
    if by != "folder":
        index.write_text(json.dumps({"weight_map": dict(zip(STATE, names, strict=True))}))
    files = locate(index if by == "index" else tmp_path)
    assert [path.name for path in files] == names
    checkpoint = read(files)
    assert_is_state(checkpoint.content)
    assert "read from 2 shards" in checkpoint.notes[0]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    listing = "".join(f"{d}  {n}\n" for d, n in zip(digests, names, strict=True))
    assert sha256(files) == hashlib.sha256(listing.encode()).hexdigest()
    with pytest.raises(UserError, match="is one of 2 shards: give --source its folder"):
        locate(files[0])
    files[1].unlink()
    with pytest.raises(UserError, match=f"shards are missing: {names[1]}"):
        locate(index if by == "index" else tmp_path)


def test_two_shards_with_the_same_key(tmp_path):
    for i in (1, 2):
        save_file(STATE, tmp_path / f"m-{i:05}-of-00002.safetensors")
    with pytest.raises(UserError, match="another shard holds conv1.weight, fc.bias too"):
        read(locate(tmp_path))


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 3}}', "[" * 100_000, "\xff"],
)
def test_an_index_that_is_none(tmp_path, content):
    path = tmp_path / "x.index.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(UserError, match="expected an index of shards"):
        locate(path)


@pytest.mark.parametrize("name", ["../x.safetensors", "/etc/passwd", "..", ""])
def test_an_index_names_files_beside_it_only(tmp_path, name):
    path = tmp_path / "x.index.json"
    path.write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(UserError, match="expected names of files beside it"):
        locate(path)


def test_folders(tmp_path):
    with pytest.raises(UserError, match="a folder with no checkpoint"):
        locate(tmp_path)
    save_file(STATE, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    assert locate(tmp_path) == [tmp_path / "model.safetensors"]
    torch.save(STATE, tmp_path / "model.bin")
    with pytest.raises(UserError, match="a folder with 2 checkpoints: give one of them"):
        locate(tmp_path)


def test_what_is_no_file(tmp_path):
    with pytest.raises(UserError, match=r"--source: can't read .*nowhere.pth: No such file"):
        locate(tmp_path / "nowhere.pth")
    with pytest.raises(UserError, match="--source: /dev/null is no regular file"):
        locate(type(tmp_path)("/dev/null"))
    with pytest.raises(UserError, match="--source: can't read .*: File name too long"):
        locate(tmp_path / ("x" * 300))
    unreadable = tmp_path / os.fsdecode(b"\xff.pth")
    unreadable.write_bytes(b"")
    with pytest.raises(UserError, match="its name isn't UTF-8: rename it"):
        locate(unreadable)


def test_sha256(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc" * 1000)
    assert sha256([path]) == hashlib.sha256(b"abc" * 1000).hexdigest()
