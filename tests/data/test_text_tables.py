import codecs
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ascjax.data import tables
from ascjax.errors import UserError

CELL = st.text("abé .-/'\"", min_size=1, max_size=8).map(str.strip).filter(bool)


@settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.binary(max_size=200), start=st.sampled_from([b"", b"path,scene\n", b"\xff\xfe"]))
def test_any_bytes_are_a_table_or_a_user_error(tmp_path, data, start):
    path = tmp_path / "any.csv"
    path.write_bytes(start + data)
    tables.header(path)
    try:
        table = tables.read(path)
        tables.roles(table.columns, {}, path, ("path", "scene"))
    except UserError:
        return
    assert all(len(row) == len(table.columns) for _, row in table.rows)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=5),
    delimiter=st.sampled_from(tables.DELIMITERS),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_a_quoted_table_is_read_back(tmp_path, rows, delimiter, end, encoding):
    def line(cells):
        return delimiter.join(f'"{cell.replace(chr(34), 2 * chr(34))}"' for cell in cells)

    path = tmp_path / "table.csv"
    text = end.join([line(("path", "scene")), *map(line, rows), ""])
    path.write_bytes(text.encode(encoding))
    table = tables.read(path)
    assert [tuple(row) for _, row in table.rows] == rows
    assert tables.roles(table.columns, {}, path) == {"path": 0, "scene": 1}


def test_lines_are_numbered_as_in_an_editor(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text('path,scene,remark\n\na,bus,"loud,\nnear"\nc,park,\n \n')
    assert tables.read(path).rows == [(3, ["a", "bus", "loud,\nnear"]), (5, ["c", "park", ""])]


@pytest.mark.parametrize("quoted", ['c,"bus', 'c,"bus\nd,bus\ne,"bus', 'c,"bus\nd,bus"', '"c,bus'])
@pytest.mark.parametrize("delimiter", tables.DELIMITERS)
def test_a_quote_that_is_not_closed_swallows_no_rows(tmp_path, quoted, delimiter):
    path = tmp_path / "table.csv"
    text = f"path,scene\na,bus\nb,park\n{quoted}\nf,park\n"
    path.write_text(text.replace(",", delimiter))
    with pytest.raises(UserError, match=r"table\.csv, line 4: expected"):
        tables.read(path)


@pytest.mark.parametrize(
    "row", ['"a.wav" ,"bus"', '"a.wav","bus" ', 'a.wav,"bus" ""', "a.wav,bus", '"a.wav", "bus"']
)
def test_blanks_beside_quotes_are_no_fault(tmp_path, row):
    path = tmp_path / "table.csv"
    path.write_text(f"path,scene\n{row}\nb.wav,park")
    assert [line for line, _ in tables.read(path).rows] == [2, 3]


@pytest.mark.parametrize("others", ["c,park,", 'c,park,"quiet', 'c,park,x\nd,park,"quiet"'])
def test_a_remark_that_is_not_closed_swallows_no_rows(tmp_path, others):
    path = tmp_path / "table.csv"
    path.write_text(f'path,scene,remark\na,bus,the "loud" one\nb,bus,"loud\n{others}\ne,park,\n')
    with pytest.raises(UserError, match=r"table\.csv, line 3: expected a text table \("):
        tables.read(path)


def test_lines_of_blanks_are_no_rows(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("a.wav\tbus\n  \nb.wav\tpark\n \t \n ")
    assert [
        line for line, _ in tables.read(path, "\t", header=("filename", "scene_label")).rows
    ] == [
        1,
        3,
    ]


def test_a_file_without_header_has_the_one_given(tmp_path):
    path = tmp_path / "fold1_train.txt"
    path.write_text("a.wav\tbus\n")
    assert tables.read(path, "\t", header=("filename", "scene_label")).columns == (
        "filename", "scene_label",
    )  # fmt: skip
    path.write_text("filename\na.wav\n")
    table = tables.read(path, "\t", header=("filename", "scene_label"))
    assert (table.columns, table.rows) == (("filename",), [(2, ["a.wav"])])


@pytest.mark.parametrize("mark", [codecs.BOM_UTF16_LE, b"\xff\xfe\x00"])
def test_files_that_are_no_tables(tmp_path, mark):
    path = tmp_path / "table.csv"
    path.write_bytes(mark)
    with pytest.raises(UserError, match="the table is empty|expected a text table"):
        tables.read(path)


def test_a_folder_is_no_table(tmp_path):
    assert tables.header(tmp_path) == ()
    with pytest.raises(UserError, match=r"can't be read \(Is a directory\)"):
        tables.read(Path(tmp_path))
