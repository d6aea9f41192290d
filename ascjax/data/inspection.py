"""What the samples of one recording say: silence, clipping, and marks by which to find copies."""

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, UInt32

from ascjax.data.fingerprint import fingerprint

# A sample of this magnitude is taken for clipped; float and 24-bit files of a clipped signal end a
# rounding below full scale.
_FULL_SCALE = 0.9995
_FINGERPRINT_S = 60


@dataclass(frozen=True)
class Inspection:
    """What the samples of a recording say.

    Attributes:
      peak: largest magnitude; full scale is 1.
      level_db: root mean square about the mean in dBFS; −inf for a constant signal.
      clipped_share: share of samples at full scale, 0..1.
      zero_share: share of samples that are exactly zero in every column, 0..1.
      columns_equal: all columns carry the same samples; False for mono.
      digest: of the mean over columns, rounded to 16 bits; equal for a copy in another lossless
        container. Empty for a constant signal, which has no identity.
      fingerprint: of the first minute of that mean, as ``fingerprint.fingerprint`` returns it.
    """

    peak: float
    level_db: float
    clipped_share: float
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
    count = clipped = zeros = 0
    total = squares = peak = 0.0
    first: np.float32 | None = None
    columns_equal = True
    head: list[np.ndarray] = []
    for block in blocks:
        if not block.size:
            continue
        # In float32: exact for the mean of up to 256 columns of 16 bits, and twice as fast.
        mono = block[0] if len(block) == 1 else block.mean(axis=0)
        first = mono[0] if first is None else first
        head.append(mono[: max(0, _FINGERPRINT_S * sample_rate_hz - count)])
        magnitude = np.abs(block).max(axis=0)
        moved = mono - first  # sums of squares would lose a small signal on a large offset
        count += len(mono)
        total += float(moved.sum(dtype=np.float64))
        squares += float(np.square(moved).sum(dtype=np.float64))
        peak = max(peak, float(magnitude.max()))
        clipped += int(np.count_nonzero(magnitude >= _FULL_SCALE))
        zeros += int(np.count_nonzero(magnitude == 0))
        columns_equal &= len(block) > 1 and bool(np.all(block == block[:1]))
        digest.update(np.rint(np.minimum(32_768 * mono, 32_767)).astype("<i4").tobytes())
    if not count:
        raise ValueError("expected samples, got none")
    variance = max(squares / count - (total / count) ** 2, 0.0)
    return Inspection(
        peak,
        10 * math.log10(variance) if variance else -math.inf,
        clipped / count,
        zeros / count,
        columns_equal,
        digest.hexdigest() if variance else "",
        fingerprint(np.concatenate(head), sample_rate_hz),
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
        return f"more than {100 * ZERO_SHARE:g} % digital silence"
    if inspection.clipped_share > CLIPPED_SHARE:
        return f"clipped (more than {100 * CLIPPED_SHARE:g} % of samples at full scale)"
    return ""
