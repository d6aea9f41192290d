"""Where compiled programs are kept, so that a second start doesn't compile them again."""

import os
from pathlib import Path

VARIABLE = "JAX_COMPILATION_CACHE_DIR"


def keep() -> None:
    """Lets JAX keep what takes a second or more to compile in the user's cache folder.

    To be called before JAX is imported, which reads the environment then. A folder that the user
    has named there stands; one that can't be written is left out.
    """
    if VARIABLE in os.environ:
        return
    folder = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ascjax/xla")
    there = next((p for p in (folder, *folder.parents) if os.path.exists(p)), folder)
    if folder.is_absolute() and os.access(there, os.W_OK | os.X_OK):
        os.environ[VARIABLE] = str(folder)
