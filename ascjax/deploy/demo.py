"""Shows what a network makes of a sound, in a page for the browser.

  ascjax demo
  ascjax demo --run=DIR

Drop a file on the page, record, or take one of its sounds: it shows the decision, the scores by
channel, the log-mel and the timeline. Without --run, a small network comes along. The page is
served to this computer alone unless --host says otherwise, and neither it nor the browser asks
anything of another; what is uploaded is removed within two hours, and at the end.
"""

import argparse
import importlib
import os
import signal
import tempfile
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ascjax import cli
from ascjax.audio.errors import BadRecording, bad_recording, display
from ascjax.audio.opening import open_source
from ascjax.data import tryout
from ascjax.data.sounds import SAMPLE_RATE_HZ
from ascjax.deploy import look
from ascjax.errors import UserError
from ascjax.report import analysis
from ascjax.runs.loading import DEFAULT_RUN, load, open_classifier
from ascjax.runs.predictor import Classifier

LOOPBACK, PORT = "127.0.0.1", 7860
# Seconds between looks for uploads to remove, and their least age then.
_CLEAN_EVERY_S, _KEEP_S = 600, 3_600
_DEFAULT_COVERAGE = 0.9


@dataclass(frozen=True)
class Limits:
    """What a page takes.

    Attributes:
      megabytes: of a file, 10⁶ bytes each.
      seconds: of a recording.
      at_once: how many recordings are analysed side by side.
      waiting: how many wait for that; more are turned away.
    """

    megabytes: int = 100
    seconds: float = 600.0
    at_once: int = 2
    waiting: int = 32


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; raises UserError on a mistake in it."""
    limits = Limits()
    parser = cli.Parser("ascjax demo", __doc__)
    add = parser.add_argument
    add("--run", metavar="DIR",
        help=f"a finished run, a folder of folds, or a network's name ({DEFAULT_RUN})")  # fmt: skip
    add("--host", default=LOOPBACK, metavar="ADDRESS",
        help=f"to serve at: {LOOPBACK} (the default) for this computer alone, 0.0.0.0 for all that "
        "reach it; whoever does can use the page")  # fmt: skip
    add("--port", type=_port, default=PORT, metavar="N", help=f"default: {PORT}")
    add("--max_mb", type=cli.count, default=limits.megabytes, metavar="N",
        help=f"largest file, in megabytes; default: {limits.megabytes}")  # fmt: skip
    add("--max_s", type=cli.seconds, default=limits.seconds, metavar="S",
        help=f"longest recording, in seconds; default: {limits.seconds:g}")  # fmt: skip
    add("--at_once", type=cli.count, default=limits.at_once, metavar="N",
        help=f"recordings analysed side by side; default: {limits.at_once}")  # fmt: skip
    add("--waiting", type=cli.count, default=limits.waiting, metavar="N",
        help=f"recordings that may wait for that; default: {limits.waiting}")  # fmt: skip
    return parser.parse(argv)


def main(options: argparse.Namespace) -> None:
    """Serves the page until Ctrl-C or SIGTERM."""
    _gradio()
    limits = Limits(options.max_mb, options.max_s, options.at_once, options.waiting)
    serve(open_classifier(options.run), options.host, options.port, limits)


def serve(
    run: str | os.PathLike[str] | Classifier,
    host: str | None = None,
    port: int | None = None,
    limits: Limits | None = None,
) -> None:
    """Serves the page of a network until Ctrl-C or SIGTERM; the ``app.py`` of a model's folder.

    Args:
      run: what `loading.load` takes, or a classifier.
      host: address; by default GRADIO_SERVER_NAME, as hubs of models set it, or loopback.
      port: by default GRADIO_SERVER_PORT, or 7860.
      limits: of what the page takes.

    Raises:
      UserError: gradio isn't installed, there is no such run, or the address can't be had.
    """
    limits = limits or Limits()
    host = host or os.environ.get("GRADIO_SERVER_NAME") or LOOPBACK
    port = port or int(os.environ.get("GRADIO_SERVER_PORT") or PORT)
    with tempfile.TemporaryDirectory(prefix="ascjax-demo-") as folder:
        # Uploads and what the page shows are put there.
        os.environ["GRADIO_TEMP_DIR"] = folder
        blocks = page(run, limits)
        try:
            blocks.launch(
                server_name=host, server_port=port, max_file_size=limits.megabytes * 10**6,
                share=False, ssr_mode=False, quiet=True, prevent_thread_lock=True,
                enable_monitoring=False, run_history=False, footer_links=[], pwa=False,
                theme=look.theme(), css=look.CSS, app_kwargs={"middleware": look.middleware()},
            )  # fmt: skip
        except OSError as error:
            raise UserError(
                f"--port={port}: can't be served at {host} ({error}); is something else there? "
                "choose another"
            ) from None
        print(f"http://{host}:{port}/  (Ctrl-C ends it)", flush=True)
        try:
            _wait()
        finally:
            blocks.close(verbose=False)


def _wait() -> None:
    """Returns at Ctrl-C or SIGTERM."""
    ended = threading.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
    ended.wait()


def page(run: str | os.PathLike[str] | Classifier, limits: Limits | None = None) -> Any:
    """Returns the page of a network, a ``gradio.Blocks``; `serve` launches it.

    Args, Raises: as `serve`.
    """
    gradio = _gradio()
    limits = limits or Limits()
    classifier = run if isinstance(run, Classifier) else load(run)
    # So that the first visitor doesn't wait for the network to be read and compiled.
    silence = np.zeros(round(classifier.window_s * classifier.sample_rate_hz), np.float32)
    classifier.predict((silence, classifier.sample_rate_hz))
    accuracies, coverages = offered(classifier)
    with gradio.Blocks(
        title="ascjax", analytics_enabled=False, delete_cache=(_CLEAN_EVERY_S, _KEEP_S)
    ) as blocks:
        gradio.HTML(
            look.head(classifier, limits.megabytes, limits.seconds, uncalibrated=not coverages)
        )
        with gradio.Row():
            with gradio.Column(scale=2, min_width=300):
                sound = gradio.Audio(
                    label="Sound", sources=["upload", "microphone"], type="filepath",
                    editable=False, buttons=[], elem_id="sound",
                )  # fmt: skip
                paths = _write_sounds(classifier.scenes, Path(os.environ["GRADIO_TEMP_DIR"]))
                gradio.Examples(
                    [[str(path)] for path in paths.values()],
                    sound,
                    example_labels=list(paths),
                    label="Or one of these, synthesised",
                )
                with gradio.Accordion("When to answer", open=False, visible=bool(coverages)):
                    accuracy = gradio.Radio(
                        [("always", 0.0), *((f"where {a:.0%} are right", a) for a in accuracies)],
                        value=0.0, label="Answer",
                    )  # fmt: skip
                    coverage = gradio.Radio(
                        [("none", 0.0), *((f"{c:.0%}", c) for c in coverages)],
                        value=_DEFAULT_COVERAGE if _DEFAULT_COVERAGE in coverages else 0.0,
                        label="Set of scenes that holds the true one, at a rate of",
                    )  # fmt: skip
            with gradio.Column(scale=3, min_width=300):
                shown = gradio.HTML(look.WAITING, elem_id="shown", js_on_load=look.ANNOUNCE)

        def answered(path: str | None, accuracy: float, coverage: float) -> str:
            guarantee = analysis.Guarantee(
                accuracies.get(accuracy, 0.0),
                accuracy or None,
                coverage or None,
                coverages.get(coverage),
            )
            return answer(classifier, path, guarantee, limits)

        gradio.on(
            [sound.change, accuracy.change, coverage.change],
            answered, [sound, accuracy, coverage], shown,
            api_name="analyse", show_progress="minimal", trigger_mode="always_last",
            concurrency_limit=limits.at_once,
        )  # fmt: skip
    return blocks.queue(max_size=limits.waiting)


def answer(
    classifier: Classifier, path: str | None, guarantee: analysis.Guarantee, limits: Limits
) -> str:
    """Returns what a page shows of an uploaded file: its analysis, or why there is none."""
    if path is None:
        return look.WAITING
    try:
        check(path, limits)
        analysed = classifier.analyse(path, min_score=guarantee.min_score)
    except BadRecording as error:
        # The name that the user knows, not where the upload was put.
        return look.problem(str(error).replace(display(path), display(Path(path).name)))
    return analysis.html(analysed, classifier.runs[0].front_end, guarantee)


def check(path: str, limits: Limits) -> None:
    """Raises BadRecording for a file above the limits, or whose header can't be read."""
    size = os.path.getsize(path)
    if size > limits.megabytes * 10**6:
        raise bad_recording(
            path, f"is {size / 1e6:,.0f} MB large; at most {limits.megabytes:,} MB are taken"
        )
    with open_source(path) as source:
        most = round(limits.seconds * source.sample_rate_hz)
        if source.num_samples is None:  # only decoding tells
            source.skip(most)
            is_long = len(source.read(1)) > 0
        else:
            is_long = source.num_samples > most
    if is_long:
        raise bad_recording(path, f"is too long; at most {limits.seconds:,g} s are taken")


