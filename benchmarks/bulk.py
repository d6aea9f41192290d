"""Bulk prediction: hours of audio an hour, beside its stages alone and PyTorch's DataLoader.

Run: python -m benchmarks.bulk [--quick] [--root=DIR] [--count=2000] [--hours=2] [--out=FILE.json]

--root has recordings, which are named again and again. Every process is bound to one core: a
worker of Ray's is one, and what stands for a device is another, so that nodes and devices are
simulated on one machine. Ray itself and the command need a core beside two nodes: where there are
two in all, a node is half a core, which needs the right to make control groups. The pace is that of
the middle half of the parts, without start and end.
PyTorch's loop decodes with soundfile and librosa in one worker, with the same network. Memory is
the largest resident size of the command and of a worker, the pages that they share included.
Goals: 0.9 of the slower stage's pace where the network has a device; 1.8 with two nodes of one;
memory that doesn't grow with the number of recordings and their length.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile

from ascjax import cli
from ascjax.audio.finding import find
from ascjax.cluster.part import DEVICE_BATCH
from ascjax.files import as_path
from ascjax.models import variables
from ascjax.runs.ensemble import Ensemble
from ascjax.runs.loading import load
from ascjax.runs.network import MODEL_FILE
from ascjax.runs.predictor import Classifier
from ascjax.runs.run import Run
from benchmarks import measure

RUN = "esc10"
PER_PART = 64
_GROUPS = Path("/sys/fs/cgroup/cpu")  # version 1 of control groups
BATCH = 16


class Nothing(Ensemble):
    """In the place of networks."""

    def load(self) -> None:
        """Does nothing."""

    def networks(self, values: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns that every scene is as likely."""
        info, count = self.runs[0].info, len(values)
        shape = (1, count, len(info.channels), info.fragments, len(info.scenes))
        equal = np.full(shape, 1 / shape[-1], np.float32)
        return equal, np.zeros((count, 1)), np.zeros(count, bool)


@dataclass(frozen=True, repr=False)
class Decoding(Classifier):
    """A classifier that decodes and computes log-mels alone."""

    @cached_property
    def ensemble(self) -> Ensemble:
        """Without networks."""
        return Nothing(self.runs)


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Returns seconds of the clock, and of processors with those of processes that have ended."""
    clock, processors = time.perf_counter(), sum(os.times()[:4])
    work()
    return time.perf_counter() - clock, sum(os.times()[:4]) - processors


def decode(paths: Sequence[Path]) -> tuple[float, float]:
    """Decodes recordings and computes their log-mels."""
    classifier = Decoding(load(RUN).runs)
    list(classifier.each(paths[:2]))
    return timed(lambda: list(classifier.each(paths)))


def network(windows: int) -> tuple[float, float]:
    """Applies the network to log-mels in memory."""
    classifier = load(RUN)
    front_end, ensemble = classifier.runs[0].front_end, classifier.ensemble
    frames = front_end.num_frames(round(classifier.window_s * front_end.sample_rate_hz))
    values = [np.zeros((1, front_end.num_mels, frames), np.float32)] * BATCH
    ensemble.networks(values)
    return timed(lambda: [ensemble.networks(values) for _ in range(windows // BATCH)])


@dataclass
class Sounds:
    """A data set of PyTorch's: log-mels of recordings, by librosa."""

    paths: Sequence[Path]
    front_end: Any
    size: int

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        import librosa

        samples, _ = soundfile.read(self.paths[index], dtype="float32", always_2d=True)
        mel = librosa.feature.melspectrogram(
            y=np.resize(samples.mean(axis=1), self.size),
            sr=self.front_end.sample_rate_hz,
            n_fft=self.front_end.fft_length,
            hop_length=self.front_end.hop_length,
            win_length=self.front_end.window_length,
            pad_mode="constant",
            power=1.0,
            n_mels=self.front_end.num_mels,
        )
        return np.log(np.maximum(mel, self.front_end.log_floor))[None]


def torch_loop(paths: Sequence[Path]) -> tuple[float, float]:
    """A DataLoader with one worker, and the network in PyTorch."""
    import torch

    (run,) = load(RUN).runs
    torch.set_num_threads(1)
    model = torch_network(run)

    size = round(run.info.duration_s * run.front_end.sample_rate_hz)
    sounds: Any = Sounds(paths, run.front_end, size)
    _ = sounds[0]  # librosa, too, is imported and compiled before the clock starts
    loader: Any = torch.utils.data.DataLoader(sounds, batch_size=BATCH, num_workers=1)

    def loop() -> None:
        with torch.inference_mode():
            for log_mel in loader:
                model(log_mel).numpy()

    took = timed(loop)
    check_same(run, model)  # afterwards, as a fork of PyTorch's threads would wait forever
    return took


