"""A record on Zenodo: title, licence and files with their sizes and checksums."""

import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from ascjax.errors import UserError
from ascjax.words import duration

API = "https://zenodo.org/api/records"
TIMEOUT_S = 60


@dataclass(frozen=True)
class RemoteFile:
    """A file of a record.

    Attributes:
      name: without folders.
      url: of its content.
      size: bytes.
      md5: of the content, in hexadecimal digits.
    """

    name: str
    url: str
    size: int
    md5: str


@dataclass(frozen=True)
class Record:
    """What a record says of itself.

    Attributes:
      title: of the data set.
      licence: its identifier there, e.g. ``cc-by-4.0``; empty if none is stated.
      files: one or more.
    """

    title: str
    licence: str
    files: tuple[RemoteFile, ...]


def read_record(number: int, api: str = API) -> Record:
    """Asks for a record.

    Args:
      number: its own on the server.
      api: where records are asked for.

    Raises:
      UserError: the server can't be reached or answers with something else, or the record's files
        are not for everyone.
    """
    address = f"{api}/{number}"
    try:
        with open_url(address) as answer:
            content = json.load(answer)
        title = content["metadata"]["title"]
        licence = (content["metadata"].get("license") or {}).get("id") or ""
        if not content.get("files"):
            raise UserError(
                f"{address}: the record is closed or not open for download; see its page on the "
                "server for who may have its files"
            )
        return Record(title, licence, tuple(map(_file, content["files"])))
    except (OSError, HTTPException) as error:
        raise UserError(f"{address}: the answer was cut off ({error!r}); run again") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{address}: expected a record with files, sizes and MD5 sums, got {error!r}; try "
            "again later"
        ) from None


def _file(entry: dict[str, Any]) -> RemoteFile:
    name, size, url = entry["key"], entry["size"], entry["links"].get("self")
    algorithm, _, digest = entry["checksum"].partition(":")
    safe = re.fullmatch(r"[\w.+ -]+", name) and not name.startswith(".")
    known = isinstance(size, int) and 0 <= size < 2**63 and isinstance(url, str)
    if not safe or algorithm != "md5" or not known:
        raise ValueError(f"the file {name!r} of {size!r:.30} bytes with {entry['checksum']!r}")
    return RemoteFile(name, url, size, digest)


def open_url(address: str, *, start: int = 0) -> Any:
    """Opens an address, from byte ``start`` on if the server can: then its status is 206.

    Raises:
      UserError: it can't be reached or refuses.
    """
    headers = {"User-Agent": "ascjax"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        return urllib.request.urlopen(
            urllib.request.Request(address, headers=headers), timeout=TIMEOUT_S
        )
    except urllib.error.HTTPError as error:
        error.close()
        raise UserError(
            f"{address}: the server answers {error.code} ({error.reason}){_advice(error)}"
        ) from None
    except (OSError, ValueError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise UserError(f"{address}: can't be reached ({reason}); run again to go on") from None


def _advice(error: urllib.error.HTTPError) -> str:
    """Returns when to ask again, of a server that is busy or fails."""
    if error.code != 429 and error.code < 500:
        return ""
    wait = error.headers.get("Retry-After", "")
    if re.fullmatch("[0-9]{1,6}", wait):
        when = f"in {duration(int(wait))}"
    else:  # a date, or not said
        when = f"after {wait}" if wait else "later"
    return f"; run the same command again {when}"
