"""Files that are no checkpoint, or a broken one: one clear line each, quickly, and nothing is left to chance."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import random
import struct
import time
import zipfile

import numpy as np
import pytest
import torch

from sgcli.errors import FormatError, SgError
from sgcli.models.checkpoint import open_model
from sgcli.models.foreign.formats import open_foreign
from sgcli.models.foreign.npz import write_npz
from tests.golden_files import GOLDEN

CHECKPOINTS = [
    "ada-cond-32.pkl", "sg3r-32.pkl", "rosinality-32.pt", "tf-progan.pkl", "tf-stylegan1.pkl", "tf-stylegan2.pkl",
]  # fmt: skip


def assert_refused(path, *words: str) -> None:
    start = time.process_time()
    with pytest.raises(SgError) as caught:
        open_model(path)
    error = caught.value
    assert time.process_time() - start < 5
    assert "\n" not in error.message and len(error.message) < 400 + len(str(path))
    assert error.message.startswith(str(path))
    assert error.hint
    for word in words:
        assert word in error.message, error.message


def zip_of(files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def saved(content) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def npz_of(**arrays) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


class Trap:
    def __init__(self, command: str):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


WRONG = {
    "empty": (b"", "is not a model file"),
    "text": (b"hello, world\n" * 20, "is not a model file"),
    "random": (random.Random(0).randbytes(5000), ""),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(100), "is not a model file"),
    "gzip": (gzip.compress(pickle.dumps({"G_ema": 1})), ""),
    "one byte": (b"\x80", "damaged"),
    "opcodes of nothing": (b"\x80\x04.", "damaged"),
    "a number": (pickle.dumps(5), "no network that sg knows (a int)"),
    "a list": (pickle.dumps([1, 2]), "no network that sg knows"),
    "other dict": (pickle.dumps({"epoch": 3, "best": 0.5}), "a dict of epoch, best"),
    "G_ema is a number": (pickle.dumps({"G_ema": 3, "D": None}), "no network that sg knows"),
    "1 GB prefix": (b"\x80\x04B" + struct.pack("<I", 2**30) + b"x", "damaged"),
    "1 TB prefix": (b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x", "damaged"),
    "empty zip": (zip_of({}), "is a zip, but"),
    "zip of pictures": (zip_of({"a.png": b"x"}), "is a zip, but"),
    "zip cut off": (zip_of({"archive/data.pkl": pickle.dumps({})})[:-10], "damaged"),
    "zip with text as a pickle": (zip_of({"archive/data.pkl": b"hello"}), "damaged"),
    "zip bomb": (zip_of({"archive/data.pkl": b"\x80\x02" + b"N0" * 10_000_000}, zipfile.ZIP_DEFLATED), "compressed"),
    "classifier": (saved({"features.0.weight": torch.zeros(3, 3), "classifier.bias": torch.zeros(3)}), "features.0.w"),
    "other weights": (saved({"state_dict": {"conv1.weight": torch.zeros(2)}, "epoch": 1}), "a dict of state_dict"),
    "one tensor": (saved(torch.zeros(3)), "no network that sg knows"),
    "whole module": (saved(torch.nn.Linear(2, 2)), "it asks for torch.nn.modules.linear.Linear"),
    "rosinality by name only": (saved({"g_ema": {"input.input": torch.zeros(1, 4, 4, 4)}}), "damaged"),
    "npz of others": (npz_of(mu=np.zeros(3), sigma=np.zeros((3, 3))), "is a zip, but"),
    "npz without networks": (npz_of(header=np.array(json.dumps({"arch": "sg2", "networks": {}}))), "no generator"),
    "npz with a broken header": (npz_of(header=np.array("{")), "damaged"),
    "npz of objects": (npz_of(header=np.array([{}, 1], dtype=object)), "damaged"),
}


@pytest.mark.parametrize("name", WRONG)
def test_files_that_are_no_checkpoint(tmp_path, name):
    data, words = WRONG[name]
    path = tmp_path / "file.pkl"
    path.write_bytes(data)
    assert_refused(path, words)


def test_no_file_and_a_folder(tmp_path):
    assert_refused(tmp_path / "missing.pkl", "no such file")
    assert_refused(tmp_path, "a folder without")


@pytest.mark.parametrize("legacy", [False, True])
def test_torch_files_that_run_code(tmp_path, legacy):
    marker = tmp_path / "ran"
    path = tmp_path / "trap.pt"
    torch.save({"g_ema": Trap(f"touch {marker}")}, path, _use_new_zipfile_serialization=not legacy)
    assert_refused(path, "system")
    assert not marker.exists()


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_cut_off_anywhere(tmp_path, name):
    data = (GOLDEN / name).read_bytes()
    path = tmp_path / name
    for length in (2, 3, 100, len(data) // 3, len(data) - 1000, len(data) - 1):
        path.write_bytes(data[:length])
        assert_refused(path)


# ----- damage


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to four changes: bytes flipped, a piece removed, doubled, moved, or replaced by something nasty."""
    changed = bytearray(data)
    nasty = [
        b"cos\nsystem\n(X\x04\x00\x00\x00exittR",
        b"\xff" * 8,
        b"\x8e" + b"\xff" * 8,
        b"0",
        b"(",
        b"R",
        b"b",
        b"\x94",
    ]
    for _ in range(rng.randint(1, 4)):
        # Opcodes are where the small values are: favour places near the ends of the file and short distances.
        start = rng.randrange(len(changed)) if rng.random() < 0.5 else rng.randrange(min(len(changed), 3000))
        end = min(start + rng.choice([1, 1, 2, 5, 50, 1000]), len(changed))
        kind = rng.randrange(5)
        if kind == 0:
            changed[start] = rng.randrange(256)
        elif kind == 1:
            del changed[start:end]
        elif kind == 2:
            changed[start:start] = changed[start:end]
        elif kind == 3:
            changed[start:end] = rng.choice(nasty)
        else:
            changed[start] ^= 1 << rng.randrange(8)
    return bytes(changed)


