"""The files of the bad-input catalogue: recordings, sets, runs, configs and checkpoints, each bad.

`make` fills a folder with all of them, beside a good set, run and recording that only links cost.
"""

import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import tiny_set
import torch
from safetensors.torch import save_file


def make(folder: Path, run: Path, data: Path) -> None:
    """Fills ``folder``; ``run`` and ``data`` are a finished run and its set."""
    shutil.copytree(data, folder / "set", copy_function=os.link)
    _audio(folder / "audio", folder / "set/bus/1-000-A.wav")
    _sets(folder / "sets", folder / "set")
    _runs(folder / "runs", run)
    _sweeps(folder / "sweeps")
    _configs(folder / "configs")
    _sources(folder / "sources")


def _wave(**fields: int) -> bytes:
    """Returns a RIFF header of these fields with 16 bytes of samples."""
    made = {"format": 1, "columns": 1, "rate": 16_000, "bits": 16, "length": 16, **fields}
    block = made["columns"] * made["bits"] // 8
    head = struct.pack(
        "<4sI4s4sIHHIIHH", b"RIFF", 36 + made["length"], b"WAVE", b"fmt ", 16, made["format"],
        made["columns"], made["rate"], made["rate"] * block % 2**32, block % 2**16, made["bits"],
    )  # fmt: skip
    return head + b"data" + struct.pack("<I", made["length"]) + bytes(range(16))


