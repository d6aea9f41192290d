"""Proof by counts: a bulk prediction of many links, killed at random moments, leaves out nothing.

Run: python tests/cluster/kills.py [--count=50000] [--kills=8] [--seed=0]

The command is killed, or one of its workers is, and the command is started again, on a cluster of
two nodes with a processor each. In the end every recording must be there once, and no file of a
part that was done may have been written again.
"""

import argparse
import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import tiny_set

SECONDS = 0.3


def write_links(folder, count, *, per_folder=1000):
    """Names a few short recordings ``count`` times."""
    kinds = [
        tiny_set.write_wave(folder / f".kinds/{i}.wav", pitch_hz=pitch, seconds=SECONDS, seed=i)
        for i, pitch in enumerate(tiny_set.SCENES.values())
    ]
    for i, kind in zip(range(count), itertools.cycle(kinds)):
        path = folder / f"{i // per_folder}" / f"{i:07}.wav"
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(kind)


def rows(folder):
    """The rows of a table of DEST."""
    from pyarrow import dataset

    return dataset.dataset(str(folder)).to_table().to_pylist()


def parts(out):
    """Files of parts that are done, and when they were written."""
    return {path: path.stat().st_mtime_ns for path in out.glob("predictions/*.parquet")}


def workers():
    """Processes of this one's cluster that have a part in hand."""
    for process in psutil.Process().children(recursive=True):
        try:
            if "MapBatches" in process.name() + " ".join(process.cmdline()):
                yield process
        except psutil.Error:  # it has just ended
            continue


def kill_again_and_again(start, command, out, *, kills, chance, least=1, pause_s=2.0):
    """Kills the command and its workers in turn, each once some parts more are done.

    Args:
      start: starts Python with a list of words.
      command: the words.
      out: DEST.
      kills: how often.
      chance: a random.Random.
      least: parts that are done between two kills, at least.
      pause_s: a kill comes at most so much later.

    Returns:
      The last process, under way, the parts that were done by the last kill, and what was killed.
    """
    process, done, killed = start(*command), {}, []
    for turn in range(kills):
        wanted = len(done) + least
        while len(parts(out)) < wanted:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        time.sleep(pause_s * chance.random())
        if turn % 2:
            while not (under_way := list(workers())):  # between two parts
                assert process.poll() is None, process.communicate()
                time.sleep(0.05)
            victim = chance.choice(under_way)
            victim.send_signal(signal.SIGKILL)
            killed.append(f"worker {victim.pid}")
        else:
            process.kill()
            process.communicate()
            killed.append("command")
            process = start(*command)
        done |= parts(out)
    return process, done, killed


def main(options):
    from ray.cluster_utils import Cluster

    root, chance = Path(__file__).parents[2], random.Random(options.seed)
    os.environ |= {
        "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(root), "RAY_worker_niceness": "0",
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as temporary:
        folder, out = Path(temporary) / "sounds", Path(temporary) / "out"
        write_links(folder, options.count)
        head = {"num_cpus": 1, "object_store_memory": 10**8, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        cluster.add_node(num_cpus=1, object_store_memory=10**8)
        command = [
            "-m", "ascjax", "predict", f"--run={options.run}", "--on=ray", folder, f"--out={out}",
            f"--address={cluster.address}",
        ]  # fmt: skip

        def start(*words):
            return subprocess.Popen(
                [sys.executable, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                cwd=root, text=True,
            )  # fmt: skip

        begun = time.monotonic()
        number = -(-options.count // 256)
        process, done, killed = kill_again_and_again(
            start, command, out, kills=options.kills, chance=chance,
            least=max(1, number // (options.kills + 2)),
        )  # fmt: skip
        _, errors = process.communicate()
        assert process.returncode == 0, errors
        took = time.monotonic() - begun
        cluster.shutdown()
        paths = [row["path"] for row in rows(out / "predictions")]
        windows, unreadable = len(rows(out / "windows")), len(rows(out / "unreadable"))
        expected = {str(path) for path in folder.glob("[0-9]*/*.wav")}
        again = sum(parts(out)[path] != then for path, then in done.items())
        print(f"killed {', '.join(killed)}, in {took:.0f} s")
        print(
            f"{len(expected):,} recordings: {len(paths):,} rows of {len(set(paths)):,} paths, "
            f"{len(expected - set(paths))} left out, {windows:,} windows, {unreadable} unreadable; "
            f"{again} of {len(done)} parts that were done at a kill were written again"
        )
        assert sorted(paths) == sorted(expected)
        assert windows == len(paths)
        assert not unreadable
        assert not again


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", default="esc10")
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args())
