"""A sweep of small rows: what it trains, skips, refuses, says and writes."""

import contextlib
import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_set
from fake_run import write_fake_run
from html_page import Page
from scipy.stats import binomtest

from ascjax import sweep
from ascjax.audio.errors import BadRecording
from ascjax.errors import UserError
from ascjax.paper import measured, pace
from ascjax.paper.tables import Row, Table
from ascjax.runs import experiment
from ascjax.scoring.metrics import wilson_interval
from ascjax.setup import Setup, survey
from ascjax.signals import Stopped, StopRequest

ROOT = Path(__file__).parents[1]
CONFIG = str(tiny_set.CONFIG)
GAP = Row("a tiny gap", CONFIG, {"model.head": "gap"}, 60.0)
MLP = Row("a tiny mlp", CONFIG, {"model.head": "mlp"}, 70.5, ("gap",))
CUT = Row("a mlp cut up", CONFIG, {"fragments.count": 6}, 71.0, ("mlp",))
FINE_TUNED = Row("a fine-tuned one", "vgg", {"init.weights": "imagenet"}, 80.0)
TABLES = {
    "1": Table("Heads", {"gap": GAP, "mlp": MLP}),
    "2": Table("Cuts", {"mlp": MLP, "cut": CUT}),
}


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_set.write_set(tmp_path_factory.mktemp("set"))


@pytest.fixture
def trained(monkeypatch):
    """Runs are made up instead of trained; returns the folders of those made, as they come."""
    folders = []

    def pretend(config, path, report):
        number = len(folders)
        folders.append(path)
        write_fake_run(
            path,
            channels=tuple(config.channels),
            fragments=config.fragments.count,
            seed=number,
        )
        (path / "config.json").write_text(json.dumps(config.to_dict()))

    monkeypatch.setattr(experiment, "train", pretend)
    return folders


@pytest.fixture
def run(tiny, tmp_path, monkeypatch):
    """Runs a sweep of some tables on the tiny set, in the folder ``sweep``."""
    workdir = tmp_path / "sweep"

    def run(tables=TABLES, *flags, root=tiny, **settings):
        settings = {**tiny_set.overrides(tmp_path), "num_devices": 1, **settings}
        del settings["fragments.count"]
        overrides = [f"--config.{key}={value}" for key, value in settings.items()]
        monkeypatch.setattr(sweep, "TABLES", tables)
        table = "all" if len(tables) > 1 else next(iter(tables))
        words = [f"--table={table}", f"--data_root={root}", f"--workdir={workdir}"]
        sweep.main(sweep.parse(["sweep", *words, *overrides, *flags]))
        return workdir

    return run


def lines(workdir):
    with (workdir / "table.csv").open(newline="", encoding="utf-8") as file:
        return {(line["table"], line["name"]): line for line in csv.DictReader(file)}


def right(path):
    with np.load(path / "posteriors.npz") as arrays:
        return arrays["posteriors"].mean(axis=(1, 2)).argmax(-1) == arrays["label"]


def plain(workdir):
    return Page((workdir / "table.html").read_text(encoding="utf-8")).plain


