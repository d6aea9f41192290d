"""`ascjax sweep` with a table of two small rows, as a program."""

from ascjax import cli, sweep
from ascjax.paper.tables import Row, Table

ROWS = {
    "gap": Row("a tiny gap", "common", {"model.head": "gap"}, 60.0),
    "mlp": Row("a tiny mlp", "common", {"model.head": "mlp"}, 70.0, ("gap",)),
}

if __name__ == "__main__":
    sweep.TABLES = {"1": Table("Heads", ROWS)}
    cli.run(sweep.main, sweep.parse)
