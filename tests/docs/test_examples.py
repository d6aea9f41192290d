"""The scripts in examples/ run from a terminal, and draw every step."""

import runpy
import sys

import matplotlib
import tiny_set
from pages import ROOT


def test_a_recording_becomes_a_scene_and_seven_plots(tmp_path, monkeypatch, capsys):
    matplotlib.use("Agg")
    monkeypatch.setitem(matplotlib.rcParams, "savefig.dpi", 30)
    clip = tiny_set.write_wave(tmp_path / "clip.wav", seconds=3.0)
    script = ROOT / "examples" / "wav_to_scene.py"
    monkeypatch.setattr(sys, "argv", [str(script), str(clip), str(tmp_path / "plots")])
    names = runpy.run_path(str(script))
    names["plt"].close("all")
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        f"{number}.png" for number in range(1, 8)
    ]
    assert names["posteriors"].shape == (3, 3, 10)
    assert abs(names["scores"].sum() - 1) < 1e-6
    first, *_, decision = capsys.readouterr().out.splitlines()
    assert first == "clip.wav: 2 columns of 220,500 samples"
    assert "clip.wav: " in decision
