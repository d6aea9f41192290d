import json

import pytest
import tiny_set

from ascjax.errors import UserError
from ascjax.files import write_text
from benchmarks import nested


def parse(tmp_path, *flags):
    fixed = [f"--data_root={tmp_path}/set", f"--workdir={tmp_path}/runs"]
    return nested.parse(["nested", f"--config={tiny_set.CONFIG}", *fixed, *flags])


def test_a_recipe_is_tried_on_part_of_the_training_part_and_sets_its_leaves(tmp_path):
    flags = ["--recipe=slow:optimizer.learning_rate=1e-5,seed=3", "--inner_epochs=2"]
    options = parse(tmp_path, *flags, "--config.train.num_epochs=9", "--config.seed=1")
    whole, run = nested.make_config(options, "slow"), nested.inner_run(options, "slow", 2)
    assert (whole.seed, whole.optimizer.learning_rate, whole.train.num_epochs) == (3, 1e-5, 9)
    tried = run.config
    assert (tried.protocol, tried.data.fold, tried.train.num_epochs) == ("validated", 2, 2)
    assert run.path == tmp_path / "runs" / "inner" / "fold2" / "slow"


def test_a_recipe_is_judged_by_its_last_epoch(tmp_path):
    run = nested.inner_run(parse(tmp_path, "--quick"), "plain", 1)
    epochs = [
        {"step": 10 * n, "epoch": n, "seconds": 1.0, "validation/loss": loss}
        for n, loss in ((1, 0.2), (2, 0.9))
    ]
    path = run.path / "metrics.jsonl"
    path.parent.mkdir(parents=True)
    write_text(path, "".join(json.dumps(each) + "\n" for each in epochs))
    assert nested.inner_loss(run) == 0.9


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--recipe=plain"], None),
        (["--recipe=:seed=1"], "expected NAME:KEY=VALUE"),
        (["--recipe=a:seed"], "expected NAME:KEY=VALUE"),
        (["--recipe=a:sed=1"], "config.sed: no such key; did you mean 'seed'"),
        (["--config.protocol=all", "--recipe=a:seed=1"], "expected the protocol paper"),
    ],
)
def test_bad_recipes_are_named(tmp_path, flags, message):
    if message is None:
        assert parse(tmp_path, *flags).recipes == {"plain": {}}
        return
    with pytest.raises(UserError, match=message):
        nested.make_config(parse(tmp_path, *flags), "a")


@pytest.mark.slow
def test_each_fold_is_tested_with_the_recipe_that_its_training_part_prefers(tmp_path, capsys):
    root, store = tiny_set.write_set(tmp_path / "set", per_scene=20), tmp_path / "store"
    small = {**tiny_set.overrides(tmp_path), "data.store_dir": str(store)}
    flags = [f"--config.{key}={value}" for key, value in small.items()]
    recipes = ["--recipe=good:seed=0", "--recipe=stuck:optimizer.learning_rate=1e-12"]
    out = tmp_path / "out.json"
    options = parse(tmp_path, *flags, *recipes, "--inner_epochs=2", f"--out={out}")
    assert options.data_root == str(root)
    nested.main(options)
    (rows,) = json.loads(out.read_text())["tables"].values()
    assert [row["fold"] for row in rows] == [1, 2]
    for row in rows:
        assert row["chosen"] == min(("good", "stuck"), key=row.__getitem__)
        run = json.loads((tmp_path / "runs" / f"fold{row['fold']}" / "config.json").read_text())
        assert run["optimizer"]["learning_rate"] == (1e-3 if row["chosen"] == "good" else 1e-12)
    assert "all folds pooled" in capsys.readouterr().out