def test_rows_are_trained_once_each_and_set_beside_the_papers(run, trained, capsys):
    workdir = run()
    assert trained == [workdir / "gap" / "seed0", workdir / "mlp" / "seed0"]
    said = capsys.readouterr()
    assert f"run 2 of 2: mlp, seed 0, in {workdir}/mlp/seed0" in said.out + said.err
    written, (gap, mlp) = lines(workdir), map(right, trained)
    assert list(written) == [("1", "gap"), ("1", "mlp"), ("2", "mlp"), ("2", "cut")]
    line = written["1", "mlp"]
    assert float(line["mean"]) == mlp.mean()
    assert (float(line["interval_low"]), float(line["interval_high"])) == pytest.approx(
        wilson_interval(int(mlp.sum()), len(mlp))
    )
    assert (int(line["locations"]) > 30, 0 < float(line["p_by_location"]) <= 1) == (True, True)
    assert float(line["by_location_low"]) < mlp.mean() < float(line["by_location_high"])
    assert line["deviation"] == ""
    assert (line["paper"], line["against"]) == ("0.705", "gap")
    assert written["2", "mlp"]["against"] == ""  # that is no comparison of this table
    only_a, only_b = int((mlp & ~gap).sum()), int((gap & ~mlp).sum())
    assert (int(line["only_a"]), int(line["only_b"])) == (only_a, only_b)
    assert float(line["p"]) == pytest.approx(binomtest(only_a, only_a + only_b).pvalue)
    text = (workdir / "table.md").read_text(encoding="utf-8")
    assert f"| 70.5 | {100 * mlp.mean():.1f} | " in text
    assert "a tiny mlp against a tiny gap: " in text
    assert "(the paper: +10.5)" in text
    for words in ("2 of 2 done", "a tiny mlp tiny random left, right", "95.00", "5 min 8 s"):
        assert words.replace("left, right", "average") in plain(workdir)
    html = (workdir / "table.html").read_text(encoding="utf-8")
    assert not re.search(r"url\(|@import|<script|<link|src=", html)


def test_a_row_that_cannot_exist_is_said_with_the_reason(run, trained):
    workdir = run()
    reason = "can’t exist: tiny needs at least 16 mel bands × 16 frames, got 40 × 14"
    assert lines(workdir)["2", "cut"]["state"].startswith(reason)
    assert reason in plain(workdir)
    assert f"| 71.0 | {reason}" in (workdir / "table.md").read_text(encoding="utf-8")


def test_the_same_command_trains_only_what_is_missing(run, trained):
    workdir = run()
    page = (workdir / "table.html").read_text(encoding="utf-8")
    (workdir / "gap" / "seed0" / "results.json").unlink()
    trained.clear()
    run()
    assert trained == [workdir / "gap" / "seed0"]
    run()
    assert len(trained) == 1
    assert (workdir / "table.html").read_text(encoding="utf-8") == page


def test_more_seeds_and_tables_extend_a_sweep(run, trained):
    workdir = run({"1": TABLES["1"]})
    run(TABLES, "--seeds=3")
    assert len(trained) == len(set(trained)) == 6
    seeds = np.stack([right(workdir / "mlp" / f"seed{seed}") for seed in range(3)])
    line = lines(workdir)["1", "mlp"]
    assert float(line["mean"]) == pytest.approx(seeds.mean())
    assert float(line["deviation"]) == pytest.approx(seeds.mean(axis=1).std(ddof=1))
    assert float(line["interval_low"]) == pytest.approx(wilson_interval(seeds.mean() * 60, 60)[0])
    configs = [json.loads((path / "config.json").read_text()) for path in trained]
    assert {(each["seed"], each["model"]["head"]) for each in configs} == {
        (seed, head) for seed in range(3) for head in ("gap", "mlp")
    }
    assert "± their sample deviation" in plain(workdir)


def test_a_finished_sweep_needs_its_data_set_no_more(run, trained, tiny, tmp_path, capsys):
    root = shutil.copytree(tiny, tmp_path / "set")
    workdir = run(TABLES, "--folds=all", root=root)
    pages = [workdir / name for name in ("table.md", "table.csv", "table.html")]
    made = [page.read_bytes() for page in pages]
    for page in pages:
        page.unlink()
    shutil.rmtree(root)
    trained.clear()
    run(TABLES, "--folds=all", root=root)
    assert [page.read_bytes() for page in pages] == made
    assert trained == []
    capsys.readouterr()
    run(TABLES, "--folds=all", "--dry_run", root=root)
    assert "0 of 4 runs are left, about 0 s" in capsys.readouterr().out
    with pytest.raises(UserError, match=f"{root}: expected a data set's folder"):
        run(TABLES, "--folds=all", "--seeds=2", root=root)


