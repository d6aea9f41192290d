"""Reads what ``torch.save`` wrote: members verified against their checksums, no code run."""

import re
import sys
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

from ascjax.errors import UserError
from ascjax.words import listed

from .kinds import BAD_ZIP

# How torch.load names a global that it doesn't know, and a value that it won't fill.
UNKNOWN = re.compile(r"unsupported (?:global: )?GLOBAL ((?!\d)\w+(?:\.\w+)*)(?= )", re.IGNORECASE)
NOT_A = re.compile(r"Can only (SETITEMS?|append|extend).*<class '([^']+)'>")
# A checkpoint's globals beyond torch's own; more of them than this is not a checkpoint.
MAX_UNKNOWN = 200
CHUNK_BYTES = 16 << 20
# What training scripts keep beside weights from Python's own library. None of it can run code, for
# none is imported or called: as for every global that torch doesn't know, a stand-in that does
# nothing takes its place. Whatever else of Python's library a pickle names serves to run code, and
# the file is refused.
VALUES = re.compile(
    r"argparse\.Namespace|types\.SimpleNamespace|(pathlib|datetime|decimal|fractions|uuid|enum|"
    r"collections|logging|random|typing)(\.\w+)+|functools\.partial|"
    # getattr: bound methods of loggers.
    r"(builtins|__builtin__)\.(getattr|slice|object|range|xrange|frozenset|int|float|str|bool|list|"
    r"dict|tuple|type|long|unicode|bytes)|(copyreg|copy_reg)\._reconstructor"
)
PYTHON_2 = {"__builtin__", "copy_reg", "cPickle", "commands", "urllib2"}


class Skipped:
    """In place of an object whose class isn't torch's: takes anything, keeps and does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> Any:
        """Returns an empty stand-in."""
        return super().__new__(cls)

    @classmethod
    def origin(cls) -> str:
        """Returns the full name of the class or function stood in for."""
        return f"{cls.__module__}.{cls.__qualname__}"

    def __setstate__(self, state: Any) -> None:
        """Drops the object's state."""


def load(path: Path, *, zipped: bool) -> tuple[Any, list[str]]:
    """Reads a checkpoint without running code from it.

    Args:
      path: of the file.
      zipped: in the zip format, which is memory-mapped and whose members carry checksums.

    Returns:
      The content, with ``Skipped`` in place of every object that is neither torch's nor a container
      (NumPy's too); and notes for the user.

    Raises:
      UserError: torch isn't installed; the file is damaged (the member is named) or truncated; or
        it needs code to be run.
    """
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"{path}: reading torch's format needs torch: pip install 'ascjax[convert]' "
            "(a .safetensors file is read without it)"
        ) from error
    notes = verify(path) if zipped else []
    stand_ins: dict[str, Any] = {}
    while True:
        known: list[Any] = [(made, name) for name, made in stand_ins.items()]
        try:
            with (
                warnings.catch_warnings(action="ignore"),  # about pickles that torch didn't write
                torch.serialization.safe_globals(known),
            ):
                content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
        except Exception as error:  # a damaged file can raise nearly anything out of the unpickler
            _learn(str(error), stand_ins, path, error)
        else:
            return content, notes + _skipped_note(stand_ins)


def verify(path: Path) -> list[str]:
    """Checks every member of a zip archive against its CRC-32; returns notes for the user.

    Raises:
      UserError: a member doesn't have its checksum, or is compressed (torch maps it as it lies).
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        for member in members:
            if member.compress_type != zipfile.ZIP_STORED:
                raise UserError(
                    f"{path}: {member.filename} is compressed, which torch doesn't write: unpack "
                    "the archive and pack it with `zip -0`"
                )
        # torch.serialization.set_crc32_options(False) leaves them all 0.
        if not any(member.CRC for member in members):
            return ["its members carry no checksums: damage would not be noticed"]
        for member in members:
            if not _is_whole(archive, member):
                raise UserError(
                    f"{path} is damaged: its member {member.filename} doesn't have the CRC-32 "
                    "that the archive states; fetch it again"
                )
    return []


def _is_whole(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    try:
        with archive.open(member) as file:
            while file.read(CHUNK_BYTES):
                pass
    except BAD_ZIP:
        return False
    return True


def _learn(message: str, stand_ins: dict[str, Any], path: Path, error: Exception) -> None:
    """Adds the stand-in that ``torch.load`` lacked, or raises the UserError that says why not."""
    if (found := UNKNOWN.search(message)) and len(stand_ins) < MAX_UNKNOWN:
        name = found[1] if "." in found[1] else f"builtins.{found[1]}"
        if name not in stand_ins and not _serves_to_run_code(name):
            stand_ins[name] = _stand_in(name)
            return
        raise UserError(
            f"{path} holds code ({name}), which is never run: load it where you trust it "
            "and save model.state_dict() alone"
        ) from error
    if (found := NOT_A.search(message)) and found[2] in stand_ins:
        # A subclass of dict or list: torch.load fills only the plain ones.
        container = list if found[1] in ("append", "extend") else OrderedDict
        if stand_ins[found[2]].container is None:
            stand_ins[found[2]] = _stand_in(found[2], container)
            return
    raise UserError(
        f"{path}: not a whole torch checkpoint (truncated, damaged, or a pickle that only running "
        "its code could read); fetch it again"
    ) from error


def _serves_to_run_code(name: str) -> bool:
    package = name.partition(".")[0]
    standard = package in sys.stdlib_module_names or package in PYTHON_2
    return standard and package != "__main__" and not VALUES.fullmatch(name)


def _stand_in(name: str, container: type | None = None) -> Any:
    """Returns a class called ``name`` whose instances are ``Skipped``, or empty containers."""
    module, _, qualified = name.rpartition(".")
    fields: dict[str, Any] = {
        "__module__": module,
        "__qualname__": qualified,
        "container": container,
    }
    if container is not None:
        fields["__new__"] = lambda cls, *_, **__: container()
    return type(qualified, (Skipped,), fields)


def _skipped_note(stand_ins: dict[str, Any]) -> list[str]:
    skipped = [name for name, made in stand_ins.items() if made.container is None]
    return [f"skipped, unread: {listed(skipped, 4)}"] if skipped else []
