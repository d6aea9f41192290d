"""Figures of a run: numbers in, matplotlib figures out, to be saved in any format."""

from ascjax.report.plots.curves import learning_curves as learning_curves
from ascjax.report.plots.cuts import fragments as fragments
from ascjax.report.plots.figure import encode as encode
from ascjax.report.plots.logmel import LogMel as LogMel
from ascjax.report.plots.logmel import spectrograms as spectrograms
from ascjax.report.plots.logmel import unit as unit
from ascjax.report.plots.matrix import confusion as confusion
from ascjax.report.plots.occluded import occlusion as occlusion
from ascjax.report.plots.probes import probes as probes
from ascjax.report.plots.timeline import thinned as thinned
from ascjax.report.plots.timeline import timeline as timeline
from ascjax.report.plots.trust import coverage as coverage
from ascjax.report.plots.trust import reliability as reliability
from ascjax.report.plots.votes import evidence as evidence
