"""Configs by name and by file, their overrides, and the check of their leaves."""

import json
import sys

import pytest
from ml_collections import ConfigDict

from ascjax import config as configs
from ascjax import main
from ascjax.configs import common
from ascjax.errors import UserError

LEAVES = {"flag": True, "count": 3, "rate": 0.5, "name": "mlp", "channels": ("average",),
          "scenes": (), "sizes": (1, 2), "data.root": "", "other.root": 1}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("flag", "false", False),
        ("flag", "True", True),
        ("count", "-4", -4),
        ("rate", "1e-3", 0.001),
        ("rate", "1", 1.0),
        ("name", "a b=c", "a b=c"),
        ("name", "'quoted'", "quoted"),
        ("name", "it's", "it's"),
        ("name", "", ""),
        ("channels", "left,right", ("left", "right")),
        ("channels", "left", ("left",)),
        ("channels", "('left','right')", ("left", "right")),
        ("channels", "['left']", ("left",)),
        ("channels", "'left'", ("left",)),
        ("channels", "()", ()),
        ("channels", "", ()),
        ("scenes", "('a, b', 'c')", ("a, b", "c")),
        ("sizes", "3, 4", (3, 4)),
    ],
)
def test_an_override_is_parsed_by_the_type_of_its_leaf(key, text, value):
    [(_, parsed)] = configs.parse_overrides(LEAVES, {key: text}).items()
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("flag", "yes", "--config.flag=yes: expected true or false, e.g. True"),
        ("count", "one", "--config.count=one: expected an int, e.g. 3"),
        ("count", "1.5", "--config.count=1.5: expected an int, e.g. 3"),
        ("count", "", "--config.count=: expected an int, e.g. 3"),
        ("rate", "fast", "--config.rate=fast: expected a float, e.g. 0.5"),
        ("channels", "(left,right)", r"expected a list such as left,right or ('left','right'),"),
        ("channels", "('left'", "expected a list such as left,right"),
        ("channels", "(1, 2)", "expected a list such as left,right"),
        ("sizes", "a,b", "expected a list such as left,right"),
        ("channels", "(" + "-" * 60_000 + "1)", "-----: expected a list such as left,right"),
        ("channels", "(" + "[" * 60_000, "[[[[[: expected a list such as left,right"),
        ("cuont", "1", "--config.cuont: no such key; did you mean 'count'?"),
        ("model.name", "x", "--config.model.name: no such key; did you mean 'name'?"),
        ("data", "x", "--config.data: no such key; it is a section with data.root"),
        ("xyz", "x", "--config.xyz: no such key; the keys are flag, count, "),
    ],
)
def test_a_wrong_override_is_one_line(key, text, message):
    with pytest.raises(UserError) as error:
        configs.parse_overrides(LEAVES, {key: text})
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_every_leaf_of_the_defaults_can_be_given_as_it_is_printed():
    leaves = configs.flatten(common.get_config().to_dict())
    texts = {key: str(value) for key, value in leaves.items()}
    assert configs.parse_overrides(leaves, texts) == leaves


def test_a_shipped_config_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert configs.load_config("vgg_mlp", {"seed": "3"}).seed == 3
    with pytest.raises(UserError, match=r"expected a file or .*; did you mean 'vgg_mlp'"):
        configs.load_config("configs/vgg_mlp.py")
    with pytest.raises(UserError, match="a shipped config, one of alexnet, baseline, common, "):
        configs.load_config("xyz")


def test_a_file_of_ones_own_is_loaded(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from ascjax.configs import vgg_mlp\n"
        "def get_config():\n"
        "    config = vgg_mlp.get_config()\n"
        "    config.my = 'own'\n"
        "    return config\n"
    )
    config = configs.load_config(str(path), {"my": "new", "train.num_epochs": "1"})
    assert (config.my, config.train.num_epochs, config.model.head) == ("new", 1, "mlp")


