import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from convert.__main__ import main
from convert.keymaps import KEY_MAPS


def test_list_shows_every_architecture_and_what_is_converted(tmp_path, state_dict, capsys):
    source = tmp_path / "x.pth"
    torch.save(state_dict("resnet18", 12), source)
    out = tmp_path / "weights"
    command = ["resnet18", "--source", str(source), "--out", str(out), "--no-proof"]
    assert main(["convert", *command]) == 0
    (out / "vgg11.safetensors").write_bytes(b"damaged")
    capsys.readouterr()
    assert main(["convert", "--list", "--out", str(out)]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.endswith(f"converted in {out}/")
    assert [line.split()[0] for line in lines] == list(KEY_MAPS)
    rows = {line.split()[0]: line for line in lines}
    assert rows["alexnet"].split() == ["alexnet", "61,100,840", "2,469,696", "-"]
    assert rows["resnet18"].endswith("12 classes, not proven")
    assert "unusable: " in rows["vgg11"]


def test_show_prints_the_header(tmp_path, state_dict, capsys):
    source = tmp_path / "x.pth"
    torch.save({"state_dict": state_dict("resnet18")}, source)
    main(["convert", "resnet18", "--source", str(source), "--out", str(tmp_path), "--no-proof"])
    capsys.readouterr()
    assert main(["convert", "--show", str(tmp_path / "resnet18.safetensors")]) == 0
    out = capsys.readouterr().out
    for text in (
        "source      x.pth",
        "SHA-256     ",
        "parameters  11,176,512 in 100 tensors",
        "classes     none: the trunk alone",
        "licence     not stated by the source",
        "note        took 'state_dict'",
        "converter   ascjax ",
        "not proven",
    ):
        assert text in out


def test_show_of_a_file_that_says_little(tmp_path, capsys):
    path = tmp_path / "resnet18.safetensors"
    save_file({"params/trunk/x": torch.zeros(3)}, path, {"architecture": "resnet18"})
    assert main(["convert", "--show", str(path)]) == 0
    assert "licence     not stated" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which architecture?"),
        (["vgg_tiny"], "architecture: expected one of alexnet, vgg11"),
        (["resnet81"], "did you mean 'resnet18'?"),
        (["resnet18", "--sourse=x.pth"], "unknown '--sourse'; did you mean '--source'?"),
        (["vgg16", "--source", "nowhere.pth", "--no-proof"], "can't read nowhere.pth: No such"),
        (["--show", "nowhere.safetensors"], "no converted weights at nowhere.safetensors"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["convert", *arguments, "--out", "w"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") <= 2
    assert not (tmp_path / "w").exists()


def test_as_a_program(tmp_path):
    source = tmp_path / "x.pth"
    source.write_bytes(b"\x01\x02 not a checkpoint")
    command = [sys.executable, "-m", "convert", "alexnet", "--source", str(source)]
    finished = subprocess.run(
        [*command, "--out", str(tmp_path / "w"), "--no-proof"], capture_output=True, text=True
    )
    assert finished.returncode == 2
    assert finished.stderr.startswith(f"error: {source}: not a whole torch checkpoint")
    assert "Traceback" not in finished.stderr
    assert not (tmp_path / "w").exists()


def test_ascjax_imports_neither_torch_nor_convert():
    code = (
        "import sys, ascjax.weights, ascjax.models;"
        "print([m for m in sys.modules if m.split('.')[0] in ('torch', 'torchvision', 'convert')])"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert finished.stdout.strip() == "[]"
