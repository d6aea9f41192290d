"""The command line as a whole: what every command has in common."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ascjax import __main__, __version__, cli, main
from ascjax.__main__ import COMMANDS
from ascjax.errors import UserError
from ascjax.files import as_path
from ascjax.models import weights
from ascjax.signals import Stopped

ROOT = Path(__file__).parents[1]
FIGURES = [["figures", name] for name in ("spectrogram", "confusion", "fragments")]
HELPS = [*([name, "--help"] for name in COMMANDS), *([*words, "--help"] for words in FIGURES)]
MISTAKES = [[name, "--mistyped=1"] for name in COMMANDS]
# In one process without JAX, as each start takes time.
ANSWER = """
import contextlib, io, json, sys
from ascjax import __main__
answers = []
for words in json.loads(sys.argv[1]):
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        sys.argv = ["ascjax", *words]
        try:
            __main__.main()
        except SystemExit as ended:
            code = ended.code
    slow = sorted({"jax", "torch", "matplotlib"} & set(sys.modules))
    answers.append((code, out.getvalue(), err.getvalue(), slow))
print(json.dumps(answers))
"""


def test_what_the_terminals_encoding_lacks_is_a_question_mark():
    code = (
        "import sys; from ascjax import cli\n"
        "cli.run(lambda _: print('1–2', '\\udcff'), lambda argv: None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
    )  # fmt: skip
    assert done.stdout == b"1?2 \xff\n"


def test_a_tilde_is_the_users_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    options = main.parse(["train", "--config=quickstart", "--workdir=~/runs/first"])
    assert options.workdir == tmp_path / "runs" / "first"
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "vgg16.safetensors").touch()
    for name, folder in (("imagenet", "~/weights"), ("~/weights", "x")):
        assert weights.resolve(name, "vgg16", folder) == tmp_path / "weights/vgg16.safetensors"
    assert cli.folder("~/weights") == tmp_path / "weights"
    assert as_path("~nobody_of_this_name.wav") == Path("~nobody_of_this_name.wav")


def test_a_path_that_nobody_can_look_at(tmp_path):
    with pytest.raises(UserError, match=r"x{300}: File name too long"):
        as_path("x" * 300)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(UserError, match="loop/run: Too many levels of symbolic links"):
        as_path(loop / "run")
    (tmp_path / "file").touch()
    for missing in ("nowhere", "file/run", "a\0b"):
        assert as_path(tmp_path / missing) == tmp_path / missing


@pytest.fixture(scope="module")
def answers():
    """Exit code, what was printed on stdout and stderr, and slow imports, by command line."""
    lines = [*HELPS, *MISTAKES]
    done = subprocess.run(
        [sys.executable, "-c", ANSWER, json.dumps(lines)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return dict(zip(map(" ".join, lines), json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("words", HELPS, ids=" ".join)
def test_a_help_fits_80_columns_names_no_path_and_loads_nothing_slow(words, answers):
    code, out, err, slow = answers[" ".join(words)]
    assert (code, err, slow) == (0, "", [])
    assert re.match(rf"usage: .*{words[-2]} ", out)
    assert max(map(len, out.splitlines())) <= 80
    assert not re.search(r"/(home|root|work|tmp)\b", out)


@pytest.mark.parametrize("words", MISTAKES, ids=" ".join)
def test_a_mistyped_flag_is_one_line_and_loads_nothing_slow(words, answers):
    code, out, err, slow = answers[" ".join(words)]
    assert (code, out, slow) == (2, "", [])
    assert re.fullmatch("error: .*\n", err)


def test_the_help_of_train_lists_the_configs_with_a_line_and_a_time(answers):
    _, out, _, _ = answers["train --help"]
    out = " ".join(out.split())
    assert (
        "quickstart The whole pipeline on a small synthetic set with a small trunk. Time: 3 " in out
    )
    assert re.search(r"vgg_mlp The paper's best: .* Time: 38 hours on two cores, estimated", out)


def ascjax(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["ascjax", *words])
    __main__.main()


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_the_commands_are_listed(words, monkeypatch, capsys):
    ascjax(monkeypatch, *words)
    listed = capsys.readouterr().out
    assert max(map(len, listed.splitlines())) <= 80
    for name, (_, purpose) in COMMANDS.items():
        assert re.search(rf"^  {name} +{purpose}$", listed, re.MULTILINE)


def test_an_unknown_command_is_answered_with_the_nearest(monkeypatch, capsys):
    with pytest.raises(SystemExit) as ended:
        ascjax(monkeypatch, "trian")
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith("got 'trian'; did you mean 'train'?\n")


def test_the_version(monkeypatch, capsys):
    ascjax(monkeypatch, "--version")
    assert capsys.readouterr().out == f"ascjax {__version__}\n"


def parse(*words):
    parser = cli.Parser("ascjax command", "What it does.")
    parser.add_argument("--run", type=cli.folder)
    parser.add_argument("--fragments", type=cli.count)
    parser.add_argument("--rows", type=cli.names)
    return parser.parse(["command", *map(str, words)])


def test_options_are_parsed(tmp_path):
    options = parse(f"--run={tmp_path}", "--fragments", 3, "--rows=a,b")
    assert (options.run, options.fragments, options.rows) == (tmp_path, 3, ["a", "b"])


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--fragment=3", "unknown '--fragment'; did you mean '--fragments'"),
        ("--fragments=x", "--fragments: invalid count value: 'x'; --help lists the flags"),
        ("--fragments=0", "--fragments: expected 1 or more, got 0"),
        ("--run=nowhere", "--run: expected a folder, there is none at nowhere"),
        ("--run", "--run: expected one argument"),
        ("word", "unexpected argument 'word'"),
    ],
)
def test_a_mistake_is_one_line(word, message):
    with pytest.raises(UserError, match=message) as error:
        parse(word)
    assert "\n" not in str(error.value)


def test_a_description_is_filled_but_for_indented_lines():
    text = f"{'word ' * 30}\n\n  an example{'-' * 80}\n\n{'more ' * 30}"
    lines = cli.Parser("ascjax command", text).description.splitlines()
    assert f"  an example{'-' * 80}" in lines
    assert [len(line) > 80 for line in lines].count(True) == 1


def test_overrides_are_split_from_other_words():
    words = ["train", "--config=vgg", "--config.seed=1", "--workdir", "x", "--config.a.b", "-1"]
    rest, overrides = cli.split_overrides([*words, "--config.seed=2", "--config.c="])
    assert rest == ["train", "--config=vgg", "--workdir", "x"]
    assert overrides == {"seed": "2", "a.b": "-1", "c": ""}


@pytest.mark.parametrize("words", [["--config.seed"], ["--config.seed", "--workdir=x"]])
def test_a_key_needs_a_value(words):
    with pytest.raises(UserError, match=r"expected --config\.seed=VALUE, got no value"):
        cli.split_overrides(words)


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (UserError("expected this"), 2, "error: expected this\n"),
        (
            Stopped("at step 3", 143),
            143,
            "stopped at step 3; the same command resumes from there\n",
        ),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
    ids=["mistake", "stopped", "interrupted"],
)
def test_exit_codes(raised, code, line, capsys):
    def main(options):
        raise raised

    with pytest.raises(SystemExit) as ended:
        cli.run(main, lambda argv: argv)
    assert ended.value.code == code
    assert capsys.readouterr().err == line


@pytest.fixture
def kept(monkeypatch):
    """Returns the folder of compiled programs, for given variables of the environment."""

    def where(**variables):
        for name in (cli.CACHE_VARIABLE, "XDG_CACHE_HOME"):
            monkeypatch.setenv(name, "")  # so that it is restored after the test
            monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, str(value))
        cli.keep_compiled_programs()
        return os.environ.get(cli.CACHE_VARIABLE)

    return where


def test_programs_are_kept_in_the_users_cache_folder(kept, tmp_path):
    assert kept(HOME=tmp_path) == f"{tmp_path}/.cache/ascjax/xla"
    assert kept(HOME=tmp_path, XDG_CACHE_HOME=tmp_path / "x") == f"{tmp_path}/x/ascjax/xla"
    assert not list(tmp_path.iterdir())  # JAX makes the folder when there is something to keep


def test_the_users_own_choice_stands(kept):
    assert kept(**{cli.CACHE_VARIABLE: "/elsewhere"}) == "/elsewhere"


def test_a_folder_that_cannot_be_written_is_left_out(kept, tmp_path):
    (tmp_path / "file").touch()
    assert kept(XDG_CACHE_HOME=tmp_path / "file") is None
    assert kept(XDG_CACHE_HOME="relative") is None
    assert not Path("relative").exists()
