import errno
import os

import pytest
import soundfile
import tiny_set

from ascjax.audio.finding import find, find_bad
from ascjax.errors import UserError


def test_folders_give_their_visible_audio_files_each_once(tmp_path):
    names = ("b/2.WAV", "a.flac", "b/10.ogg", ".hidden/c.wav", "b/._2.wav", "b/notes.txt")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.wav").mkdir()
    given = [tmp_path / "b" / "notes.txt", tmp_path / "b", tmp_path]
    found = [str(path.relative_to(tmp_path)) for path in find(given)]
    assert found == ["b/notes.txt", "b/10.ogg", "b/2.WAV", "a.flac"]


def test_links_are_followed_but_not_in_a_circle(tmp_path):
    for folder in ("set", "elsewhere"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder}.wav").touch()
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "v2").mkdir()
    (tmp_path / "set" / "v2" / "a.wav").touch()
    (tmp_path / "set" / "current").symlink_to(tmp_path / "set" / "v2")
    (tmp_path / "set" / ".annex").mkdir()
    (tmp_path / "set" / ".annex" / "b.wav").touch()
    (tmp_path / "set" / "annex").symlink_to(tmp_path / "set" / ".annex")
    found = [str(path.relative_to(tmp_path / "set")) for path in find([tmp_path / "set"])]
    assert found == ["annex/b.wav", "linked/elsewhere.wav", "set.wav", "v2/a.wav"]


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.wav").touch()
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=r"/closed: can't be listed \(Permission denied\)"):
        find([tmp_path])


def test_a_folder_without_audio(tmp_path):
    with pytest.raises(UserError, match="expected audio files .* in this folder, found none"):
        find([tmp_path])


def test_what_cannot_be_read_is_known_without_decoding(tmp_path):
    whole = tiny_set.write_wave(tmp_path / "whole.wav")
    (tmp_path / "cut.flac").write_bytes(_flac(tmp_path)[:-4000])
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("no sound")
    files = [whole, *(tmp_path / n for n in ("cut.flac", "empty.wav", "text.wav", "none.wav"))]
    bad = find_bad([*files, tmp_path])
    assert list(bad) == [*files[1:], tmp_path]
    assert "cut short" in str(bad[files[1]])
    assert "0 bytes" in str(bad[files[2]])
    assert all("\n" not in str(error) for error in bad.values())


def _flac(tmp_path):
    samples, rate = soundfile.read(tmp_path / "whole.wav")
    soundfile.write(tmp_path / "whole.flac", samples, rate)
    return (tmp_path / "whole.flac").read_bytes()


def test_names_that_no_file_can_have_do_not_keep_the_others_from_being_read(tmp_path):
    whole = tiny_set.write_wave(tmp_path / "whole.wav")
    strange = [tmp_path / ("x" * 300), tmp_path / ("y/" * 3000), tmp_path / "a\0b"]
    assert find([*strange, whole]) == [*strange, whole]
    assert list(find_bad([*strange, whole])) == strange
