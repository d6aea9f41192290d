"""One conversion, from a checkpoint to a proven file."""

import json
import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

import ascjax
from ascjax.errors import UserError

from . import candidates, checkpoint, files, mapping, proof, reference, show
from .keymaps import KEY_MAPS

# torchvision's own files: architecture, then the first 8 digits of the content's SHA-256.
PROMISED = re.compile(rf"(?:{'|'.join(KEY_MAPS)})(?:_features)?-([0-9a-f]{{8}})\.pth")


class Request(NamedTuple):
    """What to convert.

    Attributes:
      architecture: one of ``keymaps.KEY_MAPS``.
      source: a checkpoint whose trunk has torchvision's layout: a file, an index of shards or a
        folder of them; None fetches torchvision's default.
      key: wrapper or prefix of the weights to take, where the checkpoint holds several.
      licence: of the weights; None keeps what the source states.
    """

    architecture: str
    source: Path | None = None
    key: str | None = None
    licence: str | None = None


def convert(request: Request, out: Path, *, prove: bool = True) -> Path:
    """Converts a checkpoint, proves the written file and gives it its name, or leaves nothing.

    Args:
      request: what to convert.
      out: folder of converted weights.
      prove: False leaves the proof out and marks the file so; needs no torchvision.

    Returns:
      The file's path, ``out/<architecture>.safetensors``.

    Raises:
      UserError: whatever a user can correct, from reading to writing; or the proof failed.
    """
    start_s = time.monotonic()
    architecture = request.architecture
    try:
        (request.licence or "").encode()
    except UnicodeEncodeError:
        raise UserError(
            f"--licence: expected text in UTF-8, got {request.licence!r}; set the terminal to UTF-8"
        ) from None
    if prove or request.source is None:
        reference.import_torchvision()
    source = request.source or reference.download(architecture)
    path = out / f"{architecture}.safetensors"
    sources = checkpoint.locate(source)
    if path.resolve() in [part.resolve() for part in sources]:
        raise UserError(f"--source and the file to write are both {path}: give another --out")
    variables, metadata = _read(request, source, sources, official=prove)
    print(show.summary(metadata, variables.tensors))
    with files.draft(path) as temporary:
        files.write(temporary, variables.tensors, metadata)
        if prove:
            images = proof.images(variables.planes)
            num_classes = variables.num_classes
            expected = reference.activations(architecture, variables.source, num_classes, images)
            del variables  # and with it the source's memory
            proven = _prove(temporary, source, images, expected, num_classes)
            files.replace_metadata(temporary, {**metadata, "proof": proven.to_json()})
        else:
            print("not proven (--no-proof): the file says so")
    size_mb = path.stat().st_size / 1e6
    print(f"wrote {path} ({size_mb:,.0f} MB) in {time.monotonic() - start_s:.1f} s")
    return path


def _read(
    request: Request, source: Path, sources: Sequence[Path], *, official: bool
) -> tuple[mapping.Variables, dict[str, str]]:
    """Returns the variables, not yet written, and what the file's header says before the proof."""
    where = str(source)
    with ThreadPoolExecutor(1) as background:
        digesting = background.submit(checkpoint.sha256, sources)
        loaded = checkpoint.read(sources)
        state, chosen = candidates.select(loaded.content, request.architecture, where, request.key)
        variables = mapping.to_variables(state, request.architecture, where)
        digest = digesting.result()
    _check_size(variables, sources, where)
    stated = loaded.metadata.get("license") or loaded.metadata.get("licence")
    notes = [*loaded.notes, *chosen, *variables.notes, *_name_note(source, digest)]
    metadata = {
        "architecture": request.architecture,
        "classes": str(variables.num_classes or "none"),
        "source": source.name,
        "source_sha256": digest,
        "notes": "; ".join(notes),
        "licence": stated or "not stated by the source",
        "converter": f"ascjax {ascjax.__version__}",
        "proof": "none",
    }
    if official:
        metadata |= _official_metadata(request.architecture, digest)
    return variables, metadata | ({"licence": request.licence} if request.licence else {})


def _prove(
    path: Path,
    source: Path,
    images: Sequence[np.ndarray],
    expected: Sequence[Mapping[str, reference.Output]],
    num_classes: int | None,
) -> proof.Proof:
    proven = proof.prove(path, images, expected, num_classes, reference.versions())
    print(show.proof_table(proven))
    if not proven.passed:
        raise UserError(
            f"{source}: the proof failed (a relative difference of {proven.worst:.1e}, at "
            f"most {proof.TOLERANCE:.0e} is allowed): nothing was written"
        )
    return proven


def _check_size(variables: mapping.Variables, sources: Sequence[Path], where: str) -> None:
    """Refuses tensors that repeat few stored numbers, as a stride of 0 lets a small file do."""
    claimed = sum(array.nbytes for array in variables.source.values())
    stored = sum(path.stat().st_size for path in sources)
    if claimed > stored:
        raise UserError(
            f"{where} claims {claimed:,} bytes of weights, but has {stored:,}: expanded tensors; "
            "save contiguous ones"
        )


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
    promised = PROMISED.fullmatch(source.name)
    if promised is None or digest.startswith(promised[1]):
        return []
    return [f"its name promises SHA-256 {promised[1]}...: not torchvision's own file"]
