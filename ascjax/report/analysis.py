"""The analysis of one recording as a piece of a page: decision, scores by channel, timeline."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from ascjax.audio.frontend import FrontEnd
from ascjax.audio.quality import SILENCE_DB
from ascjax.report import plots
from ascjax.report.image import Image
from ascjax.report.page import template
from ascjax.report.predictions import clock
from ascjax.report.text import label, percent
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


def html(analysis: Analysis, front_end: FrontEnd, guarantee: Guarantee) -> str:
    """Returns the analysis as HTML, with figures in it; names are escaped."""
    decision = analysis.decision
    scenes = list(decision.scores)
    shown = sorted(scenes, key=lambda scene: -decision.scores[scene])
    sets = ()
    if guarantee.set_threshold is not None:
        sets = decision.scene_set(guarantee.set_threshold)
    alt = (
        f"Log-mel of the {analysis.shown_channel} channel, {decision.end_s:.1f} s, above the score "
        "of each scene over time; the numbers are in the table below"
    )
    wide, narrow = (
        Image.of(_timeline(analysis, front_end, scenes, width_in), alt)
        for width_in in (WIDE_IN, NARROW_IN)
    )
    return template("analysis.html.j2", clock).render(
        decision=decision,
        reason=_reason(decision, guarantee),
        guarantee=guarantee,
        scene_set=sets,
        shown=shown,
        # A channel alone says what all of them fused say.
        channels=analysis.channels if len(analysis.channels) > 1 else {},
        stretches=analysis.stretches,
        wide=wide,
        narrow=narrow,
    )


def _reason(decision: Scored, guarantee: Guarantee) -> str:
    """Says in a sentence why there is no answer; empty if there is one."""
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
    analysis: Analysis, front_end: FrontEnd, scenes: Sequence[str], width_in: float
) -> Figure:
    stretches = analysis.stretches
    starts_s = np.array([each.start_s for each in stretches])
    ends_s = np.array([each.end_s for each in stretches])
    return plots.timeline(
        plots.LogMel(
            analysis.log_mel,
            analysis.hop_size_s,
            front_end.sample_rate_hz,
            "ln amplitude" if front_end.name == "log_mel" else front_end.name,
        ),
        np.array([list(each.scores.values()) for each in stretches]),
        # Stretches that overlap meet halfway.
        np.concatenate([starts_s[:1], (ends_s[:-1] + starts_s[1:]) / 2, ends_s[-1:]]),
        np.array([bool(each.unknown) for each in stretches]),
        scenes=scenes,
        width_in=width_in,
    )
