import pytest

from ascjax.arguments import Parser, folder
from ascjax.errors import UserError


def parse(*words):
    parser = Parser(prog="python -m ascjax.command", description="What it does.")
    parser.add_argument("--run", type=folder)
    parser.add_argument("--fragments", type=int)
    return parser.parse(["command", *map(str, words)])


def test_options_are_parsed(tmp_path):
    options = parse(f"--run={tmp_path}", "--fragments", 3)
    assert (options.run, options.fragments) == (tmp_path, 3)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--fragment=3", "unknown '--fragment'; did you mean '--fragments'"),
        ("--fragments=x", "--fragments: invalid int value: 'x'; --help lists the flags"),
        ("--run=nowhere", "--run: expected a folder, there is none at nowhere"),
        ("word", "unknown 'word'"),
    ],
)
def test_a_mistake_is_one_line(word, message):
    with pytest.raises(UserError, match=message) as error:
        parse(word)
    assert "\n" not in str(error.value)


def test_help_is_printed(capsys):
    with pytest.raises(SystemExit) as ended:
        parse("--help")
    assert ended.value.code == 0
    assert "What it does." in capsys.readouterr().out
