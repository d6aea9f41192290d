"""A config that suits a set, from its size, columns and durations."""

from collections.abc import Sequence
from dataclasses import dataclass

from ascjax.audio.wave import Info
from ascjax.data.choice import Choice, two_durations

_FEW = 200  # recordings below which a small trunk is the safer start
_CLIP_S, _LONG_S = 8.0, 30.0
_WINDOW_S = 10.0


@dataclass(frozen=True)
class Suggestion:
    """A config file, why it suits, and the length of windows where recordings are long (else 0)."""

    config: str
    why: str
    window_s: float = 0.0


def suggest(infos: Sequence[Info], choice: Choice | None) -> Suggestion:
    """Returns a config for recordings with these headers, as a first try.

    Args:
      infos: of the recordings that can be read.
      choice: their rate and duration; None if none can be read.
    """
    duration_s = choice.duration_s if choice else 0.0
    lengths = [info.duration_s for info in infos]
    longest = max(lengths, default=0.0)
    mixed = two_durations(lengths, duration_s)
    window_s = 0.0
    if mixed or duration_s > _LONG_S or longest > 3 * max(duration_s, _LONG_S):
        window_s = min(_WINDOW_S, duration_s)
    stereo = 2 * sum(info.num_columns > 1 for info in infos) > len(infos)
    if len(infos) < _FEW:
        why = f"a small trunk, as {len(infos):,} recordings are few"
        return Suggestion("esc10", why, window_s)
    if (window_s or duration_s) < _CLIP_S:
        why = "a small trunk for short clips; from converted weights, take esc10_resnet"
        return Suggestion("esc10", why, window_s)
    weights = "from ImageNet, once `ascjax convert vgg16 --out weights` has made its weights"
    if stereo:
        why = f"VGG-16 on left, right and average, {weights}"
        return Suggestion("vgg_channels", why, window_s)
    return Suggestion("vgg_fragments", f"VGG-16 on fragments, {weights}", window_s)
