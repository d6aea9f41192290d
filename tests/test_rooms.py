"""The rooms of the house: a file imports only from rooms below its own, and none in a circle."""

import ast
import re
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "ascjax"
# From the ground up; files in the package's own folder are the ground floor or commands.
FLOORS = (
    ("errors", "signals", "files", "words", "records", "configs", "config", "cli"),
    ("audio", "compute", "fetch"),
    ("data", "models"),
    ("scoring",),
    ("training",),
    ("setup",),
    ("runs",),
    ("report",),
    ("paper", "deploy", "cluster", "probing"),
)
COMMANDS = ("main", "sweep", "predict", "evaluate", "figures", "describe", "embed", "__main__")


def imports(path):
    """The modules of ascjax that a file imports, also within functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("ascjax."))
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            if node.module == "ascjax":
                yield from (f"ascjax.{alias.name}" for alias in node.names)
            elif node.module and node.module.startswith("ascjax."):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def graph():
    """Room of each file → rooms that it imports, with the file that does."""
    edges = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).parts
        room = parts[0].removesuffix(".py")
        if room in ("convert", "configs") or parts == ("__init__.py",):
            continue
        for module in imports(path):
            other = module.split(".")[1]
            if other != room and other != "__version__":
                edges.setdefault((room, other), path.relative_to(PACKAGE))
    return edges


def test_no_import_goes_up():
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    floor |= dict.fromkeys(COMMANDS, len(FLOORS))
    upwards = [
        f"{path} imports {other}, which is no floor below {room}"
        for (room, other), path in graph().items()
        if floor[other] > floor[room] or (floor[other] == floor[room] and floor[room] > 2)
    ]
    assert not upwards, "\n".join(upwards)


def test_no_circle_of_rooms():
    edges = graph()
    rooms = {room for edge in edges for room in edge}
    below = {room: {other for a, other in edges if a == room} for room in rooms}
    while below:
        free = {room for room, others in below.items() if not others & below.keys()}
        assert free, f"a circle among {sorted(below)}"
        below = {room: others for room, others in below.items() if room not in free}


def test_the_top_folder_stays_small():
    assert len(list(PACKAGE.glob("*.py"))) <= 16


def test_only_setup_and_what_is_above_sees_a_config():
    low = ("audio", "compute", "data", "models", "scoring", "training")
    for room in low:
        for path in (PACKAGE / room).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert "ConfigDict" not in text, path
            strings = (n.value for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant))
            named = [s for s in strings if isinstance(s, str) and re.search(r"config\.\w", s)]
            assert not named, f"{path} speaks of config keys: {named}"
