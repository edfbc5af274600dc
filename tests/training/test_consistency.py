"""Balanced consistency regularisation."""

from __future__ import annotations

import pytest
import torch

from sgcli.training.consistency import consistency_loss, shift
from sgcli.training.draws import PercentileDraws, RandomDraws
from tests.cli import assert_refused, sg


def test_shifts_by_whole_pixels_and_mirrors_the_border():
    row = torch.arange(64.0).expand(1, 1, 64, 64)
    moved = shift(row, PercentileDraws(0.999, 1))  # by almost +1/32 of 64 pixels, both ways
    assert moved[0, 0, 5, :5].tolist() == [2, 1, 0, 1, 2]
    moved = shift(row, PercentileDraws(0.0, 1))
    assert moved[0, 0, 5, -4:].tolist() == [62, 63, 62, 61]


def test_each_image_moves_by_itself_and_by_no_more_than_a_32nd():
    columns = torch.arange(64.0).expand(40, 3, 64, 64)
    offsets = shift(columns, RandomDraws(0, "test", range(40)))[:, 0, 0, 32] - 32
    assert {*offsets.tolist()} == {-2, -1, 0, 1, 2}


def test_loss_has_the_published_weight():
    assert consistency_loss(torch.tensor([[1.0]]), torch.tensor([[3.0]])).item() == pytest.approx(40)


def test_pictures_too_small_to_move_are_refused(faces, tmp_path):
    assert_refused(sg("train", faces, "--aug", "bcr", "--outdir", tmp_path), 2, "less than a pixel at 16²", "--aug ada")
