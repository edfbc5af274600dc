"""The floor: what the convolutions and matrix products of a piece of work cost alone.

The work runs once while every such call is written down; then only these calls are made, on ready tensors of the same
shapes. What a network takes beyond this is what its operators, copies and bookkeeping cost; it can take less where our
own convolution (ops.conv2d) does with fewer multiplications.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

aten = torch.ops.aten
# Convolutions, and the place of `groups` among their arguments. Without autograd the composite ones arrive whole.
CONVOLUTIONS: dict[Callable, int] = {
    aten.convolution.default: 8,
    aten.convolution_backward.default: 9,
    aten.conv2d.default: 6,
    aten.conv_transpose2d.input: 6,
}
OWN_CONVOLUTIONS = ("sg::conv3x3", "sg::conv3x3_weight_grad")
PRODUCTS = {aten.mm.default, aten.addmm.default, aten.bmm.default, aten.matmul.default, aten.linear.default}


@dataclass
class Recorder(TorchDispatchMode):
    """Writes down every convolution and matrix product that is called inside its `with`."""

    calls: list[tuple[Callable, tuple, dict]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.name() in OWN_CONVOLUTIONS:
            self.calls.append((*_as_pytorch(func, *args), {}))
        elif func in PRODUCTS or (func in CONVOLUTIONS and not _is_depthwise(func, args)):
            self.calls.append((func, tree_map(_stand_in, args), dict(kwargs or {})))
        return func(*args, **(kwargs or {}))


def record(work: Callable[[], object]) -> list[tuple[Callable, tuple, dict]]:
    """The convolutions and matrix products of `work`, ready to be called again."""
    with Recorder() as recorder:
        work()
    return recorder.calls


def replay(calls: list[tuple[Callable, tuple, dict]]) -> None:
    """Make the calls, and nothing else."""
    with torch.inference_mode():
        for function, args, kwargs in calls:
            function(*args, **kwargs)


def _stand_in(value: Any) -> Any:
    """A tensor of the same shape and type, channels-last where it is 4-D: what convolution likes best."""
    if not isinstance(value, torch.Tensor):
        return value
    tensor = torch.randn(value.shape, dtype=torch.float32, device=value.device).to(value.dtype)
    return tensor.to(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def _as_pytorch(func: Any, x: torch.Tensor, other: torch.Tensor, padding: int, *_flip: bool) -> tuple:
    """PyTorch's convolution of the same work: the function and its arguments."""
    pad, geometry = [padding, padding], ([1, 1], False, [0, 0], 1)  # dilation, transposed, output padding, groups
    x, other = _stand_in(x), _stand_in(other)
    if func.name() == OWN_CONVOLUTIONS[0]:
        return aten.convolution.default, (x, other, None, [1, 1], pad, *geometry)
    w = _stand_in(x.new_empty([other.shape[1], x.shape[1], 3, 3]))
    return aten.convolution_backward.default, (other, x, w, None, [1, 1], pad, *geometry, [False, True, False])


def _is_depthwise(func: Callable, args: tuple) -> bool:
    """FIR filters of the reference are depthwise convolutions; they are not part of the floor."""
    place = CONVOLUTIONS[func]
    return len(args) > place and args[place] > 1
