import subprocess
import sys

import torch
from safetensors.torch import save_file

from convert.__main__ import main
from convert.keymaps import KEY_MAPS


def test_list_shows_every_architecture_and_what_is_converted(tmp_path, state_dict, capsys, close):
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
    close(out)
    assert main(["convert", "--list", "--out", str(out)]) == 2
    assert capsys.readouterr().err == f"error: {out}: Permission denied\n"


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


def test_a_damaged_header_is_one_line(tmp_path, capsys):
    path = tmp_path / "alexnet.safetensors"
    large = '{"differences": {"1": {"a": [1' + "0" * 400 + ', 1]}}, "versions": {}}'
    for damaged in (
        {"proof": "{"},
        {"proof": large},
        {"class_names": "{}"},
        {"class_names": '["cat", 3]'},
    ):
        metadata = {"architecture": "alexnet", **damaged}
        save_file({"params/trunk/x": torch.zeros(3)}, path, metadata)
        assert main(["convert", "--show", str(path)]) == 2
        error = capsys.readouterr().err
        assert "in its header" in error
        assert error.endswith("damaged: convert it again\n")
        assert error.count("\n") == 1


def test_ascjax_imports_neither_torch_nor_convert():
    code = (
        "import sys, ascjax.models.weights;"
        "print([m for m in sys.modules"
        " if m.split('.')[0] in ('torch', 'torchvision', 'convert') or m == 'ascjax.convert'])"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert finished.stdout.strip() == "[]"
