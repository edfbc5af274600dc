"""Folders that appear whole or not at all, and the user's cache folder."""

import pytest

from sgcli.errors import SgError
from sgcli.files import atomic_folder, cache_folder


def test_folder_appears_whole(tmp_path):
    with atomic_folder(tmp_path / "a" / "out") as folder:
        (folder / "file").write_text("content")
        assert not (tmp_path / "a" / "out").exists()
    assert (tmp_path / "a" / "out" / "file").read_text() == "content"


def test_nothing_is_left_of_a_failure(tmp_path):
    with pytest.raises(ValueError, match="stop"), atomic_folder(tmp_path / "out") as folder:
        (folder / "file").write_text("content")
        raise ValueError("stop")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_stays(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SgError, match="not empty"), atomic_folder(tmp_path / "full"):
        pass
    with pytest.raises(SgError, match="is a file"), atomic_folder(tmp_path / "full" / "file"):
        pass
    with atomic_folder(tmp_path / "empty") as folder:
        (folder / "file").write_text("new")
    assert (tmp_path / "full" / "file").read_text() == "mine"
    assert (tmp_path / "empty" / "file").read_text() == "new"


def test_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SG_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / "home" / ".cache" / "sgcli"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "sgcli"
    monkeypatch.setenv("SG_CACHE_DIR", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def test_without_a_writable_home_nothing_is_cached(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.delenv("SG_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() is None
