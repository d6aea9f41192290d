import struct
import subprocess
import sys

import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c

from ascjax.errors import UserError
from ascjax.training.events import EventFile


def events(folder):
    """Every event of a folder's files, which are read as TensorBoard reads them."""
    found = []
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            sums = struct.unpack("<I", content[8:12]) + struct.unpack(
                "<I", content[12 + length : 16 + length]
            )
            record = content[12 : 12 + length]
            assert sums == (masked_crc32c(content[:8]), masked_crc32c(record))
            found.append(Event.FromString(record))
            content = content[16 + length :]
    return found


def test_numbers_are_events_at_once_and_a_resumed_run_has_a_file_of_its_own(tmp_path):
    first = EventFile(tmp_path / "events", first_step=1)
    first.scalars(4, {"train/loss": 0.5, "seconds": 2.0})
    EventFile(tmp_path / "events", first_step=5).scalars(8, {"train/loss": 0.25})
    assert len(list((tmp_path / "events").iterdir())) == 2
    found = events(tmp_path / "events")
    scalars = [
        (each.step, value.tag, value.simple_value) for each in found for value in each.summary.value
    ]
    expected = [(4, "train/loss", 0.5), (4, "seconds", 2.0), (8, "train/loss", 0.25)]
    assert sorted(scalars) == sorted(expected)
    assert sum(each.file_version == "brain.Event:2" for each in found) == 2
    starts = [each.step for each in found if each.session_log.status == SessionLog.START]
    assert sorted(starts) == [1, 5]


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    log = EventFile(tmp_path / "events", first_step=1)
    (path,) = (tmp_path / "events").iterdir()
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match=f"{path}: cannot be written .Is a directory"):
        log.scalars(4, {"train/loss": 0.5})
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=f"{tmp_path}/file/events: cannot be written"):
        EventFile(tmp_path / "file" / "events", first_step=1)


def test_a_training_does_not_wait_for_pytorch(tmp_path):
    code = (
        "import sys; from pathlib import Path; from ascjax.training.events import EventFile\n"
        "EventFile(Path(sys.argv[1]), first_step=1).scalars(1, {'loss': 1.0})\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
