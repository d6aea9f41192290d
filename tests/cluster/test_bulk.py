"""Bulk prediction on Ray Data: every recording once, whatever kills it, also in buckets."""

import contextlib
import csv
import dataclasses
import io
import json
import os
import random
import re
import signal
import sys
import time
from pathlib import Path

import kills
import numpy as np
import pytest
import tiny_set

from ascjax import predict
from ascjax.audio import finding
from ascjax.cluster import bulk, listing, part, storage
from ascjax.errors import UserError
from ascjax.runs.loading import SHIPPED, load

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
RUN = SHIPPED / "esc10"
COUNT, PER_PART = 240, 20


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Many names of a few recordings: short ones, one of a minute, one that is none."""
    folder = tmp_path_factory.mktemp("sounds")
    kills.write_links(folder, COUNT - 2, per_folder=80)
    tiny_set.write_wave(folder / "0" / "long.wav", seconds=61.0)
    (folder / "1" / "bad.wav").write_text("no audio")
    return folder


def words(run, source, out, *more):
    return ["-m", "ascjax", "predict", f"--run={run}", "--on=ray", source, f"--out={out}", *more]


def test_every_recording_is_there_once_whatever_is_killed(sounds, start, cluster, tmp_path):
    cluster.add_small(num_gpus=1)  # in Ray's eyes: the networks are in an actor
    out = tmp_path / "out"
    command = words(RUN, sounds, out, f"--address={cluster.address}", f"--per_part={PER_PART}")
    process, done, killed = kills.kill_again_and_again(
        start, command, out, kills=2, chance=random.Random(0), pause_s=0.3
    )
    assert len(done) < COUNT // PER_PART, "killed too late"
    assert killed[0] == "command"
    assert killed[1].startswith("worker")
    _, errors = process.communicate()
    assert process.returncode == 2
    assert re.search(
        r"error: 1 of 240 recordings can't be read, as .*/out/unreadable says; the others", errors
    )
    predicted, unreadable = (kills.rows(out / name) for name in ("predictions", "unreadable"))
    paths = [row["path"] for row in predicted + unreadable]
    assert sorted(paths) == sorted(str(path) for path in sounds.glob("[0-9]/*.wav"))
    assert len(kills.parts(out)) == COUNT // PER_PART
    assert all(kills.parts(out)[path] == then for path, then in done.items())
    assert [row["reason"] for row in unreadable] == ["is no audio file (Format not recognised)"]
    check_as_from_one_process(sounds, predicted, kills.rows(out / "windows"), start)


def check_as_from_one_process(sounds, predicted, windows, start):
    files = [sounds / "0" / "long.wav", *sorted((sounds / "2").glob("*"))[:3]]
    alone = start("-m", "ascjax", "predict", f"--run={RUN}", "--format=csv", *files)
    expected = list(csv.DictReader(io.StringIO(alone.communicate()[0])))
    by_path = {row["path"]: row for row in predicted}
    model = json.loads((RUN / "results.json").read_text())["model_sha256"]
    assert len(expected) == len(files)
    for row in expected:
        got = by_path[row["file"]]
        assert got["scene"] == row["scene"]
        assert got["model_sha256"] == model
        scores = [float(row[scene]) for scene in got["scores"]]
        np.testing.assert_allclose(list(got["scores"].values()), scores, atol=2e-6)
    long = [row for row in windows if row["path"] == str(files[0])]
    assert [window["start_s"] for window in long] == [5.0 * i for i in range(13)]
    assert long[-1]["end_s"] == by_path[str(files[0])]["seconds"] == 61.0


def test_a_bucket_with_a_failing_and_a_slow_object(sounds, start, bucket):
    kinds = sorted((sounds / ".kinds").glob("*"))
    for name, kind in zip(["a.wav", "b/c.wav", "b/slow.wav"], kinds, strict=True):
        bucket.upload_file(str(kind), "sounds", f"in/{name}")
    bucket.upload_file(str(kinds[0]), "sounds", "in/b/failing.wav")
    bucket.put_object(Bucket="sounds", Key="in/b/notes.txt", Body=b"no audio")
    bucket.put_object(Bucket="sounds", Key="in/.trash/d.wav", Body=b"hidden")
    upload_run(bucket)
    bucket.answers["failing.wav"] = lambda: "500 Internal Error"
    bucket.answers["slow.wav"] = lambda: time.sleep(3)
    command = words("s3://sounds/run", "s3://sounds/in", "s3://sounds/out")
    process = start(*command, AWS_ENDPOINT_URL=bucket.url)
    _, errors = process.communicate()
    assert "error: 1 of 4 recordings can't be read" in errors, errors
    kept = {}
    for each in bucket.list_objects_v2(Bucket="sounds", Prefix="out/")["Contents"]:
        content = bucket.get_object(Bucket="sounds", Key=each["Key"])["Body"].read()
        kept[each["Key"].removeprefix("out/")] = content
    assert [row["path"] for row in table(kept["predictions/part-000000.parquet"])] == [
        "s3://sounds/in/a.wav", "s3://sounds/in/b/c.wav", "s3://sounds/in/b/slow.wav",
    ]  # fmt: skip
    (bad,) = table(kept["unreadable/part-000000.parquet"])
    assert bad["path"] == "s3://sounds/in/b/failing.wav"
    assert "can't be fetched" in bad["reason"]
    assert bucket.requests["GET /sounds/in/a.wav"] == 1


def table(content):
    return parquet.read_table(io.BytesIO(content)).to_pylist()


def upload_run(bucket):
    for path in RUN.glob("*.*"):
        bucket.upload_file(str(path), "sounds", f"run/{path.name}")


@pytest.fixture
def here(monkeypatch):
    """Predicts parts in this process, in the place of Ray's workers."""

    def in_turn(ray, todo, dest, run, job):
        for number in todo:
            part.predict(number, dest, run, job, ())

    monkeypatch.setattr(bulk, "_predict", in_turn)
    monkeypatch.setattr(bulk, "check_cluster", lambda address: None)
    monkeypatch.setattr(bulk, "connected", lambda *_, **__: contextlib.nullcontext())
    return load(str(RUN))


