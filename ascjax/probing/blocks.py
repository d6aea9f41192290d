"""Probes on every block of a trunk over the folds of a set, and their table."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from ascjax import setup as setups
from ascjax.config import FREE, flatten
from ascjax.data import normalisation
from ascjax.errors import UserError
from ascjax.files import is_new, read_arrays, write_arrays
from ascjax.probing import features, probe
from ascjax.scoring.clusters import ClusteredMcNemar, by_location, known, mcnemar_clustered
from ascjax.scoring.metrics import FoldSummary, log_loss, pool_folds
from ascjax.scoring.rates import proportion
from ascjax.scoring.significance import McNemar, mcnemar
from ascjax.setup import Data, Setup
from ascjax.signals import StopRequest
from ascjax.words import aligned, counted

PROBES_FORMAT = 1


@dataclass(frozen=True)
class BlockProbe:
    """A block's probe: its features, the strength C of each fold, its results over the folds."""

    block: str
    features: int
    strengths: dict[str, float]
    summary: FoldSummary


@dataclass(frozen=True, kw_only=True)
class Probes:
    """probes.json.

    Attributes:
      config: the resolved config.
      weights_sha256: of the converted weights; empty without.
      scenes: their names.
      starts: ``converted`` and ``random``, or ``random`` alone → a probe for each block, in order.
      mcnemar: by block, converted weights against random ones; recordings count as independent.
      mcnemar_by_location: likewise, where locations are known.
    """

    format: int = PROBES_FORMAT
    config: dict
    weights_sha256: str
    scenes: tuple[str, ...]
    starts: dict[str, list[BlockProbe]]
    mcnemar: dict[str, McNemar]
    mcnemar_by_location: dict[str, ClusteredMcNemar]


@dataclass(frozen=True)
class _FoldOutcome:
    """A probe's test on one fold; ``scores`` [recording, scene]."""

    scores: np.ndarray
    labels: np.ndarray
    locations: tuple[str, ...]
    strength: float
    width: int

    @property
    def right(self) -> np.ndarray:
        return self.scores.argmax(axis=1) == self.labels


def probe_blocks(config: ConfigDict, workdir: Path, *, all_folds: bool) -> Probes:
    """Probes the blocks of a config's trunk, as it starts.

    Args:
      config: a whole config, see configs/common.py; nothing of its training is used.
      workdir: where features are kept; new, or that of an earlier call.
      all_folds: every fold of the set, not ``config.data.fold`` alone.

    Raises:
      UserError: a mistake in the config, the data or the folder.
      Stopped: Ctrl-C or SIGTERM; the features of folds that are done are kept.
    """
    setups.check(config)
    if config.protocol != "paper":
        raise UserError(
            f"config.protocol: expected 'paper', got {config.protocol!r}: a probe has its own "
            "inner folds of the training part, and is tested on the test part"
        )
    is_new(workdir, "features")
    setups.check_root(config)
    file = setups.weights_file(config)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest() if file else ""
    starts = {"converted": file, "random": None} if file else {"random": None}
    found: dict[tuple[str, str], dict[int, _FoldOutcome]] = {}
    with StopRequest() as stop:
        numbers = list(setups.catalogue(config, stop).folds) if all_folds else [config.data.fold]
        for fold in numbers:
            of_fold = config.copy_and_resolve_references()
            of_fold.data.fold = fold
            setup = Setup(of_fold, setups.survey(of_fold, stop))
            setups.find_leaks(of_fold, setup.survey, stop)
            data = setup.extract(stop)
            for start, path in starts.items():
                tqdm.write(f"fold {fold}, {start} weights")
                made = _features(setup, data, path, sha256, workdir / "features", stop)
                for block, outcome in _fit(data, made, stop).items():
                    found.setdefault((start, block), {})[fold] = outcome
    blocks = list(dict.fromkeys(block for _, block in found))
    pooled = {start: [_pooled(block, found[start, block]) for block in blocks] for start in starts}
    pairs = {
        block: (_right(found["converted", block]), _right(found["random", block]))
        for block in blocks
        if file
    }
    locations = _locations(found["random", blocks[0]])
    return Probes(
        config=config.to_dict(),
        weights_sha256=sha256,
        scenes=data.dataset.scenes,
        starts=pooled,
        mcnemar={block: mcnemar(*pair) for block, pair in pairs.items()},
        mcnemar_by_location={
            block: mcnemar_clustered(*pair, locations)
            for block, pair in pairs.items()
            if known(locations)
        },
    )


