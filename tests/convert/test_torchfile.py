import argparse
import collections
import datetime
import enum
import os
import pickle
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from ascjax.errors import UserError
from convert import kinds, torchfile

ZIPPED = pytest.mark.parametrize("zipped", [True, False])


def saved(path, content, zipped):
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


class Config(dict):
    pass


class Names(list):
    pass


class Phase(enum.Enum):
    WARM_UP = 1


class Trainer:
    def __init__(self):
        self.folder, self.generator = Path("x"), np.random.default_rng(0)

    def step(self):
        pass


def config():
    made = Config(depth=50)
    made.frozen = True
    return made


BESIDE = {
    "namespace": argparse.Namespace(lr=0.1, out=Path("/x"), scale=np.float32(3)),
    "numpy scalar": np.float64(0.7),
    "numpy array": np.arange(3.0),
    "array of objects": np.array(["a", None], object),
    "random states": (random.getstate(), torch.get_rng_state(), np.random.MT19937(0).state),
    "path": Path("a/b"),
    "subclass of dict": config(),
    "subclass of list": Names(["cat", "dog"]),
    "defaultdict": collections.defaultdict(list, {"loss": [1.0]}),
    "enum": Phase.WARM_UP,
    "object": Trainer(),
    "bound method": Trainer().step,
    "date": datetime.datetime(2024, 1, 1),
    "function": torch.nn.functional.relu,
    "optimizer": torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1),
    "scheduler": torch.optim.lr_scheduler.StepLR,
}


@ZIPPED
@pytest.mark.parametrize("name", BESIDE)
def test_what_lies_beside_weights_is_skipped(tmp_path, name, zipped):
    path = saved(tmp_path / "x.pth", {"beside": BESIDE[name], "a": torch.ones(2)}, zipped)
    content, _ = torchfile.load(path, zipped=zipped)
    torch.testing.assert_close(content["a"], torch.ones(2))
    assert not isinstance(content["beside"], (argparse.Namespace, Path, Trainer, Config, Names))
    assert not any(isinstance(known, tuple) for known in torch.serialization.get_safe_globals())


def test_what_is_skipped_is_said(tmp_path):
    path = saved(tmp_path / "x.pth", {"args": BESIDE["namespace"], "net": Config()}, True)
    _, notes = torchfile.load(path, zipped=True)
    assert len(notes) == 1
    assert notes[0].startswith("skipped, unread: argparse.Namespace, pathlib.")


class Malicious:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call

    def __call__(self):
        raise AssertionError("stands for what its __reduce__ makes")


@pytest.mark.parametrize("function", [eval, os.system, exec, os.rename])
@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_code_is_never_run(tmp_path, form, function):
    path, victim = tmp_path / "x.pth", tmp_path / "victim"
    victim.write_text("untouched")
    arguments = {
        "eval": (f"open({str(victim)!r}, 'w')",),
        "exec": (f"open({str(victim)!r}, 'w')",),
        "system": (f"rm {victim}",),
        "rename": (str(victim), str(tmp_path / "gone")),
    }[function.__name__]
    content = {"a": torch.ones(2), "extra": Malicious(function, *arguments)}
    if form == "pickle":
        path.write_bytes(pickle.dumps(content["extra"]))
        with pytest.raises(UserError, match="a Python pickle"):
            kinds.identify(path)
    else:
        saved(path, content, form == "zip")
        with pytest.raises(UserError, match=rf"holds code \(.*{function.__name__}\)"):
            torchfile.load(path, zipped=form == "zip")
    assert victim.read_text() == "untouched"


def test_what_getattr_would_reach_is_never_called(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    unlink = Malicious(getattr, Malicious(Path, str(victim)), "unlink")
    path = saved(tmp_path / "x.pth", {"a": torch.ones(2), "extra": Malicious(unlink)}, True)
    with pytest.raises(UserError, match="only running its code could read"):
        torchfile.load(path, zipped=True)
    assert victim.read_text() == "untouched"


@ZIPPED
@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_truncated_within_the_pickle_or_the_data(tmp_path, zipped, share):
    path = saved(tmp_path / "x.pth", {"a": torch.ones(5000)}, zipped)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(UserError, match="not a whole torch checkpoint"):
        torchfile.load(path, zipped=kinds.identify(path) == kinds.TORCH_ZIP)


def test_every_damaged_member_is_named(tmp_path):
    path = saved(tmp_path / "x.pth", {"a": torch.ones(5000), "b": torch.rand(5000)}, True)
    whole = path.read_bytes()
    for member in ("data.pkl", "data/0", "data/1", "version"):
        damaged = bytearray(whole)
        start = whole.index(f"x/{member}".encode()) + len(f"x/{member}")
        begin = start + int.from_bytes(whole[start - len(f"x/{member}") - 2 :][:2], "little")
        damaged[begin] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=f"x.pth is damaged: its member x/{member} doesn't"):
            torchfile.verify(path)


def test_zeroed_bytes_are_noticed(tmp_path):
    path = saved(tmp_path / "x.pth", {"a": torch.rand(50_000)}, True)
    content = bytearray(path.read_bytes())
    content[100_000:104_096] = bytes(4096)
    path.write_bytes(content)
    with pytest.raises(UserError, match="its member x/data/0 doesn't have the CRC-32"):
        torchfile.load(path, zipped=True)


def test_an_archive_without_checksums_is_read_and_said(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        path = saved(tmp_path / "x.pth", {"a": torch.ones(5)}, True)
    finally:
        torch.serialization.set_crc32_options(True)
    content, notes = torchfile.load(path, zipped=True)
    assert notes == ["its members carry no checksums: damage would not be noticed"]
    torch.testing.assert_close(content["a"], torch.ones(5))


def test_compressed_members_are_refused_before_anything_is_unpacked(tmp_path):
    """Whether or not the archive states checksums: a megabyte may unpack to a gigabyte."""
    for crc in (b"", bytes(4)):
        path = tmp_path / "bomb.pth"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a/data.pkl", bytes(1 << 20))
            stated = archive.infolist()[0].CRC.to_bytes(4, "little")
        if crc:
            path.write_bytes(path.read_bytes().replace(stated, crc))
        with pytest.raises(UserError, match=r"data\.pkl is compressed"):
            torchfile.load(path, zipped=True)
