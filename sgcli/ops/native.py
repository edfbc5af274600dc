"""Load the native operators (sgcli/csrc), and decide for each call between them and the plain PyTorch reference.

There is a library for the CPU and, where there is a GPU, one more for it, built when the first tensor on it comes.

`SG_OPS` overrides the choice: `reference` never uses native code, `strict` refuses to go on without it, and `native`
(the default) uses it where it can be had.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import threading
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import torch

from sgcli.errors import SgError, UsageError
from sgcli.ops import build, nvcc
from sgcli.ops.build import Device

Impl = Literal["auto", "native", "reference"]
OPERATORS: dict[str, tuple[Device, ...]] = {  # and the devices that they have kernels for
    "bias_act": ("cpu", "cuda"),
    "modulated_bias_act": ("cpu", "cuda"),
    "conv3x3": ("cpu",),
    "upfirdn2d": ("cpu", "cuda"),
    "filtered_lrelu": ("cpu", "cuda"),
    "warp2d": ("cpu",),
}
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
MODES = ("native", "strict", "reference")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h

_registrations: list[Callable[[], None]] = []
_is_loaded = False
_loading = threading.Lock()
_is_switched_off = False


class Choice(NamedTuple):
    """Which implementation an operator uses for tensors on a device, and why."""

    operator: str
    device: Device
    implementation: str  # "native" or "reference"
    reason: str
    missing: bool = False  # native code should be there, and is not


def use_native(impl: Impl, x: torch.Tensor, operator: str) -> bool:
    """Whether a call of `operator` with first argument `x` runs native code.

    Raises ValueError for an unknown `impl` or where native code was asked for and cannot take x, SgError where it was
    asked for (by `impl` or SG_OPS=strict) and cannot be had.
    """
    if impl == "reference":
        return False
    if impl not in ("auto", "native"):
        raise ValueError(f"impl: '{impl}' is unknown; one of auto, native, reference")
    devices = OPERATORS[operator]
    takes_x = x.device.type in devices and x.dtype in DTYPES
    if impl == "auto":
        return takes_x and _is_default(x.device.type)
    if not takes_x:
        wanted = f"{_list_of_dtypes()} on {' or '.join(devices)}"
        raise ValueError(f"x: {x.dtype} on {x.device.type} given; native operators take {wanted}")
    return require(x.device.type)


def available(device: str = "cpu") -> bool:
    """Whether the native library for a kind of device is loaded, after building and loading it at the first call."""
    return _load(device) is None


def require(device: str = "cpu") -> bool:
    """True, or SgError with the repair where there is no native library for the device."""
    if problem := _load(device):
        raise SgError(f"the native operators cannot be used: {problem.what}", problem.repair)
    return True


@contextlib.contextmanager
def switched_off() -> Iterator[None]:
    """Within, `impl='auto'` means the reference: graphs that leave this process must not name our operators."""
    global _is_switched_off
    before, _is_switched_off = _is_switched_off, True
    try:
        yield
    finally:
        _is_switched_off = before


def _is_default(device: str) -> bool:
    return not _is_switched_off and mode() != "reference" and available(device)


# torch.compile calls these for their value instead of looking inside. (torch.compiler.assume_constant_result sets the
# same mark, and takes a second to import.)
for function in (require, _is_default, build.multiplies):
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]


def status(device: Device = "cpu") -> list[Choice]:
    """For each operator on a kind of device: which implementation `impl='auto'` uses, and why."""
    return [_choice(operator, device) for operator in OPERATORS]


def _choice(operator: str, device: Device) -> Choice:
    if mode() == "reference":
        return Choice(operator, device, "reference", "SG_OPS=reference")
    if device == "cuda" and not torch.cuda.is_available():
        pytorch = "finds none" if torch.version.cuda else f"{torch.__version__} is built without CUDA"
        return Choice(operator, device, "reference", f"no GPU: PyTorch {pytorch}")
    if device not in OPERATORS[operator]:
        return Choice(operator, device, "reference", f"has no {device} kernel")
    if problem := _load(device):
        return Choice(operator, device, "reference", f"{problem.what} ({problem.repair})", missing=True)
    if device == "cpu":
        return Choice(operator, device, "native", f"built for {build.cpu_name()} by {build.compiler_version()}")
    return Choice(operator, device, "native", f"built for {torch.cuda.get_device_name()} by nvcc, {nvcc.version()}")


def empty_image(x: torch.Tensor, h: int, w: int) -> torch.Tensor:
    """What native operators allocate for a result: `[N, C, h, w]` in x's dtype and memory format."""
    channels_last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    return torch.empty([*x.shape[:2], h, w], dtype=x.dtype, device=x.device, memory_format=memory_format)


def plain_filter(f: torch.Tensor | None) -> torch.Tensor | None:
    """`f` as native operators read it: contiguous, in float32 unless it has more."""
    if f is None or (f.dtype in (torch.float32, torch.float64) and f.is_contiguous()):
        return f
    return f.to(torch.promote_types(f.dtype, torch.float32)).contiguous()


def when_loaded(register: Callable[[], None]) -> Callable[[], None]:
    """Decorate a function that completes an operator in Python (fake kernel, derivative) once the library is there."""
    with _loading:
        if _is_loaded:  # by a module that was imported earlier
            register()
        else:
            _registrations.append(register)
    return register


@functools.cache
def mode() -> str:
    """The value of SG_OPS."""
    value = os.environ.get("SG_OPS", MODES[0])
    if value not in MODES:
        raise UsageError(f"SG_OPS={value}: one of {', '.join(MODES)} wanted", "unset SG_OPS")
    return value


def _load(device: str) -> build.Problem | None:
    with _loading:
        problem = _load_once("cpu")  # the schemas and derivatives are there, whatever the device
        return problem if problem or device == "cpu" else _load_once("cuda")


@functools.cache
def _load_once(device: Device) -> build.Problem | None:
    """Build if necessary and load. Returns what is wrong, or None."""
    try:
        torch.ops.load_library(build.library(device))
    except build.Problem as problem:
        if mode() == "strict":
            raise SgError(f"SG_OPS=strict, and no native operators: {problem.what}", problem.repair) from problem
        return problem
    if device == "cpu":
        _complete()
    return None


def _complete() -> None:
    global _is_loaded
    _is_loaded = True
    for register in _registrations:
        register()
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Have glibc keep large freed buffers for the next layer.

    It would return each to the system, and every page of the next one would have to be zeroed and mapped again: that
    is a tenth of the time of a generator.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, 1 << 30)
        mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)


def _list_of_dtypes() -> str:
    return ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)
