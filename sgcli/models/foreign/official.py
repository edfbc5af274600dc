"""The pickles of StyleGAN2-ADA and StyleGAN3 in PyTorch, and of their forks (spec stylegan2-ada §3, stylegan3 §9).

A file is a dict of pickled modules: G, D, G_ema, augment_pipe. Each module is one call with the source text of its
class, which is ignored, and with its attributes, which say everything: the class's name, the arguments, the tensors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from sgcli.models.foreign import arrays, torch_files
from sgcli.models.foreign.contents import Contents
from sgcli.models.foreign.official_networks import (
    ADA_DEFAULTS,
    SG3_DEFAULTS,
    UnknownNetwork,
    discriminator,
    generator,
    is_ada,
    is_stylegan3,
)
from sgcli.models.foreign.pickles import PickleError, Record, printable

PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj"
_CONTAINERS = {f"torch.nn.modules.container.{name}" for name in ("ModuleList", "ModuleDict", "Sequential")}
NAMES = {PERSISTENT, *_CONTAINERS, *torch_files.NAMES, *arrays.NAMES}

LICENSE_NOTE = (
    "the weights keep the licence of their source (NVIDIA's published ones: Nvidia Source Code License, non-commercial)"
)
PREFIXES = ("G_ema", "G", "D")
KNOWN = {*PREFIXES, "augment_pipe", "training_set_kwargs", "progress", "cur_nimg"}


@dataclass
class ModuleData:
    """A pickled module and those below it, by dotted names relative to it ("" is the module itself)."""

    class_name: str
    attributes: dict[str, dict[str, Any]] = field(default_factory=dict)
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)

    def get(self, module: str, attribute: str, default: Any = None) -> Any:
        """An attribute of the module called `module`, NumPy's numbers as Python's."""
        return arrays.to_plain(self.attributes.get(module, {}).get(attribute, default))

    @property
    def arguments(self) -> dict[str, Any]:
        """What the outermost constructor was called with; the dicts for inner constructors are merged in."""
        given = dict(self.get("", "_init_kwargs") or {})
        inner = given.pop("synthesis_kwargs", None) or {}
        return {name: arrays.to_plain(value) for name, value in {**given, **inner}.items()}


def is_official(content: Any) -> bool:
    return isinstance(content, dict) and any(_is_module(content.get(prefix)) for prefix in PREFIXES)


def read_official(content: dict[str, Any]) -> Contents:
    """The networks of a pickled dict. Raises PickleError where there is no generator that sg can build."""
    modules = {prefix: read_module(content[prefix]) for prefix in PREFIXES if _is_module(content.get(prefix))}
    shown = modules.get("G_ema") or modules.get("G")
    if shown is None:
        raise PickleError("holds no generator (G_ema or G)")
    networks = {"G_ema": generator(shown)}
    if "G" in modules and shown is not modules["G"]:
        networks["G"] = generator(modules["G"])
    left_out = [f"'{printable(key)}'" for key in content if isinstance(key, str) and key not in KNOWN]
    if "D" in modules:
        try:
            networks["D"] = discriminator(modules["D"], ADA_DEFAULTS if is_ada(shown) else SG3_DEFAULTS)
        except UnknownNetwork as error:
            left_out.append(f"D ({error})")
    specification = networks["G_ema"].specification
    if is_stylegan3(shown):
        format_name, arch = "StyleGAN3 (PyTorch)", "sg3-r" if specification["use_radial_filters"] else "sg3-t"
    else:
        format_name, arch = "StyleGAN2-ADA (PyTorch)" if is_ada(shown) else "StyleGAN2 (StyleGAN3's code base)", "sg2"
    return Contents(format_name, arch, networks, LICENSE_NOTE, _facts(content), left_out)


def read_module(record: Record) -> ModuleData:
    """Collect attributes and tensors of a module and all below it. Raises PickleError for one that contains itself."""
    data = ModuleData(_class_and_state(record)[0])
    pending, seen = [("", record)], set()
    while pending:
        path, record = pending.pop()
        if id(record) in seen:
            raise PickleError("is refused: a module in two places")
        seen.add(id(record))
        state = _class_and_state(record)[1]
        data.attributes[path] = state
        prefix = f"{path}." if path else ""
        for name, value in {**state.get("_parameters", {}), **state.get("_buffers", {})}.items():
            if value is not None:
                data.tensors[f"{prefix}{name}"] = torch_files.to_tensor(value)
        children = state.get("_modules", {}).items()
        pending += [(f"{prefix}{name}", child) for name, child in children if child is not None]
    return data


def _is_module(value: Any) -> bool:
    return isinstance(value, Record) and value.name in {PERSISTENT, *_CONTAINERS}


def _class_and_state(record: Any) -> tuple[str, dict[str, Any]]:
    if not _is_module(record):
        raise PickleError("is damaged (something else in the place of a module)")
    if record.name in _CONTAINERS:
        name, state = record.name, record.state
    else:
        name, state = record.args[0]["class_name"], record.args[0]["state"]
    if not isinstance(name, str) or not isinstance(state, dict):
        raise PickleError("is damaged (a module without name or state)")
    return name, state


def _facts(content: dict[str, Any]) -> dict[str, Any]:
    """What the file says beside its networks. The position in training is written by some forks only."""
    facts: dict[str, Any] = {}
    progress = content.get("progress")
    position = progress.get("cur_nimg") if isinstance(progress, dict) else content.get("cur_nimg")
    if (nimg := _number(position)) is not None:
        facts["kimg"] = nimg / 1000
    pipe = content.get("augment_pipe")
    if _is_module(pipe) and (p := _number(_class_and_state(pipe)[1].get("_buffers", {}).get("p"))) is not None:
        facts["augment_p"] = round(p, 6)  # stored in single precision
    data = content.get("training_set_kwargs")
    if isinstance(data, dict):
        kept = {"path": "path", "max_size": "num_images", "xflip": "mirror", "use_labels": "labels"}
        facts["data"] = {ours: data[key] for key, ours in kept.items() if isinstance(data.get(key), str | int)}
        if "path" in facts["data"]:
            facts["data"]["name"] = str(facts["data"].pop("path")).replace("\\", "/").rstrip("/").rpartition("/")[2]
    return facts


def _number(value: Any) -> float | None:
    if torch_files.is_tensor(value):
        value = torch_files.to_tensor(value)
    value = arrays.to_plain(value)
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        value = value.item()
    return float(value) if isinstance(value, int | float) else None
