"""Environment of a run: versions, date, source revision, hardware and command."""

import os
import platform
import shlex
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "ascjax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
    "soundfile",
    "soxr",
)


@dataclass(frozen=True)
class Environment:
    """What a run was made with.

    Attributes:
      versions: of ascjax, Python and the packages that shape a run, by name.
      started: date and time in UTC, ISO 8601.
      git: commit of the source, with ``+changes`` if files differ from it; None outside of git.
      hardware: processor, its count, and the accelerators that trained.
      command: as typed, or None from Python.
    """

    versions: dict[str, str]
    started: str
    git: str | None
    hardware: str
    command: str | None

    def __post_init__(self) -> None:
        try:
            datetime.fromisoformat(self.started)
        except ValueError:
            raise ValueError(
                f"expected a date and time in ISO 8601 as started, got {self.started!r:.60}"
            ) from None


def describe(devices: list[str]) -> Environment:
    """Returns the environment of this process; ``devices`` are the kinds of those that train."""
    versions = {name: metadata.version(name) for name in PACKAGES}
    versions["python"] = platform.python_version()
    cores = f"{os.cpu_count()} × {_processor()}"
    accelerators = [kind for kind in devices if kind.lower() != "cpu"]
    return Environment(
        versions=versions,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        git=_revision(Path(__file__).parent),
        hardware=", ".join([cores, *accelerators]),
        command=_command(),
    )


def _processor() -> str:
    """Returns the processor's name as Linux has it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _revision(folder: Path) -> str | None:
    """Returns the commit that ``folder`` is checked out at; None where git or a checkout lacks."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        # A wheel may lie within some other project's checkout.
        if not git("ls-files", "--error-unmatch", "environment.py"):
            return None
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _command() -> str | None:
    """Returns the command line if this process is one of ascjax's commands."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None and spec.name.partition(".")[0] == "ascjax":
        module = spec.name.removesuffix(".__main__")
        return shlex.join(["python", "-m", module, *sys.argv[1:]])
    if Path(sys.argv[0]).name == "ascjax":
        return shlex.join(["ascjax", *sys.argv[1:]])
    return None
