"""File formats, recognised by content and never by suffix."""

import re
import zipfile
from pathlib import Path

from ascjax.errors import UserError

SAFETENSORS, TORCH_ZIP, TORCH_LEGACY = "safetensors", "torch, zip", "torch, before 1.6"
# The header's limit in the safetensors format.
MAX_SAFETENSORS_HEADER = 100_000_000
# What torch.save wrote before version 1.6: a pickled magic number, in protocol 2.
LEGACY_MAGIC = bytes.fromhex("80028a0a6cfc9c46f9206aa85019")
HEAD_BYTES = 512
# What zipfile raises on damaged archives: OSError at offsets before the file's beginning.
BAD_ZIP = (zipfile.BadZipFile, EOFError, NotImplementedError, OSError, RuntimeError, ValueError)

EXPORT = "convert it where it was made, or export the network's weights from there as safetensors"
DOWNLOAD = "download the file itself"
SAVE = "load it where you trust it and save model.state_dict() alone"

# First bytes → what the file is, what to do.
SIGNATURES: dict[bytes, tuple[str, str]] = {
    rb"\x89HDF\r\n\x1a\n": ("HDF5 (Keras .h5)", EXPORT),
    rb"\x93NUMPY": ("a NumPy array (.npy)", EXPORT),
    rb"GGUF": ("a GGUF file", EXPORT),
    rb".{4}TFL3": ("a TensorFlow Lite model", EXPORT),
    # Protobuf: field 1 is a small version number, then the next field's tag.
    rb"\x08\x01[\x12\x1a]": ("a TensorFlow SavedModel", EXPORT),
    rb"\x08[\x02-\x1f][\x12\x1a\x22\x2a\x32\x3a\x42]": ("an ONNX model", EXPORT),
    rb"version https://git-lfs\.github\.com/spec/": (
        "a git-LFS pointer, not the file it points to",
        "run `git lfs pull` in its repository",
    ),
    rb"(?:\xef\xbb\xbf)?\s*(?i:<!doctype html|<html|<\?xml|<head|<!--)": (
        "a web page (HTML)",
        DOWNLOAD,
    ),
    rb"\x1f\x8b|BZh|\xfd7zXZ\x00|\x28\xb5\x2f\xfd|7z\xbc\xaf|Rar!": (
        "a compressed archive",
        "unpack it and give what is in it",
    ),
    rb".{257}ustar": ("a tar archive", "unpack it and give what is in it"),
    rb"\x89PNG|\xff\xd8\xff|GIF8|%PDF|RIFF": ("an image, sound or document", DOWNLOAD),
    rb"\x80[\x02-\x05]": (
        "a Python pickle that torch.save didn't write; reading it would run its code",
        SAVE,
    ),
}
# Member of a zip archive → what the archive is, what to do; the first that fits.
MEMBERS: dict[str, tuple[str, str]] = {
    r"[^/]+/(constants\.pkl|code/.*)": ("a TorchScript archive, which holds code", SAVE),
    r"(.*/)?(archive_format|serialized_exported_program\.json)": (
        "a torch.export archive, which holds code",
        SAVE,
    ),
    r"model\.weights\.h5": ("a Keras model (.keras)", EXPORT),
    r".*\.npy": ("NumPy arrays (.npz)", EXPORT),
    r"(.*/)?saved_model\.pb": ("a TensorFlow SavedModel", EXPORT),
    r".*": ("a zip archive that torch.save didn't write", "unpack it and give what is in it"),
}


def identify(path: Path) -> str:
    """Returns ``SAFETENSORS``, ``TORCH_ZIP`` or ``TORCH_LEGACY``.

    Raises:
      UserError: the file is empty, truncated or of another format, which the message names.
      OSError: it can't be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise UserError(f"{path}: an empty file; {DOWNLOAD}")
    if head.startswith(LEGACY_MAGIC):
        return TORCH_LEGACY
    if head.startswith(b"PK\x03\x04"):
        return _identify_zip(path)
    if _is_safetensors(head, size):
        return SAFETENSORS
    for signature, (name, advice) in SIGNATURES.items():
        if re.match(signature, head, re.DOTALL):
            raise _other(path, name, advice)
    if not any(head):
        raise _other(path, "zeros at its beginning, as an interrupted download leaves", DOWNLOAD)
    if _is_text(head):
        raise _other(path, f"text that begins {head[:40].decode(errors='replace')!r}", DOWNLOAD)
    if path.suffix == ".safetensors":
        return SAFETENSORS  # whose reader says what is wrong with it
    raise UserError(
        f"{path}: not a whole torch checkpoint or safetensors file (truncated, or of an unknown "
        "format); fetch it again"
    )


def _identify_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except BAD_ZIP as error:
        raise UserError(
            f"{path}: not a whole torch checkpoint (a zip archive, truncated or damaged: {error}); "
            "fetch it again"
        ) from error
    for pattern, (name, advice) in MEMBERS.items():
        # A checkpoint has one pickle, in a folder of its own.
        if pattern == r".*" and any(re.fullmatch(r"[^/]+/data\.pkl", name) for name in names):
            return TORCH_ZIP
        if any(re.fullmatch(pattern, member) for member in names):
            raise _other(path, name, advice)
    raise _other(path, "an empty zip archive", DOWNLOAD)


def _is_safetensors(head: bytes, size: int) -> bool:
    length = int.from_bytes(head[:8], "little")
    return len(head) > 8 and head[8:9] == b"{" and length <= min(size, MAX_SAFETENSORS_HEADER)


def _is_text(head: bytes) -> bool:
    # The head may end within a character.
    text = head.decode(errors="ignore")
    return len(head) - len(text.encode()) < 4 and (
        all(character.isprintable() or character.isspace() for character in text)
    )


def _other(path: Path, name: str, advice: str) -> UserError:
    return UserError(f"{path} is {name}; expected a torch checkpoint or safetensors: {advice}")
