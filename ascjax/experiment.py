"""A config becomes a run: the builders, and the whole way from recordings to a report."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from clu import parameter_overview
from flax import linen as nn
from ml_collections import ConfigDict
from tqdm import tqdm

import ascjax
from ascjax import evaluate, metrics, models, optim, parallel, report, run, train, weights
from ascjax.audio import wave
from ascjax.audio.logmel import FrontEnd
from ascjax.checkpoint import Checkpoints
from ascjax.data import recordings, store, synthetic
from ascjax.data.batches import Fragments
from ascjax.errors import UserError, choose
from ascjax.journal import Journal
from ascjax.signals import StopRequest

_LAYOUTS = {name: name for name in ("auto", "tut", "folders", "csv", "synthetic")}
_PROTOCOLS = {"paper": "paper", "validated": "validated"}
_ON_BAD_FILE = {"stop": "stop", "skip": "skip"}


@dataclass(frozen=True)
class Data:
    """A set with its features and parts; ``validation`` is None under the protocol "paper"."""

    dataset: recordings.Dataset
    store: store.FeatureStore
    duration_s: float
    train: Fragments
    validation: Fragments | None
    test: Fragments


def load_data(config: ConfigDict, stop: StopRequest) -> Data:
    """Finds the recordings, extracts what the feature store lacks, and makes the parts.

    Raises:
      UserError: anything about the data that the user can mend.
    """
    settings = config.data
    protocol = choose("config.protocol", config.protocol, _PROTOCOLS)
    on_bad_file = choose("config.data.on_bad_file", settings.on_bad_file, _ON_BAD_FILE)
    dataset = _load_dataset(config)
    for note in dataset.notes:
        tqdm.write(note)
    infos, bad = store.scan(dataset.recordings, on_bad_file=on_bad_file)
    rate, duration_s = store.common_rate_and_duration(infos)
    duration_s = settings.duration_s or duration_s
    short = sum(
        info.num_samples / info.sample_rate_hz < 0.98 * duration_s for info in infos.values()
    )
    if short:
        tqdm.write(f"{short} recordings shorter than {duration_s:g} s are repeated to fill them")
    front_end = FrontEnd(
        sample_rate_hz=settings.sample_rate_hz or rate, **config.features.to_dict()
    )
    features = store.prepare(
        dataset.recordings,
        front_end=front_end,
        channels=_channels(config),
        duration_s=duration_s,
        store_dir=Path(settings.store_dir),
        num_workers=settings.num_workers,
        on_bad_file=on_bad_file,
        min_duration_share=settings.min_duration_share,
        stop=stop,
        known_bad=bad,
    )
    fitting, held_out = dataset.train, None
    if protocol == "validated":
        fitting, held_out = recordings.validation_split(
            dataset, fraction=settings.validation_fraction, seed=config.seed
        )

    def part(indices: Any) -> Fragments:
        rows = np.array([i for i in indices if features.usable[i]], np.int64)
        names = [dataset.recordings[i].scene for i in rows]
        labels = np.array([dataset.scenes.index(name) for name in names], np.int32)
        return Fragments(features.log_mel, rows, labels, config.fragments.count)

    data = Data(
        dataset, features, duration_s, part(fitting),
        None if held_out is None else part(held_out), part(dataset.test),
    )  # fmt: skip
    _check_parts(data)
    return data


def _load_dataset(config: ConfigDict) -> recordings.Dataset:
    settings = config.data
    layout = choose("config.data.layout", settings.layout, _LAYOUTS)
    if not settings.root:
        raise UserError(
            "config.data.root is empty: expected the folder of a data set or a CSV file; pass "
            "--config.data.root=DIR"
        )
    root = Path(settings.root).expanduser()
    if layout == "synthetic":
        synthetic.make(root, **config.synthetic.to_dict())
        layout = "tut"
    return recordings.load(root, layout=layout, fold=settings.fold, scenes=tuple(settings.scenes))


def _channels(config: ConfigDict) -> tuple[str, ...]:
    channels = tuple(config.channels)
    if not channels or len(set(channels)) < len(channels):
        raise UserError(
            f"config.channels: expected one or more of {', '.join(wave.CHANNELS)}, each once, got "
            f"{channels}"
        )
    for channel in channels:
        choose("config.channels", str(channel), {name: name for name in wave.CHANNELS})
    return channels


def _check_parts(data: Data) -> None:
    """Every scene must have a recording that can be read to learn from, and there must be a test."""
    count = data.train.count
    if count < 1 or data.train.num_frames < 1:
        raise UserError(
            f"config.fragments.count is {count}: expected 1 to {data.store.log_mel.shape[3]}, the "
            f"frames of a recording of {data.duration_s:g} s"
        )
    untaught = sorted(set(range(len(data.dataset.scenes))) - set(data.train.labels.tolist()))
    if untaught:
        names = ", ".join(data.dataset.scenes[i] for i in untaught)
        raise UserError(
            f"{data.dataset.root}: no readable training recording of {names}; add some, or leave "
            "the scene out with --config.data.scenes"
        )
    if not len(data.test.rows):
        raise UserError(f"{data.dataset.root}: no recording of the test part can be read")


@dataclass(frozen=True)
class Networks:
    """The same network for training (BatchNorm over devices) and for evaluation, with variables."""

    training: nn.Module
    evaluation: nn.Module
    variables: Any


def build_networks(
    config: ConfigDict, *, num_scenes: int, input_shape: tuple[int, int]
) -> Networks:
    """Builds the network for inputs [mel, frame] and its initial variables.

    Raises:
      UserError: an unknown name, an input too small for the trunk, or weights that don't fit.
    """
    settings, init = config.model, config.init
    models.check_input(settings.trunk, *input_shape)
    pretrained = init.weights != "random"
    planes = weights.planes(init.input_channel)
    options = {
        **settings.to_dict(),
        "num_scenes": num_scenes,
        "freeze": init.freeze,
        "planes": planes if pretrained else 1,
    }
    evaluation = models.build(**options)
    key = jax.random.key(config.seed)
    variables = jax.jit(evaluation.init, static_argnames="train")(
        key, jnp.zeros((1, *input_shape, 1)), train=False
    )
    if pretrained:
        path = weights.resolve(init.weights, settings.trunk, Path(init.weights_dir))
        variables = weights.init_from(
            variables, path, trunk=settings.trunk, input_channel=init.input_channel
        )
    training = models.build(**options, axis_name=parallel.AXIS)
    return Networks(training, evaluation, variables)


def build_recipe(
    config: ConfigDict,
    networks: Networks,
    *,
    num_scenes: int,
    num_steps: int,
    steps_per_epoch: int,
    statistics: tuple[np.ndarray, np.ndarray],
) -> tuple[train.Recipe, optax.Schedule]:
    """Builds what a training step computes, and the learning rate by step."""
    settings = config.optimizer.to_dict()
    learning_rate = optim.schedule(
        settings.pop("schedule"),
        learning_rate=settings.pop("learning_rate"),
        num_steps=num_steps,
        warmup_steps=round(settings.pop("warmup_epochs") * steps_per_epoch),
    )
    params = networks.variables["params"]
    frozen = models.frozen_mask(params, config.model.trunk, config.init.freeze)
    optimizer = optim.make(
        params=params,
        frozen=frozen,
        learning_rate=learning_rate,
        trunk_learning_rate_factor=config.init.trunk_learning_rate_factor,
        **settings,
    )
    spec_augment = config.augment.to_dict()
    recipe = train.Recipe(
        model=networks.training,
        optimizer=optimizer,
        mean=statistics[0],
        deviation=statistics[1],
        key=jax.random.key(config.seed + 1),
        num_scenes=num_scenes,
        label_smoothing=config.train.label_smoothing,
        mixup_alpha=spec_augment.pop("mixup_alpha"),
        spec_augment=spec_augment,
    )
    return recipe, learning_rate


def train_and_evaluate(config: ConfigDict, workdir: Path) -> Path:
    """The main job: from a folder of recordings to a run folder with a report.

    Started again with the same config and folder it goes on where it was; a finished run is only
    reported again.

    Returns:
      The path of report.html.

    Raises:
      UserError: something the user can mend.
      Stopped: Ctrl-C or SIGTERM; everything done is saved.
    """
    over = parallel.devices(config.num_devices)
    parallel.check_batch_size(config.train.batch_size, len(over), "config.train.batch_size")
    parallel.check_batch_size(config.eval.batch_size, len(over), "config.eval.batch_size")
    run.claim(workdir, config.to_dict())
    with StopRequest() as stop:
        data = load_data(config, stop)
        num_scenes = len(data.dataset.scenes)
        input_shape = (data.store.front_end.num_mels, data.train.num_frames)
        networks = build_networks(config, num_scenes=num_scenes, input_shape=input_shape)
        statistics = store.mel_statistics(data.store.log_mel, data.train.rows)
        plan = train.Plan(
            fragments=data.train,
            batch_size=config.train.batch_size,
            num_epochs=config.train.num_epochs,
            seed=config.seed,
            log_every_steps=config.log_every_steps,
            checkpoint_every_epochs=config.checkpoint.every_epochs,
        )
        recipe, learning_rate = build_recipe(
            config,
            networks,
            num_scenes=num_scenes,
            num_steps=plan.num_steps,
            steps_per_epoch=plan.steps_per_epoch,
            statistics=statistics,
        )
        run.write_json(workdir / "run.json", _describe(config, data, networks, statistics))
        eval_step = evaluate.make_eval_step(networks.evaluation, *statistics, over=over)

        def posteriors(variables: Any, part: Fragments, describe: str | None = None) -> np.ndarray:
            return evaluate.posteriors(
                eval_step, variables, part, batch_size=config.eval.batch_size,
                num_devices=len(over), describe=describe,
            )  # fmt: skip

        def validate(variables: Any) -> dict[str, float]:
            assert data.validation is not None
            return evaluate.score(
                posteriors(variables, data.validation), data.validation.labels,
                fragment_fusion=config.fusion.fragments, channel_fusion=config.fusion.channels,
            )  # fmt: skip

        checkpoints = Checkpoints(workdir / "checkpoints", keep=config.checkpoint.keep)
        state = train.initial_state(recipe, networks.variables)
        latest = checkpoints.latest()
        if latest is not None:
            state = checkpoints.restore(latest, state)
            tqdm.write(f"going on at step {latest} of {plan.num_steps} in {workdir}")
        else:
            _introduce(data, networks)
        journal = Journal(
            workdir,
            step=int(state.step),
            num_steps=plan.num_steps,
            fragments_per_step=plan.batch_size,
        )
        state = train.fit(
            state, recipe, plan, over=over, learning_rate=learning_rate,
            validate=None if data.validation is None else validate,
            checkpoints=checkpoints, journal=journal, stop=stop,
        )  # fmt: skip
        journal.close()
        step = checkpoints.best() if data.validation is not None else None
        if step is not None and step != int(state.step):
            state = checkpoints.restore(step, state)
        checkpoints.close()
        variables = parallel.replicate(train.variables(state), over)
        values = posteriors(variables, data.test, "test")
    _write_results(config, workdir, data, values, int(state.step))
    return report.write(workdir)


def _introduce(data: Data, networks: Networks) -> None:
    """Says what is about to be trained on what."""
    counts = [len(p.rows) if p else 0 for p in (data.train, data.validation, data.test)]
    tqdm.write(parameter_overview.get_parameter_overview(networks.variables))
    tqdm.write(
        f"{data.dataset.root} ({data.dataset.layout}): {counts[0]} training, {counts[1]} "
        f"validation and {counts[2]} test recordings of {data.duration_s:g} s, "
        f"{len(data.dataset.scenes)} scenes, channels {', '.join(data.store.channels)}, "
        f"{data.train.count} fragments of {data.train.num_frames} frames each"
    )


def _describe(
    config: ConfigDict, data: Data, networks: Networks, statistics: tuple[np.ndarray, np.ndarray]
) -> dict[str, Any]:
    """Returns run.json: with a checkpoint, all that prediction needs."""
    params = jax.tree.leaves(networks.variables["params"])
    return {
        "format": 1,
        "ascjax": ascjax.__version__,
        "scenes": list(data.dataset.scenes),
        "channels": list(data.store.channels),
        "fragments": data.train.count,
        "duration_s": data.duration_s,
        "front_end": asdict(data.store.front_end),
        "normalisation": {"mean": statistics[0].tolist(), "deviation": statistics[1].tolist()},
        "model": {**config.model.to_dict(), "parameters": sum(p.size for p in params)},
        "fusion": config.fusion.to_dict(),
        "protocol": config.protocol,
        "recordings": {
            "train": len(data.train.rows),
            "validation": 0 if data.validation is None else len(data.validation.rows),
            "test": len(data.test.rows),
        },
        "left_out": data.store.bad,
        "data": {
            "root": str(data.dataset.root),
            "layout": data.dataset.layout,
            "fold": config.data.fold,
        },
        "synthetic": config.data.layout == "synthetic",
    }


def _write_results(
    config: ConfigDict, workdir: Path, data: Data, values: np.ndarray, step: int
) -> None:
    tested = [data.dataset.recordings[row] for row in data.test.rows]
    cities = [recording.city for recording in tested]
    np.savez(
        workdir / "posteriors.npz",
        posteriors=values,
        label=data.test.labels,
        recording=[recording.name for recording in tested],
        location=[recording.location for recording in tested],
        city=cities,
        scenes=list(data.dataset.scenes),
        channels=list(data.store.channels),
    )
    results = metrics.summarise(
        values,
        data.test.labels,
        scenes=data.dataset.scenes,
        channels=data.store.channels,
        cities=cities if any(cities) else None,
        fragment_fusion=config.fusion.fragments,
        channel_fusion=config.fusion.channels,
    )
    run.write_json(workdir / "results.json", {"part": "test", "step": step, **results})
    _write_examples(workdir, data, values)


def _write_examples(workdir: Path, data: Data, values: np.ndarray) -> None:
    """Keeps the log-mels of one right and one wrong recording, the most confident of each."""
    scores = values.mean(axis=(1, 2))
    right = scores.argmax(-1) == data.test.labels
    confident = np.argsort(-scores.max(-1))
    chosen = [next((i for i in confident if right[i] == wanted), None) for wanted in (True, False)]
    indices = np.array([i for i in chosen if i is not None], np.int64)
    channels = data.store.channels
    channel = channels.index("average") if "average" in channels else 0
    np.savez(
        workdir / "examples.npz",
        recording=indices,
        log_mel=np.stack([data.store.log_mel[data.test.rows[i], channel] for i in indices]),
    )
