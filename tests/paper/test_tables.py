"""The rows are the paper's, and each one's config builds."""

import pytest

from ascjax.config import load_config
from ascjax.paper import plan
from ascjax.paper.tables import TABLES
from ascjax.setup import check

ROWS = {name: row for table in TABLES.values() for name, row in table.rows.items()}


def test_the_papers_numbers_in_its_order():
    papers = {name: [row.paper for row in table.rows.values()] for name, table in TABLES.items()}
    assert papers == {
        "1": [59.5, 64.3, 61.9, 70.6, 61.6, 70.2],
        "2": [70.6, 71.6, 73.9, 71.8, 71.8],
        "3": [59.7, 73.9, 75.5, 77.8],
    }


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_what_its_name_says(name):
    config = plan.make_config(ROWS[name], {})
    check(config)
    trunk, _, what = name.partition("_")
    assert config.model.trunk == trunk
    # A key that no config has would be added in silence by update_from_flattened_dict's caller.
    assert set(ROWS[name].overrides) <= {"init.weights", "fragments.count"}
    if what in ("random", "imagenet"):
        assert (config.init.weights, config.fragments.count) == (what, 1)
    if what.startswith("fragments"):
        assert (config.init.weights, f"fragments{config.fragments.count}") == ("imagenet", what)
    three = ("left", "right", "average")
    assert config.channels == (three if what in ("channels", "mlp") else ("average",))
    assert config.model.head == ("mlp" if what == "mlp" else "baseline" if not what else "gap")


def test_comparisons_are_between_rows_that_exist_and_rows_are_the_same_in_every_table():
    for row in ROWS.values():
        assert set(row.against) <= set(ROWS)
    for table in TABLES.values():
        for name, row in table.rows.items():
            assert row is ROWS[name]


def test_settings_of_the_user_come_last():
    settings = {"model.trunk": "vgg_tiny", "train.num_epochs": 2}
    config = plan.make_config(ROWS["vgg16_mlp"], settings)
    assert (config.model.trunk, config.train.num_epochs, config.model.head) == (
        "vgg_tiny",
        2,
        "mlp",
    )
    assert load_config(ROWS["vgg16_mlp"].config).model.trunk == "vgg16"
