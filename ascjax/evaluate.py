"""Asks a finished run what else it would have scored: python -m ascjax.evaluate --run=DIR.

Other fusions and fewer channels are answered from the run's posteriors, without a model.
--test_fragments asks for another number of fragments at the test (the paper's section 4.3): it runs
the model, on the data set.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ascjax import cli
from ascjax.arguments import Parser, folder
from ascjax.errors import UserError, choose
from ascjax.files import check_new, read_arrays, read_json, write_json
from ascjax.report import text
from ascjax.runs import folder as run_folder
from ascjax.scoring import metrics
from ascjax.scoring.fusion import METHODS


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; raises UserError on a mistake in it."""
    parser = Parser(prog="python -m ascjax.evaluate", description=__doc__)
    add = parser.add_argument
    methods = f"{', '.join(METHODS)}; default: the run's"
    add("--run", type=folder, required=True, metavar="DIR", help="a finished run")
    add("--fusion", metavar="METHOD", help=f"how fragments are fused: {methods}")
    add("--channel_fusion", metavar="METHOD", help=f"how channels are fused after that: {methods}")
    add("--channels", metavar="NAMES", help="which, e.g. left,right; default: all of the run's")
    add("--test_fragments", type=int, metavar="N", help="run the model on N fragments a recording")
    add("--data_root", metavar="DIR", help="where the run's data set is now, if it has moved")
    add("--out", type=Path, metavar="FILE", help="write the results as JSON too, to a new file")
    return parser.parse(argv)


def main(options: argparse.Namespace) -> None:
    """Prints the result table of what was asked, and its accuracy beside the run's own."""
    if options.out:
        check_new(options.out, "--out")
    asked = evaluate(
        options.run,
        fusion=options.fusion,
        channel_fusion=options.channel_fusion,
        channels=options.channels.split(",") if options.channels is not None else None,
        test_fragments=options.test_fragments,
        data_root=options.data_root,
    )
    own, against = asked["own"], asked["mcnemar"]
    synthetic = run_folder.read_run(options.run)["synthetic"]
    print(text.table(asked, synthetic=synthetic))
    print("\n" + text.accuracies({_settings(asked): asked, f"the run: {_settings(own)}": own}))
    print(
        f"alone right on {text.counted(against['only_a'], 'recording')}, the run alone on "
        f"{against['only_b']:,}; McNemar's test: p = {against['p']:.2g}"
    )
    if options.out:
        write_json(options.out, {"run": str(options.run), **asked})
        print(f"\nresults: {options.out}")


def _settings(results: Mapping[str, Any]) -> str:
    by, attended = results["fusion"], results["attended"]
    method = by["fragments"] if attended == 1 else "attention"
    count = text.counted(max(results["fragments"], attended), "fragment")
    return f"{method} over {count}, {by['channels']} over {', '.join(results['channels'])}"


