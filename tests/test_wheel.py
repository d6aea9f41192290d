"""The wheel, built and installed elsewhere: its names, and the commands from another folder."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import tiny_set

ROOT = Path(__file__).parents[1]
SOURCES = ("ascjax", "configs", "convert", "pyproject.toml", "README.md", "LICENSE")
IGNORED = shutil.ignore_patterns("__pycache__", "*.egg-info")


def python(*words, cwd, **variables):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd, env={**environment, **variables}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def copy_sources(folder):
    folder.mkdir(exist_ok=True)
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=IGNORED)
        else:
            shutil.copy(ROOT / name, folder)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built by way of a source distribution, from a copy of the sources."""
    folder = tmp_path_factory.mktemp("build")
    copy_sources(folder)
    code = "from setuptools import build_meta; print(build_meta.build_sdist('dist'))"
    done = python("-c", code, cwd=folder)
    assert done.returncode == 0, done.stderr
    [source] = (folder / "dist").iterdir()
    done = python(
        "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation",
        "--wheel-dir", folder, source, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def ascjax(wheel, tmp_path_factory):
    """Runs a command of the installed wheel in a folder away from the repository."""
    target, folder = tmp_path_factory.mktemp("target"), tmp_path_factory.mktemp("elsewhere")
    done = python(
        "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", target, wheel,
        cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    def run(*words):
        flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=1"
        done = python("-m", "ascjax", *words, cwd=folder, PYTHONPATH=str(target), XLA_FLAGS=flags)
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = python(
        "-c", "import ascjax; print(ascjax.__file__)", cwd=folder, PYTHONPATH=str(target)
    )
    assert where.stdout.strip() == f"{target}/ascjax/__init__.py"
    assert (target / "bin" / "ascjax").is_file()
    return run


def test_it_installs_one_name_with_configs_and_templates(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name.partition("/")[0] for name in names} == {"ascjax", "ascjax-0.1.0.dist-info"}
    packed = {
        path.relative_to(ROOT / "ascjax").as_posix()
        for folder in (ROOT / "ascjax", ROOT / "ascjax/configs", ROOT / "ascjax/convert")
        for path in folder.rglob("*")
        if path.suffix in (".py", ".j2") or (path.is_file() and "shipped" in path.parts)
    }
    assert {"configs/vgg_mlp.py", "convert/__main__.py", "report/report.html.j2"} <= packed
    assert {f"ascjax/{name}" for name in packed} == {
        name for name in names if name.startswith("ascjax/")
    }


def test_it_sweeps_predicts_and_trains_in_another_folder(ascjax, tmp_path):
    root = tiny_set.write_set(tmp_path / "set", per_scene=4)
    # The head is that of other tests, whose compiled programs serve here.
    settings = {**tiny_set.overrides(tmp_path), "train.num_epochs": 1, "init.weights": "random",
                "model.head": "gap", "model.trunk": "vgg_tiny"}  # fmt: skip
    flags = [f"--config.{key}={value}" for key, value in settings.items()]
    workdir = tmp_path / "sweep" / "vgg16_mlp" / "seed0"
    rows = ["--table=3", "--rows=vgg16_mlp", f"--data_root={root}",
            f"--workdir={tmp_path / 'sweep'}"]  # fmt: skip
    assert f"table: {tmp_path / 'sweep'}/table.html" in ascjax("sweep", *rows, *flags)
    assert "0 of 1 runs are left" in ascjax("sweep", *rows, "--dry_run", *flags)
    predicted = ascjax("predict", f"--run={workdir}", "--format=csv", root / "bus" / "1-000-A.wav")
    assert predicted.splitlines()[0] == "file,scene,score,unknown,bus,park,tram"
    shipped = ascjax("predict", "--format=csv", root / "bus" / "1-000-A.wav")
    assert "009 - Rooster" in shipped
    # The same config by its name and the same overrides, so that the run is finished already.
    trained = ascjax("train", "--config=vgg_mlp", f"--config.data.root={root}",
                     f"--workdir={workdir}", *flags)  # fmt: skip
    assert f"report: {workdir}/report.html" in trained
    assert "vgg16" in ascjax("convert", "--list")


@pytest.mark.slow
def test_equal_sources_give_equal_bytes_whenever_they_are_built(tmp_path):
    built = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        copy_sources(folder)
        for path in folder.rglob("*.py"):
            os.utime(path, (number * 10**8, number * 10**8))
        done = python(
            "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation",
            "--wheel-dir", folder, folder, cwd=folder, SOURCE_DATE_EPOCH="1700000000",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        built += [path.read_bytes() for path in folder.glob("*.whl")]
    assert built[0] == built[1]
