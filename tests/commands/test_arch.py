"""`sg arch`: the list, and differences."""

from __future__ import annotations

import json

from sgcli.models.registry import ROWS
from tests.cli import assert_refused, sg


def rows_of(*arguments) -> list[dict]:
    result = sg("arch", *arguments)
    assert result.status == 0, result.err
    return [json.loads(line) for line in result.text.splitlines()]


def test_list():
    rows = rows_of("--resolution", 64)
    assert [row["name"] for row in rows] == [row.name for row in ROWS]
    by_name = {row["name"]: row for row in rows}
    assert by_name["sg1-f"]["alias"] == "sg1" and by_name["sg2-c"]["below"] == "sg2-b"
    assert by_name["sg2-f"]["g_parameters"] > by_name["sg2-e"]["g_parameters"] > 2e7
    assert rows_of("--resolution", 64, "--tiny")[0]["g_parameters"] < 1e6
    assert_refused(sg("arch", "--resolution", 100), 2, "power of two")


def test_diff():
    changes = {row["setting"]: row for row in rows_of("diff", "sg2-c", "sg2-e")}
    assert changes["training.pl_weight"] == {"setting": "training.pl_weight", "sg2-c": 0.0, "sg2-e": 2.0}
    assert changes["G.class"]["sg2-e"] == "stylegan2-g"
    assert changes["training.growing.initial_resolution"]["sg2-e"] is None
    assert "G.z_dim" not in changes
    assert rows_of("diff", "sg1", "sg2-a") == []
    assert_refused(sg("arch", "diff", "sg2-c", "sg2-x"), 2, "unknown architecture")