def torch_network(run: Run) -> Any:
    """Returns a run's network, a vgg_tiny with head gap, in PyTorch."""
    import torch
    from torch import nn

    def put(module: Any, **arrays: Any) -> Any:
        module.load_state_dict({k: torch.tensor(np.asarray(v)) for k, v in arrays.items()}, False)
        return module

    weights = variables.load(run.path / MODEL_FILE, run.trained.model_sha256)
    trunk, statistics, layers = weights["params"]["trunk"], weights["batch_stats"]["trunk"], []
    for name in sorted(trunk):
        conv, norm, seen = trunk[name]["conv1"], trunk[name]["bn1"], statistics[name]["bn1"]
        kernel = np.asarray(conv["kernel"]).transpose(3, 2, 0, 1)
        made = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1)
        layers += [
            put(made, weight=kernel, bias=conv["bias"]),
            put(nn.BatchNorm2d(len(kernel)), weight=norm["scale"], bias=norm["bias"],
                running_mean=seen["mean"], running_var=seen["var"]),
            nn.ReLU(), nn.MaxPool2d(2),
        ]  # fmt: skip
    dense = weights["params"]["head"]["dense"]
    last = nn.Linear(*np.shape(dense["kernel"]))
    put(last, weight=np.asarray(dense["kernel"]).T, bias=dense["bias"])
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), last).eval()
    of_band = run.info.normalisation
    mean, deviation = (torch.tensor(v)[:, None] for v in (of_band.mean, of_band.deviation))

    def apply(log_mel: Any) -> Any:
        return torch.softmax(network((log_mel - mean) / deviation), -1)

    return apply


def check_same(run: Run, model: Callable[[Any], Any]) -> None:
    """Checks that both networks come to the same posteriors."""
    import torch

    shape = (1, 1, run.front_end.num_mels, 200)
    values = np.random.default_rng(0).normal(-5, 2, shape).astype(np.float32)
    with torch.inference_mode():
        theirs = model(torch.tensor(values)).numpy()
    ours = load(RUN).ensemble.networks([values[0]])[0]
    np.testing.assert_allclose(theirs, ours.reshape(theirs.shape), atol=1e-5)


@contextmanager
def limited(share: float) -> Iterator[None]:
    """Grants processes that start in the ``with`` block so much of a core, all together."""
    if share == 1:
        yield
        return
    groups = (line.split(":") for line in Path("/proc/self/cgroup").read_text().splitlines())
    [path] = [path for _, kinds, path in groups if "cpu" in kinds.split(",")]
    # Within a container, which sees its own group as the first one, that path may not be there.
    before = next(group for group in (Path(f"{_GROUPS}{path}"), _GROUPS) if group.is_dir())
    group, period_us = Path(tempfile.mkdtemp(prefix="ascjax-", dir=_GROUPS)), 20_000
    (group / "cpu.cfs_period_us").write_text(f"{period_us}")
    (group / "cpu.cfs_quota_us").write_text(f"{round(share * period_us)}")
    (group / "cgroup.procs").write_text(f"{os.getpid()}")
    try:
        yield
    finally:
        (before / "cgroup.procs").write_text(f"{os.getpid()}")


@contextmanager
def cluster(nodes: int, device: bool, share: float) -> Iterator[str]:
    """Yields the address of a Ray cluster: nodes, and one more for a device if wanted.

    Each of the nodes has ``share`` of a core.
    """
    from ray.cluster_utils import Cluster

    store: Any = {"object_store_memory": 2 * 10**8}
    cores = sorted(os.sched_getaffinity(0))
    made = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **store}
    )
    try:
        for index in range(nodes + device):
            os.sched_setaffinity(0, {cores[index % len(cores)]})  # its processes inherit it
            kind: Any = {"num_cpus": 1} if index < nodes else {"num_cpus": 0, "num_gpus": 1}
            with limited(share):
                made.add_node(**kind, **store)
        os.sched_setaffinity(0, cores)
        yield made.address
    finally:
        os.sched_setaffinity(0, cores)
        made.shutdown()
        for group in _GROUPS.glob("ascjax-*"):
            with suppress(OSError):  # a process of it is still ending
                group.rmdir()


