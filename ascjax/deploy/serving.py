"""Where a page is served, what it takes, and what its responses forbid."""

import os
from dataclasses import dataclass
from typing import Any

from ascjax.audio.errors import bad_recording
from ascjax.audio.opening import open_source

LOOPBACK, PORT = "127.0.0.1", 7860
# Bytes of an upload's request beside its file.
_ENVELOPE = 10**6

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


@dataclass(frozen=True)
class Limits:
    """What a page takes.

    Attributes:
      megabytes: of a file, 2²⁰ bytes each, as the browser counts them.
      seconds: of a recording.
      at_once: how many recordings are analysed side by side.
      waiting: how many wait for that; more are turned away.
    """

    megabytes: int = 100
    seconds: float = 600.0
    at_once: int = 2
    waiting: int = 32

    @property
    def bytes(self) -> int:
        """Of a file."""
        return self.megabytes * 2**20


def check(path: str, limits: Limits) -> None:
    """Raises BadRecording for a file above the limits, or whose header can't be read."""
    with open_source(path) as source:
        size = os.path.getsize(path)
        if size > limits.bytes:
            raise bad_recording(
                path, f"is {size / 2**20:,.1f} MB large; at most {limits.megabytes:,} MB are taken"
            )
        most = round(limits.seconds * source.sample_rate_hz)
        if source.num_samples is None:  # only decoding tells
            source.skip(most)
            is_long = len(source.read(1)) > 0
        else:
            is_long = source.num_samples > most
    if is_long:
        raise bad_recording(path, f"is too long; at most {limits.seconds:,g} s are taken")


class Gate:
    """ASGI middleware: adds headers to responses, and refuses what says that it is too large.

    Where a request doesn't say so, gradio stops writing at the limit.

    Args:
      app: that it stands before.
      limits: of the page.
    """

    def __init__(self, app: Any, limits: Limits) -> None:
        self._app, self._most = app, limits.bytes + _ENVELOPE

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Passes a request on, or refuses it."""

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        length = dict(scope.get("headers", [])).get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._most:
            await send({
                "type": "http.response.start",
                "status": 413,
                "headers": [(b"content-type", b"text/plain"), (b"connection", b"close")],
            })  # fmt: skip
            await send({"type": "http.response.body", "body": b"The file is too large."})
            return
        await self._app(scope, receive, with_headers)
