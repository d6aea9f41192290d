"""Quality of a recording's samples, and digests by which copies of it are found."""

import dataclasses
import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, UInt32

from ascjax.audio.quality import SILENCE_DB, Quality, quality
from ascjax.data.fingerprint import fingerprint

_FINGERPRINT_S = 60

# Shares of a recording above which they are a problem.
CLIPPED_SHARE = 0.001
ZERO_SHARE = 0.5


@dataclass(frozen=True)
class Inspection:
    """Quality and identity of a recording's samples.

    Attributes:
      quality: level, silence and clipping.
      zero_share: share of samples that are exactly zero in every column, 0..1.
      columns_equal: all columns carry the same samples; False for mono.
      digest: of the mean over columns, rounded to 16 bits; equal for a copy in another lossless
        container. Empty for a constant signal, which has no identity.
      fingerprint: of the first minute of that mean, as ``fingerprint.fingerprint`` returns it.
    """

    quality: Quality
    zero_share: float
    columns_equal: bool
    digest: str
    fingerprint: UInt32[np.ndarray, " frame"] = field(repr=False, compare=False)


def inspect(blocks: Iterable[Float[np.ndarray, "column _"]], sample_rate_hz: int) -> Inspection:
    """Inspects the consecutive blocks [column, sample] of a recording.

    Memory is that of one block and of the first minute.

    Raises:
      ValueError: there are no samples.
    """
    digest = hashlib.sha256()
    count = zeros = 0
    columns_equal = True
    qualities: list[tuple[Quality, int]] = []
    head: list[np.ndarray] = []
    for block in blocks:
        if not block.size:
            continue
        length = block.shape[1]
        # In float32: exact for the mean of up to 256 columns of 16 bits, and twice as fast.
        mono = block[0] if len(block) == 1 else block.mean(axis=0)
        head.append(mono[: max(0, _FINGERPRINT_S * sample_rate_hz - count)])
        count += length
        qualities.append((quality(block), length))
        zeros += length - int(np.count_nonzero(block.any(axis=0)))
        columns_equal &= len(block) > 1 and bool(np.all(block == block[:1]))
        digest.update(np.rint(np.minimum(32_768 * mono, 32_767)).astype("<i4").tobytes())
    if not count:
        raise ValueError("expected samples, got none")
    whole = _whole(qualities, count)
    return Inspection(
        whole,
        zeros / count,
        columns_equal,
        "" if whole.constant else digest.hexdigest(),
        fingerprint(np.concatenate(head), sample_rate_hz),
    )


def _whole(qualities: list[tuple[Quality, int]], count: int) -> Quality:
    """Returns the quality of a recording from those of its blocks and their lengths."""
    if len(qualities) == 1:
        return qualities[0][0]
    power = sum(10 ** (each.rms_db / 10) * length for each, length in qualities) / count
    rms_db = 10 * math.log10(power) if power else -math.inf
    return dataclasses.replace(
        qualities[0][0],
        peak=max(each.peak for each, _ in qualities),
        rms_db=rms_db,
        clipped_share=sum(each.clipped_share * length for each, length in qualities) / count,
        silent=rms_db < SILENCE_DB,
        constant=all(each.constant for each, _ in qualities),
    )


def problem(inspection: Inspection) -> str:
    """Returns the first problem of a recording's sound in a few words; empty if there is none."""
    heard = inspection.quality
    if heard.peak == 0:
        return "digital silence"
    if heard.constant:
        return "a constant value"
    if heard.silent:
        return f"nearly silent (below {SILENCE_DB:g} dBFS)"
    if inspection.zero_share > ZERO_SHARE:
        return f"more than {100 * ZERO_SHARE:g} % digital silence"
    if heard.clipped_share > CLIPPED_SHARE:
        return f"clipped (more than {100 * CLIPPED_SHARE:g} % of samples at full scale)"
    return ""