def predict_all(classifier, source, dest, **more):
    options = {"hop_s": None, "min_score": 0.0, "per_part": 2, "address": None, **more}
    return bulk.predict(source, dest, str(RUN), classifier, **options)


def test_what_could_not_be_read_is_tried_again(sounds, bucket, here, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.url)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    kind = str(next((sounds / ".kinds").glob("*")))
    for name in ("a.wav", "b.wav", "c.wav"):
        bucket.upload_file(kind, "sounds", f"in/{name}")
    bucket.answers["b.wav"] = lambda: "400 Expired Token"
    out = str(tmp_path / "out")
    assert predict_all(here, "s3://sounds/in", out) == (3, 1)
    done = kills.parts(tmp_path / "out")
    bucket.answers.clear()
    assert predict_all(here, "s3://sounds/in", out) == (3, 1)
    assert predict_all(here, "s3://sounds/in", out, again=True) == (3, 0)
    assert len(kills.rows(tmp_path / "out" / "predictions")) == 3
    changed = [kills.parts(tmp_path / "out")[path] != then for path, then in done.items()]
    assert sorted(changed) == [False, True]


@pytest.mark.parametrize("content", [b"{", b"[3]", b"[" * 100_000, b"\xff", b'{"source": 3}'])
def test_damaged_files_of_a_job_are_named(here, sounds, tmp_path, content):
    (tmp_path / "job.json").write_bytes(content)
    with pytest.raises(UserError, match=rf"^--out={tmp_path}: job\.json is damaged .*; choose ano"):
        predict_all(here, str(sounds), str(tmp_path))
    (tmp_path / part.name(0, "json")).write_bytes(content)
    job = part.Job("", part.model_sha256(here), None, 0.0, 2, 2, ".")
    with pytest.raises(UserError, match=r"part-000000\.json is damaged \("):
        part.predict(0, str(tmp_path), str(RUN), job, ())


def test_a_part_of_which_nothing_can_be_opened_is_not_done(here, tmp_path):
    (tmp_path / "list.csv").write_text("path\nunmounted/a.wav\nunmounted/b.wav\n")
    out = tmp_path / "out"
    out.mkdir()
    (out / ".job.json.0123.partial").touch()  # of a process that was killed as it began
    with pytest.raises(UserError, match="none of 2 recordings can be opened on .*No such file"):
        predict_all(here, str(tmp_path / "list.csv"), str(out))
    assert not kills.parts(out)
    (tmp_path / "unmounted").mkdir()  # and empty: the recordings are at fault
    assert predict_all(here, str(tmp_path / "list.csv"), str(out)) == (2, 2)


def test_another_network_than_the_jobs_is_refused(here, sounds, tmp_path):
    other = dataclasses.replace(here.runs[0].trained, model_sha256="0" * 64)
    run = dataclasses.replace(here.runs[0], trained=other)
    with pytest.raises(UserError, match="expected the network 000000000000… that the job began"):
        predict_all(dataclasses.replace(here, runs=(run,)), str(sounds), str(tmp_path / "out"))


