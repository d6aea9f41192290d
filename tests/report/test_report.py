import html
import json
import re
import shlex
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
import soundfile
from fake_run import ENVIRONMENT, IMAGENET, write_fake_run
from html_page import Page

from ascjax import records
from ascjax.config import flatten
from ascjax.errors import UserError
from ascjax.files import write_arrays
from ascjax.report import report
from ascjax.report.facts import cost
from ascjax.report.text import interval, percent
from ascjax.runs.folder import read_posteriors, read_run
from ascjax.runs.info import InitialWeights
from ascjax.scoring.clusters import cluster_bootstrap_interval
from ascjax.scoring.open_set import OpenSet
from ascjax.scoring.rates import proportion


def page_of(folder, *, examples=False, **options):
    """The page of a made-up run; without examples, whose figures take longest to draw."""
    write_fake_run(folder, examples=examples, **options)
    return Page(report.write(folder).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "vgg16-mlp"
    return folder, write_fake_run(folder, recordings=200, devices=("phone", "recorder"))


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
    for group in ("by_scene", "by_city", "by_device", "by_channel"):
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
    assert "Not shown" not in page.plain


def test_the_same_run_gives_the_same_page(run, page):
    before = dict(matplotlib.rcParams)
    assert report.write(str(run[0])).read_text(encoding="utf-8") == page.text
    assert dict(matplotlib.rcParams) == before
    assert [path.name for path in run[0].iterdir() if path.name.endswith(".partial")] == []


def test_the_lines_on_the_page_work_from_any_folder(run, page, tmp_path, monkeypatch, capsys):
    code = re.search(r"<pre[^>]*>(import ascjax.*?)</pre>", page.text, flags=re.S)[1]
    monkeypatch.chdir(tmp_path)
    (run[0] / "report.html").unlink()
    exec(compile(html.unescape(code), "page", "exec"), {})
    results = run[1]
    said = capsys.readouterr().out
    assert said == f"{results.accuracy!r} {results.by_scene!r}\n"
    assert (run[0] / "report.html").read_text(encoding="utf-8") == page.text


def test_the_lines_on_the_page_name_a_folder_with_quotes(tmp_path):
    folder = tmp_path / 'a "quoted" <run> d\'essai'
    page = page_of(folder, recordings=10)
    code = re.search(r"<pre[^>]*>(import ascjax.*?)print", page.text, flags=re.S)[1]
    names = {}
    exec(compile(html.unescape(code), "page", "exec"), names)
    assert names["run"].path == folder


def test_the_command_as_typed_and_with_every_setting(run, page):
    assert ENVIRONMENT.command in page.plain
    command = re.search(r"<pre[^>]*>(ascjax train --config=common.*?)</pre>", page.text, re.S)[1]
    words = shlex.split(html.unescape(command).replace("\\\n", ""))
    config = json.loads((run[0] / "config.json").read_text())
    expected = [f"--config.{key}={value}" for key, value in flatten(config).items()]
    assert words == ["ascjax", "train", "--config=common", *expected]


def test_how_the_run_was_made_is_said(run, page):
    info = read_run(run[0])
    for words in (
        "4 May 2026, 03:02 UTC",
        ENVIRONMENT.git,
        ENVIRONMENT.hardware,
        "ascjax 0.1.0, python 3.12.1, jax 0.10.0",
        info.data.fingerprint,
        IMAGENET.sha256,
        "vgg16-397923af.pth",
        "weights: max abs difference 2.1e-05",
        "14,848,842",
        "95.00 GFLOP",
        "47,000.0 million per recording, 4,700.0 million per second of audio",
        # 3 · 3 · 64 · 128 numbers, 128 more, and as many scales.
        "295.4 kB in float32, 147.7 kB in float16, 74.8 kB with int8 kernels",
        "4.6 MB at most at one time",
        "model.safetensors 295.6 kB",
        "5 min 8 s for 5 epochs",
        "12.2 s for 200 recordings",
        "peak memory, process 1.25 GB",
    ):
        assert words in page.plain


def test_what_windows_take_is_counted_as_often_as_a_test_takes_them(tmp_path):
    results = write_fake_run(tmp_path, recordings=10, examples=False)
    info = read_run(tmp_path)
    # A second long, four of them begin each second: 37 in ten seconds.
    model = replace(info.model, macs_per_recording=15_263_104)
    info = replace(info, duration_s=1.0, audio_per_window_s=10 / 37, model=model)
    said = dict(cost(info, results, epochs=1, model_file=tmp_path / "model.safetensors"))
    assert said["computation"] == "95.00 GFLOP per window"
    assert said["multiply-accumulates"] == (
        "15.3 million per window, 56.5 million per second of audio"
    )


def test_sizes_are_those_of_a_model_that_is_there_and_sound(tmp_path):
    results = write_fake_run(tmp_path, recordings=10, examples=False)
    given = {"epochs": 1, "model_file": tmp_path / "model.safetensors"}
    assert "parameters, as stored" in dict(cost(read_run(tmp_path), results, **given))
    given["model_file"].write_bytes(given["model_file"].read_bytes()[:-1])
    with pytest.raises(UserError, match=r"model.safetensors: cannot be read .*train the run anew"):
        cost(read_run(tmp_path), results, **given)
    given["model_file"].unlink()
    assert "parameters, as stored" not in dict(cost(read_run(tmp_path), results, **given))


def test_a_run_from_random_weights_and_from_python_says_so(tmp_path):
    write_fake_run(tmp_path, recordings=10, examples=False)
    info = read_run(tmp_path)
    other = replace(
        info,
        initial_weights=InitialWeights("random", None, {}),
        environment=replace(ENVIRONMENT, command=None, git=None),
        left_out={"a/b.wav": "<unreadable>"},
        data=replace(info.data, leaks=("leak: <a> and b", "contradiction: c")),
    )
    records.write(tmp_path / "run.json", other)
    words = Page(report.write(tmp_path).read_text(encoding="utf-8")).plain
    assert "began from random weights" in words
    assert "an installed package, no git checkout" in words
    assert "started from Python" in words
    assert "1 recording could not be read and was left out" in words
    assert "a/b.wav <unreadable>" in words
    assert "leak: <a> and b. The accuracy below is flattered by it. contradiction: c." in words


def test_the_interval_by_location_stands_beside_wilsons(run, page):
    folder, results = run
    locations = read_posteriors(folder, results).location.tolist()
    bounds = cluster_bootstrap_interval(results.right, locations)
    count = len(set(locations))
    assert f"from {count} locations." in page.plain
    assert f"interval of the fused accuracy is {interval(bounds)} instead of" in page.plain


def test_only_a_run_with_validation_recordings_shows_its_calibration(tmp_path, page):
    assert "The scores are not calibrated: " in page.plain
    words = page_of(tmp_path, recordings=100, protocol="validated").plain
    assert "The scores are not calibrated" not in words
    assert "Reliability diagram" in words
    assert "fitted on 200 validation recordings" in words
    assert re.search(r"90 % \d+\.\d % \d+\.\d % \d+\.\d % \( \d+ of \d+ \)|90 % \d", words)
    assert "to promise it" in words, "99 % takes more than 200 recordings"


def test_recordings_of_no_scene_have_a_table(tmp_path, page):
    assert "Recordings of no scene" not in page.plain
    results = write_fake_run(tmp_path, protocol="validated", examples=False)
    opened = OpenSet(0.4, proportion(45, 60), 0.74, proportion(8, 10), 0.77)
    records.write(tmp_path / "results.json", replace(results, open_set=opened))
    with np.load(tmp_path / "posteriors.npz") as arrays:
        stored = {**arrays, "unknown": arrays["posteriors"][:10]}
    write_arrays(tmp_path / "posteriors.npz", **stored)
    words = Page(report.write(tmp_path).read_text(encoding="utf-8")).plain
    assert "10 test recordings of none of the scenes were tested too" in words
    assert "whatever scores less than 40.0 %, calibrated, is answered “unknown”" in words
    assert re.search(r"of none 80\.0 % [\d.–]+ % 8 10 mean of the last two 77\.0 %", words)


def test_mistakes_are_listed_with_players_where_the_sounds_are(tmp_path):
    root = tmp_path / "my set"
    root.mkdir()
    results = write_fake_run(tmp_path / "run", recordings=200, root=str(root), examples=False)
    decisions = results.decisions
    wrong = [
        (score, name)
        for name, true, predicted, score in zip(*list(vars(decisions).values())[:4], strict=True)
        if true != predicted
    ]
    assert len(wrong) > 20
    soundfile.write(root / wrong[0][1], np.zeros(80), 8000)
    page = Page(report.write(tmp_path / "run").read_text(encoding="utf-8"))
    section = page.text[page.text.index('id="mistakes"') : page.text.index('id="cities"')]
    listed = re.findall(r'class="file">([^<]*)<', section)
    assert listed == [name for _, name in sorted(wrong, key=lambda pair: -pair[0])]
    assert re.findall(r'<audio controls preload="none" src="([^"]*)"', section) == [
        (root / wrong[0][1]).as_uri()
    ]
    assert f"The other {len(wrong) - 20}" in page.plain


def test_an_occlusion_map_is_shown_where_there_is_one(tmp_path, page):
    assert "Occlusion" not in page.plain
    assert page_of(tmp_path, examples=True, occluded=True).plain.count("Occlusion [5]") == 2


def test_every_wide_part_scrolls_by_keyboard_and_is_named(page):
    boxes = re.findall(r'<div class="scroll"([^>]*)>', page.text)
    assert len(boxes) == page.text.count("<table>") + page.text.count("<img ")
    assert all('role="region" tabindex="0" aria-label="' in box for box in boxes)
    assert page.text.count('<p class="swipe">') == len(boxes)


def test_dark_and_printed_pages_have_a_style(page):
    assert "@media screen and (prefers-color-scheme: dark)" in page.text
    assert "@media print" in page.text


@pytest.mark.parametrize("synthetic", [True, False])
def test_only_a_synthetic_run_says_that_its_numbers_are_no_results(tmp_path, synthetic):
    words = page_of(tmp_path, synthetic=synthetic).plain
    assert ("They are not results about real scenes." in words) == synthetic


@pytest.mark.parametrize(
    "options",
    [
        {"recordings": 1, "fragments": 1, "channels": ("left",), "epochs": 1},
        {"scenes": ("indoor", "outdoor"), "channels": ("average",), "cities": (), "recordings": 60},
        {"scenes": tuple(f"scene_{i}" for i in range(50)), "recordings": 100},
    ],
    ids=["one recording", "two scenes, no cities", "fifty scenes"],
)
def test_sets_of_every_size(tmp_path, options):
    page = page_of(tmp_path, examples=True, **options)
    assert page.ids == list(dict.fromkeys(page.ids))
    assert ("Accuracy by city" in page.plain) == (
        options.get("cities") != () and options["recordings"] > 1
    )


def test_one_channel_and_one_fragment_are_not_said_twice(tmp_path):
    page = page_of(tmp_path, examples=True, channels=("average",), fragments=1, cities=("rome",))
    table = page.plain.partition("decision from")[2].partition("Log loss")[0]
    assert "all fused" in table
    assert "average" not in table
    assert "one fragment" not in table
    assert "Accuracy by city" not in page.plain
    assert "Accuracy by device" not in page.plain
    assert "“fused”" not in page.plain


def test_names_are_text_and_never_markup(tmp_path):
    scenes = ("<script>alert(1)</script>", '" onload="alert(2)', "a&b", "駅 $x$", "x" * 80)
    page = page_of(tmp_path, scenes=scenes)
    assert "<script>" not in page.text
    assert "onload" not in page.attributes
    assert "<script>alert(1)</script>" in page.plain
    assert "駅" in page.plain


def test_without_optional_files_the_page_says_what_is_not_shown(tmp_path):
    write_fake_run(tmp_path)
    for name in ("metrics.jsonl", "posteriors.npz"):
        (tmp_path / name).unlink()
    words = Page(report.write(tmp_path).read_text(encoding="utf-8")).plain
    assert "Not shown, as the run folder lacks them: metrics.jsonl, posteriors.npz." in words
    for section in ("Learning curves", "Two examples"):
        assert section not in words


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


def test_arrays_that_do_not_fit_the_results_are_refused(tmp_path):
    write_fake_run(tmp_path)
    log_mel = np.zeros((1, 8, 12), np.float32)
    write_arrays(tmp_path / "examples.npz", recording=np.array([60]), log_mel=log_mel)
    with pytest.raises(UserError, match=r"examples\.npz: expected recordings of posteriors\.npz"):
        report.write(tmp_path)
    write_fake_run(tmp_path)
    other = tmp_path / "other"
    write_fake_run(other, recordings=30)
    (tmp_path / "posteriors.npz").write_bytes((other / "posteriors.npz").read_bytes())
    with pytest.raises(UserError, match=r"posteriors\.npz: expected posteriors of shape"):
        report.write(tmp_path)


def test_an_unwritable_page_is_a_users_error(tmp_path):
    write_fake_run(tmp_path)
    (tmp_path / "report.html.partial").mkdir()
    with pytest.raises(UserError, match=r"report\.html: cannot be written"):
        report.write(tmp_path)
