import json
import os
from dataclasses import dataclass, replace

import pytest

from ascjax import records
from ascjax.errors import UserError


@dataclass(frozen=True)
class Part:
    sizes: dict[float, int | None]
    names: tuple[str, ...]

    def __post_init__(self):
        if not self.names:
            raise ValueError("expected a name")


@dataclass(frozen=True, kw_only=True)
class Record:
    format: int = 3
    part: Part
    scale: float


RECORD = Record(part=Part({0.5: 3, 0.9: None}, ("küche",)), scale=2.0)


def read(path):
    return records.read(path, Record, version=3, hint="make it anew")


def test_a_record_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "a.json"
    records.write(path, RECORD)
    assert read(path) == RECORD
    content = path.read_text(encoding="utf-8")
    assert json.loads(content)["part"] == {"sizes": {"0.5": 3, "0.9": None}, "names": ["küche"]}
    assert content.startswith('{\n "format": 3,\n')
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "expected format 3, got 2; use the version of ascjax that wrote it, or"),
        ({"format": "3"}, r"expected `int`, got `str` at `\$\.format`; make it anew"),
        ({"scale": "x"}, r"expected `float`, got `str` at `\$\.scale`; make it anew"),
        ({"scale": None}, r"expected `float`, got `null` at `\$\.scale`"),
        ({"part": {"sizes": {}}}, r"object missing required field `names` at `\$\.part`"),
        ({"part": {"sizes": {}, "names": []}}, r"expected a name at `\$\.part`; make it anew"),
        ({"part": {"sizes": {"x": 1}, "names": ["a"]}}, r"expected `float`, got `str` at"),
        ({"part": {"sizes": {"1": 10**30}, "names": ["a"]}}, r"expected integers of at most 64 bi"),
        ({"more": [[10**400]]}, r"expected integers of at most 64 bits, got a larger one; make it"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(tmp_path, change, message):
    path = tmp_path / "a.json"
    content = json.loads(records.encode(RECORD))
    path.write_text(json.dumps({**content, **change}))
    with pytest.raises(UserError, match=message) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected this file, there is none; make it anew"),
        (b"", "make it anew"),
        (b'{"format": 3', "make it anew"),
        (b"\xff\xfe", "make it anew"),
        (b"[" * 100_000, "recursion depth exceeded.*; make it anew"),
        (b"\0", "JSON is malformed.*; make it anew"),
        (b"[1, 2]", "expected `object`, got `array`; make it anew"),
        (b'"text"', "expected `object`, got `str`; make it anew"),
    ],
)
def test_damaged_files_are_named(tmp_path, content, message):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ")


def test_a_folder_in_its_place_is_named(tmp_path):
    with pytest.raises(UserError, match="cannot be read .*; make it anew"):
        read(tmp_path)
    os.mkfifo(tmp_path / "pipe")  # which would be waited for
    with pytest.raises(UserError, match=r"cannot be read \(it is no file\); make it anew"):
        read(tmp_path / "pipe")
    with pytest.raises(UserError, match="cannot be written"):
        records.write(tmp_path / "none" / "a.json", RECORD)


def test_bytes_of_file_names_that_are_no_utf8_are_escaped(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    records.write(tmp_path / "a.json", replace(RECORD, part=Part({1.5: 2}, (name, "é"))))
    assert read(tmp_path / "a.json").part.names == (r"caf\xe9", "é")
