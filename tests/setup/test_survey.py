"""What a survey knows of a set before features are extracted."""

import tiny_set

from ascjax.setup import data
from ascjax.signals import StopRequest


def test_a_bad_header_is_known_by_the_names_of_the_windows(tmp_path):
    root = tiny_set.write_set(tmp_path / "set")
    broken = sorted(root.rglob("*.wav"))[0]
    broken.write_bytes(b"not audio")
    name = broken.relative_to(root).as_posix()
    for window_s, expected in ((0.0, name), (0.5, f"{name}#0")):
        config = tiny_set.config(
            tmp_path, root, **{"data.window_s": window_s, "data.on_bad_file": "skip"}
        )
        listed = data.survey(config, StopRequest())
        assert set(listed.bad) == {expected}
        assert expected in {recording.name for recording in listed.dataset.recordings}
