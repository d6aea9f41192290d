"""The examples in docstrings give what they say."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WITH_EXAMPLES = sorted(
    path for path in (ROOT / "ascjax").rglob("*.py") if ">>> " in path.read_text(encoding="utf-8")
)


def module_name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=module_name)
def test_examples(path):
    finder = doctest.DocTestFinder(exclude_empty=True)
    module = importlib.import_module(module_name(path))
    tests = [test for test in finder.find(module) if test.examples]
    assert tests, "an example outside of a docstring"
    lacking = set(re.findall(r'load\("(\w+)"\)', path.read_text(encoding="utf-8")))
    lacking -= {folder.name for folder in (ROOT / "ascjax/shipped").glob("*")}
    runnable = [test for test in tests if not any(f'"{n}"' in test.docstring for n in lacking)]
    for test in runnable:
        failed, _ = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=print)
        assert not failed, test.name
    if len(runnable) < len(tests):
        pytest.skip(f"some examples need ascjax/shipped/{', '.join(sorted(lacking))}")
