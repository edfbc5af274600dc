"""Groups of one and of three: what every call gives."""

from __future__ import annotations

import pytest
import torch
from torch.multiprocessing import ProcessRaisedException

from sgcli.distributed.group import Group
from tests.distributed.in_processes import run_in_group


def try_everything(group: Group) -> dict:
    x = torch.tensor([1.0, 2.0]) * (group.rank + 1)
    x.requires_grad_(True)
    mean = group.mean(x)
    (mean.square().sum() * (group.rank + 1)).backward()
    (slope,) = torch.autograd.grad(group.mean(x).pow(3).sum(), x, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), x)
    tensors = [torch.full((2, 3), float(group.rank)), torch.full((4,), group.rank, dtype=torch.float64)]
    group.average_(tensors)
    dealt = group.deal(list(range(7)))
    return {
        "mean": mean.tolist(),
        "gradient": x.grad.tolist(),
        "curvature": curvature.tolist(),
        "average": [tensor[0].tolist() for tensor in tensors],
        "total": group.total(group.rank, 1),
        "largest": group.largest(group.rank * 2),
        "leader": group.from_leader(f"from {group.rank}"),
        "collected": group.collect(dealt),
        "rows": group.collect_rows(torch.tensor(dealt)[:, None], 7).flatten().tolist(),
        "dealt": dealt,
    }


def test_alone_everything_is_an_identity():
    result = try_everything(Group())
    assert result["mean"] == [1, 2] and result["gradient"] == [2, 4] and result["curvature"] == [6, 12]
    assert result["total"] == [0, 1] and result["largest"] == 0 and result["leader"] == "from 0"
    assert result["collected"] == result["rows"] == result["dealt"] == list(range(7))


def test_three_workers():
    results = run_in_group(try_everything, 3)
    for rank, result in enumerate(results):
        assert result["mean"] == [2, 4]
        # The mean over workers of (r + 1)·|m|², with m = mean of x: ∂/∂x = 2m · mean(r + 1) / 3, times the 3 workers.
        assert torch.tensor(result["gradient"]).allclose(torch.tensor([8.0, 16.0]))
        assert result["curvature"] == [12, 24]  # 6m
        assert result["average"] == [[1, 1, 1], 1]
        assert result["total"] == [3, 3] and result["largest"] == 4 and result["leader"] == "from 0"
        assert result["collected"] == (list(range(7)) if rank == 0 else [])
        assert result["rows"] == list(range(7))
        assert result["dealt"] == list(range(7))[rank::3]


def make_optimizer(group: Group) -> None:
    """It imports much of PyTorch; some of that takes hold of the default group, if there is one by then."""
    torch.optim.Adam([torch.zeros(1)])
    group.wait()


def fail(group: Group) -> None:
    group.wait()
    raise ValueError("on purpose")


def test_no_thread_outlives_the_group():
    run_in_group(make_optimizer, 2)  # which looks


def test_no_thread_outlives_the_group_after_a_failure():
    with pytest.raises(ProcessRaisedException, match="on purpose"):
        run_in_group(fail, 2)