def check_mutations(path, data: bytes, count: int, seed: int) -> None:
    """Every mutation is read, or refused with one line; no other exception, no long work."""
    rng = random.Random(seed)
    for number in range(count):
        path.write_bytes(mutate(data, rng))
        start = time.process_time()
        try:
            open_foreign(path)
        except FormatError as error:
            assert "\n" not in error.message, f"mutation {number} of seed {seed}"
        assert time.process_time() - start < 10, f"mutation {number} of seed {seed}"


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_damaged_files(tmp_path, name):
    check_mutations(tmp_path / name, (GOLDEN / name).read_bytes(), count=15, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_damaged_files_at_length(tmp_path, name):
    """About 10 minutes on two cores; SG_FUZZ_SEED and SG_FUZZ_COUNT choose others."""
    seed, count = int(os.environ.get("SG_FUZZ_SEED", "2")), int(os.environ.get("SG_FUZZ_COUNT", "2000"))
    check_mutations(tmp_path / name, (GOLDEN / name).read_bytes(), count, seed)


# ----- npz


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_npz_round_trip_is_exact(tmp_path, name):
    model = open_foreign(GOLDEN / name)
    assert write_npz(model, tmp_path / "model.npz") == []
    again = open_foreign(tmp_path / "model.npz")
    assert again.header["networks"] == model.header["networks"]
    assert again.arch == model.arch
    assert again.prefixes() == model.prefixes()
    for prefix in model.prefixes():
        before, after = model.tensors(prefix), again.tensors(prefix)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)


def test_npz_arrays_are_as_large_as_their_bytes(tmp_path):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": (2**40,)})
    header = np.array(json.dumps({"arch": "sg2", "networks": {"G": {"class": "stylegan2-g"}}}))
    text = io.BytesIO()
    np.save(text, header)
    path = tmp_path / "huge.npz"
    path.write_bytes(zip_of({"header.npy": text.getvalue(), "G_ema/mapping.w_avg.npy": stream.getvalue() + b"abcd"}))
    assert_refused(path, "does not fit its content")
