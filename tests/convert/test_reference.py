import hashlib
import os
import sys

import pytest
import torch

from ascjax.errors import UserError
from convert import reference
from convert.keymaps import KEY_MAPS


def test_torchvision_imports_beside_any_torch():
    assert reference.import_torchvision().models.resnet18


def test_without_torchvision(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(UserError, match=r"need torch and torchvision .*or give --no-proof"):
        reference.import_torchvision.__wrapped__()


@pytest.mark.parametrize("name", KEY_MAPS)
def test_the_default_is_torchvisions(name):
    entries = reference.official(name)
    weights = reference.import_torchvision().models.get_model_weights(name)
    assert entries[0].url == weights.DEFAULT.url
    assert len(entries[0].classes) == 1000
    assert len(entries) == len(weights)
    for entry in entries:
        assert len(entry.sha256_prefix) == 8
        int(entry.sha256_prefix, 16)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Publishes a file, under a URL that needs no network, with the given digits in its name."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))

    def publish(content, digits=None):
        digits = digits or hashlib.sha256(content).hexdigest()[:8]
        source = tmp_path / f"resnet18-{digits}.pth"
        source.write_bytes(content)
        entry = reference.Official(source.as_uri(), "ResNet18_Weights.X", ("cat",))
        monkeypatch.setattr(reference, "official", lambda name: [entry])
        return tmp_path / "hub" / "checkpoints" / source.name

    return publish


def test_download_checks_the_hash_and_is_kept(published, tmp_path, capsys):
    kept = published(b"weights")
    assert reference.download("resnet18") == kept
    assert "fetching file://" in capsys.readouterr().out
    (tmp_path / kept.name).unlink()
    assert reference.download("resnet18").read_bytes() == b"weights"


def test_download_of_something_else(published):
    kept = published(b"not what was published", digits="01234567")
    with pytest.raises(UserError, match="no SHA-256 that begins with 01234567"):
        reference.download("resnet18")
    assert not list(kept.parent.iterdir())
    kept.write_bytes(b"from elsewhere")
    with pytest.raises(UserError, match="doesn't begin with 01234567, so it isn't what") as raised:
        reference.download("resnet18")
    assert f"{kept}: " in str(raised.value)


def test_partial_files_of_killed_downloads_are_removed(published):
    kept = published(b"weights")
    kept.parent.mkdir(parents=True)
    old, new, other = (
        kept.with_name(f"{stem}.partial")
        for stem in (f"{kept.name}.1", f"{kept.name}.2", "resnet34-01234567.pth.1")
    )
    for path in (old, new, other):
        path.write_bytes(b"half")
    for path in (old, other):
        os.utime(path, (0, 0))
    reference.download("resnet18")
    assert sorted(kept.parent.iterdir()) == sorted([kept, new, other])


def test_download_without_network(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    entry = reference.Official("http://127.0.0.1:9/resnet18-01234567.pth", "X", ())
    monkeypatch.setattr(reference, "official", lambda name: [entry])
    with pytest.raises(UserError, match="could not fetch http://127.0.0.1:9/") as raised:
        reference.download("resnet18")
    assert "give it with --source" in str(raised.value)
    assert not list((tmp_path / "checkpoints").iterdir())
