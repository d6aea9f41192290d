"""Files to begin with, and files that failed once, made by code and a few kilobytes at most."""

import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import soundfile
from safetensors.numpy import save

SHIPPED = Path(__file__).parents[2] / "ascjax" / "shipped" / "esc10"
# What the first byte of `run` chooses.
RUN_FILES = (
    "run.json",
    "results.json",
    "config.json",
    "metrics.jsonl",
    "sweep.json",
    "a.index.json",
)
_DEEP = 100_000  # brackets: far beyond what Python's stack takes

_TABS = (
    "audio/0.wav\tbus\tx-1\naudio/1.wav\tpark\tx-2\naudio/2.wav\tbus\tx-3\naudio/3.wav\tpark\tx-4\n"
)
_ROWS = [line.split("\t")[:2] for line in _TABS.splitlines()]
# Published sets whose lists are fuzzed: file → content.
SETS = (
    {
        "meta.csv": f"filename\tscene_label\tidentifier\n{_TABS}",
        "evaluation_setup/fold1_train.csv": "filename\tscene_label\n"
        + "".join(f"{name}\t{scene}\n" for name, scene in _ROWS[:2]),
        "evaluation_setup/fold1_evaluate.csv": "filename\tscene_label\n"
        + "".join(f"{name}\t{scene}\n" for name, scene in _ROWS[2:]),
    },
    {
        "meta.txt": _TABS,
        "evaluation_setup/fold1_train.txt": "".join(f"{n}\t{s}\n" for n, s in _ROWS[:2]),
        "evaluation_setup/fold1_evaluate.txt": "".join(f"{n}\t{s}\n" for n, s in _ROWS[2:]),
    },
    {
        "meta/esc50.csv": "filename,fold,target,category,esc10,src_file,take\n"
        + "".join(
            f"{i}.wav,{i % 2 + 1},0,{'bus' if i < 4 else 'park'},True,{i},A\n" for i in range(8)
        ),
    },
    {
        "metadata/UrbanSound8K.csv": "slice_file_name,fsID,start,end,salience,fold,classID,class\n"
        + "".join(
            f"{i}.wav,{i},0,1,1,{i % 2 + 1},0,{'bus' if i < 4 else 'park'}\n" for i in range(8)
        ),
    },
)


def _tone(num_samples: int = 600, num_columns: int = 1) -> np.ndarray:
    time = np.arange(num_samples)[:, None]
    return 0.3 * np.sin(0.05 * time * (1 + np.arange(num_columns)))


def _sound(container: str, subtype: str | None = None, *, rate: int = 16_000, **tone: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, _tone(**tone), rate, format=container, subtype=subtype)
    return file.getvalue()


