import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ascjax.errors import UserError
from convert import kinds

STATE = {"a": torch.ones(3)}


def test_what_is_read_is_recognised_whatever_its_suffix(tmp_path):
    path = tmp_path / "x.bin"
    save_file(STATE, path)
    assert kinds.identify(path) == kinds.SAFETENSORS
    torch.save(STATE, path)
    assert kinds.identify(path) == kinds.TORCH_ZIP
    torch.save(STATE, path, _use_new_zipfile_serialization=False)
    assert kinds.identify(path) == kinds.TORCH_LEGACY


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "an empty file"),
        (bytes(2000), "zeros at its beginning"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5 (Keras .h5)"),
        (b"\x93NUMPY\x01\x00", "a NumPy array (.npy)"),
        (b"\x08\x07\x12\x07pytorch", "an ONNX model"),
        (b"\x08\x08:\x80\x01", "an ONNX model"),
        (b"\x08\x01\x12\xc5", "a TensorFlow SavedModel"),
        (b"\x1c\x00\x00\x00TFL3", "a TensorFlow Lite model"),
        (b"GGUF\x03\x00", "a GGUF file"),
        (b"<!DOCTYPE html><title>404</title>", "a web page (HTML)"),
        (b"\xef\xbb\xbf\r\n<HTML lang=de>", "a web page (HTML)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a git-LFS pointer"),
        (b"\x1f\x8b\x08\x00", "a compressed archive"),
        (bytes(257) + b"ustar\x00", "a tar archive"),
        (b"GIF89a\x00\x01", "an image, sound or document"),
        (b"\x80\x04\x95\x10\x00", "a Python pickle that torch.save didn't write"),
        (b'{"error": "not found"}', 'text that begins \'{"error": "not found"}\''),
        ("Zugriff verweigert: ä".encode(), "text that begins"),
        (b"\x00\x91\xff\x13" * 100, "truncated, or of an unknown format"),
    ],
)
@pytest.mark.parametrize("suffix", ["pth", "ckpt"])
def test_other_files_are_named(tmp_path, content, name, suffix):
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(content)
    with pytest.raises(UserError) as raised:
        kinds.identify(path)
    assert str(path) in str(raised.value)
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("members", "name"),
    [
        (["x/data.pkl", "x/constants.pkl", "x/code/__torch__.py"], "a TorchScript archive"),
        (["x/archive_format", "x/models/model.json", "x/data.pkl"], "a torch.export archive"),
        (["config.json", "metadata.json", "model.weights.h5"], "a Keras model (.keras)"),
        (["conv1.npy"], "NumPy arrays (.npz)"),
        (["m/saved_model.pb", "m/variables/x"], "a TensorFlow SavedModel"),
        (["model.pth", "README"], "a zip archive that torch.save didn't write"),
    ],
)
def test_other_archives_are_named(tmp_path, members, name):
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(path, "w") as archive:
        for member in members:
            archive.writestr(member, "x")
    with pytest.raises(UserError, match="expected a torch checkpoint or safetensors") as raised:
        kinds.identify(path)
    assert name in str(raised.value)


def test_arrays_of_numpy_are_named(tmp_path):
    path = tmp_path / "x.pth"
    with path.open("wb") as file:
        np.savez(file, a=np.ones(3))
    with pytest.raises(UserError, match="NumPy arrays"):
        kinds.identify(path)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_truncated_archive_is_called_so(tmp_path, share):
    path = tmp_path / "x.pth"
    torch.save({"a": torch.ones(5000)}, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match="x.pth: not a whole torch checkpoint .*fetch it again"):
        kinds.identify(path)
