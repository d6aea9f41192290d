"""A full-size stand-in for TUT Urban Acoustic Scenes 2018: its names, four clips' sound.

    python tests/data/standin.py SHARED_DIR OUT_DIR

The official meta.csv and fold files are copied, and the real binaural clips hard-linked under the
8,640 official names, which costs no disk. It proves reading, counting, speed and memory at the real
size; accuracies on it mean nothing.
"""

import csv
import os
import shutil
import sys
from pathlib import Path


def make(shared: Path, root: Path) -> Path:
    """Makes the stand-in under ``root`` from the folder of real data; returns ``root``."""
    official = shared / "data" / "TUT-urban-acoustic-scenes-2018-development"
    clips = sorted((shared / "data" / "binaural").glob("*.wav"))
    (root / "audio").mkdir(parents=True)
    shutil.copy(official / "meta.csv", root)
    shutil.copytree(official / "evaluation_setup", root / "evaluation_setup")
    # Links to a copy, as hard links don't reach another file system.
    originals = [Path(shutil.copy(clip, root / f"{clip.stem}.original")) for clip in clips]
    with (official / "meta.csv").open(newline="") as file:
        for index, row in enumerate(csv.DictReader(file, delimiter="\t")):
            os.link(originals[index % len(originals)], root / row["filename"])
    for original in originals:
        original.unlink()
    return root


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    print(make(Path(sys.argv[1]), Path(sys.argv[2])))
