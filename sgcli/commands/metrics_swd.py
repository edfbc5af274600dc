"""`sg metrics swd`: sliced Wasserstein distance, which needs no trained network."""

from __future__ import annotations

from sgcli.commands import metrics_shared as shared
from sgcli.commands import options


def swd(
    sources: shared.Sources = None,
    model: options.ModelFile = None,
    data: shared.Data = None,
    num: shared.Num = None,
    trunc: shared.Trunc = 1.0,
    seed: options.Seed = 0,
    batch: shared.Batch = None,
    device: options.Device = "auto",
    procs: shared.Procs = 1,
    as_json: shared.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Sliced Wasserstein distance: do small patches look alike, at each scale? Times 1000; lower is better.

    Needs no trained network. The noise floor beside it is the distance between two halves of the real pictures.

    sg metrics swd -m runs/00000-sg2-faces --data faces.zip

    sg metrics swd fakes/ faces.zip --num 4096
    """
    from sgcli.metrics.registry import METRICS

    job = shared.open_job(sources, model, data, num=num, seed=seed, batch=batch, device=device, trunc=trunc)
    shared.measure(METRICS["swd"], job, as_json)
