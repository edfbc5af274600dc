"""Tables of labels, good and bad."""

from __future__ import annotations

import numpy as np
import pytest

from sgcli.data.attribute_table import read_attribute_table
from sgcli.errors import FormatError


def test_a_table():
    text = "seed,smiling, glasses\r\n0,1,0\nseed0012.png,yes,No\n\nout/seed0003.png,-1,\n"
    table = read_attribute_table(b"\xef\xbb\xbf" + text.encode(), "t.csv")
    assert table.seeds == [0, 12, 3] and table.names == ["smiling", "glasses"]
    np.testing.assert_array_equal(table.values, [[1, 0], [1, 0], [0, np.nan]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "first row"),
        ("0,1\n1,0\n", "first row"),
        ("seed\n1\n", "first row"),
        ("seed,a,a\n", "first row"),
        ("seed,a\n1,0,0\n", "row 2: 3 places"),
        ("seed,a\n1,maybe\n", "row 2: 'maybe'"),
        ("seed,a\nx.jpg,1\n", "row 2: 'x.jpg'"),
        ("seed,a\n99999999999,1\n", "row 2"),
        ("seed,a\n4,1\nseed0004.png,1\n", "row 3: seed 4"),
        ("\xff\xfe".encode("latin1"), "not a CSV"),
    ],
)
def test_bad_tables(text, words):
    with pytest.raises(FormatError, match=r"^t\.csv") as raised:
        read_attribute_table(text if isinstance(text, bytes) else text.encode(), "t.csv")
    assert words in raised.value.message and raised.value.hint


def test_a_table_without_rows():
    assert read_attribute_table(b"seed,a\n", "t.csv").values.shape == (0, 1)