def test_a_folder_of_another_sweep_is_refused_with_what_differs(run, trained, tiny):
    run({"2": TABLES["2"]}, "--seeds=2")
    for pattern, table, flags, settings in (
        (r"tables \(\('2',\) there, \('1',\) now\)", "1", ["--seeds=2"], {}),
        (r"seeds \(2 there, 1 now\)", "2", [], {}),
        (
            r"settings\.train\.num_epochs \(2 there, 3 now\)",
            "2",
            ["--seeds=2"],
            {"train.num_epochs": 3},
        ),
        (r"data_root \(", "2", ["--seeds=2"], {"root": tiny / "bus"}),
        (r"folds \(None there, 'all' now\)", "2", ["--seeds=2", "--folds=all"], {}),
    ):
        with pytest.raises(UserError, match=rf"holds another sweep: {pattern}"):
            run({table: TABLES[table]}, *flags, **settings)


def test_a_set_written_another_way_is_the_same(run, trained, tiny):
    run()
    run(root=f"{tiny}/")
    run(root=os.path.relpath(tiny))
    assert len(trained) == 2


def test_seeds_tested_on_other_recordings_are_not_pooled(run, trained):
    alone = {"1": Table("One", {"mlp": MLP})}
    workdir = run(alone, "--seeds=2")
    write_fake_run(workdir.parent / "other", recordings=61)
    shutil.copy(workdir.parent / "other" / "results.json", workdir / "mlp" / "seed1")
    for tables in (alone, {"1": TABLES["1"]}):
        with pytest.raises(UserError, match="mlp, its seeds: expected the same test recordings"):
            run(tables, "--seeds=2")


def test_a_folder_of_something_else_is_refused(run, tmp_path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "thesis.txt").write_text("")
    with pytest.raises(UserError, match=r"expected an empty .* or one with sweep\.json, found the"):
        run()


def test_damaged_runs_and_newer_formats_are_named(run, trained):
    workdir = run()
    folder = workdir / "mlp" / "seed0"
    others = json.loads((folder / "results.json").read_text())["decisions"]
    others["predicted"] = others["true"][1:] + others["true"][:1]
    for name, changes, pattern in (
        ("results.json", None, r"results\.json: .*; remove results.json there and st"),
        ("results.json", {"format": 5}, "expected format 4, got 5; use the version of ascjax"),
        ("results.json", {"decisions": others}, r"expected decisions on \d+ rec.* to test anew"),
        (
            "results.json",
            {"accuracy": 3},
            r"expected `object`, got `int` at `\$\.accuracy`; remove",
        ),
        ("config.json", None, "expected JSON.*; remove the folder to train anew"),
    ):
        path = folder / name
        whole = path.read_bytes()
        damaged = json.dumps({**json.loads(whole), **changes}) if changes else '{"format"'
        path.write_text(damaged)
        with pytest.raises(UserError, match=rf"{folder}.*{pattern}"):
            run()
        path.write_bytes(whole)
    path = workdir / "sweep.json"
    about = json.loads(path.read_text())
    for changes, pattern in (
        (
            {"tables": None},
            r"expected `array`, got `null` at `\$\.tables`; start the sweep in anot",
        ),
        ({"limits": {"folds": [1]}}, "missing required field `impossible`"),
        ({"limits": 3}, r"got `int` at `\$\.limits`"),
        ({"format": 1}, "expected format 2, got 1"),
    ):
        path.write_text(json.dumps({**about, **changes}))
        with pytest.raises(UserError, match=rf"sweep\.json: .*{pattern}"):
            run()


def test_missing_weights_are_named_before_anything_is_trained(run, trained, capsys):
    tables = {"1": Table("Transfer", {"gap": GAP, "fine": FINE_TUNED})}
    settings = {"init.weights_dir": "nowhere", "model.trunk": "alexnet", "features.num_mels": 64,
                "fragments.count": 1}  # fmt: skip
    with pytest.raises(
        UserError,
        match=r"`ascjax convert alexnet --out nowhere`, or .*_dir=DIR.* alone with --rows=gap$",
    ):
        run(tables, **settings)
    assert trained == []
    run(tables, "--rows=gap", **settings)
    assert len(trained) == 1
    run(tables, "--dry_run", **settings)
    assert re.search(
        r"fine, seed 0 .* to do; lacks weights: ascjax convert", capsys.readouterr().out
    )


