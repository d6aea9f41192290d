import html
import json
import re
import shlex
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from absl import flags
from fake_run import write_fake_run
from html_page import Page
from ml_collections import config_flags

from ascjax.errors import UserError
from ascjax.report import report
from ascjax.report.text import interval, percent


def page_of(folder, **options):
    write_fake_run(folder, **options)
    return Page(report.write(folder).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "vgg16-mlp"
    return folder, write_fake_run(folder, recordings=200)


@pytest.fixture(scope="module")
def page(run):
    return Page(report.write(run[0]).read_text(encoding="utf-8"))


def test_page_needs_nothing_else(page):
    assert page.refers_to
    assert all(value.startswith(("data:image/svg+xml;base64,", "#")) for value in page.refers_to)
    assert {value[1:] for value in page.refers_to if value[0] == "#"} <= set(page.ids)
    assert not re.search(r"url\(|@import|<script|<link", page.text)


def test_page_begins_with_the_result_in_one_sentence(run, page):
    part = run[1].accuracy
    assert (
        f"{percent(part.accuracy)} of 200 test recordings recognised "
        f"(95 % interval {interval(part.interval_95)}); guessing gives 10.0 %." in page.plain
    )


def test_page_gives_every_accuracy_with_its_counts(run, page):
    for group in ("by_scene", "by_city", "by_channel"):
        for name, part in getattr(run[1], group).items():
            numbers = (
                f"{percent(part.accuracy)} {interval(part.interval_95)} "
                f"{part.correct:,} {part.total:,}"
            )
            assert re.search(rf"{name.replace('_', ' ')}[a-z, ]* {re.escape(numbers)}", page.plain)


def test_page_shows_four_figures_a_recognised_and_a_mistaken_recording(page):
    assert sum(value.startswith("data:") for value in page.refers_to) == 4
    assert "Recognised: airport-" in page.plain
    assert "Mistaken: " in page.plain
    assert "Left out" not in page.plain


def test_the_same_run_gives_the_same_page(run, page):
    before = dict(matplotlib.rcParams)
    assert report.write(str(run[0])).read_text(encoding="utf-8") == page.text
    assert dict(matplotlib.rcParams) == before
    assert [path.name for path in run[0].iterdir() if path.name.endswith(".partial")] == []


def test_the_lines_on_the_page_recompute_its_results(run, page, monkeypatch, capsys):
    code = re.search(r"<pre>(import numpy.*?)</pre>", page.text, flags=re.S)[1]
    monkeypatch.chdir(run[0])
    exec(compile(html.unescape(code), "page", "exec"), {})
    stored = json.loads((run[0] / "results.json").read_text())
    recomputed = {**stored, **eval(capsys.readouterr().out)}
    assert recomputed == stored


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")  # in ml_collections
def test_the_command_on_the_page_gives_the_runs_settings(run, page, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[1])
    command = re.search(r"<pre>(python -m ascjax\.main.*?)</pre>", page.text, flags=re.S)[1]
    arguments = shlex.split(html.unescape(command))[2:]
    monkeypatch.setattr("sys.argv", arguments)  # ml_collections looks there for the keys given
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", flag_values=values)
    values(arguments)
    given = json.loads((run[0] / "config.json").read_text())
    config = json.loads(values.config.to_json())
    assert {key: config[key] for key in ("seed", "protocol", "channels")} == {
        key: given[key] for key in ("seed", "protocol", "channels")
    }
    for section in ("data", "fragments", "optimizer", "fusion"):
        assert given[section].items() <= config[section].items()


@pytest.mark.parametrize("synthetic", [True, False])
def test_only_a_synthetic_run_says_that_its_numbers_are_no_results(tmp_path, synthetic):
    words = page_of(tmp_path, synthetic=synthetic).plain
    assert ("They are not results about real scenes." in words) == synthetic


@pytest.mark.parametrize(
    "options",
    [
        {"recordings": 1, "fragments": 1, "channels": ("left",), "epochs": 1},
        {"scenes": ("indoor", "outdoor"), "channels": ("average",), "cities": ()},
        {"scenes": tuple(f"scene_{i}" for i in range(50)), "recordings": 100},
    ],
    ids=["one recording", "two scenes, no cities", "fifty scenes"],
)
def test_sets_of_every_size(tmp_path, options):
    words = page_of(tmp_path, **options).plain
    assert ("the set names no cities" in words) == (options.get("cities") == ())


def test_names_are_text_and_never_markup(tmp_path):
    scenes = ("<script>alert(1)</script>", "a&b", "駅 $x$", "x" * 80)
    page = page_of(tmp_path, scenes=scenes)
    assert "<script>" not in page.text
    assert "<script>alert(1)</script>" in page.plain
    assert "駅" in page.plain


def test_without_optional_files_the_page_says_what_is_left_out(tmp_path):
    write_fake_run(tmp_path)
    for name in ("metrics.jsonl", "posteriors.npz"):
        (tmp_path / name).unlink()
    words = Page(report.write(tmp_path).read_text(encoding="utf-8")).plain
    assert "Left out: the run folder has no metrics.jsonl." in words
    assert "Left out: the run folder has no examples.npz with posteriors.npz." in words


@pytest.mark.parametrize("name", ["config.json", "run.json", "results.json"])
def test_missing_and_damaged_files_are_named(tmp_path, name):
    write_fake_run(tmp_path)
    whole = (tmp_path / name).read_text()
    (tmp_path / name).write_text(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=re.escape(name)):
        report.write(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(UserError, match=re.escape(name)):
        report.write(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_results_of_another_format_are_refused(tmp_path):
    results = write_fake_run(tmp_path)
    (tmp_path / "results.json").write_text(json.dumps({**results, "format": 3}))
    with pytest.raises(UserError, match="expected format 2, got 3"):
        report.write(tmp_path)


def test_arrays_that_do_not_fit_the_results_are_refused(tmp_path):
    write_fake_run(tmp_path)
    np.savez(tmp_path / "examples.npz", recording=[60], log_mel=np.zeros((1, 8, 12), np.float32))
    with pytest.raises(UserError, match=r"examples\.npz: expected recordings of posteriors\.npz"):
        report.write(tmp_path)
    other = tmp_path / "other"
    write_fake_run(other, recordings=30)
    (tmp_path / "posteriors.npz").write_bytes((other / "posteriors.npz").read_bytes())
    with pytest.raises(
        UserError, match=r"posteriors\.npz: expected posteriors as in results\.json"
    ):
        report.write(tmp_path)


def test_an_unwritable_page_is_the_users_to_mend(tmp_path):
    write_fake_run(tmp_path)
    (tmp_path / "report.html.partial").mkdir()
    with pytest.raises(UserError, match=r"report\.html: cannot be written"):
        report.write(tmp_path)
