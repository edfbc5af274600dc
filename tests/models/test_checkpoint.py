"""Model files from strangers: hostile headers fail quickly and with one line."""

from __future__ import annotations

import json
import struct
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from sgcli.errors import FormatError
from sgcli.models.checkpoint import open_model, read_header
from tests.cli import assert_refused, sg


def write_raw(path, length: int, header: bytes, data: bytes = b""):
    path.write_bytes(struct.pack("<Q", length) + header + data)
    return path


@pytest.mark.parametrize(
    ("length", "header"),
    [
        (2**63, b"{"),
        (2**40, b"{" + b" " * 100),
        (101, b"{" + b" " * 99),
        (100, b"[" * 100),
        (2, b"{}"),
        (100, b'{"a": 1'.ljust(100)),
    ],
)
def test_headers_that_promise_too_much(tmp_path, length, header):
    path = write_raw(tmp_path / "model.safetensors", length, header)
    with pytest.raises(FormatError):
        read_header(path)


def test_files_of_a_few_bytes(tmp_path):
    for size in range(9):
        (path := tmp_path / "model.safetensors").write_bytes(b"\x01" * size)
        with pytest.raises(FormatError):
            read_header(path)


def test_a_long_header_is_not_parsed(tmp_path):
    path = tmp_path / "model.safetensors"
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", 100 << 20) + b"{")
        file.truncate(200 << 20)
    with pytest.raises(FormatError, match="a header of 104857600 bytes"):
        read_header(path)


def test_tensors_that_promise_too_much(tmp_path):
    header = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 4]}}).encode()
    with pytest.raises(FormatError):
        read_header(write_raw(tmp_path / "model.safetensors", len(header), header, bytes(4)))


def changed(model_file, path, **arguments):
    """The model file with other arguments of G in its header."""
    header = read_header(model_file)
    header["networks"]["G"] |= arguments
    save_file(load_file(model_file), path, metadata={"sg": json.dumps(header)})
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        {"channel_base": 2**45, "channel_max": 2**30},
        {"img_resolution": 2**30},
        {"mapping_layers": 10**9},
        {"w_dim": -1},
        {"z_dim": 13},
        {"z_dim": "many"},
        {"z_dim": [1, 2]},
        {"class": "os.system"},
        {"class": None},
        {"another": 1},
    ],
    ids=str,
)
def test_a_header_that_asks_for_another_network(model_file, tmp_path, arguments):
    path = changed(model_file, tmp_path / "model.safetensors", **arguments)
    with pytest.raises(FormatError, match="do not fit together"):
        open_model(path).load("G_ema")
    if "another" not in arguments:  # there Python's own words are quoted, among them "unexpected"
        assert_refused(sg("generate", "--seeds", 0, "-m", path, "-o", tmp_path / "out.png"), 1, "do not fit together")
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{}", "[]", "null", '{"kind": "model", "format_version": "x"}', "9" * 9999]
)
def test_metadata_that_is_no_header(tmp_path, text):
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata={"sg": text})
    with pytest.raises(FormatError):
        read_header(path)


def test_opening_a_model_does_not_load_the_compiler():
    """Arithmetic on PyTorch's meta device imports torch._dynamo, which would be a third of a command's start."""
    code = """if True:
        import sys, torch
        from sgcli.models import registry
        with torch.device("meta"):
            for arch in registry.names():
                size = {"c_dim": 0, "img_channels": 3, "img_resolution": 32}
                registry.build_generator({**registry.resolve(arch, tiny=True).G, **size})
                if "torch._dynamo" in sys.modules:
                    sys.exit(arch)
    """
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stderr
