"""`sg arch`: the architectures that can be trained, and what sets them apart."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgcli.errors import UsageError

if TYPE_CHECKING:
    from sgcli.models.registry import Preset

app = typer.Typer(help="List the architectures; compare two of them.")
Json = Annotated[bool, typer.Option("--json", help="JSON lines, also on a terminal.")]


@app.callback(invoke_without_command=True)
def list_architectures(
    context: typer.Context,
    resolution: Annotated[int, typer.Option(metavar="PIXELS", help="Count the parameters at this resolution.")] = 1024,
    tiny: Annotated[bool, typer.Option("--tiny", help="Count those of the narrow networks for a CPU.")] = False,
    as_json: Json = False,
) -> None:
    """List the architectures, one line each: what changed from the one below, parameters of G and D.

    sg arch

    sg arch --tiny --resolution 64

    sg arch diff sg2-c sg2-e
    """
    if context.invoked_subcommand is not None:
        return
    if resolution < 8 or resolution & (resolution - 1):
        raise UsageError(f"--resolution {resolution}: a power of two from 8 up", "--resolution 256")

    from sgcli.models import registry

    aliases = {target: alias for alias, target in registry.ALIASES.items()}
    for row in registry.ROWS:
        g, d = count_parameters(registry.resolve(row.name, tiny), resolution)
        facts = {
            "name": row.name,
            "alias": aliases.get(row.name),
            "below": row.below,
            "what": row.what,
            "resolution": resolution,
            "g_parameters": g,
            "d_parameters": d,
        }
        if as_json or not sys.stdout.isatty():
            print(json.dumps(facts))
        else:
            name = f"{row.name} = {aliases[row.name]}" if row.name in aliases else row.name
            print(f"{name:<12} {g / 1e6:>6.1f}M {d / 1e6:>6.1f}M  {row.what}")


def count_parameters(preset: Preset, resolution: int) -> tuple[int, int]:
    """Numbers of parameters of G and D, which are built without memory for them."""
    import torch

    from sgcli.models.registry import build_network

    with torch.device("meta"):
        networks = [build_network({**part, "img_resolution": resolution}) for part in (preset.G, preset.D)]
    g, d = (sum(parameter.numel() for parameter in network.parameters()) for network in networks)
    return g, d


@app.command()
def diff(
    first: Annotated[str, typer.Argument(metavar="ARCH")],
    second: Annotated[str, typer.Argument(metavar="ARCH")],
    as_json: Json = False,
) -> None:
    """Print in what two architectures differ, setting by setting.

    sg arch diff sg2-c sg2-e
    """
    from sgcli.models import registry

    presets = [registry.resolve(name) for name in (first, second)]
    settings = [flatten({"G": preset.G, "D": preset.D, "training": preset.training}) for preset in presets]
    changed = [
        {"setting": name, presets[0].name: settings[0].get(name), presets[1].name: settings[1].get(name)}
        for name in dict.fromkeys([*settings[0], *settings[1]])
        if settings[0].get(name) != settings[1].get(name)
    ]
    for change in changed:
        if as_json or not sys.stdout.isatty():
            print(json.dumps(change))
        else:
            name, *values = change.values()
            before, after = ("-" if value is None else value for value in values)
            print(f"{name:<34} {before}  →  {after}")


def flatten(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"G": {"z_dim": 512}} -> {"G.z_dim": 512}."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
