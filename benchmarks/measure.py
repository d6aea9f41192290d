"""What the programs share: flags, interleaved repeats, medians and ratios, a table, JSON.

Two sides are timed in turn, round after round, since a machine's pace drifts: only their ratio in
one round means much. It is given as the median over rounds with the quartiles.
"""

import argparse
import datetime
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch needs room on a GPU too

import jax
import jax.numpy as jnp
import numpy as np

from ascjax.cli import Parser
from ascjax.data import synthetic
from ascjax.files import as_path
from ascjax.words import aligned

Row = dict[str, Any]


def parser(program: str, doc: str, *, repeats: int = 0) -> Parser:
    """Returns a parser with --quick and --out, and --repeats where a number of them is given."""
    made = Parser(prog=f"benchmarks.{program}", description=doc)
    made.add_argument("--quick", action="store_true", help="small sizes: seconds, not minutes")
    made.add_argument("--out", type=as_path, metavar="FILE", help="JSON to write")
    if repeats:
        made.add_argument("--repeats", type=int, default=repeats, help=f"rounds ({repeats})")
    return made


def words(text: str) -> list[str]:
    """Returns the parts of ``a,b,c``: the type of a flag."""
    return text.split(",")


def numbers(text: str) -> list[int]:
    """Returns the parts of ``1,2,3``: the type of a flag."""
    return [int(word) for word in words(text)]


def interleaved(
    sides: Mapping[str, Callable[[], Any]],
    repeats: int,
    *,
    warmup: int = 2,
    before: Mapping[str, Callable[[], Any]] | None = None,
) -> dict[str, np.ndarray]:
    """Times every side in turn, round after round, each round beginning with the next side.

    Args:
      sides: what to time by name; each returns when its work is done.
      repeats: rounds that count.
      warmup: rounds before that, in which programs are compiled.
      before: by name, what a side's turn begins with and isn't timed: it finds caches and memory as
        the side before left them.

    Returns:
      Seconds of a call by name, [round].
    """
    names = list(sides)
    seconds = {name: np.zeros(repeats) for name in names}
    for turn in range(-warmup, repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            time.sleep(0.1)  # idle threads of the side before stop spinning
            if before and name in before:
                before[name]()
            start = time.perf_counter()
            sides[name]()
            if turn >= 0:
                seconds[name][turn] = time.perf_counter() - start
    return seconds


def median(values: Sequence[float] | np.ndarray) -> float:
    """Returns the median."""
    return float(np.median(values))


def spread(values: Sequence[float] | np.ndarray) -> dict[str, float]:
    """Returns median and quartiles, for a cell of a table."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    return {"median": middle, "low": low, "high": high}


def clips(scratch: Path) -> list[Path]:
    """Returns recordings of 10 s, two columns, 48 kHz, 24 bit: real ones where there are any.

    Looked for in ../shared, or where ASCJAX_SHARED points; else synthesised in ``scratch``.
    """
    shared = Path(os.environ.get("ASCJAX_SHARED", "../shared"))
    found = sorted((shared / "data" / "binaural").glob("*.wav"))
    return found or sorted(synthetic.make(scratch / "clips", num_recordings=20).rglob("*.wav"))


def matmul_peak(dtype: Any = jnp.float32) -> float:
    """Returns the most FLOP/s of a product of square matrices here, the best of ten turns."""
    # An accelerator is given several in a row: at the first its clock may still be low.
    side, count = (2048, 1) if jax.default_backend() == "cpu" else (8192, 16)
    a = jax.random.normal(jax.random.key(0), (side, side), dtype)
    product = jax.jit(lambda a: jnp.matmul(a, a))

    def products() -> None:
        jax.block_until_ready([product(a) for _ in range(count)])

    seconds = interleaved({"product": products}, 10)["product"]
    return 2 * count * side**3 / float(seconds.min())


def machine() -> Row:
    """Returns where and with what this runs."""
    found: Row = {
        "date": datetime.date.today().isoformat(),
        "devices": f"{jax.local_device_count()} × {jax.local_devices()[0].device_kind}",
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "jax": jax.__version__,
    }
    if "torch" in sys.modules:
        found["torch"] = sys.modules["torch"].__version__
    if jax.default_backend() == "cpu":
        found["gpu"] = "none: unmeasured"
    return found


def report(program: str, options: argparse.Namespace, tables: Mapping[str, Sequence[Row]]) -> None:
    """Prints where it ran and the tables by title, and writes both to --out."""
    where = machine()
    print(f"\n{program}: " + ", ".join(f"{key} {value}" for key, value in where.items()))
    for title, rows in tables.items():
        print(f"\n{title}\n{table(rows)}")
    if options.out:
        flags = {key: value for key, value in vars(options).items() if key != "out"}
        found = {"program": program, "machine": where, "flags": flags, "tables": tables}
        options.out.write_text(json.dumps(found, indent=1, default=str))


def table(rows: Sequence[Row]) -> str:
    """Returns rows as aligned text, a column for each key."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    cells = [keys, *([_cell(row.get(key, "")) for key in keys] for row in rows)]
    return aligned(cells, num_numbers=len(keys))


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return "{median:.3g} [{low:.3g}–{high:.3g}]".format(**value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)
