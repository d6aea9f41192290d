"""Sound quality of one recording: silence, clipping, constant values; a digest of the samples."""

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

# A sample of this magnitude is taken for clipped; float and 24-bit files of a clipped signal end a
# rounding below full scale.
_FULL_SCALE = 0.9995


@dataclass(frozen=True)
class Inspection:
    """What the samples of a recording say.

    Attributes:
      peak: largest magnitude; full scale is 1.
      level_db: root mean square about the mean in dBFS; −inf for a constant signal.
      clipped_share: share of samples at full scale, 0..1.
      zero_share: share of samples that are exactly zero in every column, 0..1.
      columns_equal: all columns carry the same samples; False for mono.
      digest: of the mean over columns, as 16-bit samples; equal for a copy in another lossless
        container. Empty for a constant signal, which has no identity.
    """

    peak: float
    level_db: float
    clipped_share: float
    zero_share: float
    columns_equal: bool
    digest: str


def inspect(blocks: Iterable[Float[np.ndarray, "sample column"]]) -> Inspection:
    """Inspects the consecutive blocks of a recording, in memory for one block.

    Raises:
      ValueError: there are no samples.
    """
    digest = hashlib.blake2b(digest_size=16)
    count = clipped = zeros = 0
    total = squares = peak = 0.0
    columns_equal = True
    for block in blocks:
        if not len(block):
            continue
        mono = block.mean(axis=1, dtype=np.float64)
        magnitude = np.abs(block).max(axis=1)
        count += len(mono)
        total += float(mono.sum())
        squares += float(mono @ mono)
        peak = max(peak, float(magnitude.max()))
        clipped += int(np.count_nonzero(magnitude >= _FULL_SCALE))
        zeros += int(np.count_nonzero(magnitude == 0))
        columns_equal &= block.shape[1] > 1 and bool(np.all(block == block[:, :1]))
        digest.update(np.clip(np.rint(32_768 * mono), -32_768, 32_767).astype("<i2").tobytes())
    if not count:
        raise ValueError("expected samples, got none")
    mean = total / count
    variance = max(squares / count - mean**2, 0.0)
    # Below 1e-12 of the mean's square, float64 sums can't tell variance from rounding.
    constant = variance <= 1e-12 * mean**2
    level_db = -math.inf if constant else 10 * math.log10(variance)
    return Inspection(
        peak,
        level_db,
        clipped / count,
        zeros / count,
        columns_equal,
        "" if constant else digest.hexdigest(),
    )


# Each doubt about a recording's sound; the first that holds is counted.
NEAR_SILENT_DB = -70.0
CLIPPED_SHARE = 0.001
ZERO_SHARE = 0.5


def doubt(inspection: Inspection) -> str:
    """Returns what is wrong with a recording's sound in a few words, or an empty string."""
    if inspection.peak == 0:
        return "digital silence"
    if inspection.level_db == -math.inf:
        return "a constant value"
    if inspection.level_db < NEAR_SILENT_DB:
        return f"nearly silent (below {NEAR_SILENT_DB:g} dBFS)"
    if inspection.zero_share > ZERO_SHARE:
        return f"more than {ZERO_SHARE:.0%} digital silence"
    if inspection.clipped_share > CLIPPED_SHARE:
        return f"clipped (more than {CLIPPED_SHARE:.1%} of samples at full scale)"
    return ""
