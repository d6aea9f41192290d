"""What a survey knows of a set before features are extracted."""

import pytest
import tiny_set

from ascjax.errors import UserError
from ascjax.setup import data
from ascjax.signals import StopRequest


def test_a_bad_header_is_known_by_the_names_of_the_windows(tmp_path):
    root = tiny_set.write_set(tmp_path / "set")
    broken = sorted(root.rglob("*.wav"))[0]
    broken.write_bytes(b"not audio")
    name = broken.relative_to(root).as_posix()
    for window_s, expected in ((0.0, name), (0.5, f"{name}#0")):
        config = tiny_set.config(
            tmp_path, root, **{"data.window_s": window_s, "data.on_bad_file": "skip"}
        )
        listed = data.survey(config, StopRequest())
        assert set(listed.bad) == {expected}
        assert expected in {recording.name for recording in listed.dataset.recordings}


@pytest.fixture
def table(tmp_path):
    """Six recordings of device a, in both parts; two of b, to train on, one of them no audio."""
    rows = ["path,scene,fold,device"]
    for number in range(8):
        name, scene = f"{number}.wav", "bus" if number % 2 else "park"
        tiny_set.write_wave(tmp_path / "set" / name, seconds=0.5, seed=number)
        rows.append(f"{name},{scene},{'train' if number < 6 else 'test'},{'aaaabbaa'[number]}")
    (tmp_path / "set" / "4.wav").write_bytes(b"not audio")
    path = tmp_path / "set" / "list.csv"
    path.write_text("\n".join(rows))
    return path


def test_what_is_not_used_is_said_and_not_read(table, tmp_path, capsys):
    config = tiny_set.config(tmp_path, table, **{"data.devices": ("a",)})
    surveyed = data.survey(config, StopRequest())
    said = " ".join(capsys.readouterr().out.split())
    assert len(surveyed.infos) == len(surveyed.dataset.recordings) == 6
    assert "6 recordings, 3 s, 2 scenes" in said
    assert "left out: training recordings not of the devices a (2), e.g. 4.wav" in said


def test_a_set_that_mixes_durations_is_refused_unless_one_is_chosen(table, tmp_path):
    for number in (0, 3, 6):
        tiny_set.write_wave(table.with_name(f"{number}.wav"), seconds=5.0)
    said = r"mixes 3 recordings of 0\.5 s with 3 of 5 s; train on one kind, .*\.duration_s=0\.5$"
    with pytest.raises(UserError, match=said):
        data.survey(tiny_set.config(tmp_path, table, **{"data.devices": ("a",)}), StopRequest())
    for choice in ({"duration_s": 0.5}, {"window_s": 0.5}, {"min_duration_share": 0.05}):
        settings = {"data.devices": ("a",), **{f"data.{key}": v for key, v in choice.items()}}
        data.survey(tiny_set.config(tmp_path, table, **settings), StopRequest())


def test_recordings_that_are_too_short_are_said_before_any_is_extracted(table, tmp_path):
    tiny_set.write_wave(table.with_name("1.wav"), seconds=0.2)
    settings = {"data.devices": ("a",), "data.duration_s": 0.5}
    said = r"1 recording shorter than 0\.25 s, 0\.5 of the 0\.5 s .* the first: 1\.wav with 0\.2 s"
    with pytest.raises(UserError, match=said):
        data.survey(tiny_set.config(tmp_path, table, **settings), StopRequest())
    skipping = tiny_set.config(tmp_path, table, **settings, **{"data.on_bad_file": "skip"})
    data.survey(skipping, StopRequest())
