from pathlib import Path

import numpy as np
import pytest
import soundfile

from ascjax.audio import wave
from ascjax.audio.logmel import LogMel
from ascjax.data import extract


def test_a_file_too_loud_for_its_features_is_a_bad_recording(tmp_path):
    path = tmp_path / "loud.wav"
    samples = np.random.default_rng(0).uniform(-1e38, 1e38, 8_000).astype(np.float32)
    soundfile.write(path, samples, 8_000, subtype="FLOAT")
    job = extract.Job(Path("unused"), LogMel(8_000, 16), ("average",), 8_000, 0.5)
    with pytest.raises(wave.BadRecording, match=f"{path}: .* lie beyond ±1,000"):
        extract.log_mels(path, job)
