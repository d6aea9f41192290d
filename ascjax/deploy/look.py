"""The look of the page: its texts and colours."""

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from ascjax.report.text import label
from ascjax.words import counted

if TYPE_CHECKING:
    from ascjax.runs.predictor import Classifier

WAITING = (
    "<p class='soft'>Choose, drop or record a sound; what the network makes of it comes here.</p>"
)
# Screen readers say what is new there.
ANNOUNCE = "element.setAttribute('aria-live', 'polite')"

# Colours are the theme's, so that they follow its light and dark; bars repeat what numbers say.
CSS = """
.soft, .analysis figcaption { color: var(--body-text-color-subdued); font-size: .92em; }
.problem { border-left: 5px solid #d55e00; padding: .25rem 0 .25rem 1rem; overflow-wrap: anywhere; }
.analysis h2, .problem h2 { margin: 0 0 .4rem; font-size: 1.7rem; line-height: 1.2;
  overflow-wrap: anywhere; }
.analysis table { display: table; width: 100%; border-collapse: collapse; margin: .75rem 0; }
.analysis table, .analysis tr { border: 0 !important; }
.analysis caption { text-align: left; font-weight: 600; padding-bottom: .3rem; }
.analysis th, .analysis td { border: 0 !important;
  border-bottom: 1px solid var(--border-color-primary) !important;
  padding: .3rem .5rem; text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.analysis tbody th { font-weight: 400; }
.analysis .scores tbody th { width: 99%; }
.analysis .scores tbody th, .analysis td.words { white-space: normal; overflow-wrap: anywhere; }
.analysis td.words { min-width: 7rem; }
@media (max-width: 40rem) { .analysis table { font-size: .8rem; }
  .analysis th, .analysis td { padding: .3rem .2rem; } }
.analysis tr.first th, .analysis tr.first td { font-weight: 700; }
.analysis th:first-child, .analysis .words { text-align: left; padding-left: 0; }
.analysis .bar { display: block; height: .35rem; margin-top: .15rem; min-width: 1px;
  background: #0072b2; }
.dark .analysis .bar { background: #6cbcf0; }
.analysis .scroll { overflow-x: auto; }
.analysis figure { margin: 1.25rem 0 .5rem; }
/* Figures are drawn on white, also where the page is dark. */
.analysis img { display: block; max-width: 100%; height: auto; background: #fff;
  border-radius: 6px; }
.analysis summary { cursor: pointer; padding: .3rem 0; }
#sound { --neutral-400: var(--body-text-color-subdued); }
:focus-visible { outline: 3px solid #d55e00 !important; outline-offset: 2px; }
"""


def theme() -> Any:
    """Returns a theme with the system's own fonts, blue for what can be used."""
    import gradio

    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif"]
    plain = gradio.themes.Default(
        primary_hue="blue", neutral_hue="slate", font=fonts, font_mono=["ui-monospace", "monospace"]
    )
    return plain.set(
        body_text_color_subdued="*neutral_600", body_text_color_subdued_dark="*neutral_300"
    )


def head(classifier: "Classifier", megabytes: int, seconds: float, *, uncalibrated: bool) -> str:
    """Returns the page's heading: what network this is, and what it takes."""
    model = classifier.runs[0].info.model
    folds = f"{len(classifier.runs)} folds of " if len(classifier.runs) > 1 else ""
    return Markup(
        "<h1>What does the network hear?</h1><p>{}{}, head {}, {}: {}.</p>"
        "<p class='soft'>Recordings of up to {:g} minutes and {:,} MB, in windows of {:g} s.{}</p>"
    ).format(
        folds,
        model.trunk,
        model.head,
        counted(len(classifier.scenes), "scene"),
        ", ".join(map(label, classifier.scenes)),
        seconds / 60,
        megabytes,
        classifier.window_s,
        " Without calibration: all that isn't silence or novel is answered."
        if uncalibrated
        else "",
    )


def problem(message: str) -> str:
    """Returns an error as HTML."""
    return Markup("<div class='problem' role='alert'><h2>No answer</h2><p>{}</p></div>").format(
        message
    )