def bulk(source: Path, *, nodes: int = 1, device: bool = False, share: float = 1.0) -> measure.Row:
    """Predicts what is in a folder: recordings a second, and MB."""
    per_part = DEVICE_BATCH if device else PER_PART
    largest = {"command MB": 0.0, "worker MB": 0.0}
    ended = threading.Event()

    def watch(command: int) -> None:
        while not ended.wait(0.2):
            for process in psutil.Process().children(recursive=True):
                try:
                    is_worker = process.name().startswith("ray::MapB")
                    if not (is_worker or process.pid == command):
                        continue
                    name = "worker MB" if is_worker else "command MB"
                    largest[name] = max(largest[name], process.memory_info().rss / 1e6)
                except psutil.Error:  # it has ended
                    continue

    with tempfile.TemporaryDirectory() as out, cluster(nodes, device, share) as address:
        command = subprocess.Popen(
            [sys.executable, "-m", "ascjax", "predict", f"--run={RUN}", "--on=ray", str(source),
             f"--out={out}", f"--address={address}", f"--per_part={per_part}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        watcher = threading.Thread(target=watch, args=[command.pid])
        watcher.start()
        status = command.wait()
        ended.set()
        watcher.join()
        if status:
            raise RuntimeError(f"predict ended with {status}")
        done = sorted(p.stat().st_mtime for p in Path(out, "predictions").glob("*.parquet"))
    first, last = len(done) // 4, 3 * len(done) // 4
    seconds = done[last] - done[first]
    print(f"{last - first} parts in {seconds:.0f} s, {largest}", file=sys.stderr)
    return {"recordings/s": (last - first) * per_part / seconds if seconds else 0.0, **largest}


def links(folder: Path, clips: Sequence[Path], count: int) -> Path:
    """Names recordings ``count`` times."""
    folder.mkdir()
    for index, clip in enumerate(islice(cycle(clips), count)):
        (folder / f"{index:07}{clip.suffix}").symlink_to(clip.resolve())
    return folder


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = measure.parser("bulk", __doc__)
    add = parser.add_argument
    add("--root", type=as_path, metavar="DIR", help="a folder of recordings")
    add("--count", type=int, default=2000, help="recordings")
    add("--hours", type=float, default=2.0, help="length of the long recording")
    options = parser.parse(argv)
    if options.quick:
        options.count, options.hours = 4 * PER_PART, 0.05
    return options


def main(options: argparse.Namespace) -> None:
    """Measures, prints and writes."""
    os.environ |= {"NPROC": "1", "RAY_AUTH_MODE": "disabled", "PYTHONPATH": os.getcwd()}
    count = options.count
    with tempfile.TemporaryDirectory() as scratch:
        clips = find([options.root]) if options.root else measure.clips(Path(scratch))
        names = sorted(links(Path(scratch, "many"), clips, count).iterdir())
        sample = names[: max(64, count // 8)]
        # Of a loop, a sample takes what all do.
        hours = np.mean([soundfile.info(clip).duration for clip in clips]) / 3600
        window_hours = load(RUN).window_s / 3600

        def row(name: str, seconds: float, processor: float, of_hours: float) -> measure.Row:
            return {
                "": name,
                "hours/h": 3600 * of_hours / seconds,
                "hours/core-h": 3600 * of_hours / processor,
            }

        alone = [
            row("decode and log-mel alone", *decode(sample), hours * len(sample)),
            row("network alone", *network(8 * BATCH), window_hours * 8 * BATCH),
            row("PyTorch's loop, two cores", *torch_loop(sample), hours * len(sample)),
        ]
        together, measured = [], []
        cases = [
            ("a node of one core", 1, False, 1.0),
            ("a node of one core, the network on another", 1, True, 1.0),
        ]
        if len(os.sched_getaffinity(0)) > 2:
            cases.append(("two nodes of one core", 2, False, 1.0))
        elif os.access(_GROUPS, os.W_OK):
            cases += [
                ("a node of half a core", 1, False, 0.5),
                ("two nodes of half a core", 2, False, 0.5),
            ]
        else:
            print(f"two nodes: unmeasured, {_GROUPS} can't be written to", file=sys.stderr)
        for name, nodes, device, share in cases:
            found = bulk(names[0].parent, nodes=nodes, device=device, share=share)
            measured.append(found)
            pace = 3600 * hours * found.pop("recordings/s")
            cores = nodes * share + device
            together.append({"": name, "hours/h": pace, "hours/h and core": pace / cores, **found})
        memory = [{"": f"{count} recordings", **measured[0]}]
        few = links(Path(scratch, "few"), clips, count // 10)
        memory.append({"": f"{count // 10} recordings", **bulk(few)})
        long = Path(scratch, "long")
        long.mkdir()
        samples, rate = soundfile.read(clips[0], dtype="float32")
        with soundfile.SoundFile(long / "long.wav", "w", rate, samples.ndim) as file:
            for _ in range(round(options.hours / (len(samples) / rate / 3600))):
                file.write(samples)
        memory.append({"": f"one of {options.hours:g} hours", **bulk(long)})
    for each in memory:
        each.pop("recordings/s", None)
    measure.report("bulk", options, {"Alone": alone, "Together": together, "Memory": memory})


if __name__ == "__main__":
    cli.run(main, parse)
