"""A sweep of small rows: what it trains, skips, refuses, says and writes."""

import csv
import json
import os
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import tiny_set
from fake_run import write_fake_run
from html_page import Page
from scipy.stats import binomtest

from ascjax import sweep
from ascjax.errors import UserError
from ascjax.paper.tables import Row, Table
from ascjax.runs import experiment
from ascjax.scoring.metrics import wilson_interval
from ascjax.signals import Stopped

ROOT = Path(__file__).parents[1]
GAP = Row("a tiny gap", "common", {"model.head": "gap"}, 60.0)
MLP = Row("a tiny mlp", "common", {"model.head": "mlp"}, 70.5, ("gap",))
CUT = Row("a mlp cut up", "common", {"fragments.count": 6}, 71.0, ("mlp",))
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

    def pretend(config, path):
        number = len(folders)
        folders.append(path)
        write_fake_run(
            path,
            channels=tuple(config.channels),
            fragments=config.fragments.count,
            seed=number,
        )
        (path / "config.json").write_text(json.dumps(config.to_dict()))

    monkeypatch.setattr(experiment, "train_and_evaluate", pretend)
    return folders


@pytest.fixture
def run(tiny, tmp_path):
    """Runs a sweep of ``TABLES`` on the tiny set, in the folder ``sweep``."""
    workdir = tmp_path / "sweep"

    def run(tables=TABLES, *, seeds=1, folds=None, more=(), root=tiny, **options):
        settings = {**tiny_set.overrides(tmp_path), **dict(more)}
        settings.pop("fragments.count")
        about = {"format": sweep.FORMAT, "tables": list(tables), "seeds": seeds, "folds": folds,
                 "data_root": str(root), "settings": settings}  # fmt: skip
        settings = {**settings, "data.root": str(root)}
        sweep.run(workdir, about, tables, settings=settings, **options)
        return workdir

    return run


def records(workdir):
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
    lines, (gap, mlp) = records(workdir), map(right, trained)
    assert list(lines) == [("1", "gap"), ("1", "mlp"), ("2", "mlp"), ("2", "cut")]
    line = lines["1", "mlp"]
    assert float(line["mean"]) == mlp.mean()
    assert (float(line["interval_low"]), float(line["interval_high"])) == pytest.approx(
        wilson_interval(int(mlp.sum()), len(mlp))
    )
    assert line["deviation"] == ""
    assert (line["paper"], line["against"]) == ("0.705", "gap")
    assert lines["2", "mlp"]["against"] == ""  # that is no comparison of this table
    only_a, only_b = int((mlp & ~gap).sum()), int((gap & ~mlp).sum())
    assert (int(line["only_a"]), int(line["only_b"])) == (only_a, only_b)
    assert float(line["p"]) == pytest.approx(binomtest(only_a, only_a + only_b).pvalue)
    text = (workdir / "table.md").read_text(encoding="utf-8")
    assert f"| 70.5 | {100 * mlp.mean():.1f} | " in text
    assert "a tiny mlp against a tiny gap: " in text
    assert "(the paper: +10.5)" in text
    for words in ("2 of 2 done", "a tiny mlp vgg_tiny random left, right", "95.00", "5 min 8 s"):
        assert words.replace("left, right", "average") in plain(workdir)
    html = (workdir / "table.html").read_text(encoding="utf-8")
    assert not re.search(r"url\(|@import|<script|<link|src=", html)


def test_a_row_that_cannot_exist_is_said_with_the_reason(run, trained):
    workdir = run()
    reason = "can’t exist: vgg_tiny needs at least 32 mel bands × 32 frames, got 40 × 14"
    assert records(workdir)["2", "cut"]["state"].startswith(reason)
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
    run(TABLES, seeds=3)
    assert len(trained) == len(set(trained)) == 6
    seeds = np.stack([right(workdir / "mlp" / f"seed{seed}") for seed in range(3)])
    line = records(workdir)["1", "mlp"]
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
    workdir = run(root=root, folds="all")
    pages = [workdir / name for name in ("table.md", "table.csv", "table.html")]
    made = [page.read_bytes() for page in pages]
    for page in pages:
        page.unlink()
    shutil.rmtree(root)
    trained.clear()
    run(root=root, folds="all")
    assert [page.read_bytes() for page in pages] == made
    assert trained == []
    capsys.readouterr()
    run(root=root, folds="all", dry_run=True)
    assert "0 of 4 runs are left, about 0 s" in capsys.readouterr().out
    with pytest.raises(UserError, match=f"{root} doesn.t exist"):
        run(root=root, folds="all", seeds=2)


