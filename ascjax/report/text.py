"""Plain-text tables for the terminal, and the formats of names and numbers that pages share."""

from collections.abc import Mapping, Sequence

import numpy as np

from ascjax.runs.info import RunInfo
from ascjax.scoring.clusters import ByLocation
from ascjax.scoring.evidence import Evidence
from ascjax.scoring.metrics import FoldSummary
from ascjax.scoring.rates import Proportion, Rate
from ascjax.scoring.results import Results
from ascjax.words import aligned, counted

SYNTHETIC_NOTE = (
    "Synthetic recordings: these numbers prove that the machinery works.\n"
    "They are not results about real scenes."
)

_ACCURACY = ("accuracy", "95 % interval", "correct", "of")

EVIDENCE_NOTE = (
    "A fragment votes for its likeliest scene, its channels fused. The ORACLE is no system: it\n"
    "knows the true scene and picks a fragment that votes for it. Effective fragments: exp of the\n"
    "entropy of the fragments' shares in the predicted scene's score; 1 if one bears it alone."
)


def table(results: Results, *, synthetic: bool = False) -> str:
    """The result table as aligned plain text.

    Args:
      results: of a run, or of a run scored again.
      synthetic: whether the recordings are synthesised; the table then says what that means.
    """
    by = results.fusion
    head = (
        f"{counted(results.recordings, 'recording')} of "
        f"{counted(len(results.scenes), 'scene')}, "
        f"{counted(len(results.channels), 'channel')} × "
        f"{counted(results.fragments, 'fragment')}; "
        f"fused by {by.fragments} over fragments, {by.channels} over channels"
    )
    whole: list[tuple[str, ...]] = [("", *_ACCURACY)]
    whole.append(("all fused", *_cells(results.accuracy)))
    whole += _by_location(results.by_location)
    # With one channel, or one fragment, these would repeat the rows above.
    if len(results.channels) > 1:
        for channel, part in results.by_channel.items():
            whole.append((f"  {label(channel)} alone", *_cells(part)))
    if results.fragments > 1:
        whole.append(("one fragment alone", *_cells(results.single_fragment)))
    whole.append(("mean over scenes", percent(results.macro_accuracy), "", "", ""))
    whole.append(("always the commonest scene", percent(commonest_share(results)), "", "", ""))
    whole.append(("guessing", percent(results.chance), "", "", ""))
    whole.append(("log loss / nats", f"{results.log_loss:.3f}", "", "", ""))
    whole.append(("log loss, mean over scenes", f"{results.macro_log_loss:.3f}", "", "", ""))
    scenes = [("scene", *_ACCURACY, "most often taken for")]
    for scene, taken_for in worst_confusions(results).items():
        worst = f"{label(taken_for[0])} ({taken_for[1]:,})" if taken_for else ""
        scenes.append((label(scene), *_cells(results.by_scene[scene]), worst))
    note = [SYNTHETIC_NOTE] if synthetic else []
    opened = _open_set(results)
    return "\n\n".join([*note, head, aligned(whole), *opened, *_devices(results), aligned(scenes)])


def _open_set(results: Results) -> list[str]:
    """Returns the table of known scenes and unknown recordings, if these were tested."""
    opened = results.open_set
    if opened is None:
        return []
    rows: list[tuple[str, ...]] = [(f"unknown below a score of {opened.threshold:.3f}", *_ACCURACY)]
    rows.append(("recordings of the scenes", *_cells(opened.known)))
    rows.append(("  mean over scenes", percent(opened.known_macro), "", "", ""))
    rows.append(("unknown recordings", *_cells(opened.unknown)))
    rows.append(("mean of the last two", percent(opened.mean), "", "", ""))
    return [aligned(rows)]


def _devices(results: Results | FoldSummary) -> list[str]:
    """Returns the table of devices, seen and unseen in training apart, if there are several."""
    if len(results.by_device) < 2:
        return []
    parts = {label(device): part for device, part in results.by_device.items()}
    parts |= {f"{kind} in training": part for kind, part in results.seen_apart.items()}
    rows = [("device", *_ACCURACY, "resampled by location")]
    rows += [(name, *_cells(part), interval(part.by_location)) for name, part in parts.items()]
    located = any(part.by_location for part in parts.values())
    return [aligned(rows if located else [row[:-1] for row in rows])]


def untested(info: RunInfo) -> str:
    """What is known of a run that was trained on every recording, as plain text."""
    said = (
        f"trained on all {counted(info.recordings.train, info.unit)}: there is no test part and "
        "no accuracy"
    )
    if (followed := info.followed) is None:
        return said
    accuracy = followed.accuracy
    return (
        f"{said}\nthe run {followed.run}, whose {counted(followed.epochs, 'epoch')} and "
        f"calibration it has, got {percent(accuracy.accuracy)} "
        f"({interval(accuracy.interval_95)}), trained on {followed.recordings:,} of them"
    )


def folds_table(summary: FoldSummary) -> str:
    """The table of a set's folds as aligned plain text."""
    rows: list[tuple[str, ...]] = [("", *_ACCURACY)]
    for fold, part in summary.by_fold.items():
        rows.append((f"fold {fold}", *_cells(part)))
    rows.append(("all folds pooled", *_cells(summary.accuracy)))
    rows += _by_location(summary.by_location)
    rows.append(("mean of folds", percent(summary.mean), "", "", ""))
    rows.append(("their deviation", percent(summary.deviation), "", "", ""))
    if summary.macro_accuracy is not None:
        rows.append(("mean over scenes", percent(summary.macro_accuracy), "", "", ""))
    rows.append(("log loss / nats", f"{summary.log_loss:.3f}", "", "", ""))
    if summary.macro_log_loss is not None:
        rows.append(("log loss, mean over scenes", f"{summary.macro_log_loss:.3f}", "", "", ""))
    return "\n\n".join([aligned(rows), *_devices(summary)])


