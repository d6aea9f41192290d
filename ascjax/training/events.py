"""TensorBoard's event files, an event at a time: tensorboardX's own writer loses errors.

It writes in a thread, where a full disk prints a traceback and the training then waits for ever.
"""

import socket
import struct
import sys
import time
from pathlib import Path

from ascjax.files import append, unwritable


class EventFile:
    """A new event file in a folder.

    Args:
      folder: made if need be.
      first_step: TensorBoard drops what earlier files have from this step on.

    Raises:
      UserError: here and below: it can't be written.
    """

    def __init__(self, folder: Path, *, first_step: int):
        _import_tensorboardx()
        from tensorboardX.proto import event_pb2

        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(folder, error) from None
        stamp = f"{time.time():.0f}.{socket.gethostname()}"
        number = 0
        while (path := folder / f"events.out.tfevents.{stamp}.{number}").exists():
            number += 1
        self._path = path
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        version = _record(file_version="brain.Event:2")
        append(path, version + _record(step=first_step, session_log=start))

    def scalars(self, step: int, numbers: dict[str, float]) -> None:
        """Appends numbers by name."""
        from tensorboardX.summary import scalar

        summaries = (scalar(name, value) for name, value in numbers.items())
        append(self._path, b"".join(_record(step=step, summary=each) for each in summaries))


def _import_tensorboardx() -> None:
    """Imports tensorboardX without PyTorch, which it would import where installed, for seconds."""
    if "torch" in sys.modules:
        return
    sys.modules["torch"] = None  # type: ignore[assignment]  # its import fails, as if not installed
    try:
        import tensorboardX  # noqa: F401
    finally:
        del sys.modules["torch"]


def _record(**event: object) -> bytes:
    """Returns an event as a record: length and content, each with its checksum."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import masked_crc32c

    content = Event(wall_time=time.time(), **event).SerializeToString()
    length = struct.pack("<Q", len(content))
    sums = [struct.pack("<I", masked_crc32c(part)) for part in (length, content)]
    return length + sums[0] + content + sums[1]
