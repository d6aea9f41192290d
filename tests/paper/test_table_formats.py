import csv
import io

import pytest
from html_page import Page

from ascjax.paper import formats
from ascjax.paper.filled import (
    Comparison,
    Cost,
    FilledTable,
    FilledTables,
    RowResults,
    TableRow,
)
from ascjax.scoring.clusters import ByLocation
from ascjax.scoring.metrics import SeedSummary

SIZES = {"float32": 380_000, "float16": 190_000, "int8": 97_500}
COST = Cost(95_000, SIZES, 1.5e9, 750_000_000, 75e6, 442_368)
OURS = RowResults(20, 0.45, None, (0.25, 0.66), COST, 75.0, 3.0)
LINE = TableRow(
    "vgg", "VGG-16", "vgg_tiny", "random", "average", 6, "mlp", 0.755, "finished", OURS, ()
)


def filled(*lines, comparisons=(), **options):
    shared = {
        "data_root": "clips & <more>",
        "settings": {"model.trunk": "vgg_tiny", "train.num_epochs": "1"},
        "seeds": 1,
        "folds": False,
        "num_finished": 1,
        "num_planned": 2,
        "synthetic": False,
    }
    table = FilledTable("Fusion_of 100 %", list(lines), list(comparisons))
    return FilledTables(tables={"3": table}, **{**shared, **options})


def html(tables):
    return Page(formats.html(tables, "a <sweep>"))


@pytest.mark.parametrize("form", [formats.markdown, formats.latex, formats.to_csv])
def test_every_form_says_its_data_set_and_overrides(form):
    text = form(filled(LINE)).replace("\\", "")
    assert "clips & <more>" in text
    assert "model.trunk=vgg_tiny" in text
    assert "train.num_epochs=1" in text
    assert "model.trunk=vgg_tiny" in html(filled(LINE)).plain
    assert "clips & <more>" in html(filled(LINE)).plain


@pytest.mark.parametrize("form", [formats.markdown, formats.latex])
def test_the_tests_size_stands_beside_the_papers(form):
    text = form(filled(LINE))
    assert ", 20 test recordings; 1 seed; in every row model" in text
    assert "fold 1, 2,518 test recordings." in text
    assert "no overrides" in form(filled(LINE, settings={}))
    assert "on every fold" in form(filled(LINE, folds=True))


def test_operations_are_of_recordings_or_of_windows():
    for form in (formats.markdown, formats.latex, lambda tables: html(tables).plain):
        assert "GFLOP per recording" in form(filled(LINE))
        assert "GFLOP per window" in form(filled(LINE, unit="window"))


def test_rows_link_to_their_reports():
    one = TableRow(**{**vars(LINE), "reports": ("vgg/seed 0/report.html",)})
    two = TableRow(**{**vars(LINE), "reports": ("a/report.html", "b/report.html")})
    text = formats.markdown(filled(one, two, LINE))
    assert "| [VGG-16](vgg/seed%200/report.html) | vgg_tiny |" in text
    assert "| VGG-16 [1](a/report.html) [2](b/report.html) | vgg_tiny |" in text
    assert "| VGG-16 | vgg_tiny |" in text
    links = html(filled(one, two, LINE)).refers_to
    assert links == ["vgg/seed%200/report.html", "a/report.html", "b/report.html"]
    (_, cells, *_) = csv.reader(io.StringIO(formats.to_csv(filled(two))))
    assert "a/report.html;b/report.html" in cells


def test_latex_is_escaped_and_each_row_has_every_cell():
    waiting = TableRow(**{**vars(LINE), "ours": None, "state": "can’t exist: 5 % of {x}_y"})
    text = formats.latex(filled(LINE, waiting))
    assert r"clips \& <more>" in text
    assert r"Fusion\_of 100 \%" in text
    assert r"can't exist: 5 \% of \{x\}\_y" in text
    assert "$N_s$" in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    counts = [line.replace(r"\&", "").count("&") for line in rows]
    assert counts == [10] * 3 + [8] * 2
    assert text.count(r"\begin{") == text.count(r"\end{")
    deviating = TableRow(**{**vars(LINE), "ours": RowResults(**{**vars(OURS), "deviation": 0.004})})
    assert r"45.0 $\pm$ 0.4" in formats.latex(filled(deviating))


def test_comparisons_are_sentences_and_columns():
    made = Comparison("vgg", "gap", ("VGG-16", "gap"), 1, -0.05, 0.02, 3, 4, 0.0004)
    tables = filled(LINE, comparisons=[made])
    assert (
        "- VGG-16 against gap: −5.0 points (the paper: +2.0); alone right on 3 against 4 "
        "recordings, p < 0.001"
    ) in formats.markdown(tables)
    (row,) = csv.DictReader(io.StringIO(formats.to_csv(tables)))
    assert (row["against"], row["only_a"], row["only_b"], row["p"]) == ("gap", "3", "4", "0.0004")
    assert "VGG-16 gap −5.0 +2.0 3 4 p < 0.001 –" in html(tables).plain


def test_intervals_and_tests_by_location_stand_beside_the_others():
    ours = RowResults(**{**vars(OURS), "by_location": ByLocation(12, (0.125, 0.75))})
    line = TableRow(**{**vars(LINE), "ours": ours})
    made = Comparison("vgg", "gap", ("VGG-16", "gap"), 1, -0.05, 0.02, 3, 4, 0.0004, 0.25)
    tables = filled(line, LINE, comparisons=[made])
    assert "| 25.0–66.0 % | 12.5–75.0 % | 1 min 15 s |" in formats.markdown(tables)
    assert "| 25.0–66.0 % | – | 1 min 15 s |" in formats.markdown(tables)
    assert "recordings, p < 0.001 (p = 0.250 by location)" in formats.markdown(tables)
    assert r"25.0--66.0 \% & 12.5--75.0 \% & 1 min 15 s" in formats.latex(tables)
    known, unknown = csv.DictReader(io.StringIO(formats.to_csv(tables)))
    keys = ("locations", "by_location_low", "by_location_high")
    assert [known[key] for key in keys] == ["12", "0.125", "0.75"]
    assert [unknown[key] for key in keys] == ["", "", ""]
    assert known["p_by_location"] == "0.25"
    assert "25.0–66.0 % 12.5–75.0 %" in html(tables).plain
    assert "3 4 p < 0.001 p = 0.250" in html(tables).plain


