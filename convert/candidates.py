"""Finds an architecture's tensors in a checkpoint, under whatever wrappers and key prefixes."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ascjax.errors import UserError
from ascjax.words import listed

from .checkpoint import describe, is_tensor
from .keymaps import IGNORED, KEY_MAPS, RENAMED
from .mapping import expected_slots, unexpected_in_trunk
from .torchfile import Skipped

MAX_DEPTH = 4
# Of the trunk's tensors: a network that shares fewer is another one.
MIN_SHARE = 0.5
# Put into keys by DataParallel (around all or, as in PyTorch's ImageNet example, around the
# features alone) and by torch.compile; no network of torchvision's has modules of these names.
WRAPPED = re.compile(r"(?:^|(?<=\.))(?:module|_orig_mod)\.")
# How training scripts call a moving average of the weights, kept beside the weights themselves.
AVERAGE = re.compile(
    r"(?:^|[._])(?:ema|swa|avg|averaged?|moving|momentum|shadow|encoder_k)(?=$|[._])", re.IGNORECASE
)


class Group(NamedTuple):
    """A mapping in a checkpoint that holds tensors.

    Attributes:
      wrapper: keys that lead to it, joined by dots; empty at the top.
      tensors: key → tensor of torch's or NumPy's.
      beside: keys of other values in it and in the mappings around it.
      removed: parts that were taken out of its keys.
    """

    wrapper: str
    tensors: dict[str, Any]
    beside: list[str]
    removed: list[str]


class Candidate(NamedTuple):
    """The tensors under one wrapper and prefix.

    Attributes:
      name: the wrapper and the prefix, joined by a dot; empty for the file's own keys.
      tensors: key in torchvision's layout → tensor of torch's or NumPy's.
      beside: keys of what isn't under that wrapper and prefix.
      share: of the trunk's keys, those there in the right shape; 1 at most.
      fits: whether the whole trunk is there, and nothing more of a trunk.
      removed: parts that were taken out of the keys.
    """

    name: str
    tensors: dict[str, Any]
    beside: list[str]
    share: float
    fits: bool
    removed: list[str]


def select(
    content: Any, architecture: str, where: str, key: str | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Returns the state_dict of ``architecture`` in a checkpoint, and notes for the user.

    Args:
      content: of ``checkpoint.read``.
      architecture: one of ``KEY_MAPS``.
      where: the source's name, for messages.
      key: name of the candidate to take. Needed where several networks fit; without it, weights go
        before their moving averages.

    Raises:
      UserError: there are no tensors; nothing resembles the architecture; several candidates fit;
        or ``key`` is none of them.
    """
    groups = list(_groups(content))
    if not groups:
        raise UserError(_no_tensors(content, where))
    found = candidates(groups, architecture)
    fitting = [candidate for candidate in found if candidate.fits]
    if key is not None:
        chosen = _by_key(fitting, key, where, architecture)
    elif fitting:
        chosen = _only(fitting, where)
    else:
        nearest_one = max(found, key=lambda candidate: candidate.share, default=None)
        other = _fitting_architecture(groups)
        if other or nearest_one is None or nearest_one.share < MIN_SHARE:
            raise UserError(_unlike(groups, architecture, other, where))
        chosen = nearest_one
    return chosen.tensors, _notes(chosen, [c.name for c in fitting if c is not chosen])


def candidates(groups: Sequence[Group], architecture: str) -> list[Candidate]:
    """Returns the wrappers and prefixes that hold at least ``MIN_SHARE`` of the trunk's keys."""
    found = []
    for group in groups:
        named = _by_prefix(group, architecture, {})
        if not any(candidate.fits for candidate in named):
            named += _by_prefix(group, architecture, RENAMED[architecture])
        found += named
    return found


def _fitting_architecture(groups: Sequence[Group]) -> str | None:
    """Returns the first architecture that something in the checkpoint fits."""
    for architecture in KEY_MAPS:
        if any(candidate.fits for candidate in candidates(groups, architecture)):
            return architecture
    return None


def _groups(content: Any, wrapper: str = "", around: Sequence[str] = ()) -> Iterator[Group]:
    if not isinstance(content, Mapping) or wrapper.count(".") > MAX_DEPTH:
        return
    named = {k: v for k, v in content.items() if isinstance(k, str) and k.isprintable()}
    if tensors := {key: value for key, value in named.items() if is_tensor(value)}:
        others = [key for key in named if key not in tensors]
        shorter, removed = _without_wrapped(tensors)
        yield Group(wrapper, shorter, [*around, *others], removed)
    for key, value in named.items():
        if not key.startswith("optim"):  # holds moments, in the weights' shapes
            siblings = [other for other in named if other != key]
            yield from _groups(value, _joined(wrapper, key), [*around, *siblings])


