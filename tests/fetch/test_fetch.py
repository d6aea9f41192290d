"""Downloads from a server on loopback that speaks Zenodo's interface."""

import hashlib
import io
import json
import os
import shutil
import socket
import struct
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ascjax.errors import UserError
from ascjax.fetch import download
from ascjax.fetch.__main__ import main, parse
from ascjax.fetch.sets import SETS

SET = "tut2018"


class Server(ThreadingHTTPServer):
    """Serves ``files`` by name; notes what is asked for."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.sums: dict[str, str] = {}  # where the record says another one
        self.cut_after: int | None = None
        self.resets = False  # a connection that is cut off
        self.fails: tuple[int, dict[str, str]] | None = None  # status and headers
        self.ranges = True
        self.asked: list[tuple[str, str | None]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def record(self) -> dict:
        return {
            "metadata": {"title": "A set", "license": {"id": "other-nc"}},
            "files": [
                {
                    "key": name,
                    "size": len(content),
                    "checksum": f"md5:{self.sums.get(name, hashlib.md5(content).hexdigest())}",
                    "links": {"self": f"{self.address}/files/{name}"},
                }
                for name, content in self.files.items()
            ],
        }


class Handler(BaseHTTPRequestHandler):
    server: Server
    disable_nagle_algorithm = True  # what was written has left when a connection is reset

    def do_GET(self):
        name = self.path.removeprefix("/files/")
        if self.server.fails:
            return self.answer(self.server.fails[0], b"", headers=self.server.fails[1])
        if self.path in {f"/{published.record}" for published in SETS.values()}:
            return self.answer(200, json.dumps(self.server.record()).encode())
        self.server.asked.append((name, self.headers["Range"]))
        if name not in self.server.files:
            return self.send_error(404)
        content, start = self.server.files[name], 0
        if self.server.ranges and self.headers["Range"]:
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        self.answer(206 if start else 200, content[start:], self.server.cut_after)

    def answer(self, status, content, cut_after=None, headers=None):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[:cut_after])
        if cut_after and self.server.resets:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def fetch(server, tmp_path):
    def run(*flags, name=SET):
        words = ["ascjax fetch", name, f"--api={server.address}", f"--to={tmp_path / 'to'}", *flags]
        main(parse(words))
        return tmp_path / "to"

    return run


def archive(**members: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, text in members.items():
            file.writestr(name.replace("__", "/"), text)
    return content.getvalue()


def test_files_come_checked_and_archives_unpacked_once(server, fetch, capsys):
    server.files = {"LICENSE": b"be kind", "a.zip": archive(tut__meta="list", tut__a="sound")}
    folder = fetch()
    assert (folder / "LICENSE").read_bytes() == b"be kind"
    assert (folder / "tut" / "meta").read_text() == "list"
    assert not (folder / "a.zip").exists()
    out = capsys.readouterr().out
    assert "licence: other-nc" in out
    assert f"ascjax describe {folder / 'tut'}" in out
    fetch()
    assert [name for name, _ in server.asked] == ["LICENSE", "a.zip"]  # nothing twice
    server.files["LICENSE"] = b"be kinder"  # a new version of the record
    fetch()
    assert (folder / "LICENSE").read_bytes() == b"be kinder"


def test_what_is_gone_or_of_another_size_comes_again(server, fetch):
    server.files = {
        "LICENSE": b"be kind",
        "a.zip": archive(tut__audio__a="sound", tut__audio__b="noise"),
        "meta.zip": archive(tut__meta="list", tut__empty__=""),
    }
    folder = fetch()
    (folder / "tut" / "mine").write_text("put there by the user")
    server.asked.clear()
    (folder / "tut" / "audio" / "b").write_text("nois")
    fetch()
    assert (folder / "tut" / "audio" / "b").read_text() == "noise"
    shutil.rmtree(folder / "tut" / "audio")
    fetch()
    assert (folder / "tut" / "audio" / "a").read_text() == "sound"
    assert (folder / "tut" / "mine").exists()
    (folder / "LICENSE").unlink()
    fetch()
    assert [name for name, _ in server.asked] == ["a.zip", "a.zip", "LICENSE"]


def test_a_whole_download_that_was_not_taken_over_is_not_repeated(server, fetch, tmp_path):
    server.files = {"a.bin": b"bits"}
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "a.bin.part").write_bytes(b"bits")
    folder = fetch()
    assert (folder / "a.bin").read_bytes() == b"bits"
    assert server.asked == []
    (folder / "a.bin").unlink()
    (folder / "a.bin.part").write_bytes(b"bats")
    fetch()
    assert (folder / "a.bin").read_bytes() == b"bits"
    assert server.asked == [("a.bin", None)]


@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_goes_on_where_it_was_cut_off(server, fetch, ranges, resets):
    server.files = {"big.bin": bytes(range(256)) * 40}
    server.cut_after, server.ranges, server.resets = 4_000, ranges, resets
    with pytest.raises(UserError, match=r"ended after 4,000 of 10,240 bytes; run again|cut off"):
        fetch()
    server.cut_after = None
    folder = fetch()
    assert (folder / "big.bin").read_bytes() == server.files["big.bin"]
    assert server.asked == [("big.bin", None), ("big.bin", "bytes=4000-")]


def test_what_isnt_what_the_record_says_is_removed(server, fetch, tmp_path):
    server.files, server.sums = {"a.bin": b"bits"}, {"a.bin": "0" * 32}
    with pytest.raises(UserError, match="a.bin: expected the MD5 sum 0000.*was removed"):
        fetch()
    assert [path.name for path in (tmp_path / "to").iterdir() if path.is_file()] == [".lock"]


def test_a_dry_run_downloads_nothing(server, fetch, tmp_path, capsys):
    server.files = {"a.bin": b"bits"}
    fetch("--dry_run")
    assert "a.bin" in capsys.readouterr().out
    assert not (tmp_path / "to").exists()
    assert server.asked == []


def test_no_member_leaves_the_folder(server, fetch, tmp_path):
    server.files = {"a.zip": archive(**{"..__..__evil": "x"})}
    folder = fetch()
    assert not (tmp_path / "evil").exists()
    assert (folder / "evil").exists()


def _odd(**change) -> dict:
    links = {"self": "http://127.0.0.1:1/x"}
    return {"files": [{"key": "x", "size": 1, "checksum": "md5:0", "links": links, **change}]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"files": 3}, "expected a record with files, sizes and MD5 sums"),
        ({"files": [{"key": "../x", "size": 1, "checksum": "md5:0", "links": {}}]}, "'../x'"),
        ({"files": [{"key": "x", "size": 1, "checksum": "sha1:0", "links": {}}]}, "sha1"),
        *((_odd(size=size), f"of {size!r}"[:20]) for size in (10**400, -1, "1")),
        (_odd(links={"self": 3}), "expected a record with files"),
        (None, "1228142: expected a record"),
    ],
)
def test_an_odd_record_is_one_line(server, fetch, monkeypatch, change, message):
    record = None if change is None else {**server.record(), **change}
    monkeypatch.setattr(server, "record", lambda: record)
    with pytest.raises(UserError, match=message):
        fetch()


def test_an_answer_without_end_is_one_line(fetch, monkeypatch):
    monkeypatch.setattr(Handler, "do_GET", lambda self: self.answer(200, b"[" * 100_000))
    with pytest.raises(UserError, match="1228142: expected a record .*, got RecursionError"):
        fetch()


@pytest.mark.parametrize("resets", [False, True])
def test_a_record_that_is_cut_off_is_one_line(server, fetch, monkeypatch, resets):
    record, server.resets = json.dumps(server.record()), resets
    monkeypatch.setattr(Handler, "do_GET", lambda self: self.answer(200, record.encode(), 20))
    with pytest.raises(UserError, match=r"1228142: the answer was cut off \(.*\); run again"):
        fetch()


def test_a_closed_record_says_so(server, fetch, monkeypatch):
    monkeypatch.setattr(server, "record", lambda: {"metadata": {"title": "A set"}})
    with pytest.raises(UserError, match="1228142: the record is closed or not open for download"):
        fetch()


def test_a_record_without_a_licence(server, fetch, monkeypatch, capsys):
    server.files = {"a.bin": b"bits"}
    record = server.record() | {"metadata": {"title": "A set", "license": None}}
    monkeypatch.setattr(server, "record", lambda: record)
    fetch("--dry_run")
    assert "A set\nlicence not stated\n1 file" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("status", "headers", "message"),
    [
        (429, {"Retry-After": "90"}, r"429 \(.*\); run the same command again in 1 min 30 s"),
        (503, {"Retry-After": "Fri, 1 Jan"}, "; run the same command again after Fri, 1 Jan"),
        (500, {}, "; run the same command again later"),
        (404, {"Retry-After": "90"}, r"answers 404 \(Not Found\)$"),
    ],
)
def test_a_busy_server_says_when_to_come_again(server, fetch, status, headers, message):
    server.fails = status, headers
    with pytest.raises(UserError, match=message):
        fetch()


def test_an_evaluation_set_is_there_to_be_predicted(server, fetch, capsys):
    server.files = {"LICENSE": b"be kind"}
    folder = fetch(name="tau2022eval")
    assert f"next: ascjax predict --run=DIR {folder}" in capsys.readouterr().out


def test_lists_that_the_record_lacks_are_named(server, fetch, capsys):
    server.files = {"LICENSE": b"be kind"}
    fetch(name="tau2022")
    assert "evaluation_setup/; --config.data.split=split5 names one" in capsys.readouterr().out


def test_no_server_no_file_no_room_no_such_set(server, fetch, tmp_path, monkeypatch):
    server.files = {"a.bin": b"bits"}
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: type("", (), {"free": 5})())
    with pytest.raises(UserError, match=r"needs 0.0 GB, 0.0 GB are free"):
        fetch()
    (tmp_path / "to" / "a.bin.part").write_bytes(b"bit")
    fetch()
    monkeypatch.undo()
    with pytest.raises(UserError, match="expected one of tut2018, .*did you mean 'tut2018'"):
        parse(["ascjax fetch", "tut18", "--to=x"])
    with pytest.raises(UserError, match="expected --to"):
        parse(["ascjax fetch", SET])
    nowhere = parse(["ascjax fetch", SET, "--to=x", "--api=http://127.0.0.1:1"])
    with pytest.raises(UserError, match=r"127.0.0.1:1/1228142: can't be reached \(.*refused"):
        main(nowhere)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UserError, match="--to=.*: cannot be written"):
        fetch(f"--to={tmp_path / 'file'}")
