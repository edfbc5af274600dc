"""`sg metrics eq-t`, `eq-t-frac`, `eq-r`: how well pictures move and turn with the input of a StyleGAN3."""

from __future__ import annotations

from collections.abc import Callable

from sgcli.commands import metrics_shared as shared
from sgcli.commands import options

HELP = {
    "eq-t": """Equivariance to translation by whole pixels (EQ-T), in dB: 60 is as good as exact, 15 is StyleGAN2's.

    sg metrics eq-t -m runs/00000-sg3-t-faces --num 1000
    """,
    "eq-t-frac": """Equivariance to any translation, in dB; the reference is interpolated with a Lanczos filter.

    sg metrics eq-t-frac -m runs/00000-sg3-t-faces --num 1000
    """,
    "eq-r": """Equivariance to rotation (EQ-R), in dB. Only StyleGAN3-R is built for it.

    sg metrics eq-r -m runs/00000-sg3-r-faces --num 1000
    """,
}


def equivariance_command(name: str) -> Callable[..., None]:
    """The command of one of the three: all have the same options."""

    def command(
        model: options.ModelFile = None,
        data: shared.Data = None,
        num: shared.Num = None,
        seed: options.Seed = 0,
        device: options.Device = "auto",
        procs: shared.Procs = 1,
        as_json: shared.Json = False,
        quiet: options.Quiet = False,
    ) -> None:
        from sgcli.metrics.registry import METRICS

        job = shared.open_job(None, model, data, num=num, seed=seed, device=device)
        shared.measure(METRICS[name], job, as_json)

    command.__doc__ = HELP[name]
    return command
