"""Resolution of settings: architecture, sizes of the data, explicit options, in rising order."""

from __future__ import annotations

import pytest

from sgcli.errors import UsageError
from sgcli.training.config import TrainingConfig, differences, resolve_config


def data(resolution=32, **more):
    return {
        "resolution": resolution,
        "num_channels": 3,
        "label_dim": 0,
        "path": "x",
        "fingerprint": "f",
        "name": "x",
    } | more


def resolve(resolution=32, **options):
    return resolve_config("sg2", data(resolution), options, tiny=True)


@pytest.mark.parametrize(("resolution", "batch"), [(32, 32), (128, 32), (256, 16), (512, 8), (1024, 4)])
def test_auto_sizes(resolution, batch):
    config = resolve(resolution)
    assert config.batch == batch
    assert config.r1_gamma == pytest.approx(0.0002 * resolution**2 / batch)
    assert config.ema_kimg == pytest.approx(batch * 10 / 32)
    assert config.g_lr == config.d_lr == (0.002 if resolution == 1024 else 0.0025)


def test_options_win_and_reach_the_networks():
    config = resolve(batch=8, r1_gamma=3.0, lr=0.01, z_dim=5, channel_max=7, g_connection="orig")
    assert (config.batch, config.batch_gpu, config.r1_gamma, config.g_lr, config.d_lr) == (8, 8, 3.0, 0.01, 0.01)
    assert (config.G["z_dim"], config.G["channel_max"], config.D["channel_max"]) == (5, 7, 7)
    assert (config.G["architecture"], config.D["architecture"]) == ("orig", "resnet")


def test_stddev_groups_divide_the_micro_batch():
    assert [resolve(batch=batch).D["mbstd_group_size"] for batch in (1, 2, 3, 6, 8, 7)] == [1, 2, 3, 3, 4, 1]


def test_what_cannot_work_is_refused():
    with pytest.raises(UsageError, match="does not divide"):
        resolve(batch=8, batch_gpu=3)
    with pytest.raises(UsageError, match="no channels at 32"):
        resolve(channel_base=16)
    with pytest.raises(UsageError, match="0 layers needs w_dim"):
        resolve(mapping_layers=0, w_dim=3)


def test_config_survives_its_file(tmp_path):
    config = resolve(batch=8)
    config.save(tmp_path / "config.json")
    assert TrainingConfig.load(tmp_path / "config.json") == config


def test_differences_name_what_matters_only():
    old = resolve(batch=8)
    new = resolve(batch=8, kimg=3.0, snap_kimg=1.0, keep_last=2)
    new.data["path"] = "elsewhere"
    assert differences(old, new) == []
    lines = differences(old, resolve(batch=4, z_dim=3))
    assert "batch: 8 in the run, 4 now" in lines
    assert "G.z_dim: 128 in the run, 3 now" in lines


def test_a_configuration_that_is_nested_without_end(tmp_path):
    from sgcli.errors import FormatError

    (tmp_path / "config.json").write_text("[" * 100_000)
    with pytest.raises(FormatError, match="is not the configuration of a run"):
        TrainingConfig.load(tmp_path / "config.json")
