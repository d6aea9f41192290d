"""What the processes of one training tell one another; with one process, nothing.

Small things, as JSON, go through the key-value store of JAX's coordination service: it needs no
device, so what devices have in flight goes on meanwhile. Arrays go from device to device. All
processes call the functions below in the same order.
"""

import itertools
import json
import time
from typing import Any, TypeVar

import jax
import numpy as np
from jax._src import distributed  # multihost_utils, which is public, offers arrays alone

T = TypeVar("T")

_calls, _posts = itertools.count(), itertools.count()


def client() -> Any:
    """Returns the client of the coordination service; None in one process."""
    return distributed.global_state.client


def count() -> int:
    """Returns the number of processes."""
    return distributed.global_state.num_processes if client() else 1


def index() -> int:
    """Returns the number of this process, from 0."""
    return distributed.global_state.process_id if client() else 0


def first() -> bool:
    """Whether this is the process that writes and reports."""
    return index() == 0


def gather(value: T) -> list[T]:
    """Returns what each process gives, in order, once all have given it.

    Args:
      value: anything that JSON knows.
    """
    if count() == 1:
        return [value]
    number = next(_calls)
    folder = f"ascjax/calls/{number}/"
    client().key_value_set(f"{folder}{index()}", json.dumps(value))
    pause_s = 0.0005
    while len(found := client().key_value_dir_get(folder)) < count():
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 0.1)
    # Whoever has come this far has read everything of the call before.
    if number:
        client().key_value_delete(f"ascjax/calls/{number - 1}/{index()}")
    by_index = {int(key.rpartition("/")[2]): json.loads(text) for key, text in found}
    return [by_index[number] for number in range(count())]


def from_first(value: T) -> T:
    """Returns what the first process gives, anything that JSON knows; see `gather`."""
    return gather(value if first() else None)[0]  # type: ignore[return-value]


def agree(number: int | None) -> int | None:
    """Returns the first number that any process gives; None if none does."""
    return next((each for each in gather(number) if each is not None), None)


def post(box: str, value: Any) -> None:
    """Leaves anything that JSON knows for whoever looks into a box; waits for nobody."""
    client().key_value_set(f"ascjax/{box}/{index()}-{next(_posts)}", json.dumps(value))


def posted(box: str) -> list[Any]:
    """Returns what lies in a box, and empties it."""
    found = client().key_value_dir_get(f"ascjax/{box}/")
    for key, _ in found:
        client().key_value_delete(key)
    return [json.loads(text) for _, text in found]


def broadcast(tree: Any) -> Any:
    """Returns the first process's tree of arrays, as NumPy arrays; the others give the shapes."""
    if count() == 1:
        return tree
    from jax.experimental.multihost_utils import broadcast_one_to_all

    gather(None)  # devices don't wait for each other for long
    arrays = jax.tree.map(np.asarray, tree)
    # It adds zeros, and as floats -0 would become 0.
    words = jax.tree.map(lambda x: np.ascontiguousarray(x).reshape(-1).view(np.uint8), arrays)
    gathered = broadcast_one_to_all(words)
    return jax.tree.map(lambda x, y: y.view(x.dtype).reshape(x.shape), arrays, gathered)


def concatenate(tree: Any) -> Any:
    """Returns arrays of all processes, of equal shapes, one after another along the first axis."""
    if count() == 1:
        return tree
    from jax.experimental.multihost_utils import process_allgather

    gather(None)
    return process_allgather(tree, tiled=True)