def test_a_folder_of_another_sweep_is_refused_with_what_differs(run, trained, tiny):
    run({"2": TABLES["2"]}, seeds=2)
    for pattern, options in {
        r"another sweep: tables \(\('2',\) there, \('1',\) now\)": {"tables": {"1": TABLES["1"]}},
        r"another sweep: seeds \(2 there, 1 now\)": {"seeds": 1},
        r"settings\.train\.num_epochs \(2 there, 3 now\)": {"more": {"train.num_epochs": 3}},
        r"another sweep: data_root \(": {"root": tiny / "bus"},
    }.items():
        with pytest.raises(UserError, match=pattern):
            run(**{"tables": {"2": TABLES["2"]}, "seeds": 2, **options})


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
    for name, content, pattern in (
        ("results.json", b'{"format"', "expected JSON, got .*; remove results.json there and st"),
        ("results.json", b"newer", "results.json: expected format 2, got 3; use the ve"),
        ("results.json", b"other", r"results.json: expected decisions on \d+ rec.* to test anew"),
        ("config.json", b"{", r"config\.json: expected JSON.*; remove the folder to train anew"),
    ):
        path = folder / name
        whole = path.read_bytes()
        if content == b"newer":
            content = json.dumps({**json.loads(whole), "format": 3}).encode()
        if content == b"other":
            content = json.dumps({**json.loads(whole), "decisions": others}).encode()
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"{folder}.*{pattern}"):
            run()
        path.write_bytes(whole)
    about = json.loads((workdir / "sweep.json").read_text())
    (workdir / "sweep.json").write_text(json.dumps({**about, "tables": None}))
    with pytest.raises(
        UserError, match=r"sweep\.json: expected a list of tables .*; start the sweep in ano"
    ):
        run()
    for limits in ({"folds": [1]}, {"folds": 1, "impossible": {}}, ["folds", "impossible"], 3):
        (workdir / "sweep.json").write_text(json.dumps({**about, "limits": limits}))
        with pytest.raises(
            UserError, match=r"sweep\.json: expected limits with folds and impossib"
        ):
            run()
    (workdir / "sweep.json").write_text(json.dumps({**about, "format": 2}))
    with pytest.raises(UserError, match=r"sweep\.json: expected format 1, got 2"):
        run()


def test_missing_weights_are_named_before_anything_is_trained(run, trained, capsys):
    tables = {"1": Table("Transfer", {"gap": GAP, "fine": FINE_TUNED})}
    options = {"more": {"init.weights_dir": "nowhere"}}
    settings = {"model.trunk": "alexnet", "features.num_mels": 64, "fragments.count": 1}
    options["more"].update(settings)
    with pytest.raises(
        UserError,
        match=r"`ascjax convert alexnet --out nowhere`, or .*_dir=DIR.* alone with --rows=gap$",
    ):
        run(tables, **options)
    assert trained == []
    run(tables, **options, only=["gap"])
    assert len(trained) == 1
    run(tables, **options, dry_run=True)
    assert re.search(
        r"fine, seed 0 .* to do; lacks weights: ascjax convert", capsys.readouterr().out
    )


def test_a_batch_above_the_training_part_is_said_before_anything_is_trained(run, trained):
    message = (
        r"gap, seed 0: config\.train\.batch_size is 4096, but .* only \d+ fragments; pass a "
        r"smaller .*; or train the others alone with --rows=mlp,cut$"
    )
    for protocol in ("paper", "validated"):
        more = {"train.batch_size": 4096, "protocol": protocol}
        with pytest.raises(UserError, match=message):
            run(more=more)
    assert trained == []
    run(more=more, dry_run=True)


