"""`sg arch`: the architectures that can be trained."""

from __future__ import annotations


def arch() -> None:
    """List the architectures, one line each."""
    from sgcli.models import registry

    aliases = {target: alias for alias, target in registry.ALIASES.items()}
    for row in registry.ROWS:
        name = f"{row.name} (= {aliases[row.name]})" if row.name in aliases else row.name
        print(f"{name:<18} {row.what}")
