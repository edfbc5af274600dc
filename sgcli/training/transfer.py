"""Starting from another model's weights: what fits is copied, and layers of D may be kept as they are (Freeze-D)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import nn

from sgcli.errors import UsageError
from sgcli.models.checkpoint import Model
from sgcli.models.registry import build_generator, build_network

if TYPE_CHECKING:
    from sgcli.training.config import TrainingConfig

NAMES_SHOWN = 6


@dataclass
class Copied:
    """What became of the tensors of a network that was to start from another's."""

    total: int = 0
    copied: list[str] = field(default_factory=list)
    of_other_shape: dict[str, str] = field(default_factory=dict)  # name -> "8x10, the model has 8x5"
    missing: list[str] = field(default_factory=list)  # not in the model
    left_behind: list[str] = field(default_factory=list)  # in the model, and not in the network

    def describe(self, network: str) -> list[str]:
        """Lines for a person: how many were copied, and which were not."""
        lines = [f"{network}: {len(self.copied)} of {self.total} tensors copied"]
        shapes = [f"{name} ({shapes})" for name, shapes in self.of_other_shape.items()]
        for what, names in (
            ("of another shape, start afresh", _first(shapes)),
            ("not in the model, start afresh", _first(_by_module(self.missing))),
            ("in the model only, left behind", _first(_by_module(self.left_behind))),
        ):
            if names:
                lines.append(f"{network}: {what}: {names}")
        return lines


def copy_weights(generators: Sequence[nn.Module], D: nn.Module, source: Model, freeze_d: int = 0) -> list[str]:
    """Start the generators (G and its average) from the source's G_ema, and D from its D. Returns lines that say what
    was copied and what was not.

    Works across resolutions, widths, numbers of classes and architectures as far as names and shapes agree. Raises
    UsageError where they do for no weight at all, or not for the `freeze_d` layers of D that are to stay as they are.
    """
    lines, reports = [], {}
    for prefix, network in (*(("G_ema", G) for G in generators), ("D", D)):
        if prefix not in source.prefixes():
            lines.append(f"--init-from: {source.path} holds no {prefix}, which starts afresh")
            continue
        reports[prefix] = copy_matching(source.load(prefix).state_dict(), network)
    if not any(name.endswith("weight") for report in reports.values() for name in report.copied):
        raise UsageError(
            f"--init-from {source.path}: a {source.arch}, of whose weights none fits",
            f"sg info {source.path} tells its sizes; --arch, --channels-base and --channels-max set them",
        )
    check_frozen(D, freeze_d, reports["D"].copied if "D" in reports else [])
    for prefix, report in reports.items():
        first, *rest = report.describe(prefix[0])
        lines += [f"--init-from: {line}" for line in (f"{first} from {source.path}", *rest)]
    return lines


def plan_copy(config: TrainingConfig, source: Model) -> list[str]:
    """What `copy_weights` would say of a run of `config`, and raise: nothing is trained, nor is there memory for it."""
    with torch.device("meta"):
        G, D = build_generator(config.G), build_network(config.D)
    return copy_weights([G], D, source, config.freeze_d)


def check_frozen(D: nn.Module, freeze_d: int, copied: list[str]) -> None:
    """Raise UsageError where a layer that will not learn has not been copied from a trained one either."""
    frozen = {id(parameter) for parameter in frozen_parameters(D, freeze_d)}
    for name, parameter in D.named_parameters():
        if id(parameter) in frozen and name not in copied:
            raise UsageError(
                f"--freeze-d {freeze_d}: D's {name} would stay as it is, and the model has none that fits",
                "leave --freeze-d out, or train at the model's resolution and width (sg info tells them)",
            )


def copy_matching(given: Mapping[str, torch.Tensor], network: nn.Module) -> Copied:
    """Copy parameters and running means of equal name and shape. Filters follow from a network's design and stay."""
    given = {name: tensor for name, tensor in given.items() if not _is_designed(name)}
    wanted = {name: tensor for name, tensor in network.state_dict().items() if not _is_designed(name)}
    report = Copied(total=len(wanted), left_behind=[name for name in given if name not in wanted])
    for name, tensor in wanted.items():
        if name not in given:
            report.missing.append(name)
        elif given[name].shape != tensor.shape:
            report.of_other_shape[name] = f"{_size(tensor)}, the model has {_size(given[name])}"
        else:
            tensor.copy_(given[name])
            report.copied.append(name)
    return report


def frozen_parameters(D: nn.Module, num_layers: int) -> list[nn.Parameter]:
    """Parameters of the first `num_layers` layers of D from the image side (spec stylegan2-ada §2.5).

    fromrgb counts, conv0, conv1 and skip of the finest block, then those of the next. Raises UsageError for more layers
    than there are in front of the last block, which is never frozen.
    """
    blocks = [block for name, block in D.named_children() if name not in ("b4", "mapping")]
    layers = [layer for block in blocks for layer in block.children() if any(True for _ in layer.parameters())]
    if num_layers > len(layers):
        raise UsageError(
            f"--freeze-d {num_layers}: this discriminator has {len(layers)} layers in front of its last block",
            f"--freeze-d {min(len(layers), 10)}",
        )
    return [parameter for layer in layers[:num_layers] for parameter in layer.parameters()]


def _is_designed(name: str) -> bool:
    return name.endswith("_filter")


def _size(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "one number"


def _by_module(names: list[str]) -> list[str]:
    """'synthesis.b64.conv0.weight', … -> 'synthesis.b64 (14)'."""
    counts: dict[str, int] = {}
    for name in names:
        parts = name.split(".")
        module = ".".join(parts[: 2 if parts[0] in ("synthesis", "mapping") else 1])
        counts[module] = counts.get(module, 0) + 1
    return [f"{module} ({count})" for module, count in counts.items()]


def _first(names: list[str]) -> str:
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
