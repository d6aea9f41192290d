"""The analysis of one recording as a piece of a page: decision, scores by channel, timeline."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from ascjax.audio.channels import shares
from ascjax.audio.quality import SILENCE_DB
from ascjax.audio.windows import Waveform, windows
from ascjax.report import plots
from ascjax.report.image import Image
from ascjax.report.page import template
from ascjax.report.predictions import clock
from ascjax.report.text import label, percent
from ascjax.runs.predictor import Classifier
from ascjax.runs.verdict import NOVEL, SILENT, Analysis, Scored

# Widths in inches of the timeline, of 96 CSS pixels each: for a page on a desktop and on a phone.
WIDE_IN, NARROW_IN = 8.0, 3.6


@dataclass(frozen=True)
class Guarantee:
    """What a run's calibration promises at the settings that were chosen.

    Attributes:
      min_score: the least score that is answered, 0..1.
      accuracy: the share of answers that is right then; None if everything is answered.
      coverage: the share of sets that hold the true scene; None if there is no set.
      set_threshold: for that (`Scored.scene_set`).
    """

    min_score: float = 0.0
    accuracy: float | None = None
    coverage: float | None = None
    set_threshold: float | None = None


def html(analysis: Analysis, log_mel: plots.LogMel, guarantee: Guarantee) -> str:
    """Returns the analysis as HTML, with figures in it; names are escaped.

    Args:
      analysis: of a recording.
      log_mel: of the same, see `log_mel_of`.
      guarantee: what is said of the decision.
    """
    decision = analysis.decision
    scenes = list(decision.scores)
    shown = sorted(scenes, key=lambda scene: -decision.scores[scene])
    sets: tuple[str, ...] = ()
    if guarantee.set_threshold is not None:
        sets = decision.scene_set(guarantee.set_threshold)
    alt = (
        f"Log-mel of {decision.end_s:.1f} s above the score of each scene over time; the numbers "
        "are in the table below"
    )
    wide, narrow = (
        Image.of(_timeline(analysis, log_mel, scenes, width_in), alt)
        for width_in in (WIDE_IN, NARROW_IN)
    )
    return template("analysis.html.j2", clock).render(
        decision=decision,
        reason=reason(decision, guarantee),
        guarantee=guarantee,
        scene_set=sets,
        shown=shown,
        # A channel alone says what all of them fused say.
        channels=analysis.channels if len(analysis.channels) > 1 else {},
        stretches=analysis.stretches,
        wide=wide,
        narrow=narrow,
    )


def log_mel_of(classifier: Classifier, recording: str | Waveform) -> plots.LogMel:
    """Returns the log-mel of a recording as the network hears it, window by window.

    Of the average channel, or of the network's first if it doesn't hear that.

    Raises:
      BadRecording: see `windows.windows`.
    """
    front_end, channels = classifier.runs[0].front_end, classifier.channels
    channel = "average" if "average" in channels else channels[0]
    rate, hop = front_end.sample_rate_hz, front_end.hop_length
    size = round(classifier.window_s * rate)
    parts, end_s = [], 0.0
    for window in windows(recording, sample_rate_hz=rate, window_samples=size, hop_samples=size):
        columns, length = window.samples.shape
        whole = np.pad(window.samples, ((0, 0), (0, size - length)), mode="wrap")
        values = front_end(whole, shares((channel,), columns))[0]
        parts.append(values[:, : max(1, round(length / hop))])
        end_s = window.start_s + length / rate
    values = np.concatenate(parts, axis=1)
    # A window is no whole number of frames; over many of them that would add up.
    return plots.LogMel(values, end_s / values.shape[1], rate, plots.unit(front_end))


def reason(decision: Scored, guarantee: Guarantee) -> str:
    """Returns a sentence on why there is no answer; empty if there is one."""
    likeliest = f"{label(decision.likeliest)}, {percent(decision.score)}"
    if not decision.unknown:
        return ""
    if decision.unknown == SILENT:
        return f"Silence: no part of the recording is louder than {SILENCE_DB:g} dB of full scale."
    if decision.unknown == NOVEL:
        return f"Unlike everything that the network has learned. It would have said {likeliest}."
    least = percent(guarantee.min_score)
    return f"The largest score ({likeliest}) is below {least}, the least that is answered."


def _timeline(
    analysis: Analysis, log_mel: plots.LogMel, scenes: Sequence[str], width_in: float
) -> Figure:
    stretches = analysis.stretches
    starts_s = np.array([each.start_s for each in stretches])
    ends_s = np.array([each.end_s for each in stretches])
    return plots.timeline(
        log_mel,
        np.array([list(each.scores.values()) for each in stretches]),
        # Stretches that overlap meet halfway.
        np.concatenate([starts_s[:1], (ends_s[:-1] + starts_s[1:]) / 2, ends_s[-1:]]),
        np.array([bool(each.unknown) for each in stretches]),
        scenes=scenes,
        width_in=width_in,
    )
