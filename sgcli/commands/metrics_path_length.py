"""`sg metrics path-length`: the figure that path-length regularisation holds even."""

from __future__ import annotations

from sgcli.commands import metrics_shared as shared
from sgcli.commands import options


def path_length(
    model: options.ModelFile = None,
    num: shared.Num = None,
    seed: options.Seed = 0,
    batch: shared.Batch = None,
    device: options.Device = "auto",
    procs: shared.Procs = 1,
    as_json: shared.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """How strongly pictures answer to a step in W: the mean of |J'y|, and how much it varies from w to w.

    The regulariser of StyleGAN2 presses the relative deviation down; the mean itself means little.

    sg metrics path-length -m runs/00000-sg2-faces
    """
    from sgcli.metrics.registry import METRICS

    job = shared.open_job(None, model, None, num=num, seed=seed, batch=batch, device=device)
    shared.measure(METRICS["path-length"], job, as_json)