def test_complexity_is_in_every_form():
    cells = ("95,000", "380.0 kB", "190.0 kB", "97.5 kB", "1.50", "750.0", "75.0", "442.4 kB")
    tables = filled(LINE)
    head = (
        "parameters | float32 | float16 | int8 | GFLOP per recording | MMAC per recording | "
        "MMAC per s | activations"
    )
    assert f"Complexity:\n\n| row | {head} |\n" in formats.markdown(tables)
    assert f"| VGG-16 | {' | '.join(cells)} |" in formats.markdown(tables)
    assert " & ".join(("VGG-16", *cells)) in formats.latex(tables)
    assert " ".join(("VGG-16", *cells)) in html(tables).plain
    (row,) = csv.DictReader(io.StringIO(formats.to_csv(tables)))
    keys = ("parameters", "bytes_int8", "macs_per_recording", "peak_activation_bytes")
    assert [row[key] for key in keys] == ["95000", "97500", "750000000", "442368"]
    bare = RowResults(**{**vars(OURS), "cost": Cost(**{**vars(COST), "num_bytes": {}})})
    line = TableRow(**{**vars(LINE), "ours": bare})
    assert "| 95,000 | – | – | – | 1.50 |" in formats.markdown(filled(line))
    waiting = TableRow(**{**vars(LINE), "ours": None})
    assert "Complexity" not in formats.markdown(filled(waiting))


def test_seen_and_unseen_devices_stand_apart():
    by_seen = {
        "seen": (SeedSummary(0.6, None, (0.31, 0.83), (0.25, 0.9)), 10),
        "unseen": (SeedSummary(0.3, None, (0.11, 0.6)), 10),
    }
    ours = RowResults(**{**vars(OURS), "by_seen": by_seen})
    tables = filled(TableRow(**{**vars(LINE), "ours": ours}), LINE)
    seen = ("60.0 %", "31.0–83.0 %", "25.0–90.0 %", "10")
    cells = (*seen, "30.0 %", "11.0–60.0 %", "–", "10")
    assert f"| VGG-16 | {' | '.join(cells)} |" in formats.markdown(tables)
    assert " ".join(("VGG-16", *cells)) in html(tables).plain
    assert "& 31.0--83.0 \\% & 25.0--90.0 \\% & 10 &" in formats.latex(tables)
    known, unknown = csv.DictReader(io.StringIO(formats.to_csv(tables)))
    keys = ("seen_mean", "seen_high", "unseen_recordings", "unseen_low")
    assert [known[key] for key in keys] == ["0.6", "0.83", "10", "0.11"]
    assert [unknown[key] for key in keys] == [""] * 4
    keys = ("seen_by_location_low", "seen_by_location_high", "unseen_by_location_low")
    assert [known[key] for key in keys] == ["0.25", "0.9", ""]
    assert "Devices" not in formats.markdown(filled(LINE))
    assert "training part" not in html(filled(LINE)).plain


@pytest.mark.parametrize("synthetic", [True, False])
def test_synthetic_results_say_so_in_every_form(synthetic):
    tables = filled(LINE, synthetic=synthetic)
    for text in (formats.markdown(tables), formats.latex(tables), html(tables).plain):
        assert ("They are not results about real scenes." in text) == synthetic


def test_the_page_needs_nothing_else_and_scrolls_by_keyboard():
    page = html(filled(LINE))
    assert page.refers_to == []
    assert page.text.count('role="region" tabindex="0" aria-label="') == page.text.count("<table")
    assert "a <sweep>" in page.plain
    assert "1 of 2 done." in page.plain


def test_labels_are_text_and_cells_no_formulas():
    named = TableRow(**{**vars(LINE), "label": '=1+<script>alert("1")</script>'})
    page = html(filled(named, data_root='"><img src=x onerror=alert(1)>'))
    assert {"x"}.isdisjoint(page.refers_to)
    assert "onerror" not in page.attributes
    assert named.label in page.plain
    (row,) = csv.DictReader(io.StringIO(formats.to_csv(filled(named, data_root="@SUM(1)"))))
    assert (row["label"], row["data_root"]) == (f"'{named.label}", "'@SUM(1)")


def test_what_challenges_rank_by_is_in_every_form():
    ranks = {"macro_accuracy": 0.541, "log_loss": 1.25, "macro_log_loss": 1.375}
    tables = filled(TableRow(**{**vars(LINE), "ours": RowResults(**{**vars(OURS), **ranks})}))
    head = "| row | mean of scenes | log loss / nats | mean of scenes / nats |"
    assert f"As challenges rank:\n\n{head}" in formats.markdown(tables)
    assert "| VGG-16 | 54.1 % | 1.250 | 1.375 |" in formats.markdown(tables)
    assert "VGG-16 & 54.1 \\% & 1.250 & 1.375" in formats.latex(tables)
    assert "VGG-16 54.1 % 1.250 1.375" in html(tables).plain
    (row,) = csv.DictReader(io.StringIO(formats.to_csv(tables)))
    assert [row[key] for key in ranks] == ["0.541", "1.25", "1.375"]
