"""The public API: loaded lazily, typed, strings and paths alike, mistakes in one line."""

import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_set

import ascjax
from ascjax.runs.rescore import Rescored

ROOT = Path(__file__).parents[1]


def python(code):
    """What a program prints, apart from this process and its checks of types."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_it_loads_nothing_slow_and_scores_need_no_jax():
    code = (
        "import sys, ascjax\n"
        "assert not {'numpy', 'jax', 'librosa', 'soundfile'} & set(sys.modules)\n"
        "assert set(ascjax.__all__) <= set(dir(ascjax))\n"
        "sys.modules['jax'] = None\n"
        "import numpy as np\n"
        "posteriors = np.full((2, 1, 3, 2), 0.5)\n"
        "print(ascjax.fuse(posteriors).shape, ascjax.UserError.__name__, ascjax.Run.__name__)\n"
        "print(ascjax.load_config('vgg_mlp').model.head, ascjax.LogMel(16_000).num_mels)\n"
    )
    assert python(code) == "(2, 2) UserError Run\nmlp 128\n"


def test_each_name_is_what_its_module_defines():
    assert sorted(ascjax.__all__) == sorted(ascjax._PUBLIC)
    for name in ascjax.__all__:
        module = importlib.import_module(ascjax._PUBLIC[name])
        assert getattr(ascjax, name) is getattr(module, name), name
    with pytest.raises(AttributeError, match="module 'ascjax' has no attribute 'trian'"):
        _ = ascjax.trian


def test_a_type_checker_sees_the_same_names():
    text = (ROOT / "ascjax/__init__.py").read_text()
    typed = text[text.index("if TYPE_CHECKING:") : text.index("_PUBLIC")]
    imported = {word.strip() for line in typed.splitlines() if " import " in line
                for word in line.partition(" import ")[2].split(",")}  # fmt: skip
    assert imported == set(ascjax.__all__)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    root = tiny_set.write_set(folder / "set", per_scene=6)
    settings = {**tiny_set.overrides(folder), "data.root": root, "num_devices": 1}
    run = ascjax.train(tiny_set.CONFIG, str(folder / "run"), **settings)
    return run, root, settings


def test_training_by_name_with_overrides_gives_the_finished_run(trained):
    run, _, settings = trained
    assert (run.info.model.trunk, run.info.model.head, run.info.fragments) == ("tiny", "gap", 2)
    assert (run.path / "report.html").is_file()
    assert run.config["train"]["num_epochs"] == settings["train.num_epochs"]
    accuracy = run.results.accuracy
    assert repr(run) == (
        f"Run('{run.path}': tiny, head gap, {accuracy.correct} of 9 test recordings right)"
    )
    again = ascjax.train(str(tiny_set.CONFIG), run.path, **settings)
    assert again.results == run.results


def test_a_shipped_config_by_its_name(trained, tmp_path):
    settings = trained[2]
    overrides = {**settings, "init.weights": "random", "train.num_epochs": 1, "model.head": "gap"}
    run = ascjax.train("vgg_mlp", tmp_path, **overrides)
    assert run.info.channels == ("left", "right", "average")
    config = ascjax.load_config("vgg_mlp")
    config.update_from_flattened_dict({**overrides, "data.root": str(overrides["data.root"])})
    assert ascjax.train(config, tmp_path).results == run.results


@pytest.mark.parametrize("kind", [str, Path])
def test_a_run_is_opened_and_scored_otherwise(trained, kind):
    run = ascjax.Run.open(kind(trained[0].path))
    assert run == trained[0]
    assert run.posteriors.shape == (9, 1, 2, 3)
    as_it_was = run.rescore()
    assert as_it_was.accuracy == run.results.accuracy
    assert not isinstance(as_it_was, Rescored)
    voted = run.rescore(fusion="vote", channels="average")
    assert voted.fusion.fragments == "vote"
    scores = ascjax.fuse(run.posteriors, fragments="vote")
    right = scores.argmax(-1) == run.test_posteriors.label
    np.testing.assert_array_equal(voted.right, right)


def test_posteriors_are_scored_from_python(trained):
    run = trained[0]
    stored = run.test_posteriors
    scored = ascjax.score(
        stored.posteriors, stored.label, names=stored.recording.tolist(),
        scenes=run.info.scenes, channels=run.info.channels,
    )  # fmt: skip
    assert scored.accuracy == run.results.accuracy
    assert isinstance(scored, ascjax.Results)


def test_strings_and_paths_load_alike(trained):
    run, root, _ = trained
    file = root / "bus" / "1-000-A.wav"
    by_path, by_string = ascjax.load(run.path), ascjax.load(str(run.path))
    assert by_path.predict(file).scores == by_string.predict(str(file)).scores
    assert set(by_path.predict(file).scores) == set(tiny_set.SCENES)


MISTAKES = (
    ("ascjax.train(3, 'new')", "expected a ConfigDict, a file or a name, got 3"),
    ("ascjax.train('vgg_mpl', 'new')", "did you mean 'vgg_mlp'"),
    ("ascjax.train('vgg', 3)", r"expected a path, got 3 \(int\)"),
    ("ascjax.train('vgg', 'new', sede=1)", "sede: no such key; did you mean 'seed'"),
    ("ascjax.train('vgg', 'new', seed='x')", r"seed=x: expected an int, e\.g\. 0"),
    ("ascjax.train('common', 'new')", r"config\.data\.root is empty"),
    ("ascjax.Run.open(None)", r"expected a path, got None \(NoneType\)"),
    ("ascjax.Run.open('none')", "none: expected the folder of a run, there is none"),
    ("ascjax.Run.open('.')", r"results\.json: expected this file of a finished run"),
    ("run.rescore(fusion='avg')", "expected one of mean, .*, got 'avg'"),
    ("run.rescore(channels=[])", "expected one or more channels of average, got none"),
    ("run.rescore(channels='left')", "channel: expected one of average, got 'left'"),
    ("ascjax.load('none')", "none"),
    ("ascjax.load(3)", r"expected a path, got 3 \(int\)"),
    ("ascjax.create_model('vgg61', 'gap', 3)", "trunk: expected one of .* did you mean 'vgg"),
    ("ascjax.load_weights({}, 'none.safetensors', trunk='vgg16')", "none.safetensors"),
)


@pytest.fixture(scope="module")
def messages(trained):
    """The message of each mistake; tried together, as importing JAX takes time."""
    lines = [
        "import ascjax, json, os, sys",
        f"sys.path.append({str(ROOT / 'tests')!r})",
        f"run = ascjax.Run.open({str(trained[0].path)!r})",
        f"os.chdir({str(trained[0].path.parent)!r})",
        "messages = []",
    ]
    for call, _ in MISTAKES:
        lines += [
            "try:",
            f"    messages.append(repr({call}))",
            "except ascjax.UserError as error:",
            "    messages.append(str(error))",
        ]
    return json.loads(python("\n".join([*lines, "print(json.dumps(messages))"])))


@pytest.mark.parametrize("index", range(len(MISTAKES)), ids=[call for call, _ in MISTAKES])
def test_a_mistake_is_one_line(messages, index):
    assert re.search(MISTAKES[index][1], messages[index])
    assert len(messages[index].splitlines()) == 1


def test_a_run_folder_that_has_moved_is_the_same_run(trained, tmp_path):
    run = ascjax.Run.open(shutil.copytree(trained[0].path, tmp_path / "moved"))
    assert run.results == trained[0].results
    assert json.loads((run.path / "config.json").read_text()).keys() == run.config.keys()
