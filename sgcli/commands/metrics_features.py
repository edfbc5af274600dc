"""`sg metrics fid`, `kid`, `pr`, `is`: numbers from the features of two sets of pictures."""

from __future__ import annotations

from collections.abc import Callable

from sgcli.commands import metrics_shared as shared
from sgcli.commands import options

HELP = {
    "fid": """Fréchet distance (FID): how far the measured pictures are from the real ones, all in all. Lower is better.

    Few pictures make it too large: compare values with equal counts only, or use kid.

    sg metrics fid -m runs/00000-sg2-faces --data faces.zip

    sg metrics fid fakes/ faces.zip --num 5000 --protocol clean --stderr
    """,
    "kid": """Kernel distance (KID): like FID, but unbiased, so that few pictures will do. Lower is better.

    sg metrics kid -m runs/00000-sg2-faces --data faces.zip
    """,
    "pr": """Precision (are pictures like real ones?) and recall (are all kinds of real ones among them?), 0 to 1.

    sg metrics pr -m runs/00000-sg2-faces --data faces.zip
    """,
    "is": """Inception score (IS): clearly of some class, and of many classes? Needs no real pictures. Higher is better.

    sg metrics is -m runs/00000-sg2-faces
    """,
}


def feature_command(name: str) -> Callable[..., None]:
    """The command of one metric on features: all have the same options."""

    def command(
        sources: shared.Sources = None,
        model: options.ModelFile = None,
        data: shared.Data = None,
        num: shared.Num = None,
        protocol: shared.Protocol = "nvidia",
        extractor: shared.Extractor = None,
        weights: shared.Weights = None,
        trust: shared.Trust = False,
        stderr: shared.Stderr = False,
        trunc: shared.Trunc = 1.0,
        seed: options.Seed = 0,
        batch: shared.Batch = None,
        device: options.Device = "auto",
        procs: shared.Procs = 1,
        as_json: shared.Json = False,
        quiet: options.Quiet = False,
    ) -> None:
        from sgcli.metrics.registry import METRICS

        job = shared.open_job(
            sources,
            model,
            data,
            num=num,
            seed=seed,
            batch=batch,
            device=device,
            trunc=trunc,
            protocol=protocol,
            extractor=extractor,
            weights=weights,
            trust=trust,
            stderr=stderr,
        )
        shared.measure(METRICS[name], job, as_json)

    command.__doc__ = HELP[name]
    return command
