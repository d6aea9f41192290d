"""One conversion, from a checkpoint to a proven file."""

import json
import re
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

import ascjax
from ascjax.errors import UserError
from convert import checkpoint, files, mapping, proof, reference, show


class Draft(NamedTuple):
    """What is known of a file before it is proven.

    Attributes:
      metadata: for its header.
      num_classes: length of the logits, or None for the trunk alone.
      expected: what torchvision's network gives at each block, for each of the proof's images.
    """

    metadata: dict[str, str]
    num_classes: int | None
    expected: list[dict[str, np.ndarray]]


def convert(
    architecture: str,
    source: Path | None,
    out: Path,
    *,
    prove: bool = True,
    licence: str | None = None,
) -> Path:
    """Converts a checkpoint, proves the written file and gives it its name, or leaves nothing.

    Args:
      architecture: one of ``keymaps.KEY_MAPS``.
      source: a checkpoint in torchvision's layout; None fetches torchvision's default.
      out: folder of converted weights.
      prove: False leaves the proof out and marks the file so; needs no torchvision.
      licence: of the weights, where it isn't torchvision's own file.

    Returns:
      The file's path, ``out/<architecture>.safetensors``.

    Raises:
      UserError: whatever a user can mend, from reading to writing; or the proof failed.
    """
    start_s = time.monotonic()
    if prove or source is None:
        reference.import_torchvision()
    source = source or reference.download(architecture)
    path = out / f"{architecture}.safetensors"
    if path.resolve() == source.resolve():
        raise UserError(f"--source and the file to write are both {path}: give another --out")
    with files.draft(path) as temporary:
        draft = _write(temporary, architecture, source, prove=prove, licence=licence)
        if prove:
            versions = reference.versions()
            proven = proof.prove(temporary, draft.expected, draft.num_classes, versions)
            print(show.proof_table(proven))
            if not proven.passed:
                raise UserError(
                    f"{source}: the proof failed (a relative difference of {proven.worst:.1e}, at "
                    f"most {proof.TOLERANCE:.0e} is allowed): nothing was written"
                )
            files.replace_metadata(temporary, {**draft.metadata, "proof": proven.to_json()})
        else:
            print("not proven (--no-proof): the file says so")
    size_mb = path.stat().st_size / 1e6
    print(f"wrote {path} ({size_mb:,.0f} MB) in {time.monotonic() - start_s:.1f} s")
    return path


def _write(
    path: Path, architecture: str, source: Path, *, prove: bool, licence: str | None
) -> Draft:
    """Writes the file, not yet proven; the source's memory is let go on return."""
    loaded = checkpoint.read(source)
    variables = mapping.to_variables(loaded.tensors, architecture, str(source))
    digest = checkpoint.sha256(source)
    notes = [*loaded.notes, *variables.notes, *_name_note(source, digest)]
    metadata = {
        "architecture": architecture,
        "classes": str(variables.num_classes or "none"),
        "source": source.name,
        "source_sha256": digest,
        "notes": "; ".join(notes),
        "licence": licence or "not stated by the source",
        "converter": f"ascjax {ascjax.__version__}",
        "proof": "none",
    }
    if prove:
        metadata |= _official_metadata(architecture, digest)
    print(show.summary(metadata, variables.tensors))
    files.write(path, variables.tensors, metadata)
    expected = (
        reference.activations(architecture, loaded.tensors, variables.num_classes, proof.images())
        if prove
        else []
    )
    return Draft(metadata, variables.num_classes, expected)


def _official_metadata(architecture: str, digest: str) -> dict[str, str]:
    for entry in reference.official(architecture):
        if digest.startswith(entry.sha256_prefix):
            names = {"class_names": json.dumps(entry.classes)} if entry.classes else {}
            return {
                "source": f"{entry.url} ({entry.label})",
                "licence": "BSD-3-Clause (torchvision); trained on ImageNet, whose terms apply",
                **names,
            }
    return {}


def _name_note(source: Path, digest: str) -> list[str]:
    # torchvision's file names end in the first 8 digits of the content's SHA-256.
    promised = re.search(r"-([0-9a-f]{8})\.pth$", source.name)
    if promised is None or digest.startswith(promised[1]):
        return []
    return [f"its name promises SHA-256 {promised[1]}...: not torchvision's own file"]