def test_weights_that_are_none_are_called_so(run, trained, tmp_path):
    tables = {"1": Table("Transfer", {"fine": FINE_TUNED})}
    settings = {"model.trunk": "alexnet", "features.num_mels": 64, "fragments.count": 1}
    (tmp_path / "alexnet.safetensors").write_text("damaged")
    with pytest.raises(UserError, match=r"fine, seed 0: config\.init\.weights: .*alexnet\.safet"):
        run(tables, **settings, **{"init.weights_dir": str(tmp_path)})
    with pytest.raises(UserError, match=r"fine, seed 0: config\.init\.weights: .*typo"):
        run(tables, **settings, **{"init.weights": str(tmp_path / "typo")})
    assert trained == []


def test_a_batch_above_the_training_part_is_said_before_anything_is_trained(run, trained):
    message = (
        r"gap, seed 0: config\.train\.batch_size: .* \d+ fragments, .* 4096 .*; or train the "
        "others alone with --rows=mlp,cut$"
    )
    for protocol in ("paper", "validated"):
        settings = {"train.batch_size": 4096, "protocol": protocol}
        with pytest.raises(UserError, match=message):
            run(**settings)
    assert trained == []
    run(TABLES, "--dry_run", **settings)


def test_a_folder_of_a_row_with_other_things_is_refused_before_anything_is_trained(run, trained):
    notes = run(TABLES, "--rows=gap") / "mlp" / "seed0" / "notes.txt"
    notes.parent.mkdir(parents=True)
    notes.write_text("mine")
    message = r"mlp/seed0: .*config\.json, found notes\.txt; move them away$"
    with pytest.raises(UserError, match=message):
        run()
    assert len(trained) == 1


def test_only_some_rows_are_trained_when_asked(run, trained):
    workdir = run(TABLES, "--rows=mlp")
    assert [path.parent.name for path in trained] == ["mlp"]
    assert lines(workdir)["1", "gap"]["state"] == "not run yet"
    with pytest.raises(UserError, match="--rows: expected one of gap, mlp, cut, got 'mpl'"):
        run(TABLES, "--rows=mpl")
    with pytest.raises(UserError, match="--rows: expected names of rows, got none; they are gap"):
        run(TABLES, "--rows=,")


def test_a_run_that_fails_keeps_no_other_from_running(run, trained, monkeypatch, capsys):
    pretend = experiment.train

    def fail_on_gap(config, path, report):
        if config.model.head == "gap":
            raise UserError("the loss is nan")
        pretend(config, path, report)

    monkeypatch.setattr(experiment, "train", fail_on_gap)
    with pytest.raises(UserError, match="1 of 2 runs failed, .*: gap, seed 0"):
        run()
    assert [path.parent.name for path in trained] == ["mlp"]
    assert "run 1 of 2: gap, seed 0 failed: the loss is nan" in capsys.readouterr().out


def test_a_signal_between_runs_stops_with_everything_saved(run, trained, monkeypatch, tmp_path):
    pretend = experiment.train

    def then_signal(config, path, report):
        pretend(config, path, report)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(experiment, "train", then_signal)
    with pytest.raises(Stopped, match="before run 2 of 2") as stopped:
        run()
    assert stopped.value.code == 143
    assert lines(tmp_path / "sweep")["1", "gap"]["state"] == "finished"


def test_a_dry_run_trains_and_writes_nothing(run, trained, capsys, tmp_path):
    workdir = run(TABLES, "--dry_run")
    said = capsys.readouterr().out
    assert re.search(r"gap, seed 0 +[\d.e-]+ s  to do", said)
    assert "cut" in said
    assert "2 of 2 runs are left" in said
    assert re.search(r"  tiny: [\d,.]+ GFLOP/s, as one evaluation step took now", said)
    assert not workdir.exists()
    assert trained == []
    run(TABLES, "--rows=gap")
    config = json.loads((workdir / "gap" / "seed0" / "config.json").read_text())
    config["model"]["head"] = "mlp"
    stopped = workdir / "mlp" / "seed0"
    stopped.mkdir(parents=True)
    (stopped / "config.json").write_text(json.dumps(config))
    (stopped / "metrics.jsonl").write_text('{"epoch": 1, "step": 1, "seconds": 3.0}\n')
    capsys.readouterr()
    run(TABLES, "--dry_run")
    said = capsys.readouterr().out
    assert re.search(r"gap, seed 0 +finished", said)
    assert "to resume after epoch 1 of 2" in said
    # 3 × 95 GFLOP for each of 6,122 recordings in 61.5 s, as the made-up run has it.
    assert "  tiny: 28,370.2 GFLOP/s, as measured by finished runs here" in said


