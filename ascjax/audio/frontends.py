"""Registry of front ends, and their construction from settings."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from ascjax.audio.frontend import FrontEnd
from ascjax.audio.logmel import LogMel
from ascjax.audio.pcen import Pcen
from ascjax.errors import UserError, choose, nearest

FRONT_ENDS: dict[str, type[FrontEnd]] = {
    LogMel.name: LogMel,
    Pcen.name: Pcen,
}

# By the type of a field: what is accepted, and how an error calls it.
_TYPES: dict[Any, tuple[Any, str]] = {
    int: (int, "an integer"),
    float: ((int, float), "a number"),
    str: (str, "a string"),
}


def make(name: str, sample_rate_hz: int, settings: Mapping[str, Any]) -> FrontEnd:
    """Returns the named front end with those of the settings that are its own.

    Args:
      name: a key of ``FRONT_ENDS``.
      sample_rate_hz: rate of the waveforms, in Hz.
      settings: one group of a config that serves every front end, e.g.
        ``{"num_mels": 40, "log_floor": 1e-5, "pcen": {"gain": 0.98}}``. A setting at the top goes
        to every front end with a field of that name; a group named after a front end goes to it
        alone. Missing fields take their defaults.

    Raises:
      UserError: an unknown name or setting, or a value that the front end refuses. The message
        begins with ``name`` or the path of the setting, e.g. ``pcen.gain``.
    """
    kind = choose("name", name, FRONT_ENDS)
    groups = {key: value for key, value in settings.items() if isinstance(value, Mapping)}
    shared = {key: value for key, value in settings.items() if key not in groups}
    for group, values in groups.items():
        _check_known(values, _settings(choose(group, group, FRONT_ENDS)), prefix=f"{group}.")
    _check_known(shared, set().union(*map(_settings, FRONT_ENDS.values())))
    own = groups.get(name, {})
    mine = {key: value for key, value in shared.items() if key in _settings(kind)}
    try:
        return _build(kind, {"sample_rate_hz": sample_rate_hz, **mine, **own})
    except UserError as error:
        in_group = str(error).partition(":")[0] in own
        raise UserError(f"{name}.{error}" if in_group else str(error)) from None


def from_dict(settings: Mapping[str, Any]) -> FrontEnd:
    """Returns the front end whose ``to_dict()`` these settings are.

    Settings without ``name``, written before there were several front ends, are a log-mel's.

    Raises:
      UserError: an unknown or missing field, or a value that the front end refuses; the message
        begins with the field's name.
    """
    fields = dict(settings)
    name = fields.pop("name", LogMel.name)
    if not isinstance(name, str):
        raise UserError(f"name: expected a string, got {name!r}")
    kind = choose("name", name, FRONT_ENDS)
    known = {"sample_rate_hz", *_settings(kind)}
    _check_known(fields, known)
    if lacking := sorted(known - fields.keys()):
        # No defaults: they may have been others when these were written.
        raise UserError(f"{lacking[0]}: expected a setting of the front end {name}, got none")
    return _build(kind, fields)


def _build(kind: type[FrontEnd], values: Mapping[str, Any]) -> FrontEnd:
    """Returns ``kind(**values)`` after a check of types, which configs and JSON don't guarantee."""
    for field in dataclasses.fields(kind):
        accepted, expected = _TYPES[field.type]
        value = values.get(field.name, field.default)
        if isinstance(value, bool) or not isinstance(value, accepted):
            raise UserError(f"{field.name}: expected {expected}, got {value!r}")
    return kind(**values)


def _settings(kind: type[FrontEnd]) -> set[str]:
    """Returns the names of a front end's fields without the rate, which comes from the data."""
    return {field.name for field in dataclasses.fields(kind)} - {"sample_rate_hz"}


def _check_known(settings: Collection[str], known: Collection[str], prefix: str = "") -> None:
    for key in settings:
        if key not in known:
            listed = ", ".join(sorted(known))
            raise UserError(
                f"{prefix}{key}: not a setting of the front end; expected one of {listed}"
                f"{nearest(key, sorted(known))}"
            )
