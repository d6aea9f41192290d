"""The page to try a network with: served, and what it shows of an upload."""

import contextlib
import importlib
import os
import signal
import tempfile
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ascjax import __version__
from ascjax.audio.errors import display
from ascjax.data import tryout
from ascjax.data.sounds import SAMPLE_RATE_HZ
from ascjax.deploy import look
from ascjax.deploy.serving import LOOPBACK, PORT, Gate, Limits, check
from ascjax.errors import UserError
from ascjax.files import write_text
from ascjax.report import analysis
from ascjax.runs.loading import load
from ascjax.runs.predictor import Classifier
from ascjax.scoring.calibration import ACCURACIES, COVERAGES

# Seconds between looks for uploads to remove, and their least age then.
_CLEAN_EVERY_S, _KEEP_S = 600, 3_600
_DEFAULT_COVERAGE = 0.9
APP = '''"""The page of this network: pip install -r requirements.txt; python app.py"""

import sys
from pathlib import Path

from ascjax.deploy.page import serve
from ascjax.errors import UserError

try:
    serve(Path(__file__).parent)
except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
'''


def write_app(folder: Path) -> None:
    """Writes app.py, which serves the page of the network in a folder, and requirements.txt.

    Args:
      folder: one that `loading.load` takes.

    Raises:
      UserError: a file can't be written.
    """
    write_text(folder / "app.py", APP)
    write_text(folder / "requirements.txt", f"ascjax[demo,export]=={__version__}\n")


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
        gradio_or_error()
        from starlette.middleware import Middleware  # comes with gradio

        classifier = run if isinstance(run, Classifier) else load(run)
        blocks = page(classifier, limits, Path(folder))
        try:
            blocks.launch(
                server_name=host, server_port=port, max_file_size=limits.bytes,
                share=False, ssr_mode=False, quiet=True, prevent_thread_lock=True,
                enable_monitoring=False, run_history=False, footer_links=[], pwa=False,
                theme=look.theme(), css=look.CSS,
                app_kwargs={"middleware": [Middleware(Gate, limits)]},
            )  # fmt: skip
        except OSError:
            raise UserError(
                f"--port={port}: can't be had at {host}; another program may be there: choose "
                "another port"
            ) from None
        print(f"http://{host}:{port}/  (Ctrl-C ends it)", flush=True)
        try:
            _wait()
        finally:
            blocks.close(verbose=False)


def _wait() -> None:
    """Returns at Ctrl-C or SIGTERM; a second one ends the program at once."""
    ended = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: ended.set()) for number in numbers]
    ended.wait()
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def page(classifier: Classifier, limits: Limits, folder: Path) -> Any:
    """Returns the page of a network, a ``gradio.Blocks``; its sounds are written to a folder."""
    gradio = gradio_or_error()
    # So that the first visitor doesn't wait for the network to be read and compiled.
    silence = np.zeros(round(classifier.window_s * classifier.sample_rate_hz), np.float32)
    classifier.predict((silence, classifier.sample_rate_hz))
    accuracies = promised(classifier.threshold, ACCURACIES)
    coverages = promised(classifier.set_threshold, COVERAGES)
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
                sound.async_move_resource_to_block_cache = _unless_address(
                    sound.async_move_resource_to_block_cache
                )
                paths = _write_sounds(classifier.scenes, folder)
                gradio.Examples(
                    [[str(path)] for path in paths.values()],
                    sound,
                    example_labels=list(paths),
                    label="Or one of these, synthesised",
                )
                with gradio.Accordion("When to answer", open=False, visible=bool(coverages)):
                    rates = [(f"where {100 * rate:g} % are right", rate) for rate in accuracies]
                    accuracy = gradio.Radio([("always", 0.0), *rates], value=0.0, label="Answer")
                    coverage = gradio.Radio(
                        [("none", 0.0), *((f"{100 * c:g} %", c) for c in coverages)],
                        value=_DEFAULT_COVERAGE if _DEFAULT_COVERAGE in coverages else 0.0,
                        label="Set of scenes that holds the true one, at a rate of",
                    )  # fmt: skip
            with gradio.Column(scale=3, min_width=300):
                shown = gradio.HTML(look.WAITING, elem_id="shown", js_on_load=look.ANNOUNCE)

        def answered(path: str | None, accuracy: float, coverage: float) -> str:
            guarantee = analysis.Guarantee(
                classifier.least_score(accuracies.get(accuracy, 0.0)),
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


def _unless_address(
    kept: Callable[[str], Awaitable[str | None]],
) -> Callable[[str], Awaitable[str | None]]:
    """Returns what keeps an upload, but raises for an address, which gradio would fetch."""

    async def keep(resource: str) -> str | None:
        if "://" in str(resource):
            raise gradio_or_error().Error("Only what is uploaded here is taken.")
        return await kept(resource)

    return keep


def answer(
    classifier: Classifier, path: str | None, guarantee: analysis.Guarantee, limits: Limits
) -> str:
    """Returns what a page shows of an uploaded file: its analysis, or why there is none."""
    if path is None:
        return look.WAITING
    try:
        check(path, limits)
        analysed = classifier.analyse(path, min_score=guarantee.min_score)
        log_mel = analysis.log_mel_of(classifier, path)
    except UserError as error:
        # The name that the user knows, not where the upload was put.
        return look.problem(str(error).replace(display(path), display(Path(path).name)))
    return analysis.html(analysed, log_mel, guarantee)


def promised(ask: Callable[[float], float], rates: Iterable[float]) -> dict[float, float]:
    """Returns the thresholds that ``ask`` has for some of the rates."""
    thresholds = {}
    for rate in rates:
        with contextlib.suppress(UserError):
            thresholds[rate] = ask(rate)
    return thresholds


def _write_sounds(scenes: tuple[str, ...], folder: Path) -> dict[str, Path]:
    """Writes the sounds to begin with; returns their files by name."""
    paths = {name: folder / f"{name}.wav" for name in tryout.sounds(scenes)}
    for name, samples in tryout.sounds(scenes).items():
        soundfile.write(paths[name], samples.T, SAMPLE_RATE_HZ)
    return paths


def gradio_or_error() -> Any:
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
