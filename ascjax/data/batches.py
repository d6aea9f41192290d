"""Batches of fragments: endless and shuffled for training, padded and masked for evaluation.

An example is one fragment of one channel of one recording. Examples are numbered in the order
[recording, channel, fragment], so arithmetic takes the place of tables: of 2 channels × 3
fragments, example 10 is recording 1, channel 1, fragment 1 (10 = 1·6 + 1·3 + 1). Grain shuffles the
indices; a batch is then cut out of the memory-mapped store at once. Batch i is a function of the
seed and i alone: resuming after step s means starting at batch s, with no iterator state to keep.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grain
import numpy as np
from jaxtyping import Bool, Float32, Int

from ascjax.data.fragments import layout
from ascjax.errors import UserError

Batch = dict[str, np.ndarray]


@dataclass(frozen=True, repr=False)  # Grain prints its sources, and arrays take milliseconds
class Fragments:
    """The examples of one split: the fragments of some recordings of a store.

    Attributes:
      log_mel: float32 [stored recording, channel, mel, frame], memory-mapped.
      indices: the split's recordings, indices into ``log_mel``.
      labels: index of the scene of each of ``indices``.
      count: N_s.
      overlap: share of a fragment that lies in the next one as well; see ``fragments.layout``.
      targets: float32 [recording, scene] of each of ``indices``, a teacher's scores; or None.
    """

    log_mel: np.ndarray
    indices: np.ndarray
    labels: np.ndarray
    count: int
    overlap: float = 0.0
    targets: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(recordings, channels, fragments)."""
        return len(self.indices), self.log_mel.shape[1], self.count

    @property
    def num_frames(self) -> int:
        """Frames of a fragment."""
        return self._layout[0]

    @property
    def _layout(self) -> tuple[int, list[int]]:
        return layout(self.log_mel.shape[3], self.count, self.overlap)

    def __len__(self) -> int:
        return int(np.prod(self.shape))

    def take(self, examples: Int[np.ndarray, " batch"]) -> Batch:
        """Returns a batch of examples, cut out of the store.

        Args:
          examples: indices of examples in 0..len-1; -1 is padding.

        Returns:
          log_mel float32 [batch, mel, frame, 1], label and example int32 [batch], and, if there are
          targets, target float32 [batch, scene]; log-mels and labels of padding are zero.
        """
        real = examples >= 0
        recording, channel, fragment = np.unravel_index(np.maximum(examples, 0), self.shape)
        width, starts = self._layout
        out = np.zeros((len(examples), self.log_mel.shape[2], width, 1), np.float32)
        for i in np.flatnonzero(real):
            start = starts[fragment[i]]
            stored = self.indices[recording[i]]
            out[i, :, :, 0] = self.log_mel[stored, channel[i], :, start : start + width]
        batch = {
            "log_mel": out,
            "label": np.where(real, self.labels[recording], 0).astype(np.int32),
            "example": examples.astype(np.int32),
        }
        return batch if self.targets is None else {**batch, "target": self.targets[recording]}


def steps_per_epoch(num_examples: int, batch_size: int) -> int:
    """Returns the whole batches in an epoch; examples left over go into later epochs' batches.

    Raises:
      UserError: there are fewer examples than one batch takes.
    """
    if num_examples < batch_size:
        raise UserError(
            f"the training split has {num_examples} fragments, fewer than one batch of "
            f"{batch_size} takes; use a smaller batch size"
        )
    return num_examples // batch_size


def order(
    num_examples: int, *, batch_size: int, seed: int, first_step: int, last_step: int
) -> grain.MapDataset:
    """Returns the indices of the examples of steps first_step..last_step-1, [batch] for each.

    Every epoch is a new permutation of all examples of the split.

    Args:
      num_examples: examples of the training split.
      batch_size: examples in a step.
      seed: decides every permutation.
      first_step: 0, or where an earlier run stopped.
      last_step: where to end.
    """
    steps_per_epoch(num_examples, batch_size)
    return (
        grain.MapDataset.range(num_examples)
        .seed(seed)
        .shuffle()
        .batch(batch_size, drop_remainder=True, batch_fn=np.asarray)
        .repeat(None)
        .slice(slice(first_step, last_step))
    )


def training(fragments: Fragments, *, share: slice = slice(None), **steps: int) -> Iterator[Batch]:
    """Yields the batches of some steps of training; reading runs ahead in threads.

    Args:
      fragments: the training split.
      share: which examples of each batch are read.
      **steps: which steps; see ``order``.
    """
    batches = order(len(fragments), **steps)
    yield from _read_ahead(batches.map(lambda examples: fragments.take(examples[share])))


def evaluation(
    fragments: Fragments, *, batch_size: int, share: slice = slice(None)
) -> Iterator[Batch]:
    """Yields every example exactly once, in order, the last batch padded to ``batch_size``.

    Of each batch, ``share`` alone is read.
    """
    padded = -(-len(fragments) // batch_size) * batch_size
    examples = np.full(padded, -1)
    examples[: len(fragments)] = np.arange(len(fragments))
    batches = grain.MapDataset.source(examples.reshape(-1, batch_size)[:, share])
    yield from _read_ahead(batches.map(fragments.take))


def _read_ahead(batches: grain.MapDataset) -> Iterator[Any]:
    options = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)
    return iter(batches.to_iter_dataset(options))


def gather(
    batches: Sequence[tuple[Int[np.ndarray, " batch"], Float32[np.ndarray, "batch scene"]]],
    shape: tuple[int, int, int],
) -> Float32[np.ndarray, "recording channel fragment scene"]:
    """Returns the posteriors of all examples as one array.

    Args:
      batches: pairs of the examples' indices (-1 for padding) and posteriors.
      shape: (recordings, channels, fragments).

    Raises:
      ValueError: an example is missing or there twice.
    """
    examples = np.concatenate([e for e, _ in batches])
    values = np.concatenate([p for _, p in batches])
    real: Bool[np.ndarray, " all"] = examples >= 0
    counts = np.bincount(examples[real], minlength=int(np.prod(shape)))
    if not np.all(counts == 1):
        raise ValueError(f"expected every example once, but {np.sum(counts != 1)} came otherwise")
    out = np.empty((len(counts), values.shape[-1]), np.float32)
    out[examples[real]] = values[real]
    return out.reshape(*shape, -1)