def _features(
    setup: Setup, data: Data, file: Path | None, sha256: str, folder: Path, stop: StopRequest
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns the features of both parts by block; kept in a file named by all that shapes them."""
    shaping = {
        key: repr(value)
        for key, value in flatten(setup.config.to_dict()).items()
        if key.partition(".")[0] in ("seed", "fragments", "model", "init") and key not in FREE
    }
    shaping["init.weights"] = sha256 if file else "random"
    shaping |= {"parts": data.fingerprint, "store": data.store.path.name}
    digest = hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()
    start = "converted" if file else "random"
    path = folder / f"{start}-fold{setup.config.data.fold}-{digest[:12]}.npz"
    parts, names = ("train", "test"), features.names(setup.config.model.trunk)
    if path.exists():
        try:
            kept = read_arrays(path, *(f"{part}/{name}" for part in parts for name in names))
            return {name: (kept[f"train/{name}"], kept[f"test/{name}"]) for name in names}
        except UserError:
            tqdm.write(f"{path} is damaged; its features are computed again")
    statistics = normalisation.mel_statistics(data.store.log_mel, data.train.indices)
    made = features.of_parts(setup, data, file, *statistics, stop)
    folder.mkdir(parents=True, exist_ok=True)
    write_arrays(
        path, **{f"{part}/{name}": made[name][i] for i, part in enumerate(parts) for name in names}
    )
    return made


def _fit(
    data: Data, made: dict[str, tuple[np.ndarray, np.ndarray]], stop: StopRequest
) -> dict[str, _FoldOutcome]:
    """Fits a probe to every block's features and tests it."""
    train, test = (
        [data.dataset.recordings[index] for index in part.indices]
        for part in (data.train, data.test)
    )
    folds = probe.inner_folds([r.scene for r in train], [r.location for r in train])
    outcomes = {}
    for block, (of_train, of_test) in made.items():
        scores, strength = probe.predict(of_train, data.train.labels, folds, of_test)
        outcomes[block] = _FoldOutcome(
            scores=scores,
            labels=data.test.labels,
            locations=tuple(recording.location for recording in test),
            strength=strength,
            width=of_train.shape[1],
        )
        stop.check("while fitting probes; features are kept")
    return outcomes


def _right(outcomes: dict[int, _FoldOutcome]) -> np.ndarray:
    return np.concatenate([each.right for each in outcomes.values()])


def _locations(outcomes: dict[int, _FoldOutcome]) -> list[str]:
    return [place for each in outcomes.values() for place in each.locations]


def _pooled(block: str, outcomes: dict[int, _FoldOutcome]) -> BlockProbe:
    return BlockProbe(
        block=block,
        features=next(iter(outcomes.values())).width,
        strengths={str(fold): each.strength for fold, each in outcomes.items()},
        summary=pool_folds(
            {f: proportion(int(o.right.sum()), len(o.right)) for f, o in outcomes.items()},
            {fold: log_loss(each.scores, each.labels) for fold, each in outcomes.items()},
            by_location(_right(outcomes), _locations(outcomes)),
        ),
    )


def table(found: Probes) -> str:
    """Returns a line for each block: accuracy (%) and its interval by start, and McNemar's p.

    Intervals and p are those over locations where they are known.
    """
    tests = found.mcnemar_by_location or found.mcnemar
    head = ["block", "features"]
    for start in found.starts:
        head += [f"{start} %", "95 %"]
    rows = [head + ["p"] * bool(tests)]
    for block, *others in zip(*found.starts.values(), strict=True):
        cells = [block.block, str(block.features)]
        for each in (block, *others):
            low, high = each.summary.interval_95 or (0.0, 1.0)
            accuracy = each.summary.accuracy.accuracy or 0
            cells += [f"{100 * accuracy:.1f}", f"{100 * low:.1f}–{100 * high:.1f}"]
        if tests:
            cells.append(f"{tests[block.block].p:.2g}")
        rows.append(cells)
    summary = next(iter(found.starts.values()))[0].summary
    recordings = counted(summary.accuracy.total, "recording")
    folds = counted(len(summary.by_fold), "fold")
    note = f"{recordings}, {folds}"
    if summary.by_location:
        note += (
            f"; intervals{' and p' * bool(tests)} over {summary.by_location.locations:,} locations"
        )
    return f"{aligned(rows, num_numbers=len(rows[0]))}\n{note}"