def _without_wrapped(tensors: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    removed = sorted({part for key in tensors for part in WRAPPED.findall(key)})
    shorter = {WRAPPED.sub("", key): tensor for key, tensor in tensors.items()}
    return (shorter, removed) if len(shorter) == len(tensors) else (tensors, [])


def _by_prefix(group: Group, architecture: str, renamed: Mapping[str, str]) -> list[Candidate]:
    """Returns a group's candidates, where modules have torchvision's names or ``renamed`` ones."""
    keys = {_rename(key, renamed) for key in expected_slots(architecture, None)}
    back = {new: old for old, new in renamed.items()}
    counts: Counter[str] = Counter()
    for key in group.tensors:
        starts = [0, *(match.end() for match in re.finditer(r"\.", key))]
        counts.update(key[:start] for start in starts if key[start:] in keys)
    found = []
    for prefix, count in counts.items():
        if count < MIN_SHARE * len(keys):
            continue
        inside = {
            _rename(key.removeprefix(prefix), back): tensor
            for key, tensor in group.tensors.items()
            if key.startswith(prefix)
        }
        beside = [key for key in group.tensors if not key.startswith(prefix)]
        name = _joined(group.wrapper, prefix.rstrip("."))
        share, fits = _fit(inside, architecture)
        beside += group.beside
        found.append(Candidate(name, inside, beside, share, fits, group.removed))
    return found


def _rename(key: str, names: Mapping[str, str]) -> str:
    """Returns ``key`` with its first module renamed; an empty name stands for bare numbers."""
    root, _, rest = key.partition(".")
    if root in names:
        return _joined(names[root], rest)
    return f"{names['']}.{key}" if "" in names and root.isdecimal() else key


def _joined(first: str, second: str) -> str:
    return ".".join(part for part in (first, second) if part)


def _fit(tensors: Mapping[str, Any], architecture: str) -> tuple[float, bool]:
    slots = expected_slots(architecture, None)
    equal = sum(
        slot.takes(tuple(tensors[key].shape)) for key, slot in slots.items() if key in tensors
    )
    extra = len(unexpected_in_trunk(tensors, architecture))
    return equal / (len(slots) + extra), equal == len(slots) and not extra


def _by_key(fitting: list[Candidate], key: str, where: str, architecture: str) -> Candidate:
    wanted = WRAPPED.sub("", f"{key}.").strip(".")
    for candidate in fitting:
        if candidate.name == wanted:
            return candidate
    inside = [candidate for candidate in fitting if f".{wanted}." in f".{candidate.name}."]
    if len(inside) == 1:
        return inside[0]
    if not fitting:
        raise UserError(f"{where}: --key={key}: nothing in it fits {architecture}")
    names = [candidate.name or "''" for candidate in inside or fitting]
    raise UserError(f"{where}: --key: expected one of {listed(names)}, got {key!r}")


def _only(fitting: list[Candidate], where: str) -> Candidate:
    plain = [candidate for candidate in fitting if not AVERAGE.search(candidate.name)]
    if len(plain or fitting) > 1:
        names = listed([candidate.name or "''" for candidate in fitting])
        raise UserError(
            f"{where}: {len(fitting)} networks in it fit; say which with --key, one of {names}"
        )
    return (plain or fitting)[0]


def _notes(chosen: Candidate, others: list[str]) -> list[str]:
    notes = [f"took {chosen.name!r}"] if chosen.name else []
    if chosen.removed:
        parts = " and ".join(chosen.removed)
        notes.append(f"removed {parts} from the keys (DataParallel, torch.compile or such)")
    for name in others:
        what = "an average of the weights" if AVERAGE.search(name) else "another network that fits"
        notes.append(f"{what} lies beside it: --key={name or repr(name)} takes that")
    modules = {key.partition(".")[0] for key in chosen.beside if not IGNORED.search(key)}
    modules -= {part for name in others for part in name.split(".")}
    if modules:
        notes.append(f"left what lay beside it: {listed(sorted(modules))}")
    return notes


def _no_tensors(content: Any, where: str) -> str:
    if isinstance(content, Mapping) and not content:
        return f"{where}: no tensors in it"
    for value in [content, *(content.values() if isinstance(content, Mapping) else ())]:
        if isinstance(value, Skipped) and value.origin().startswith("numpy."):
            return f"{where} holds pickled NumPy arrays, which aren't read: save torch tensors"
        if isinstance(value, Skipped):
            return (
                f"{where} holds code ({value.origin()}), which is never run: load it where you "
                "trust it and save model.state_dict() alone"
            )
    return f"{where}: expected a state_dict (names → tensors), got a {describe(content)}"


def _unlike(groups: Sequence[Group], architecture: str, other: str | None, where: str) -> str:
    if other:
        return f"{where} doesn't fit {architecture}: these keys look like {other}"
    largest = max(groups, key=lambda group: len(group.tensors))
    keys = list(largest.tensors)
    wrapped = f" under {largest.wrapper!r}" if largest.wrapper else ""
    prefix = _shared_prefix(keys)
    shared = f"; all begin with {prefix!r}" if prefix else ""
    return (
        f"{where} doesn't fit {architecture}: its network is none of the {len(KEY_MAPS)} "
        f"architectures that --list shows\nits keys{wrapped} are {listed(keys, 4)}{shared}"
    )


def _shared_prefix(keys: Sequence[str]) -> str:
    first, last = min(keys), max(keys)
    equal = 0
    while first != last and first[equal : equal + 1] == last[equal : equal + 1]:
        equal += 1
    return first[: first.rfind(".", 0, equal) + 1]