def test_without_a_run_a_worker_has_the_shipped_network(tmp_path, monkeypatch):
    (tmp_path / "esc10").mkdir()  # of a training
    monkeypatch.chdir(tmp_path)
    job = part.Job("", part.model_sha256(load(RUN)), None, 0.0, 2)
    assert part._loaded(None, job).scenes == load(RUN).scenes


def end_process(path):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_recording_that_ends_its_process_is_unreadable(here, sounds, tmp_path, monkeypatch):
    monkeypatch.setattr(part, "_decode", end_process)
    job = part.Job("", part.model_sha256(here), None, 0.0, 2, 2, "list")
    paths = [str(path) for path in sorted((sounds / "0").glob("*"))[:2]]
    folder = storage.Folder(str(tmp_path))
    folder.write({f"list/{part.name(0, 'json')}": json.dumps(paths).encode()})
    assert part.predict(0, str(tmp_path), str(RUN), job, (), careful=True) == 2
    [row, _] = kills.rows(tmp_path / "unreadable")
    assert row["reason"] == "ends the process that decodes it (SIGKILL); leave it out"


def test_two_commands_on_one_bucket_keep_to_one_list(here, bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.url)
    folder = storage.Folder("s3://sounds/out")
    job = part.Job("s3://sounds/in", "0", None, 0.0, 2)
    first = bulk._begin(folder, job, ["a.wav", "b.wav", "c.wav"])
    assert bulk._begin(folder, job, ["a.wav", "aa.wav", "b.wav", "c.wav"]) == first
    assert folder.names(first.listed) == ["part-000000.json", "part-000001.json"]
    assert folder.names("list") == [first.listed.partition("/")[2]]


def test_a_device_that_is_silent_is_left_out(monkeypatch):
    asked = []

    class Device:
        def __init__(self, answer):
            self.networks, self.remote, self.answer = self, self.ask, answer

        def ask(self, values):
            asked.append(self)
            return self

    answer = (np.zeros(1), np.zeros(1), np.zeros(1))
    gone, there = Device(None), Device(answer)
    ray = type(sys)("ray")
    ray.wait = lambda references, timeout: ([each for each in references if each.answer], None)
    ray.get = lambda reference: reference.answer
    monkeypatch.setitem(sys.modules, "ray", ray)
    remote = part._Elsewhere((), 1, (gone, there))
    assert all(remote.networks([]) is answer for _ in range(20))
    assert asked.count(gone) <= 1
    with pytest.raises(UserError, match="no device has answered for 10 minutes, of 1"):
        part._Elsewhere((), 1, (gone,)).networks([])


