"""Downloads from a server on loopback that speaks Zenodo's interface."""

import hashlib
import io
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ascjax.errors import UserError
from ascjax.fetch import download
from ascjax.fetch.__main__ import main, parse

SET, NUMBER = "tut2018", 1228142


class Server(ThreadingHTTPServer):
    """Serves ``files`` by name; notes what is asked for."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.sums: dict[str, str] = {}  # where the record says another one
        self.cut_after: int | None = None
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

    def do_GET(self):
        name = self.path.removeprefix("/files/")
        if self.path == f"/{NUMBER}":
            return self.answer(200, json.dumps(self.server.record()).encode())
        self.server.asked.append((name, self.headers["Range"]))
        if name not in self.server.files:
            return self.send_error(404)
        content, start = self.server.files[name], 0
        if self.server.ranges and self.headers["Range"]:
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        self.answer(206 if start else 200, content[start:], self.server.cut_after)

    def answer(self, status, content, cut_after=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:cut_after])

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
    def run(*flags):
        words = ["ascjax fetch", SET, f"--api={server.address}", f"--to={tmp_path / 'to'}", *flags]
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


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_goes_on_where_it_was_cut_off(server, fetch, ranges):
    server.files = {"big.bin": bytes(range(256)) * 40}
    server.cut_after, server.ranges = 4_000, ranges
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"files": 3}, "expected a record with files, sizes and MD5 sums"),
        ({"files": [{"key": "../x", "size": 1, "checksum": "md5:0", "links": {}}]}, "'../x'"),
        ({"files": [{"key": "x", "size": 1, "checksum": "sha1:0", "links": {}}]}, "sha1"),
        (None, "1228142: expected a record"),
    ],
)
def test_an_odd_record_is_one_line(server, fetch, monkeypatch, change, message):
    record = None if change is None else {**server.record(), **change}
    monkeypatch.setattr(server, "record", lambda: record)
    with pytest.raises(UserError, match=message):
        fetch()


def test_no_server_no_file_no_room_no_such_set(server, fetch, tmp_path, monkeypatch):
    server.files = {"a.bin": b"bits"}
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: type("", (), {"free": 5})())
    with pytest.raises(UserError, match=r"needs 0.0 GB, 0.0 GB are free"):
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