def test_a_folder_of_a_row_with_other_things_is_refused_before_anything_is_trained(run, trained):
    notes = run(only=["gap"]) / "mlp" / "seed0" / "notes.txt"
    notes.parent.mkdir(parents=True)
    notes.write_text("mine")
    message = r"mlp/seed0: .*config\.json, found notes\.txt; move them away$"
    with pytest.raises(UserError, match=message):
        run()
    assert len(trained) == 1


def test_only_some_rows_are_trained_when_asked(run, trained):
    workdir = run(only=["mlp"])
    assert [path.parent.name for path in trained] == ["mlp"]
    assert records(workdir)["1", "gap"]["state"] == "not run yet"
    with pytest.raises(UserError, match="--rows: expected one of gap, mlp, cut, got 'mpl'"):
        run(only=["mpl"])
    with pytest.raises(UserError, match="--rows: expected names of rows, got none; they are gap"):
        run(only=[])


def test_a_run_that_fails_keeps_no_other_from_running(run, trained, monkeypatch, capsys):
    pretend = experiment.train_and_evaluate

    def fail_on_gap(config, path):
        if config.model.head == "gap":
            raise UserError("the loss is nan")
        pretend(config, path)

    monkeypatch.setattr(experiment, "train_and_evaluate", fail_on_gap)
    with pytest.raises(UserError, match="1 of 2 runs failed, .*: gap, seed 0"):
        run()
    assert [path.parent.name for path in trained] == ["mlp"]
    assert "run 1 of 2: gap, seed 0 failed: the loss is nan" in capsys.readouterr().out


def test_a_signal_between_runs_stops_with_everything_saved(run, trained, monkeypatch, tmp_path):
    pretend = experiment.train_and_evaluate

    def then_signal(config, path):
        pretend(config, path)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(experiment, "train_and_evaluate", then_signal)
    with pytest.raises(Stopped, match="before run 2 of 2") as stopped:
        run()
    assert stopped.value.code == 143
    assert records(tmp_path / "sweep")["1", "gap"]["state"] == "finished"


def test_a_dry_run_trains_and_writes_nothing(run, trained, capsys, tmp_path):
    workdir = run(dry_run=True)
    said = capsys.readouterr().out
    assert re.search(r"gap, seed 0 +\d+ s  to do", said)
    assert "cut" in said
    assert "2 of 2 runs are left" in said
    assert re.search(r"vgg_tiny: [\d,.]+ GFLOP/s, as one evaluation step took now", said)
    assert not workdir.exists()
    assert trained == []
    run(only=["gap"])
    config = json.loads((workdir / "gap" / "seed0" / "config.json").read_text())
    config["model"]["head"] = "mlp"
    stopped = workdir / "mlp" / "seed0"
    stopped.mkdir(parents=True)
    (stopped / "config.json").write_text(json.dumps(config))
    (stopped / "metrics.jsonl").write_text('{"epoch": 1, "seconds": 3.0}\n')
    capsys.readouterr()
    run(dry_run=True)
    said = capsys.readouterr().out
    assert re.search(r"gap, seed 0 +finished", said)
    assert "to go on after epoch 1 of 2" in said
    # 3 × 95 GFLOP for each of 6,122 recordings in 61.5 s, as the made-up run has it.
    assert "vgg_tiny: 28,370.2 GFLOP/s, as measured by finished runs here" in said


def test_folds_are_pooled(run, trained):
    workdir = run({"1": TABLES["1"]}, folds="all")
    assert [path.name for path in trained] == ["fold1", "fold2"] * 2
    decisions = np.stack([right(path) for path in trained[:2]])
    line = records(workdir)["1", "gap"]
    assert (int(line["recordings"]), float(line["mean"])) == (120, decisions.mean())
    assert float(line["deviation"]) == pytest.approx(decisions.mean(axis=1).std(ddof=1))
    assert "± the sample deviation of the folds’ accuracies" in plain(workdir)
    (trained[1] / "results.json").unlink()
    for path in trained[2:]:
        assert path.exists()


def test_it_trains_for_real(run):
    workdir = run({"1": Table("One", {"gap": GAP})}, more={"train.num_epochs": 1})
    line = records(workdir)["1", "gap"]
    assert (line["state"], line["recordings"]) == ("finished", "15")
    assert float(line["flops_per_recording"]) > 1e7
    assert float(line["train_s"]) > float(line["test_s"]) > 0


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