PLACEHOLDER = """
from ascjax.configs import common
from ml_collections import config_dict

def get_config():
    config = common.get_config()
    config.data.root = config_dict.required_placeholder(str)
    return config
"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def get_config(:", "SyntaxError"),
        ("x = 1", "it must define get_config(), which returns a ConfigDict"),
        ("get_config = lambda: {}", "it must define get_config(), which returns a ConfigDict"),
        ("get_config = lambda: 1 / 0", "ZeroDivisionError: division by zero"),
        ("import nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
        (PLACEHOLDER, "RequiredValueError: None value found in required reference"),
    ],
)
def test_a_file_that_cannot_be_loaded(tmp_path, text, reason):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(UserError, match=r"mine\.py: ") as error:
        configs.load_config(str(path))
    assert str(error.value).endswith(reason) or reason == "SyntaxError" in str(error.value)


def test_a_file_of_ones_own_imports_what_lies_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "lab_base.py").write_text("from ascjax.configs.vgg_mlp import get_config\n")
    (tmp_path / "mine.py").write_text("from lab_base import get_config\n")
    assert configs.load_config(str(tmp_path / "mine.py")).model.head == "mlp"


def test_a_config_is_described_without_running_it(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text('"""My own.\n\nMore of it.\nTakes: 3 minutes\n"""\n1 / 0\n')
    assert configs.describe(path) == ("My own.", "3 minutes")
    path.write_text("1 / 0\n")
    assert configs.describe(path) == ("", "not measured")


@pytest.mark.parametrize("name", configs.shipped())
def test_shipped_configs_have_the_structure_of_the_defaults(name):
    configs.check_structure(configs.load_config(name))


def test_a_config_read_back_from_json_has_it_too():
    config = common.get_config()
    config.optimizer.learning_rate = 1.0
    written = json.loads(json.dumps(config.to_dict()).replace("1.0", "1"))
    configs.check_structure(ConfigDict(written))


def changed(**leaves):
    config = common.get_config()
    with config.unlocked():
        for key, value in leaves.items():
            section = config.train if hasattr(config.train, key) else config
            with section.ignore_type():
                section[key] = value
    return config


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (changed(sede=1), "config.sede: no such key; did you mean 'seed'?"),
        (changed(num_epochs="15"), "config.train.num_epochs: expected an int, e.g. 15, got '15'"),
        (changed(num_epochs=1.0), "config.train.num_epochs: expected an int, e.g. 15, got 1.0"),
        (changed(remat=1), "config.train.remat: expected true or false, e.g. False, got 1"),
        (changed(seed=10**5000), "config.seed: expected an integer of at most 64 bits, got a lar"),
        (changed(seed=True), "config.seed: expected an int, e.g. 0, got True"),
        (changed(channels="left"), "config.channels: expected a list such as "),
        (changed(channels=(1, 2)), "config.channels: expected a list such as "),
    ],
)
def test_an_unknown_leaf_or_type_is_named(config, message):
    with pytest.raises(UserError) as error:
        configs.check_structure(config)
    assert message in str(error.value)


@pytest.mark.parametrize("leaves", [{"data.duration_s": 10**400}, {"seed": 10**5000}])
def test_a_number_that_no_leaf_can_hold(leaves):
    with pytest.raises(UserError, match=r"^config\.\S+: expected an integer of at most 64 bits"):
        configs.override(common.get_config(), leaves)


def test_a_missing_leaf_is_named():
    config = common.get_config()
    del config.train.remat
    with pytest.raises(UserError, match=r"config\.train\.remat is missing \(by default False\)"):
        configs.check_structure(config)


def test_a_config_file_is_run_once(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from ascjax.configs import common\n"
        f"with open({str(tmp_path / 'runs')!r}, 'a') as file:\n    file.write('x')\n"
        "get_config = common.get_config\n"
    )
    main.parse(["ascjax train", f"--config={path}", "--config.seed=3"])
    assert (tmp_path / "runs").read_text() == "x"


def test_a_name_that_no_file_can_have():
    with pytest.raises(UserError, match=r"x{300}: File name too long"):
        configs.load_config("x" * 300)
