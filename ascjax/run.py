"""The run folder: one trained model and everything about it.

config.json        the resolved config
run.json           scenes, channels, front end, normalisation, model, counts: enough to predict
checkpoints/       Orbax: the last few and the best
metrics.jsonl      a line for each epoch; events/ has the same for TensorBoard
posteriors.npz     of the test part, [recording, channel, fragment, scene]
examples.npz       log-mels of a right and a wrong recording, for the report
results.json       metrics of the test part
report.html        all of it to look at
"""

import json
from pathlib import Path
from typing import Any

from ascjax.errors import UserError

# Keys that change where and how fast a run is computed, not what: they may differ when it goes on.
FREE = ("data.num_workers", "data.store_dir", "init.weights_dir", "num_devices", "log_every_steps")


def write_json(path: Path, value: Any) -> None:
    """Writes JSON so that the file is whole or not there."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(value, indent=1) + "\n")
    partial.rename(path)


def read_json(path: Path) -> Any:
    """Reads JSON of a run folder.

    Raises:
      UserError: the file is missing or damaged.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{path}: expected a file of a finished run, found none") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error}); the run is damaged") from error


def flatten(config: dict, prefix: str = "") -> dict[str, Any]:
    """Returns a nested dict as {"a.b": leaf}, tuples as lists as JSON has them."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = list(value) if isinstance(value, tuple) else value
    return flat


def claim(workdir: Path, config: dict) -> None:
    """Makes ``workdir`` this config's run folder, or checks that it is.

    Raises:
      UserError: it can't be written, isn't a run folder, or belongs to another config.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / ".writable").touch()
        (workdir / ".writable").unlink()
    except OSError as error:
        raise UserError(
            f"--workdir={workdir}: cannot write there ({error.strerror}); choose another folder"
        ) from error
    path = workdir / "config.json"
    if not path.exists():
        others = sorted(p.name for p in workdir.iterdir())
        if others:
            raise UserError(
                f"--workdir={workdir}: expected an empty or new folder or a run, found "
                f"{', '.join(others[:3])}; choose another folder"
            )
        write_json(path, config)
        return
    ours, theirs = flatten(config), flatten(read_json(path))
    differing = [
        f"{key} ({theirs.get(key)!r} there, {ours.get(key)!r} now)"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key) and key not in FREE
    ]
    if differing:
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise UserError(
            f"--workdir={workdir}: holds a run of another config: {', '.join(differing[:3])}{more}; "
            "choose another --workdir or remove that folder"
        )