def wav() -> list[bytes]:
    """Wav files of every usual kind, and the other containers of plain samples."""
    kinds = [
        ("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("WAVEX", "PCM_16"),
        ("RF64", "PCM_16"), ("W64", "PCM_16"), ("AIFF", "PCM_16"), ("CAF", "PCM_16"),
        ("AU", "PCM_16"), ("WAV", "ULAW"), ("WAV", "MS_ADPCM"),
        ("WAV", "IMA_ADPCM"), ("WAV", "GSM610"), ("CAF", "ALAC_16"),
    ]  # fmt: skip
    return [*(_sound(*kind) for kind in kinds), _sound("WAV", num_columns=2)]


def failed_wav() -> list[bytes]:
    """Headers that lie, and samples no recording has."""
    plain, rf64, w64 = (_sound(name, "PCM_16") for name in ("WAV", "RF64", "W64"))
    size = plain.index(b"data") + 4
    long = w64.index(b"data") + 16
    with_nan = np.where(np.arange(600) == 7, np.nan, 0.1)
    floats = io.BytesIO()
    soundfile.write(floats, with_nan, 16_000, format="WAV", subtype="FLOAT")
    loud = bytearray(_sound("WAV", "FLOAT"))
    loud[-4:] = struct.pack("<f", 1e37)
    return [
        rf64[:22],
        _sound("WAV", "GSM610", rate=8_000),
        _sound("WAV", rate=1),
        _sound("WAV", num_columns=1_000, num_samples=4),
        *(
            plain[:size] + struct.pack("<I", value) + plain[size + 4 :]
            for value in (0, 2**31, 2**32 - 1)
        ),
        w64[:long] + struct.pack("<Q", 10**12) + w64[long + 8 :],
        floats.getvalue(),
        bytes(loud),
    ]


def flac() -> list[bytes]:
    """FLAC files of one column and of two, and in Ogg."""
    return [
        _sound("FLAC", "PCM_16"),
        _sound("FLAC", "PCM_24", num_columns=2),
        _sound("FLAC", "PCM_S8"),
    ]


def failed_flac() -> list[bytes]:
    """A header that gives no length, one that claims 60e9 samples, and minutes of silence."""
    sound = _sound("FLAC", "PCM_16")

    def claims(num_samples: int) -> bytes:
        packed = int.from_bytes(sound[18:26], "big") >> 36 << 36 | num_samples
        return sound[:18] + packed.to_bytes(8, "big") + bytes(16) + sound[42:]

    silence = io.BytesIO()
    soundfile.write(silence, np.zeros(8_000_000, np.int16), 48_000, format="FLAC")
    return [claims(0), claims(60 * 10**9), claims(2**36 - 1), silence.getvalue()]


def ogg() -> list[bytes]:
    """Vorbis and Opus."""
    return [_sound("OGG", "VORBIS"), _sound("OGG", "OPUS"), _sound("OGG", "VORBIS", num_columns=2)]


def mp3() -> list[bytes]:
    """Layer III, one column and two."""
    return [_sound("MP3", num_samples=2_000), _sound("MP3", num_samples=2_000, num_columns=2)]


def failed_mp3() -> list[bytes]:
    """Without its first frame, which says how long it is."""
    return [_sound("MP3", num_samples=6_000)[288:]]


def table() -> list[bytes]:
    """Tables in several dialects."""
    rows = [(f"{i}.wav", "bus" if i < 5 else "park", i % 5 + 1, f"x-{i}") for i in range(10)]
    head = ("path", "scene", "fold", "location")

    def lines(between: str, columns: int) -> str:
        return "".join(between.join(map(str, row[:columns])) + "\n" for row in (head, *rows))

    return [
        lines(",", 4).encode(), lines("\t", 3).encode(), lines(";", 2).encode("utf-8-sig"),
        lines(",", 3).encode("utf-16"), lines(",", 2).replace("bus", '"b,us"').encode(),
    ]  # fmt: skip


def failed_table() -> list[bytes]:
    """Names that no file can have, and tables that are none."""
    return [
        b"path,scene\n0.wav,a\na\0b/x.wav,b\n",
        b"path,scene\n0.wav,a\n" + b"y" * 5_000 + b"/z.wav,b\n",
        b"path,scene\n0.wav,a\n../../../../dev/zero,b\n",
        b'path,scene\n"' + b"a" * 200_000,
        b"\xff\xfe\0\xd8",
        b"path,scene\n0.wav,a\ncaf\xe9.wav,b\n",
        b"path,scene,fold\n0.wav,a," + b"9" * 5_000 + b"\n1.wav,b,1\n",
    ]


def folds() -> list[bytes]:
    """The lists of published sets, each behind the number that chooses it."""
    texts = [text for files in SETS for text in files.values()]
    return [bytes([number]) + text.encode() for number, text in enumerate(texts)]


def failed_folds() -> list[bytes]:
    """A name with a null byte in the first list."""
    return [b"\0filename\tscene_label\na\0b/x.wav\tbus\n"]


def run() -> list[bytes]:
    """A run's JSON files, each behind the number that chooses it."""
    line = '{"step": 1, "epoch": 1, "train/loss": 1.5}\n'
    sweep = {"format": 1, "data_root": "data", "tables": ["1"], "seeds": 1, "folds": None}
    index = {"weight_map": {"a": "b.safetensors"}}
    return [
        b"\0" + (SHIPPED / "run.json").read_bytes(),
        b"\1" + (SHIPPED / "results.json").read_bytes(),
        b'\2{"data": {"fold": 1}}',
        b"\3" + 2 * line.encode(),
        b"\4" + json.dumps(sweep).encode(),
        b"\5" + json.dumps(index).encode(),
    ]


def failed_run() -> list[bytes]:
    """Nested deeper than Python's stack; a name longer than names can be."""
    numbers = range(len(RUN_FILES))
    deep = [bytes([n]) + text * _DEEP for n in numbers for text in (b"[", b'{"a":')]
    long = b'\5{"weight_map": {"a": "' + b"x" * 300 + b'"}}'
    return [*deep, long, b"\3{}\n", b"\3" + b"[" * _DEEP + b"\n"]


def npz() -> list[bytes]:
    """The arrays that are asked for, stored and compressed."""
    arrays = {
        "posteriors": np.full((2, 1, 1, 2), 0.5, np.float32),
        "label": np.arange(2),
    }
    files = io.BytesIO(), io.BytesIO()
    np.savez(files[0], **arrays)
    np.savez_compressed(files[1], **arrays)
    return [file.getvalue() for file in files]


def failed_npz() -> list[bytes]:
    """Zeros that unpack to 64 MB, a header that claims a terabyte, and broken headers."""
    small = npz()[1]
    return [
        _zip({"posteriors.npy": _npy("(268435456,)"), "label.npy": _npy("(1,)")}, zeros=2**26),
        *(
            _zip({"posteriors.npy": _npy(shape), "label.npy": _npy("(1,)")})
            for shape in ("(10**12,)", "(1000000000000,)", "(-1,)", "(" * 500, "'''", "\0")
        ),
        small[: len(small) // 2],
    ]


def _npy(shape: str) -> bytes:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


def _zip(members: dict[str, bytes], *, zeros: int = 0, crc: bool = True) -> bytes:
    """Packs members, the first followed by zeros; without ``crc`` no checksum is stated."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            with archive.open(name, "w") as member:
                member.write(content)
                for _ in range(0, zeros, 2**20):
                    member.write(bytes(2**20))
            zeros = 0
    data = file.getvalue()
    if not crc:
        for info in zipfile.ZipFile(io.BytesIO(data)).infolist():
            data = data.replace(struct.pack("<I", info.CRC), bytes(4))
    return data


def safetensors() -> list[bytes]:
    """Two tensors under the keys of converted weights, and headers of other sources."""
    arrays = {
        "params/trunk/a/kernel": np.ones((2, 3), np.float32),
        "params/trunk/a/bias": np.arange(3, dtype=np.float16),
    }
    return [
        save(arrays, {"architecture": "vgg16", "classes": "none"}),
        save({"features.0.weight": np.ones((64, 3, 3, 3), np.float16)}),
        _header('{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}', bytes(4)),
    ]


def _header(text: str, rest: bytes = b"") -> bytes:
    return struct.pack("<Q", len(text)) + text.encode() + rest


def torch() -> list[bytes]:
    """A checkpoint as torch.save lays it out, and an archive that it isn't."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}q\x00.")
        archive.writestr("a/data/0", bytes(64))
        archive.writestr("a/version", b"3\n")
    return [file.getvalue(), npz()[0]]


def failed_torch() -> list[bytes]:
    """A pickle that unpacks to 64 MB, with checksums and without."""
    members = {"a/data.pkl": b"\x80\x02}q\x00.", "a/version": b"3\n"}
    return [_zip(members, zeros=2**26, crc=crc) for crc in (True, False)]