def test_a_finished_run_without_its_history_tells_no_pace(run, trained, capsys):
    workdir = run()
    for path in workdir.rglob("metrics.jsonl"):
        path.unlink()
    run(TABLES, "--dry_run")
    assert "0 of 2 runs are left" in capsys.readouterr().out


def test_each_network_is_measured_once_over_its_first_steps(
    run, trained, tmp_path, monkeypatch, capsys
):
    started = []

    def in_this_process(command, *, input, **_):
        started.append(json.loads(input)["config"]["model"]["head"])
        monkeypatch.setattr(sys, "stdin", io.StringIO(input))
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            pace._main()
        return subprocess.CompletedProcess(command, 0, out.getvalue(), "")

    monkeypatch.setattr(measured.subprocess, "run", in_this_process)
    again = Row("gap from another seed", CONFIG, {"model.head": "gap", "seed": 3}, 60.0)
    workdir = run({"1": Table("Heads", {"gap": GAP, "again": again})}, "--measure=2", "--seeds=2")
    assert (started, trained) == (["gap"], [])
    plan = json.loads((workdir / "plan.json").read_text())
    gap, same = plan["rows"]["gap"], plan["rows"]["again"]
    assert (gap["runs"], gap["steps"], gap["evaluations"]) == (2, 2, 2)
    [timed] = plan["paces"].values()
    assert timed["row"] == "gap"
    assert timed["pace"]["step_s"] > 0
    assert timed["pace"]["peak_memory_gb"]["host"] > 0.1
    assert gap["key"] == same["key"] in plan["paces"]
    assert plan["hours"] == pytest.approx(2 * gap["hours"] + 2 * same["hours"])
    assert plan["recordings"] == 30
    assert "again (as gap)" in (workdir / "plan.md").read_text()
    assert "2 steps after the first" in capsys.readouterr().out


def test_a_taught_network_is_measured(tiny, tmp_path):
    config = tiny_set.config(tmp_path, tiny, **{"train.teacher": "runs/larger", "num_devices": 1})
    found = pace.pace(config, num_scenes=3, input_shape=(16, 20), num_examples=20, steps=1)
    assert found.step_s > 0


def test_recordings_that_training_skips_are_not_measured(tiny, tmp_path, monkeypatch, capsys):
    config = tiny_set.config(tmp_path, tiny, **{"data.on_bad_file": "skip"})
    with StopRequest() as stop:
        setup = Setup(config, survey(config, stop))
    asked, extracted = [], measured.extract.log_mels

    def log_mels(path, job):
        asked.append(path)
        if len(asked) > 1:
            raise BadRecording(f"{path}: too short")
        return extracted(path, job)

    monkeypatch.setattr(measured.extract, "log_mels", log_mels)
    assert measured.extraction_ms(setup) > 0
    assert len(asked) == 12
    assert capsys.readouterr().out.count("too short; not measured") == 11
    with pytest.raises(UserError, match="none of the recordings tried can be used"):
        measured.extraction_ms(setup)
    config.data.on_bad_file = "stop"
    with pytest.raises(BadRecording, match="too short"):
        measured.extraction_ms(setup)


