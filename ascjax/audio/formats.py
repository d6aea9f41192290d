"""Audio formats by file name suffix and by first bytes."""

import shutil
from pathlib import PurePath

# Read by libsndfile, which soundfile brings along.
SUFFIXES = (
    ".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2",
    ".aiff", ".aif", ".aifc", ".au", ".caf",
)  # fmt: skip

# Read by ffmpeg where it is installed.
FFMPEG_SUFFIXES = (
    ".m4a", ".m4b", ".aac", ".mp4", ".mov", ".3gp", ".webm", ".mka", ".mkv", ".wma", ".amr", ".ac3",
    ".ape", ".wv",
)  # fmt: skip

# First bytes of files that only ffmpeg reads, whatever their suffix.
_FFMPEG_MAGIC = (b"\x1aE\xdf\xa3", b"0&\xb2u", b"#!AMR", b"MAC ", b"wvpk")  # Matroska, ASF, ...

# First bytes of files that are often taken for audio, with what they are.
_NO_AUDIO = {
    b"\0\5\x16\7": "a macOS companion file (AppleDouble) that holds no audio; leave it out",
    b"version https://git-lfs": "a Git LFS pointer, not the audio itself; run `git lfs pull`",
    b"PK\3\4": "a zip archive; unpack it first",
    b"<!DOCTYPE": "a web page, not audio; download the file again",
    b"<html": "a web page, not audio; download the file again",
}


def is_audio(name: str) -> bool:
    """Whether a file name is that of a visible audio file, readable on this machine or not."""
    return not name.startswith(".") and _suffix(name) in (*SUFFIXES, *FFMPEG_SUFFIXES)


def is_readable(name: str) -> bool:
    """Whether a file of this name, if ``is_audio``, can be read here: some need ffmpeg."""
    return is_audio(name) and (_suffix(name) in SUFFIXES or shutil.which("ffmpeg") is not None)


def needs_ffmpeg(name: str, magic: bytes) -> bool:
    """Whether ffmpeg has to decode a file, judged by its name and its first 32 bytes."""
    is_mp4 = magic[4:8] == b"ftyp"
    is_adts = len(magic) > 1 and magic[0] == 0xFF and magic[1] & 0xF6 == 0xF0  # raw AAC
    return is_mp4 or is_adts or magic.startswith(_FFMPEG_MAGIC) or _suffix(name) in FFMPEG_SUFFIXES


def no_audio(magic: bytes) -> str | None:
    """Says what a file is that is known to hold no audio, judged by its first 32 bytes."""
    return next((what for start, what in _NO_AUDIO.items() if magic.startswith(start)), None)


def _suffix(name: str) -> str:
    return PurePath(name).suffix.lower()