def test_a_staged_run_is_copied_once(bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    upload_run(bucket)
    first = storage.staged("s3://sounds/run")
    assert storage.staged("s3://sounds/run") == first
    assert (tmp_path / first / "results.json").is_file()
    bucket.put_object(Bucket="sounds", Key="run/results.json", Body=b"{}")
    assert storage.staged("s3://sounds/run") != first


def test_linked_folders_are_listed_as_predict_does(tmp_path):
    for name in ("set/a.wav", "other/b.wav", "set/.hidden/c.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "other")
    (tmp_path / "set" / "shown").symlink_to(tmp_path / "set" / ".hidden")
    found = list(listing.find(str(tmp_path / "set")))
    assert found == [str(path) for path in finding.find([tmp_path / "set"])]
    assert len(found) == 3


def test_names_that_mean_something_to_fsspec_are_names():
    folder = storage.Folder("memory://names/out[1]")
    other = storage.Folder("memory://names/out1")
    for each in (folder, other):
        each.fs.pipe_file(each.path("part/a.parquet"), b"rows")
    folder.remove("part/a.parquet")
    other.remove("nothing")
    assert (folder.names("part"), other.names("part")) == ([], ["a.parquet"])
    other.remove("part")
    assert other.names() == []
    names = "memory://names/a", "memory://names/a::b.wav"
    for name in names:
        fs, path = storage.open_folder(name)
        fs.pipe_file(path, name.encode())
    read = [Path(name).read_text() for name in storage.fetched(names)]
    assert read == list(names)


def test_a_signed_address_has_its_files_suffix(monkeypatch):
    asked = []
    monkeypatch.setattr(storage, "_fetch", lambda location, to: asked.append(to) or location)
    assert list(storage.fetched(["https://host/a.wav?X-Sign=" + 300 * "x", "s3://b/c?.ogg"]))
    assert [Path(to).name for to in asked] == ["0.wav", "1.ogg"]


def test_a_list_names_paths_from_its_own_folder(tmp_path):
    rows = ["path,scene", "a.wav,bus", "../b.wav,park", "/c/d.wav,", "s3://sounds/e.wav,tram"]
    (tmp_path / "some.csv").write_text("\n".join(rows))
    expected = [f"{tmp_path}/a.wav", f"{tmp_path.parent}/b.wav", "/c/d.wav", "s3://sounds/e.wav"]
    assert list(listing.find(str(tmp_path / "some.csv"))) == expected
    parquet.write_table(pyarrow.table({"path": ["a.wav"]}), tmp_path / "some.parquet")
    assert list(listing.find(str(tmp_path / "some.parquet"))) == expected[:1]
    parquet.write_table(pyarrow.table({"path": [b"a.wav"]}), tmp_path / "BYTES.PARQUET")
    assert list(listing.find(str(tmp_path / "BYTES.PARQUET"))) == expected[:1]


@pytest.fixture
def mistakes(tmp_path, sounds):
    """Folders and lists with something wrong."""
    (tmp_path / "twice.csv").write_text("path\na.wav\nb.wav\n./a.wav\n")
    (tmp_path / "other.csv").write_text("file\na.wav\n")
    (tmp_path / "hole.csv").write_text('path,scene\na.wav,bus\n"",bus\n')
    (tmp_path / "hole.wav").write_text("")
    (tmp_path / "ragged.csv").write_text("path\na.wav,b\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "another").mkdir()
    job = {"source": "elsewhere", "model_sha256": "0", "hop_s": None, "min_score": 0, "per_part": 2}
    (tmp_path / "another" / "job.json").write_text(json.dumps(job))
    (tmp_path / "sounds").symlink_to(sounds)
    return tmp_path


@pytest.mark.parametrize(
    ("source", "dest", "said"),
    [
        ("twice.csv", "out", r"twice\.csv, row 3: .*/a\.wav is there twice; list each path once"),
        ("other.csv", "out", r"other\.csv: expected a column 'path', its columns are file"),
        ("hole.csv", "out", r"hole\.csv, row 2: expected a path, got none"),
        ("ragged.csv", "out", r"ragged\.csv: expected a table \(CSV parse error: Row #2: Expected"),
        ("empty", "out", r"empty: expected audio files .* found none"),
        (
            "hole.wav",
            "out",
            r"hole\.wav: expected a folder, a bucket, or a list of paths .* a file",
        ),
        ("nowhere", "out", r"nowhere: expected a file, folder or bucket, there is none"),
        ("sounds", "another", r"another: holds another job: source is 'elsewhere' there, '/"),
        ("sounds", "empty/..", r"expected a new or empty folder, found another"),
        ("s3://locked/in", "out", r"s3://locked/in: no right to do that \(Access Denied"),
        ("s3://nowhere/in", "out", r"s3://nowhere/in: expected a file, folder or bucket, there is"),
        ("sounds", "s3://nowhere/out", r"s3://nowhere/out: expected a file, folder or bucket"),
        ("xy://sounds/in", "out", r"xy://sounds/in: Protocol not known: xy"),
    ],
)
def test_mistakes_are_said_and_nothing_is_written(
    mistakes, bucket, monkeypatch, source, dest, said
):
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.url)
    bucket.answers["/locked"] = lambda: "403 Access Denied"
    source, dest = (each if "://" in each else mistakes / each for each in (source, dest))
    before = sorted(mistakes.iterdir())
    options = predict.parse(["predict", *map(str, words(RUN, source, dest)[3:])])
    with pytest.raises(UserError, match=said):
        predict.main(options)
    assert sorted(mistakes.iterdir()) == before


def test_no_ray_and_no_cluster_are_said(sounds, tmp_path, monkeypatch):
    command = ["predict", *map(str, words(RUN, sounds, tmp_path / "out")[3:])]
    for address in ("127.0.0.1:9", "a..b:6379", "127.0.0.1:99999"):
        with pytest.raises(UserError, match=f"--address={address}: no Ray cluster answers there"):
            predict.main(predict.parse([*command, f"--address={address}"]))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"--on=ray needs Ray: pip install 'ascjax\[cluster\]'"):
        predict.main(predict.parse(command))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["s3://sounds/in"], r"s3://sounds/in: what is in a bucket needs --on=ray"),
        (["--on=ray", "a", "b", "--out=c"], r"--on=ray: takes one SOURCE"),
        (["--on=ray", "a", "--out=c", "--timeline"], r"--timeline: doesn't go with --on=ray"),
        (["a", "--per_part=3"], r"--per_part: goes with --on=ray"),
    ],
)
def test_flags_that_do_not_go_together(flags, said):
    with pytest.raises(UserError, match=said):
        predict.parse(["predict", *flags])
