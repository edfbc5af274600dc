"""Direction files and the names of their rows."""

from __future__ import annotations

import numpy as np

from sgcli.latents.direction_files import names_path, read_names, write_directions


def test_names_go_with_their_file(tmp_path):
    path = tmp_path / "dirs.npy"
    write_directions(np.zeros([2, 3, 4], np.float32), path, ["smiling", "blue hair"])
    assert np.load(path).shape == (2, 3, 4) and read_names(path) == ["smiling", "blue hair"]
    write_directions(np.ones([1, 3, 4], np.float32), path)
    assert not names_path(path).exists() and read_names(path) == []
    names_path(path).write_bytes(b"\xff\xfe\x00")
    assert read_names(path) == []
