"""The command as users run it; what is drawn is tested with plots."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_set
from fake_run import write_fake_run

from ascjax import figures
from ascjax.errors import UserError
from ascjax.report import plots

ROOT = Path(__file__).parents[1]
BEGINS = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


def draw(*arguments):
    figures.main(figures.parse(["figures", *map(str, arguments)]))


def fails(expected, *arguments):
    with pytest.raises(UserError, match=expected) as raised:
        draw(*arguments)
    assert len(str(raised.value).splitlines()) == 1


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    write_fake_run(folder, fragments=3)
    return folder


@pytest.fixture
def tone(tmp_path):
    return tiny_set.write_wave(tmp_path / "bus-paris-1-2-a.wav", pitch_hz=2000.0, seconds=1.0)


@pytest.mark.parametrize("suffix", BEGINS)
def test_each_figure_in_each_format(run, tone, tmp_path, suffix, capsys):
    for figure in (["spectrogram", tone], ["confusion", f"--run={run}"],
                   ["fragments", f"--run={run}"]):  # fmt: skip
        out = tmp_path / f"{figure[0]}{suffix}"
        draw(*figure, f"--out={out}")
        assert out.read_bytes().startswith(BEGINS[suffix])
        assert capsys.readouterr().out.endswith(f"{figure[0]}: {out}\n")
    draw("confusion", f"--run={run}", "--normalise", f"--out={out}")  # a figure may be drawn anew


def test_files_go_into_the_runs_folder_or_this_one(run, tone, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw("spectrogram", tone)
    draw("confusion", f"--run={run}")
    draw("fragments", f"--run={run}")
    assert (tmp_path / "figure3.png").exists()
    assert {"figure4.pdf", "fragments.pdf"} <= {path.name for path in run.iterdir()}


def test_a_tone_stands_at_its_frequency_under_its_scene(tone):
    options = figures.parse(["figures", "spectrogram", str(tone), "--channel=left"])
    ax = figures.FIGURES["spectrogram"](options).axes[0]
    names = [text.get_text() for text in ax.get_yticklabels()]
    loudest = ax.images[0].get_array().mean(axis=1).argmax()
    assert abs(ax.get_yticks()[names.index("2,000")] - loudest) <= 1
    assert ax.get_title() == "bus"
    assert ax.get_xlim() == pytest.approx((0, 1), abs=0.05)


def test_a_runs_front_end_takes_the_place_of_the_papers(run, tone, tmp_path):
    file = tmp_path / "tram" / "1-5-A.wav"
    file.parent.mkdir()
    tone.rename(file)
    options = figures.parse(["figures", "spectrogram", str(file), f"--run={run}"])
    ax = figures.FIGURES["spectrogram"](options).axes[0]
    assert ax.get_title() == "tram", "the run's scene of that folder"
    assert "16,000" in [text.get_text() for text in ax.get_yticklabels()], "at the run's 48 kHz"


def test_real_recordings_of_two_rates_in_one_figure(shared, tmp_path):
    clips = sorted((shared / "data/binaural").glob("*.wav"))
    esc10 = next((shared / "data/esc10").glob("*/*.ogg"))
    options = figures.parse(["figures", "spectrogram", *map(str, [*clips, esc10])])
    figure = figures.FIGURES["spectrogram"](options)
    titles = [ax.get_title() for ax in figure.axes]
    assert titles[:4] == ["airport", "metro station", "park", "street traffic"]
    assert [round(ax.get_xlim()[1]) for ax in figure.axes[:5]] == [10, 10, 10, 10, 5]
    assert plots.encode(figure, "png", dpi=50)


def test_the_table_is_printed_beside_the_figure(run, capsys):
    draw("fragments", f"--run={run}", "--columns=1")
    printed = capsys.readouterr().out
    assert re.search(r"ORACLE: any fragment right +\d+\.\d %", printed)
    assert "votes by fragment" in printed


def test_mistyped_names_are_answered_with_the_nearest(run, tone):
    fails("figure: expected one of .* got 'confusions'; did you mean 'confusion'", "confusions")
    fails("figure: expected one of spectrogram, confusion, fragments, got ''")
    fails("got '--run=x'", "--run=x", "confusion")
    fails("unknown '--normalize'; did you mean '--normalise'", "confusion", f"--run={run}",
          "--normalize")  # fmt: skip
    fails("unknown '--channel'", "confusion", f"--run={run}", "--channel=left")
    fails("--channel: expected one of left, .*; did you mean 'left'", "spectrogram", tone,
          "--channel=lefft")  # fmt: skip
    fails(r"--columns: invalid choice: 3", "confusion", f"--run={run}", "--columns=3")
    fails("required: --run", "confusion")
    fails("required: FILE", "spectrogram")


def test_only_figures_are_overwritten(run, tmp_path):
    for name, reason in {
        "a.jpg": "suffix: expected one of .png, .svg, .pdf, got '.jpg'",
        "none/a.png": "there is no folder",
        "notes.pdf": "a file that is no PDF figure is there",
        "folder.svg": "not a file to write",
    }.items():
        (tmp_path / "notes.pdf").write_text("my notes")
        (tmp_path / "folder.svg").mkdir(exist_ok=True)
        fails(reason, "confusion", f"--run={run}", f"--out={tmp_path / name}")
    assert (tmp_path / "notes.pdf").read_text() == "my notes"


def test_files_that_are_no_audio_are_named(tmp_path):
    (tmp_path / "a.wav").write_text("words")
    fails(r"a\.wav: is no audio file", "spectrogram", tmp_path / "a.wav")
    fails(r"b\.wav: can't be opened", "spectrogram", tmp_path / "b.wav")


def test_runs_that_are_missing_unfinished_or_damaged_are_named(run, tone, tmp_path):
    fails(
        "--run: expected a folder, there is none at .*none",
        "confusion",
        f"--run={tmp_path / 'none'}",
    )
    fails(r"results\.json: expected this file of a finished run", "fragments", f"--run={tmp_path}")
    write_fake_run(tmp_path, fragments=1)
    fails("one fragment each, so there is nothing to compare", "fragments", f"--run={tmp_path}")
    write_fake_run(tmp_path, fragments=2)
    path = tmp_path / "posteriors.npz"
    path.write_bytes((run / "posteriors.npz").read_bytes())
    fails(r"npz: expected posteriors of shape .* as in results", "fragments", f"--run={tmp_path}")
    path.write_bytes(path.read_bytes()[:1000])
    fails(r"npz: expected the arrays posteriors", "fragments", f"--run={tmp_path}")
    arrays = dict(np.load(run / "posteriors.npz"))
    write_fake_run(tmp_path, fragments=3)
    for name, value in {"posteriors": np.nan, "label": 10}.items():
        damaged = {**arrays, name: arrays[name].copy()}
        damaged[name][3] = value
        np.savez(path, **damaged)
        fails(rf"npz: .*{name}.*remove results\.json", "fragments", f"--run={tmp_path}")
    draw("confusion", f"--run={tmp_path}")  # needs results.json alone
    about = json.loads((tmp_path / "run.json").read_text())
    for front_end, reason in (
        (3, r"expected `object`, got `int` at `\$\.front_end`"),
        ({"mels": 5}, "front_end: "),
        ({"num_mels": 5}, "front_end: "),
    ):
        (tmp_path / "run.json").write_text(json.dumps({**about, "front_end": front_end}))
        fails(rf"run\.json: {reason}", "spectrogram", tone, f"--run={tmp_path}")


def test_help_lists_the_figures_and_loads_nothing_slow():
    code = (
        "import sys; sys.argv = ['figures', '--help']\n"
        "from ascjax import figures\n"
        "try: figures.parse(sys.argv)\n"
        "except SystemExit as done: assert done.code == 0\n"
        "assert not {'jax', 'matplotlib', 'librosa'} & set(sys.modules)"
    )
    done = python("-c", code)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(f"    {name}" in done.stdout for name in figures.FIGURES)


def test_a_mistake_ends_with_code_2_and_one_line():
    done = python("-m", "ascjax.figures", "confusion", "--run=nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "error: argument --run: expected a folder, there is none at nowhere"
    )
    assert len(done.stderr.splitlines()) == 1


def python(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=os.environ, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
