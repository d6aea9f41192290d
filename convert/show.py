"""What the converter prints: a file's summary, its proof, and the list of architectures."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ascjax.errors import UserError
from ascjax.models.weights import load

from .keymaps import KEY_MAPS
from .mapping import expected_slots
from .proof import TOLERANCE, Proof

# What a file's header says where whoever made it said nothing.
UNSTATED = {
    **dict.fromkeys(("classes", "source", "source_sha256", "licence", "converter"), "not stated"),
    "notes": "",
    "proof": "none",
}


def summary(metadata: Mapping[str, str], tensors: Mapping[str, Any]) -> str:
    """Returns a few lines about weights: what they are, where they come from, what was changed."""
    parameters = sum(math.prod(a.shape) for key, a in tensors.items() if key.startswith("params/"))
    classes = metadata["classes"]
    lines = [
        metadata["architecture"],
        f"  source      {metadata['source']}",
        f"  SHA-256     {metadata['source_sha256']}",
        f"  parameters  {parameters:,} in {len(tensors)} tensors",
        f"  classes     {'none: the trunk alone' if classes == 'none' else classes}",
        f"  licence     {metadata['licence']}",
    ]
    return "\n".join(
        lines + [f"  note        {note}" for note in metadata["notes"].split("; ") if note]
    )


def proof_table(proof: Proof) -> str:
    """Returns the largest differences from torchvision, a line for each block."""
    sizes = list(proof.differences)
    versions = ", ".join(f"{name} {version}" for name, version in proof.versions.items())
    lines = [
        f"largest differences from torchvision ({versions})",
        "  " + " " * 8 + "".join(f"{size + ' input':>24}" for size in sizes),
        "  " + f"{'block':8}" + f"{'absolute':>13}{'relative':>11}" * len(sizes),
    ]
    for block in proof.differences[sizes[0]]:
        cells = (proof.differences[size][block] for size in sizes)
        lines.append(
            f"  {block:8}" + "".join(f"{d.absolute:>13.1e}{d.relative:>11.1e}" for d in cells)
        )
    verdict = "passed" if proof.passed else "FAILED"
    lines.append(
        f"  {verdict}: {proof.worst:.1e} at worst, {TOLERANCE:.0e} allowed "
        "(relative to the scale of the block's values)"
    )
    return "\n".join(lines)


def describe(path: Path) -> str:
    """Returns all that the header of a converted file says.

    Raises:
      UserError: there is no such file, or it wasn't made by the converter.
    """
    converted = load(path)
    metadata = {**UNSTATED, **converted.metadata}
    lines = [summary(metadata, converted.tensors)]
    lines.append(f"  converter   {metadata['converter']}")
    if names := _class_names(metadata, path):
        lines.append(f"  classes are {', '.join(names[:3])}, ... {names[-1]}")
    proof = _proof_of(metadata, path)
    lines.append(proof_table(proof) if proof else "not proven (made with --no-proof)")
    return "\n".join(lines)


def listing(out: Path) -> str:
    """Returns a line for each architecture: its parameters, and what ``out`` holds of it."""
    lines = [f"{'name':10}{'parameters':>13}{'of its trunk':>14}  converted in {out}/"]
    for name in KEY_MAPS:
        full, trunk = (_num_parameters(name, classes) for classes in (1000, None))
        lines.append(f"{name:10}{full:>13,}{trunk:>14,}  {_state(out / f'{name}.safetensors')}")
    return "\n".join(lines)


def _num_parameters(architecture: str, num_classes: int | None) -> int:
    slots = expected_slots(architecture, num_classes).values()
    return sum(math.prod(slot.shape) for slot in slots if slot.path.startswith("params/"))


def _state(path: Path) -> str:
    if not os.path.isfile(path):
        return "-"
    try:
        metadata = {**UNSTATED, **load(path).metadata}
        proof = _proof_of(metadata, path)
    except UserError as error:
        return f"unusable: {error}"
    classes = metadata["classes"]
    proven = f"proven to {proof.worst:.0e}" if proof else "not proven"
    return f"{'trunk alone' if classes == 'none' else f'{classes} classes'}, {proven}"


def _proof_of(metadata: Mapping[str, str], path: Path) -> Proof | None:
    if metadata["proof"] == "none":
        return None
    try:
        return Proof.from_json(metadata["proof"])
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as e:
        raise UserError(f"{path}: the proof in its header is damaged: convert it again") from e


def _class_names(metadata: Mapping[str, str], path: Path) -> list[str]:
    try:
        names = json.loads(metadata.get("class_names", "[]"))
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path}: the class names in its header are damaged: convert it again")
    return names