def test_measuring_goes_on_where_it_stopped(run, monkeypatch):
    began, broken = [], {"mlp"}

    def pretend(name, setup, steps):
        began.append((name, steps))
        if name in broken:
            raise UserError("stopped")
        return measured.Pace(2.0, 1.0, 0.5, {"host": 0.25})

    monkeypatch.setattr(measured, "_in_a_process", pretend)
    dropping = Row("a gap with dropout", CONFIG, {"model.head": "gap", "model.dropout": 0.25}, 61.0)
    tables = {"1": Table("Heads", {"gap": GAP, "mlp": MLP, "dropping": dropping})}
    workdir = run(tables, "--measure=2", "--rows=dropping")
    with pytest.raises(UserError, match="stopped"):
        run(tables, "--measure=2")
    broken.clear()
    run(tables, "--measure=2")
    assert began == [("dropping", 2), ("gap", 2), ("mlp", 2), ("mlp", 2)]
    plan = json.loads((workdir / "plan.json").read_text())
    assert list(plan["rows"]) == ["gap", "mlp", "dropping"]
    assert [plan["paces"][row["key"]]["row"] for row in plan["rows"].values()] == list(plan["rows"])
    # Of other lengths nothing is known, and what is known of these is kept.
    run(tables, "--measure=3")
    assert began[4:] == [("gap", 3), ("mlp", 3), ("dropping", 3)]
    run(tables, "--measure=2", "--rows=mlp")
    run(tables, "--measure=2")
    assert len(began) == 7
    (workdir / "plan.json").write_text("{")
    with pytest.raises(UserError, match=r"plan.json: .*; remove it to measure anew"):
        run(tables, "--measure=3")


def test_folds_are_pooled(run, trained):
    workdir = run({"1": TABLES["1"]}, "--folds=all")
    assert [path.name for path in trained] == ["fold1", "fold2"] * 2
    decisions = np.stack([right(path) for path in trained[:2]])
    line = lines(workdir)["1", "gap"]
    assert (int(line["recordings"]), float(line["mean"])) == (120, decisions.mean())
    assert float(line["deviation"]) == pytest.approx(decisions.mean(axis=1).std(ddof=1))
    assert "± the sample deviation of the folds’ accuracies" in plain(workdir)
    assert int(line["locations"]) > 30
    # A seed counts once all its folds are there.
    (trained[1] / "results.json").unlink()
    run({"1": TABLES["1"]}, "--folds=all", "--rows=mlp")
    assert lines(workdir)["1", "gap"]["state"] == "not run yet"
    assert lines(workdir)["1", "mlp"]["state"] == "finished"


def test_it_trains_for_real(run):
    workdir = run({"1": Table("One", {"gap": GAP})}, **{"train.num_epochs": 1})
    line = lines(workdir)["1", "gap"]
    assert (line["state"], line["recordings"]) == ("finished", "15")
    with (workdir / "gap" / "seed0" / "run.json").open() as file:
        model = json.load(file)["model"]
    assert float(line["flops_per_recording"]) == model["flops_per_recording"]
    assert int(line["parameters"]) == model["parameters"]


def test_mistyped_flags_are_answered_in_a_line():
    given = ["--data_root=x", "--workdir=y"]
    for flags, pattern in (
        ([*given, "--table=4"], r"--table: invalid choice: .4."),
        ([*given, "--table=1", "--seeds=0"], "--seeds: expected 1 or more, got 0"),
        ([*given, "--table=1", "--config=vgg"], "every row has its own config, listed in"),
        ([*given, "--table=1", "--config.train.epochs=2"], "did you mean 'train.num_epochs'"),
        (["--table=1", "--workdir=y"], "expected --data_root, e.g. --data_root=DIR"),
        (["--table=1", "--data_root=x"], "expected --workdir"),
        (given, "expected --table"),
    ):
        with pytest.raises(UserError, match=pattern):
            sweep.parse(["sweep", *flags])


def test_overrides_are_settings_of_every_row():
    given = ["--data_root=x", "--workdir=y", "--table", "1", "--rows=vgg16_random,alexnet_random"]
    options = sweep.parse(["sweep", *given, "--config.train.num_epochs=2", "--config.seed", "1"])
    assert options.settings == {"train.num_epochs": 2, "seed": 1}
    assert (options.rows, options.dry_run) == (["vgg16_random", "alexnet_random"], False)
