import pytest
import soundfile

from ascjax.audio import formats

FORMAT_OF = {
    ".wav": "WAV", ".wave": "WAV", ".bwf": "WAV", ".rf64": "RF64", ".w64": "W64", ".flac": "FLAC",
    ".ogg": "OGG", ".oga": "OGG", ".opus": "OGG", ".mp3": "MP3", ".mp2": "MP3", ".aiff": "AIFF",
    ".aif": "AIFF", ".aifc": "AIFF", ".au": "AU", ".caf": "CAF",
}  # fmt: skip


def test_libsndfile_reads_every_suffix():
    assert {FORMAT_OF[suffix] for suffix in formats.SUFFIXES} <= set(soundfile.available_formats())
    assert not set(formats.SUFFIXES) & set(formats.FFMPEG_SUFFIXES)


@pytest.mark.parametrize("name", ["a.wav", "A.WAV", "a b.Flac", "a.b.mp3", "a.m4a", "a.WebM"])
def test_audio(name):
    assert formats.is_audio(name)


@pytest.mark.parametrize("name", ["._a.mp3", ".a.wav", ".wav", "wav", "a.txt", "a.wav~", ""])
def test_no_audio(name):
    assert not formats.is_audio(name)
    assert not formats.is_readable(name)


@pytest.mark.parametrize("installed", [None, "/bin/ffmpeg"])
def test_readable_depends_on_ffmpeg(monkeypatch, installed):
    monkeypatch.setattr(formats.shutil, "which", {"ffmpeg": installed}.get)
    assert formats.is_readable("a.wav")
    assert formats.is_readable("a.m4a") == (installed is not None)
    assert not formats.is_readable("._a.m4a")