def evaluate(
    run_dir: Path,
    *,
    fusion: str | None = None,
    channel_fusion: str | None = None,
    channels: Sequence[str] | None = None,
    test_fragments: int | None = None,
    data_root: str | None = None,
) -> dict[str, Any]:
    """Returns the results of a finished run's test part as they are, or would have been otherwise.

    Args:
      run_dir: the run folder; nothing is written there.
      fusion: a key of ``fusion.METHODS`` for fragments; None, here and below: as in the run.
      channel_fusion: one for channels.
      channels: some of the run's.
      test_fragments: N_s at the test; the model is run, on the data set.
      data_root: where that is now.

    Returns:
      As ``metrics.summarise``, with the ``part`` and ``step`` of the run; ``attended``: how many
      fragments the network itself fused by attention, else 1; ``own``: the run's own ``fusion``,
      ``fragments``, ``attended``, ``channels``, ``accuracy`` and ``decisions``; and ``mcnemar``
      against these.

    Raises:
      UserError: the run isn't finished, is damaged or of another format; a name is none of its
        choices; fragments are too short for the trunk; the data set isn't there or not the same.
    """
    own = run_folder.read_results(run_dir)
    by = {
        "fragments": fusion or own["fusion"]["fragments"],
        "channels": channel_fusion or own["fusion"]["channels"],
    }
    choose("--fusion", by["fragments"], METHODS)
    choose("--channel_fusion", by["channels"], METHODS)
    wanted = own["channels"] if channels is None else channels
    indices = {name: index for index, name in enumerate(own["channels"])}
    rows = sorted({choose("--channels", name, indices) for name in wanted})
    stored = run_folder.read_posteriors(run_dir, own)
    cities = read_arrays(run_dir / "posteriors.npz", "city")["city"]
    posteriors = stored["posteriors"]
    if test_fragments is not None:
        posteriors = run_model(run_dir, stored, fragments=test_fragments, data_root=data_root)
    results = metrics.summarise(
        posteriors[:, rows],
        stored["label"],
        names=stored["recording"],
        scenes=own["scenes"],
        channels=[own["channels"][row] for row in rows],
        cities=cities if any(cities) else None,
        fragment_fusion=by["fragments"],
        channel_fusion=by["channels"],
    )
    cut = read_json(run_dir / "config.json", required=["fragments"])["fragments"]
    own["attended"] = cut["count"] if cut["attention"] else 1
    told = ("fusion", "fragments", "attended", "channels", "accuracy", "decisions")
    return {
        **results,
        **{key: own[key] for key in ("part", "step")},
        "attended": (test_fragments or own["attended"]) if cut["attention"] else 1,
        "own": {key: own[key] for key in told},
        "mcnemar": metrics.mcnemar(metrics.recognised(results), metrics.recognised(own)),
    }


def run_model(
    run_dir: Path,
    stored: Mapping[str, np.ndarray],
    *,
    fragments: int,
    data_root: str | None = None,
) -> np.ndarray:
    """Returns a run's posteriors with its test part cut into other ``fragments``.

    Args:
      run_dir: a finished run.
      stored: its ``run_folder.read_posteriors``.
      fragments: N_s, at least 1.
      data_root: where the data set is, if not where the run's config says.

    Returns:
      float32 [recording, channel, fragment, scene], recordings in the order of ``stored``.

    Raises:
      UserError: as ``evaluate``.
    """
    if fragments < 1:
        raise UserError(f"--test_fragments: expected 1 or more, got {fragments}")
    # JAX takes seconds to import; stored posteriors need none of it.
    from ml_collections import ConfigDict

    from ascjax.runs import predictor
    from ascjax.setup import builders
    from ascjax.signals import StopRequest

    config = ConfigDict(read_json(run_dir / "config.json"))
    if config.fragments.attention and fragments < 2:
        raise UserError(
            "--test_fragments: this run's network fuses fragments by attention: expected 2 or "
            f"more, got {fragments}"
        )
    model = predictor.load(run_dir, fragments=fragments)
    config.fragments.count = fragments
    # As the set was read: nothing is guessed, or synthesised, from another folder.
    config.data.layout = run_folder.read_run(run_dir)["data"]["layout"]
    root = config.data.root = data_root or config.data.root
    if not Path(root).expanduser().exists():
        raise UserError(
            f"config.data.root: {root} isn't there; pass --data_root=DIR, where the run's data set "
            "is now"
        )
    with StopRequest() as stop:
        data = builders.load_data(config, builders.survey(config, stop), stop)
    names = [data.dataset.recordings[row].name for row in data.test.rows]
    same = names == stored["recording"].tolist() and np.all(data.test.labels == stored["label"])
    if not same or data.store.front_end != model.job.front_end:
        raise UserError(
            f"config.data.root: the test part of {root} isn't what the run was tested on; pass "
            "--data_root=DIR, where that is"
        )
    return model.evaluator(model.variables, data.test, describe="test")


if __name__ == "__main__":
    cli.run(main, parse)
