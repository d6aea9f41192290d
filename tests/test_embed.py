import numpy as np
import pytest
import tiny_set

from ascjax import embed
from ascjax.errors import UserError


@pytest.fixture
def command(finished_run):
    return lambda *words: embed.main(
        embed.parse(["embed", f"--run={finished_run[0]}", *map(str, words)])
    )


def test_features_of_windows_with_files_and_times(command, tmp_path, capsys):
    long = tiny_set.write_wave(tmp_path / "a" / "long.wav", seconds=4)
    short = tiny_set.write_wave(tmp_path / "a" / "short.wav", seconds=1)
    out = tmp_path / "out.npz"
    command(tmp_path / "a", f"--out={out}")
    assert capsys.readouterr().out == f"3 windows × 128 features: {out}\n"
    with np.load(out) as arrays:
        assert arrays["recording"].tolist() == [str(long), str(long), str(short)]
        assert arrays["start_s"].tolist() == [0, 2, 0]
        assert arrays["features"].shape == (3, 128)
        assert arrays["features"].dtype == np.float32


def test_bad_files_are_left_out_and_counted(command, tmp_path, capsys):
    good = tiny_set.write_wave(tmp_path / "good.wav")
    (tmp_path / "bad.wav").write_text("no sound")
    with pytest.raises(UserError, match="1 of 2 recordings can't be read"):
        command(good, tmp_path / "bad.wav", f"--out={tmp_path / 'out.npz'}")
    assert "bad.wav" in capsys.readouterr().err
    assert (tmp_path / "out.npz").exists()


def test_parquet_or_what_it_takes(command, tmp_path):
    good, out = tiny_set.write_wave(tmp_path / "good.wav"), tmp_path / "out.parquet"
    try:
        import pyarrow.parquet
    except ImportError:
        with pytest.raises(UserError, match=r"pip install 'ascjax\[parquet\]'"):
            command(good, f"--out={out}")
        return
    command(good, f"--out={out}")
    table = pyarrow.parquet.read_table(out)
    assert table.column_names == ["recording", "start_s", "features"]
    assert len(table["features"][0]) == 128


def test_mistakes(command, tmp_path):
    for words, said in {
        (tmp_path,): "expected --out",
        (tmp_path, "--out=a.csv"): r"--out: expected one of \.npz, \.parquet, got '\.csv'",
        (tmp_path, "--out=/nowhere/a.npz"): "cannot be written",
        (tmp_path, f"--out={tmp_path}/a.npz"): "expected audio files",
    }.items():
        with pytest.raises(UserError, match=said):
            command(*words)