def _audio(folder: Path, good: Path) -> None:
    folder.mkdir()
    content = good.read_bytes()
    for name, made in {
        "empty.wav": b"",
        "text.wav": b"no sound at all, but some text that goes on for more than 44 bytes",
        "page.mp3": b"<!DOCTYPE html><html><body>404</body></html>",
        "zeros.flac": bytes(4_000),
        "cut.wav": content[: len(content) // 2],
        "header.wav": content[:44],
        "head.wav": content[:20],
        "no_rate.wav": _wave(rate=0),
        "no_columns.wav": _wave(columns=0),
        "codec.wav": _wave(format=0x6771),
        "huge.wav": _wave(length=10**9),
        "rf64.wav": b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0",
        "junk.ogg": b"OggS" + bytes(range(256)) * 8,
        "junk.flac": b"fLaC" + bytes(range(256)) * 8,
    }.items():
        (folder / name).write_bytes(made)
    samples = np.full(32_000, 0.1)
    samples[7] = np.nan
    soundfile.write(folder / "nan.wav", samples, 16_000, subtype="FLOAT")
    samples[7] = 1e38
    soundfile.write(folder / "loud.wav", samples, 16_000, subtype="FLOAT")
    soundfile.write(folder / "none.wav", np.zeros((0, 1)), 16_000)
    soundfile.write(folder / "slow.wav", np.zeros(30), 1)
    (folder / "dangling.wav").symlink_to("nowhere.wav")
    (folder / "folder.wav").mkdir()
    (folder / "nothing").mkdir()
    (folder / "notes").mkdir()
    (folder / "notes" / "notes.txt").write_text("no sound")


def _sets(folder: Path, good: Path) -> None:
    folder.mkdir()
    bus, park = sorted((good / "bus").iterdir()), sorted((good / "park").iterdir())

    def linked(name: str, **recordings: list[Path]) -> Path:
        for scene, files in recordings.items():
            (folder / name / scene).mkdir(parents=True)
            for file in files:
                os.link(file, folder / name / scene / file.name)
        return folder / name

    def table(name: str, head: str, *rows: str, encoding: str = "utf-8") -> None:
        (folder / name).write_text("\n".join([head, *rows]), encoding=encoding)

    (folder / "empty").mkdir()
    (folder / "table.csv").mkdir()
    linked("one_scene", bus=bus)
    linked("spellings", bus=bus[:4], Bus=park[:4])
    (folder / "no_audio").mkdir()
    (folder / "no_audio" / "a.txt").write_text("")
    broken = linked("broken", bus=bus, park=park)
    (broken / "bus" / bus[0].name).unlink()
    (broken / "bus" / bus[0].name).write_bytes(b"not a sound, but long enough to be taken for one")
    leaky = linked("leaky", bus=bus, park=park)
    shutil.copy(bus[0], leaky / "bus" / "2-900-A.wav")
    all_bad = folder / "all_bad"
    for scene in ("bus", "park"):
        (all_bad / scene).mkdir(parents=True)
        for i in range(4):
            (all_bad / scene / f"{1 + i % 2}-{i}.wav").write_text("no sound")
    linked("few", bus=bus[:2], park=park[:2])
    rows = [f"{file},{file.parent.name},{1 + i % 2}" for i, file in enumerate((*bus, *park))]
    table("no_scene.csv", "path,colour,fold", *rows)
    table("twice.csv", "path,scene,fold", *rows, rows[0])
    table("no_label.csv", "path,scene,fold", *rows, f"{bus[0]}.wav,,1")
    table("fold.csv", "path,scene,fold", *rows, f"{bus[0]}.wav,bus,one")
    table("missing.csv", "path,scene,fold", *rows, "nowhere.wav,bus,1")
    table("outside.csv", "path,scene,fold", *rows, "../../../etc/hosts.wav,bus,1")
    table("short.csv", "path,scene,fold", *rows, f"{bus[0]}")
    table("head.csv", "path,scene,fold")
    table("latin.csv", "path,scene,fold", *rows, f"{bus[0]}é.wav,bus,1", encoding="latin-1")
    table("good.csv", "path,scene,fold", *rows)
    (folder / "zeros.csv").write_bytes(bytes(300))
    (folder / "nothing.csv").write_bytes(b"")


def _runs(folder: Path, good: Path) -> None:
    folder.mkdir()

    def copied(name: str) -> Path:
        return Path(shutil.copytree(good, folder / name, copy_function=os.link))

    def changed(name: str, file: str, change: Callable[[bytes], bytes]) -> None:
        path = copied(name) / file
        content = path.read_bytes()
        path.unlink()  # the others have it too
        path.write_bytes(change(content))

    def edited(name: str, file: str, *keys: str, value: object) -> None:
        def edit(content: bytes) -> bytes:
            whole = made = json.loads(content)
            for key in keys[:-1]:
                made = made[key]
            if value is None:
                del made[keys[-1]]
            else:
                made[keys[-1]] = value
            return json.dumps(whole).encode()

        changed(name, file, edit)

    copied("good")
    (folder / "empty").mkdir()
    (copied("unfinished") / "results.json").unlink()
    (copied("no_info") / "run.json").unlink()
    (copied("no_model") / "model.safetensors").unlink()
    (copied("no_posteriors") / "posteriors.npz").unlink()
    (copied("no_config") / "config.json").unlink()
    for file in ("results", "run", "config"):
        changed(f"cut_{file}", f"{file}.json", lambda content: content[: len(content) // 2])
        changed(f"list_{file}", f"{file}.json", lambda _: b"[]")
        changed(f"deep_{file}", f"{file}.json", lambda _: b"[" * 100_000)
        changed(f"bytes_{file}", f"{file}.json", lambda _: bytes([255, 254, 0, 7]))
    changed("cut_model", "model.safetensors", lambda content: content[:-100])
    changed("flipped_model", "model.safetensors", _flipped)
    changed("cut_posteriors", "posteriors.npz", lambda content: content[: len(content) // 2])
    changed("other_posteriors", "posteriors.npz", lambda _: _npz(posteriors=np.zeros(3)))
    edited("newer_results", "results.json", "format", value=99)
    edited("newer_run", "run.json", "format", value=99)
    edited("wrong_type", "results.json", "accuracy", value=[1, 2])
    edited("wrong_nested", "results.json", "accuracy", "correct", value="many")
    edited("wrong_count", "results.json", "recordings", value=7)
    edited("no_scenes", "run.json", "scenes", value=None)
    edited("other_scenes", "run.json", "scenes", value=["bus", "park"])
    edited("front_end", "run.json", "front_end", "sample_rate_hz", value="fast")
    edited("front_end_key", "run.json", "front_end", "colour", value=3)
    edited("front_end_lacks", "run.json", "front_end", "num_mels", value=None)
    edited("front_end_name", "run.json", "front_end", "name", value="mfcc")
    edited("nan", "run.json", "normalisation", "mean", value=[float("nan")] * 40)
    edited("bands", "run.json", "normalisation", "mean", value=[0.0] * 3)
    edited("trunk", "run.json", "model", "trunk", value="vgg61")
    edited("trunk_of_another", "run.json", "model", "trunk", value="vgg13")
    edited("channel", "run.json", "channels", value=["middle"])
    changed("empty_config", "config.json", lambda _: b"{}")
    edited("data_config", "config.json", "data", value=3)
    edited("fragments", "run.json", "fragments", value=10**6)
    edited("duration", "run.json", "duration_s", value=-1.0)
    (folder / "file").write_text("no run")
    fold = folder / "folds" / "fold1"
    shutil.copytree(good, fold, copy_function=os.link)
    (fold / "results.json").unlink()


def _flipped(content: bytes) -> bytes:
    made = bytearray(content)
    made[-1_000] ^= 4
    return bytes(made)


def _npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _sweeps(folder: Path) -> None:
    for name, content in {
        "cut": b'{"format": 1',
        "deep": b"[" * 100_000,
        "list": b"[]",
        "newer": b'{"format": 99}',
        "lacks": b'{"tables": []}',
        "null": _sweep(data_root="a\0b"),
        "no_folds": _sweep(limits={"folds": [], "impossible": {}}),
    }.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "sweep.json").write_bytes(content)


def _sweep(**changed: object) -> bytes:
    made = {"format": 2, "tables": ["1"], "seeds": 1, "folds": None, "data_root": "x"}
    return json.dumps({**made, **changed}).encode()


def _configs(folder: Path) -> None:
    folder.mkdir()
    common = (
        "from ascjax.configs import common\n\n\ndef get_config():\n    c = common.get_config()\n"
    )
    for name, text in {
        "syntax": "def get_config(:",
        "no_function": "x = 1",
        "raises": "def get_config():\n    raise KeyError('x')",
        "a_dict": "def get_config():\n    return {'seed': 0}",
        "more": f"{common}    c.colour = 3\n    return c",
        "less": f"{common}    del c.seed\n    return c",
        "type": f"{common}    c.unlock()\n    c.seed = 'one'\n    return c",
        "exits": "import sys\nsys.exit(3)",
    }.items():
        (folder / f"{name}.py").write_text(text)


def _sources(folder: Path) -> None:
    folder.mkdir()
    for name, content in {
        "empty.pth": b"",
        "page.pth": b"<html>404</html>",
        "pointer.safetensors": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "keras.h5": b"\x89HDF\r\n\x1a\n" + bytes(64),
        "model.onnx": b"\x08\x07\x12\x07pytorch\x1a\x051.9.0",
        "array.npy": b"\x93NUMPY\x01\x00" + bytes(64),
        "noise.ckpt": bytes(range(256)) * 8,
        "zeros.pth": bytes(4_000),
        "short.safetensors": b"\x40\x00\x00\x00\x00\x00\x00\x00{}",
        "weights.index.json": b"{}",
        "gone.index.json": b'{"weight_map": {"a": "gone.safetensors"}}',
        "up.index.json": b'{"weight_map": {"a": "../x.safetensors"}}',
        "pickle.pth": pickle.dumps({"a": 1}),
        "arrays.pth": _npz(a=np.ones(3)),
        "x-00001-of-00002.pth": b"a shard",
    }.items():
        (folder / name).write_bytes(content)
    one = torch.ones(3)
    for name, state in {
        "list.pth": [one],
        "number.pth": 3,
        "no_tensors.pth": {"epoch": 3},
        "module.pth": torch.nn.Linear(2, 2),
        "code.pth": {"state_dict": {"a": one}, "x": _Code()},
    }.items():
        torch.save(state, folder / name)
    whole = io.BytesIO()
    torch.save({"a": torch.ones(5_000)}, whole)
    (folder / "cut.pth").write_bytes(whole.getvalue()[:9_000])
    zeroed = bytearray(whole.getvalue())
    zeroed[8_192:12_288] = bytes(4_096)
    (folder / "zeroed.pth").write_bytes(zeroed)
    save_file({"a": one}, folder / "converted.safetensors", {"architecture": "alexnet"})
    header = {"architecture": "alexnet", "proof": "{"}
    save_file({"params/trunk/x": one}, folder / "proof.safetensors", header)
    with zipfile.ZipFile(folder / "script.pt", "w") as archive:
        for member in ("x/data.pkl", "x/constants.pkl", "x/code/__torch__.py"):
            archive.writestr(member, "x")
    (folder / "nothing").mkdir()
    tiny_set.write_wave(folder / "sound.pth.wav", seconds=0.1).rename(folder / "sound.pth")


class _Code:
    def __reduce__(self):
        return os.mkdir, ("pwned",)
