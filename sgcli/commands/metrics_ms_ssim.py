"""`sg metrics ms-ssim`: how alike pictures of one set are."""

from __future__ import annotations

from sgcli.commands import metrics_shared as shared
from sgcli.commands import options


def ms_ssim(
    sources: shared.Sources = None,
    model: options.ModelFile = None,
    num: shared.Num = None,
    trunc: shared.Trunc = 1.0,
    seed: options.Seed = 0,
    batch: shared.Batch = None,
    device: options.Device = "auto",
    procs: shared.Procs = 1,
    as_json: shared.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Similarity (MS-SSIM) of random pairs of pictures, 0 to 1: the higher, the less they vary.

    Compare with the same number for the training pictures: well above it, the model has lost variety.

    sg metrics ms-ssim -m runs/00000-sg2-faces

    sg metrics ms-ssim faces.zip
    """
    from sgcli.metrics.registry import METRICS

    job = shared.open_job(sources, model, None, num=num, seed=seed, batch=batch, device=device, trunc=trunc)
    shared.measure(METRICS["ms-ssim"], job, as_json)
