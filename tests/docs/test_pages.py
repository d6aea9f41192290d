"""The code of the documentation does what the pages say."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from unittest import mock

import pages
import pytest
import soundfile
import tiny_set

from ascjax.config import flatten, load_config, shipped
from ascjax.models import HEADS, TRUNKS
from ascjax.scoring.fusion import METHODS

ROOT = pages.ROOT


@pytest.fixture
def folder(finished_run, tmp_path, monkeypatch):
    """A folder with what the pages name: recordings, runs/mine, and three sounds."""
    run, recordings = finished_run
    shutil.copytree(run, tmp_path / "runs" / "mine")
    shutil.copytree(recordings, tmp_path / "recordings")
    for name in ("first", "final"):  # of pages that are parsed only
        (tmp_path / "runs" / name).mkdir()
    tone = tiny_set.write_wave(tmp_path / "clip.wav", columns=2)
    tiny_set.write_wave(tmp_path / "long.wav", seconds=6.5)
    soundfile.write(tmp_path / "dog.ogg", *soundfile.read(tone))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    with contextlib.ExitStack() as stack:
        for registry in (TRUNKS, HEADS, METHODS):  # which a page adds to
            stack.enter_context(mock.patch.dict(registry))
        yield tmp_path


@pytest.mark.parametrize("name", pages.PAGES)
def test_its_code_runs(name, folder):
    page = pages.PAGES[name]
    found = pages.blocks(page)
    if not found:
        pytest.skip("no code on this page")
    whole = pages.WHOLE in page.read_text(encoding="utf-8")
    names = {"__name__": "page"}
    for block in found:
        where = f"{name}, line {block.line}"
        if block.language == "python":
            code = compile(block.text, where, "exec")
            if not (whole or block.why):
                exec(code, names)
            continue
        for command in block.commands():
            if command.words[0] != "ascjax":
                assert whole or block.why, f"{where}: not run and no reason given: {command.text}"
            elif whole or block.why:
                pages.parsed(command.words)
            else:
                printed = pages.run(command)
                assert ("error: " in printed) == command.fails, f"{where}: {printed}"
                if command.output:
                    assert pages.shown_as_printed(command.output, printed), f"{where}: {printed}"


def whole_pages():
    return [n for n, page in pages.PAGES.items() if pages.WHOLE in page.read_text(encoding="utf-8")]


@pytest.mark.slow
@pytest.mark.parametrize("name", whole_pages())
def test_it_can_be_followed_word_for_word(name, tmp_path):
    """Each block in turn in a fresh folder, as a user would, in processes of their own."""
    # Scripts, as a link to an environment's python doesn't find its packages.
    programs = tmp_path / "bin"
    programs.mkdir()
    for command, words in (("ascjax", "-m ascjax "), ("python", "")):
        (programs / command).write_text(f'#!/bin/sh\nexec {sys.executable} {words}"$@"\n')
        (programs / command).chmod(0o755)
    flags = re.sub(r"--xla_force_host_platform_device_count=\d+", "", os.environ["XLA_FLAGS"])
    variables = {
        **os.environ,
        "XLA_FLAGS": flags,
        "MPLBACKEND": "Agg",
        "PYTHONPATH": str(ROOT),
        "PATH": f"{programs}:{os.environ['PATH']}",
    }
    folder = tmp_path / "fresh"
    folder.mkdir()

    def run(words, **options):
        done = subprocess.run(
            words, cwd=folder, env=variables, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options,
        )  # fmt: skip
        assert done.returncode == 0, f"{words}: {done.stdout}"
        return done.stdout

    for block in pages.blocks(pages.PAGES[name]):
        if block.why:
            continue
        if block.language == "python":
            run([sys.executable, "-W", "error", "-"], input=block.text)
            continue
        for command in block.commands():
            printed = run(command.text, shell=True)
            assert pages.shown_as_printed(command.output, printed), f"{command.text}: {printed}"


def test_the_paper_leads_to_files_and_settings_that_exist():
    text = pages.PAGES["docs/paper.md"].read_text(encoding="utf-8")
    table = text[: text.index("## Where the paper is silent")]
    known = {*flatten(load_config("common").to_dict()), *shipped(), "features"}
    for row in re.findall(r"^\|.*\|.*\|(.*)\|(.*)\|$", table, re.M)[2:]:
        code, settings = (re.findall(r"`([^`]+)`", cell) for cell in row)
        files = [name for name in code if "/" in name]
        assert files or code, row
        assert all((ROOT / "ascjax" / name).exists() for name in files), row
        assert {name.partition("=")[0] for name in settings} <= known, row


def test_blocks_commands_and_reasons_are_told_apart(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- not run: takes long -->\n```console\n$ make run\n```\n\n"
        "```python\nx = 1\n```\n<!-- not run: no sound -->\ntext\n"
        "```console\n$ ascjax predict \\\n    dog.ogg  # a dog\nfile ...\n$ ascjax --help\n```\n"
    )
    first, code, last = pages.blocks(page)
    assert (first.why, first.line, code.why, last.why) == ("takes long", 1, "", "")
    predict, helped = last.commands()
    assert (predict.words, predict.output) == (["ascjax", "predict", "dog.ogg"], ("file ...",))
    assert (helped.words, helped.output, helped.fails) == (["ascjax", "--help"], (), False)


def test_what_is_shown_is_compared_with_what_is_printed():
    assert pages.shown_as_printed(("3 of 4 right", "..."), "7 of  9 right\nmore")
    assert not pages.shown_as_printed(("3 of 4 wrong",), "3 of 4 right")
