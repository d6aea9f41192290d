"""The look of the demo: its texts, colours and headers."""

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from ascjax.report.text import label
from ascjax.words import counted

if TYPE_CHECKING:
    from ascjax.runs.predictor import Classifier

WAITING = "<p class='soft'>Choose, drop or record a sound; what the network makes of it comes here.</p>"
# Screen readers say what is new there.
ANNOUNCE = "element.setAttribute('aria-live', 'polite')"

# The browser asks this server and no other, whatever the page's library would like to load.
_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'; "
    "form-action 'self'; base-uri 'self'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]

# Okabe and Ito's blue, lighter on dark; all text keeps a contrast of 4.5 to 1 or more.
CSS = """
"""


def theme() -> Any:
    """Returns a theme with the system's own fonts, blue for what can be used."""
    import gradio

    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif"]
    return gradio.themes.Default(
        primary_hue="blue", secondary_hue="blue", neutral_hue="slate", font=fonts,
        font_mono=["ui-monospace", "DejaVu Sans Mono", "monospace"],
    )  # fmt: skip


def head(classifier: "Classifier", megabytes: int, seconds: float) -> str:
    """Returns the page's heading: what network this is, and what it takes."""
    model = classifier.runs[0].info.model
    folds = f"{len(classifier.runs)} folds of " if len(classifier.runs) > 1 else ""
    return Markup(
        "<h1>What does the network hear?</h1><p>{}{}, head {}, {}: {}.</p>"
        "<p class='soft'>Recordings of up to {:g} minutes and {:,} MB, in windows of {:g} s.</p>"
    ).format(
        folds,
        model.trunk,
        model.head,
        counted(len(classifier.scenes), "scene"),
        ", ".join(map(label, classifier.scenes)),
        seconds / 60,
        megabytes,
        classifier.window_s,
    )


def problem(message: str) -> str:
    """Returns an error as HTML."""
    return Markup("<div class='problem' role='alert'><h2>No answer</h2><p>{}</p></div>").format(
        message
    )


def middleware() -> list[Any]:
    """Returns what adds headers to every response."""
    from starlette.middleware import Middleware

    return [Middleware(_Headers)]


class _Headers:
    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        await self._app(scope, receive, with_headers)
