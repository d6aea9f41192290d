"""Describes a data set before training.

  ascjax describe DIR [--json] [--quick]

Says its layout and why, recordings and hours by scene, fold, city and device, which sample rate and
duration training would take and what that costs, what is left out, silent, clipped or there twice,
and which config to begin with. --quick reads headers only.
"""

import argparse
import dataclasses
import shlex
from collections.abc import Sequence

from ascjax import cli
from ascjax.audio import isolated, wave
from ascjax.config import load_config
from ascjax.data import copies, describe_text
from ascjax.data.catalogue import Catalogue, read_catalogue
from ascjax.data.dataset import select
from ascjax.data.describe import Description, describe
from ascjax.data.layouts import LAYOUTS
from ascjax.data.tables import parse_columns
from ascjax.errors import UserError
from ascjax.files import as_path


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; raises UserError on a mistake in it."""
    parser = cli.Parser("ascjax describe", __doc__)
    add = parser.add_argument
    add("root", type=as_path, metavar="DIR", help="a data set's folder, or a table of recordings")
    add("--json", action="store_true", help="print JSON instead of text")
    add("--quick", action="store_true", help="read headers only, no samples")
    add("--layout", default="auto", help=f"auto (the default), {', '.join(LAYOUTS)}")
    add("--split", default="", help="a training subset that the set publishes, e.g. split5")
    add("--columns", default="", metavar="ROLE=COLUMN,...",
        help="a table's columns, e.g. path=filename,scene=label")  # fmt: skip
    return parser.parse(argv)


def main(options: argparse.Namespace) -> None:
    """Describes a set and prints it."""
    catalogue = read_catalogue(
        options.root,
        layout=options.layout,
        split=options.split,
        columns=parse_columns(options.columns),
    )
    description = read(catalogue, samples=not options.quick)
    if not options.quick and description.choice:
        training_s = _estimate_training(catalogue, description)
        description = dataclasses.replace(description, training_s=training_s)
    if options.json:
        print(description.to_json())
    else:
        print(describe_text.text(description))
        print(f"\n  {_command(description, options)}")


def _command(description: Description, options: argparse.Namespace) -> str:
    """Returns the command that trains with the suggested config."""
    suggestion = description.suggestion
    settings = {"data.root": str(options.root)}
    if suggestion.window_s:
        settings["data.window_s"] = f"{suggestion.window_s:g}"
    for name, value in (("layout", options.layout), ("split", options.split)):
        if value not in ("", "auto"):
            settings[f"data.{name}"] = value
    if options.columns:
        settings["data.columns"] = options.columns
    numbers = [parts.fold for parts in description.folds]
    if numbers and 1 not in numbers:
        settings["data.fold"] = str(min(numbers))
    flags = [f"--config.{key}={value}" for key, value in settings.items()]
    return shlex.join(["ascjax", "train", f"--config={suggestion.config}", *flags])


def read(catalogue: Catalogue, *, samples: bool) -> Description:
    """Reads the headers of a set's recordings, and their samples too if asked, and describes it."""
    infos, unreadable = _probe(catalogue)
    inspections = None
    if samples:
        inspections, undecodable = copies.listen(catalogue.recordings, infos)
        unreadable |= undecodable
    return describe(
        catalogue,
        infos,
        unreadable,
        copies=copies.find(catalogue.recordings, infos, inspections or {}),
        inspections=inspections,
    )


def _estimate_training(catalogue: Catalogue, description: Description) -> float | None:
    """Returns the seconds that training with the suggested config would take here.

    None where it can't: the set lacks something, which the description says.
    """
    # JAX takes seconds to import, and a step of the network some more to compile.
    from jax.errors import JaxRuntimeError

    from ascjax.models import cost
    from ascjax.paper.estimate import measure_pace, num_evaluations
    from ascjax.setup import Setup, Survey
    from ascjax.setup.network import evaluation_network

    config, choice = load_config(description.suggestion.config), description.choice
    assert choice is not None
    length_s, per_recording = choice.duration_s, 1.0
    if window_s := description.suggestion.window_s:
        total_s = sum(amount.seconds for amount in description.durations_s)
        length_s = window_s
        per_recording = max(1.0, total_s / (window_s * len(catalogue.recordings)))
    try:
        listed = select(catalogue, next(iter(catalogue.folds), 1))
        setup = Setup(config, Survey(listed, {}, choice.sample_rate_hz, length_s, catalogue, {}))
        network = evaluation_network(config, len(listed.scenes))
        flops = num_evaluations(setup) * cost.of_example(network, setup.input_shape)
        return per_recording * flops / measure_pace(network, setup.input_shape)
    except (UserError, JaxRuntimeError):  # the latter where memory is short
        return None


def _probe(catalogue: Catalogue) -> tuple[dict[int, wave.Info], dict[str, str]]:
    infos, unreadable = {}, {}
    headers = isolated.each(wave.probe, [recording.path for recording in catalogue.recordings])
    for index, (recording, header) in enumerate(zip(catalogue.recordings, headers, strict=True)):
        if isinstance(header, wave.Info):
            infos[index] = header
        else:
            unreadable[recording.name] = str(header)
    return infos, unreadable


if __name__ == "__main__":
    cli.run(main, parse)