def evidence_table(evidence: Evidence, scenes: Sequence[str]) -> str:
    """Which fragments decide, as aligned plain text; ``scenes`` are the run's names."""
    count = len(evidence.by_position)
    whole: list[tuple[str, ...]] = [("", *_ACCURACY)]
    whole.append(("all fused", *_cells(evidence.fused)))
    for position, part in enumerate(evidence.by_position, start=1):
        whole.append((f"  fragment {position} alone", *_cells(part)))
    mean = np.mean([part.accuracy for part in evidence.by_position])
    whole.append(("mean over fragments", percent(float(mean)), "", "", ""))
    whole.append(("ORACLE: any fragment right", *_cells(evidence.oracle)))
    whole.append(("oracle, were all guesses", percent(evidence.oracle_of_guesses), "", "", ""))
    rests = [("predicted", "recordings", "fragments that agree", "effective fragments")]
    for kind, votes_of in (("right", evidence.right), ("wrong", evidence.wrong)):
        effective = votes_of.effective_fragments
        rests.append((
            kind, f"{votes_of.recordings:,}", percent(votes_of.agreement),
            "–" if effective is None else f"{effective:.2f} of {count}",
        ))  # fmt: skip
    votes = [("votes by fragment", "all", *map(str, range(1, count + 1)))]
    for pair in evidence.pairs:
        true, predicted = label(scenes[pair.true]), label(scenes[pair.predicted])
        recordings = counted(pair.recordings, "recording")
        votes.append((f"{true} taken for {predicted} ({recordings})", *[""] * (count + 1)))
        shares = np.array(pair.votes)
        for name, column in zip((true, predicted, "other scenes"), shares.T, strict=True):
            cells = [f"{100 * share:.0f} %" for share in (column.mean(), *column)]
            votes.append((f"  for {name}", *cells))
    confused = (
        aligned(votes, num_numbers=count + 1) if evidence.pairs else "No recording is mistaken."
    )
    return "\n\n".join([EVIDENCE_NOTE, aligned(whole), aligned(rests), confused])


def accuracies(accuracy: Mapping[str, Proportion]) -> str:
    """Accuracies by name, a line each, as aligned plain text."""
    rows = [("", *_ACCURACY)]
    rows += [(name, *_cells(each)) for name, each in accuracy.items()]
    return aligned(rows)


def label(name: str) -> str:
    """Returns a scene's name as readers write it: ``metro_station`` → metro station."""
    return name.replace("_", " ")


def plain_cell(text: str) -> str:
    """Returns a cell of a CSV file, after ``'`` if a spreadsheet would take it for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def distinct(names: Sequence[str], max_length: int) -> list[str]:
    """Cuts names in the middle so that none is too long and different ones stay different.

    They are cut at one place in all of them, the nearest to the middle that keeps them apart; where
    none does, the cut ones are numbered.

    >>> distinct(["street with little traffic", "street with heavy traffic"], 18)
    ['street w…e traffic', 'street w…y traffic']
    """
    kept = max_length - 1
    heads = sorted(range(kept + 1), key=lambda head: abs(2 * head - kept - 0.5))
    for head in heads:
        short = [_cut(name, max_length, head) for name in names]
        if len(set(short)) == len(set(names)):
            return short
    room = max_length - len(f" {len(names)}")
    return [
        name if len(name) <= max_length else f"{_cut(name, room, room // 2)} {index}"
        for index, name in enumerate(names, start=1)
    ]


def _cut(name: str, max_length: int, head: int) -> str:
    if len(name) <= max_length:
        return name
    return f"{name[:head]}…{name[len(name) - (max_length - 1 - head) :]}"


def percent(rate: float | None) -> str:
    """Returns a rate in 0..1 as ``79.2 %``, and ``–`` for None."""
    return "–" if rate is None else f"{100 * rate:.1f} %"


def interval(bounds: Sequence[float] | None) -> str:
    """Returns bounds in 0..1 as ``77.6–80.8 %``, and ``–`` for None."""
    return "–" if bounds is None else f"{100 * bounds[0]:.1f}–{100 * bounds[1]:.1f} %"


def size(num_bytes: int) -> str:
    """Returns ``59.4 MB`` or ``2.0 kB``."""
    return f"{num_bytes / 1e6:,.1f} MB" if num_bytes >= 1e6 else f"{num_bytes / 1e3:,.1f} kB"


def worst_confusions(results: Results) -> dict[str, tuple[str, int] | None]:
    """Each scene's most frequent wrong prediction and its count; None where none was wrong."""
    wrong = np.array(results.confusion)
    np.fill_diagonal(wrong, 0)
    return {
        scene: (results.scenes[row.argmax()], int(row.max())) if row.any() else None
        for scene, row in zip(results.scenes, wrong, strict=True)
    }


def commonest_share(results: Results) -> float:
    """The accuracy in 0..1 of always answering with the scene that has most recordings."""
    return max(map(sum, results.confusion)) / results.recordings


def _by_location(resampled: ByLocation | None) -> list[tuple[str, ...]]:
    """Returns the row of the interval that knows about places, if there is one."""
    if resampled is None:
        return []
    places = f"  resampled by {resampled.locations:,} locations"
    return [(places, "", interval(resampled.interval_95), "", "")]


def _cells(part: Rate) -> tuple[str, str, str, str]:
    bounds = interval(part.interval_95) if isinstance(part, Proportion) else ""
    return percent(part.accuracy), bounds, f"{part.correct:,}", f"{part.total:,}"
