"""`sg bench`: rows for every suite, and a floor that holds the convolutions and nothing else. No times are tested."""

from __future__ import annotations

import json

import pytest
import torch

from sgcli.bench import floor
from sgcli.bench.projection import project_rows
from sgcli.commands.bench import as_line
from tests.cli import assert_refused, sg

SMALL = ["--tiny", "--res", 16, "--channels-base", 64, "--channels-max", 8, "--batch", 4, "--json"]


@pytest.mark.parametrize("gradients", [False, True])
def test_the_floor_holds_convolutions_but_no_fir_filters(gradients):
    weight, fir = torch.randn(4, 3, 3, 3, requires_grad=gradients), torch.ones(3, 1, 4, 4)

    def work():
        with torch.inference_mode(not gradients):
            x = torch.nn.functional.conv2d(torch.randn(2, 3, 8, 8), fir, groups=3)
            x = torch.nn.functional.conv2d(x, weight)
            torch.nn.functional.leaky_relu(x)

    calls = floor.record(work)
    assert [list(args[1].shape) for _, args, _ in calls] == [[4, 3, 3, 3]]
    floor.replay(calls)


@pytest.mark.parametrize(("suite", "works"), [("generate", 2), ("train", 5)])
def test_rows(suite, works, monkeypatch):
    monkeypatch.setattr("sgcli.bench.suites.REFERENCE_REPEATS", 1)
    monkeypatch.setattr("sgcli.bench.timing.time_in_turns.__defaults__", (1, 0.0))
    result = sg("bench", suite, *SMALL)
    assert result.status == 0, result.err
    rows = [json.loads(line) for line in result.text.splitlines()]
    assert len(rows) == works
    assert all(row["native"]["peak_bytes"] > 0 for row in rows)
    assert all(row["floor"]["seconds"] > 0 and row["reference"]["seconds"] > 0 for row in rows)


def test_projection_rows(monkeypatch):
    monkeypatch.setattr("sgcli.bench.projection.REFERENCE_REPEATS", 1)
    monkeypatch.setattr("sgcli.bench.timing.time_in_turns.__defaults__", (1, 0.0))
    rows = list(project_rows("sg2", 16, 2, torch.device("cpu"), "fp32", channel_base=64, channel_max=8, tiny=True))
    assert [row.images for row in rows] == [1, 2]
    for row in rows:
        assert set(row.timings) == {"native", "networks"} and "of the step is outside" in as_line(row)


def test_bad_input():
    assert_refused(sg("bench", "speed"), 2, "ops, generate, train, project")
    assert_refused(sg("bench", "ops", "--precision", "int8"), 2, "fp32")
