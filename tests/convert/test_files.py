import errno
import json
import resource
import stat
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, safe_open

from ascjax.errors import UserError
from convert import files

RNG = np.random.default_rng(0)
TENSORS = {
    "a/kernel": RNG.normal(size=(5, 3, 4)).astype(np.float32).transpose(2, 0, 1),
    "a/bias": RNG.normal(size=5).astype(np.float32),
    "b/scalar": np.array(3.0, np.float32),
    "b/kernel": RNG.normal(size=(64, 32)).astype(np.float32).T,
    "c/empty": np.zeros((0, 4), np.float32),
}


@pytest.mark.parametrize("chunk_bytes", [1, 100, 1 << 20])
def test_safetensors_own_reader_reads_it(tmp_path, monkeypatch, chunk_bytes):
    monkeypatch.setattr(files, "CHUNK_BYTES", chunk_bytes)
    path = tmp_path / "x.safetensors"
    files.write(path, TENSORS, {"source": "Größe"})
    loaded = load_file(path)
    assert loaded.keys() == TENSORS.keys()
    for key, array in TENSORS.items():
        np.testing.assert_array_equal(loaded[key], array)
        assert loaded[key].shape == array.shape


def test_half_precision_is_written_as_float32(tmp_path):
    path = tmp_path / "x.safetensors"
    half = {key: array.astype(np.float16) for key, array in TENSORS.items()}
    files.write(path, half, {})
    for key, array in load_file(path).items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, half[key])


def test_arrays_lie_aligned(tmp_path):
    path = tmp_path / "x.safetensors"
    files.write(path, TENSORS, {})
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert (8 + length) % files.ALIGNMENT == 0
    assert header["b/kernel"]["data_offsets"][0] % files.ALIGNMENT == 0


def test_metadata_is_replaced_in_place(tmp_path):
    path = tmp_path / "x.safetensors"
    files.write(path, TENSORS, {"proof": "none"})
    files.replace_metadata(path, {"proof": "x" * 1000, "more": "é"})
    with safe_open(path, "numpy") as opened:
        assert opened.metadata() == {"proof": "x" * 1000, "more": "é"}
    np.testing.assert_array_equal(load_file(path)["a/kernel"], TENSORS["a/kernel"])
    with pytest.raises(ValueError, match="the header has room for"):
        files.replace_metadata(path, {"proof": "x" * (files.HEADER_ROOM + 500)})


def test_draft_takes_its_name_at_the_end(tmp_path):
    path = tmp_path / "deep" / "folder" / "x.safetensors"
    with files.draft(path) as temporary:
        temporary.write_bytes(b"content")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert path.read_bytes() == b"content"
    assert list(path.parent.iterdir()) == [path]
    assert stat.S_IMODE(path.stat().st_mode) & 0o400


def write_half_and_raise(path, error):
    with files.draft(path) as temporary:
        temporary.write_bytes(b"half")
        raise error


@pytest.mark.parametrize("error", [UserError("no proof"), KeyboardInterrupt(), ValueError()])
def test_nothing_is_left_of_a_failed_draft(tmp_path, error):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"old")
    with pytest.raises(type(error)):
        write_half_and_raise(path, error)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_no_space_left(tmp_path):
    with pytest.raises(UserError, match=f"no space left in {tmp_path} for x.safetensors"):
        write_half_and_raise(tmp_path / "x.safetensors", OSError(errno.ENOSPC, "No space left"))
    assert not list(tmp_path.iterdir())


def test_a_write_that_the_system_cuts_off(tmp_path):
    path = tmp_path / "x.safetensors"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with (
            pytest.raises(UserError, match=f"can't write {path}: File too large"),
            files.draft(path) as temporary,
        ):
            files.write(temporary, {"a": np.ones(100_000, np.float32)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


def test_a_refused_draft_leaves_no_folder(tmp_path):
    path = tmp_path / "deep" / "folder" / "x.safetensors"
    with pytest.raises(ValueError, match="no"):
        write_half_and_raise(path, ValueError("no"))
    assert not list(tmp_path.iterdir())


def write_beside_and_raise(path):
    with files.draft(path):
        (path.parent / "other").write_text("")
        raise ValueError("no")


def test_folders_that_others_use_stay(tmp_path):
    path = tmp_path / "new" / "x.safetensors"
    with pytest.raises(ValueError, match="no"):
        write_beside_and_raise(path)
    assert [left.name for left in path.parent.iterdir()] == ["other"]


def test_a_killed_draft_is_removed_by_the_next(tmp_path):
    path = tmp_path / "x.safetensors"
    code = (
        "import os, sys; from pathlib import Path; from convert import files\n"
        "with files.draft(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)])
    assert killed.returncode == -9
    assert len(list(tmp_path.iterdir())) == 1
    with files.draft(path) as first, files.draft(path) as second:
        # What is being written stays.
        assert sorted(tmp_path.iterdir()) == sorted([first, second])
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "weights").write_text("")
    with (
        pytest.raises(UserError, match="can't write .*x.safetensors: "),
        files.draft(tmp_path / "weights" / "x.safetensors"),
    ):
        pass
