import importlib
from functools import reduce

import faults
import pytest


@pytest.mark.parametrize("moment", faults.MOMENTS, ids=lambda moment: moment.name)
def test_a_moment_is_the_call_of_a_function_that_there_is(moment):
    module, _, path = moment.function.partition(":")
    assert callable(reduce(getattr, path.split("."), importlib.import_module(module)))
