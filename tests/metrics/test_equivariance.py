"""References of EQ-T and EQ-R against the published implementation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sgcli.metrics.equivariance import pseudo_rotate, rotate, rotation_filter, translate
from sgcli.metrics.pixels import filter_separably
from tests.golden_files import Golden, assert_close

GOLDEN = Golden("equivariance")
CASES = GOLDEN.info["cases"]["cases"]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_references(case):
    img, kind, i = GOLDEN["img"], case["kind"], case["i"]
    if kind == "rot":
        for name, function in (("rot", rotate), ("pseudo", pseudo_rotate)):
            picture, mask = function(img, case["angle"])
            assert_close(picture, GOLDEN[f"{name}{i}"])
            assert torch.equal(mask, GOLDEN[f"{name}mask{i}"])
    else:
        picture, mask = translate(img, case["tx"], case["ty"])
        assert_close(picture, GOLDEN[f"{kind}{i}"])
        assert torch.equal(mask, GOLDEN[f"{kind}mask{i}"])