def offered(classifier: Classifier) -> tuple[dict[float, float], dict[float, float]]:
    """Returns the accuracies and the coverages that all runs can promise, with their thresholds."""
    calibrations = [run.results.calibration for run in classifier.runs]
    first = calibrations[0]
    if first is None or None in calibrations:
        return {}, {}
    promised = [
        accuracy
        for accuracy in first.thresholds
        if all(each and each.thresholds.get(accuracy) is not None for each in calibrations)
    ]
    return (
        {accuracy: classifier.threshold(accuracy) for accuracy in promised},
        {coverage: classifier.set_threshold(coverage) for coverage in first.conformal},
    )


def _write_sounds(scenes: tuple[str, ...], folder: Path) -> dict[str, Path]:
    """Writes the sounds to begin with; returns their files by name."""
    paths = {name: folder / f"{name}.wav" for name in tryout.sounds(scenes)}
    for name, samples in tryout.sounds(scenes).items():
        soundfile.write(paths[name], samples.T, SAMPLE_RATE_HZ)
    return paths


def _gradio() -> Any:
    """Returns gradio, which is an extra and takes seconds to import."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        with warnings.catch_warnings():
            # pydub, which isn't used here, warns that there is no ffmpeg, and of Python's audioop.
            warnings.filterwarnings("ignore", module="pydub")
            return importlib.import_module("gradio")
    except ImportError:
        raise UserError("the demo needs gradio: pip install 'ascjax[demo]'") from None


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65_535:
        raise argparse.ArgumentTypeError(f"expected 1 to 65535, got {text}")
    return port


if __name__ == "__main__":
    cli.run(main, parse)
