"""Published weights: fetched once, checked, or refused with what to do."""

from __future__ import annotations

import hashlib
import http.server
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from sgcli.errors import FormatError, SgError
from sgcli.features.weights import Weights, find_weights, read_weights

CONTENT = b"numbers" * 1000


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        if self.path == "/missing":
            return self.send_error(404)
        self.send_response(200)
        length = len(CONTENT) * (2 if self.path == "/short" else 1)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(CONTENT)
        return None

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("SG_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.requests = []
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def published(server, path="/file.pth", content=CONTENT) -> Weights:
    url = f"http://127.0.0.1:{server.server_port}{path}"
    return Weights("a network", "file.pth", url, hashlib.sha256(content).hexdigest()[:8])


def test_fetched_once(server):
    path = find_weights(published(server))
    assert path.read_bytes() == CONTENT and find_weights(published(server)) == path
    assert len(server.requests) == 1


def test_two_at_once_fetch_once(server):
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: find_weights(published(server)), range(4)))
    assert len(found) == 1 and len(server.requests) == 1


def test_damaged_cache_is_fetched_again(server, capsys):
    path = find_weights(published(server))
    path.write_bytes(b"damaged")
    assert find_weights(published(server)).read_bytes() == CONTENT
    assert "damaged" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["/missing", "/short"])
def test_failure_names_file_hash_and_place(server, tmp_path, path):
    with pytest.raises(SgError, match=r"file\.pth") as raised:
        find_weights(published(server, path, CONTENT if path == "/missing" else CONTENT * 2))
    assert "SHA-256" in raised.value.message
    assert str(tmp_path / "cache" / "weights" / "file.pth") in raised.value.hint
    assert "--weights" in raised.value.hint
    assert [file.name for file in (tmp_path / "cache" / "weights").iterdir()] == ["file.lock"]


def test_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("SG_CACHE_DIR", str(tmp_path))
    with pytest.raises(SgError, match=r"cannot be fetched from http://127\.0\.0\.1:9/"):
        find_weights(Weights("a network", "file.pth", "http://127.0.0.1:9/file.pth", "12345678"))


def test_wrong_file_is_refused(server):
    with pytest.raises(SgError, match="not the published file"):
        find_weights(published(server, content=b"something else"))


def test_named_file_is_used_with_a_warning(server, tmp_path, capsys):
    own = tmp_path / "own.pth"
    own.write_bytes(b"own")
    assert find_weights(published(server), own) == own
    assert "not the published a network" in capsys.readouterr().err
    own.write_bytes(CONTENT)
    assert find_weights(published(server), own) == own and capsys.readouterr().err == ""
    with pytest.raises(SgError, match="no such file"):
        find_weights(published(server), tmp_path / "nothing.pth")
    assert not server.requests


def test_without_a_cache_folder(tmp_path, monkeypatch):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    monkeypatch.setenv("SG_CACHE_DIR", str(blocked))
    with pytest.raises(SgError, match="no cache folder"):
        find_weights(Weights("a network", "file.pth", "http://127.0.0.1:9/file.pth", "12345678"))


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04 broken"])
def test_not_weights(tmp_path, content):
    for name in ("file.pth", "file.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FormatError, match="not a file of weights"):
            read_weights(tmp_path / name)


def test_pickled_objects_are_not_run(tmp_path):
    torch.save({"x": Handler}, tmp_path / "objects.pth")
    with pytest.raises(FormatError):
        read_weights(tmp_path / "objects.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(FormatError, match="something else"):
        read_weights(tmp_path / "list.pth")
