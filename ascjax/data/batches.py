"""Batches of fragments: shuffled without end for training, padded and masked for evaluation.

An example is one fragment of one channel of one recording. Examples are numbered in the order
[recording, channel, fragment], so arithmetic takes the place of tables. Grain shuffles the numbers;
a batch is then cut out of the memory-mapped store at once. Batch i is a function of the seed and i
alone: going on after step s means starting at batch s, with no iterator state to keep.
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


@dataclass(frozen=True, repr=False)  # Grain asks for it, and printing arrays takes milliseconds
class Fragments:
    """The examples of some recordings of a store.

    Attributes:
      log_mel: float32 [row, channel, mel, frame], memory-mapped.
      rows: the recordings' rows in ``log_mel``.
      labels: the scene's index for each of ``rows``.
      count: N_s.
      overlap: share of a fragment that lies in the next one as well; see ``fragments.layout``.
    """

    log_mel: np.ndarray
    rows: np.ndarray
    labels: np.ndarray
    count: int
    overlap: float = 0.0

    @property
    def shape(self) -> tuple[int, int, int]:
        """(recordings, channels, fragments)."""
        return len(self.rows), self.log_mel.shape[1], self.count

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
        """Cuts examples out of the store.

        Args:
          examples: numbers in 0..len-1; -1 is padding.

        Returns:
          log_mel float32 [batch, mel, frame, 1]; label, recording (index into ``rows``) and
          example int32 [batch]; mask float32 [batch], 0 for padding, whose values are zero.
        """
        mask = examples >= 0
        recording, channel, fragment = np.unravel_index(np.maximum(examples, 0), self.shape)
        width, starts = self._layout
        out = np.zeros((len(examples), self.log_mel.shape[2], width, 1), np.float32)
        for i in np.flatnonzero(mask):
            start = starts[fragment[i]]
            row = self.rows[recording[i]]
            out[i, :, :, 0] = self.log_mel[row, channel[i], :, start : start + width]
        return {
            "log_mel": out,
            "label": np.where(mask, self.labels[recording], 0).astype(np.int32),
            "recording": np.where(mask, recording, -1).astype(np.int32),
            "example": examples.astype(np.int32),
            "mask": mask.astype(np.float32),
        }


def steps_per_epoch(num_examples: int, batch_size: int) -> int:
    """Whole batches in an epoch; the rest of an epoch's shuffled examples is left to later ones.

    Raises:
      UserError: there are fewer examples than one batch takes.
    """
    if num_examples < batch_size:
        raise UserError(
            f"config.train.batch_size is {batch_size}, but the training part has only "
            f"{num_examples} fragments; pass a smaller --config.train.batch_size"
        )
    return num_examples // batch_size


def order(
    num_examples: int, *, batch_size: int, seed: int, first_step: int, last_step: int
) -> grain.MapDataset:
    """Returns the numbers of the examples of steps first_step..last_step-1, [batch] for each.

    Every epoch is a new permutation of all examples of the set.

    Args:
      num_examples: of the training part.
      batch_size: examples in a step over all processes.
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


def training(
    fragments: Fragments, *, process_index: int = 0, process_count: int = 1, **options: int
) -> Iterator[Batch]:
    """Yields this process's share of the batches of some steps; reading runs ahead in threads.

    Args:
      fragments: the training part.
      process_index: which of the processes this is.
      process_count: how many take part; it divides ``batch_size``.
      **options: which steps; see ``order``.
    """
    share = options["batch_size"] // process_count
    mine = slice(process_index * share, (process_index + 1) * share)
    examples = order(len(fragments), **options)
    yield from read(examples.map(lambda batch: fragments.take(batch[mine])))


def read(batches: grain.MapDataset) -> Iterator[Any]:
    """Returns an iterator that reads ahead in threads."""
    return iter(batches.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)))


def evaluation(fragments: Fragments, *, batch_size: int) -> Iterator[Batch]:
    """Yields every example exactly once, in order, the last batch padded to ``batch_size``."""
    padded = -(-len(fragments) // batch_size) * batch_size
    examples = np.full(padded, -1)
    examples[: len(fragments)] = np.arange(len(fragments))
    yield from read(grain.MapDataset.source(examples.reshape(-1, batch_size)).map(fragments.take))


def gather(
    batches: Sequence[tuple[Int[np.ndarray, " batch"], Float32[np.ndarray, "batch scene"]]],
    shape: tuple[int, int, int],
) -> Float32[np.ndarray, "recording channel fragment scene"]:
    """Puts the posteriors of examples into one array.

    Args:
      batches: pairs of example numbers (-1 for padding) and posteriors.
      shape: (recordings, channels, fragments).

    Raises:
      ValueError: an example came twice or not at all.
    """
    examples = np.concatenate([e for e, _ in batches])
    values = np.concatenate([p for _, p in batches])
    real: Bool[np.ndarray, " all"] = examples >= 0
    counts = np.bincount(examples[real], minlength=int(np.prod(shape)))
    if not np.all(counts == 1):
        raise ValueError(f"{np.sum(counts != 1)} examples did not come exactly once")
    out = np.empty((len(counts), values.shape[-1]), np.float32)
    out[examples[real]] = values[real]
    return out.reshape(*shape, -1)
