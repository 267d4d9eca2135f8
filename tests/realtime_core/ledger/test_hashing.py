"""Hashing: both sides of a hop must come to the same key, in every version that may run beside this one."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from realtime_core.ledger import key_of, keys_of
from realtime_core.ledger.hashing import CELL_SALT, CHECK_SALT, KEY_MASK, PRIME, check_of, mix
from realtime_core.ledger.table import CELLS, _cells, _mix, cells_of

PINNED_KEYS = [938578332269909186, 488133367394881055, 305340892826538192, 546072451762687155]
PINNED_CELLS = [(188, 505, 620, 811), (215, 496, 528, 876), (133, 290, 737, 883), (140, 348, 754, 1001)]
PINNED_CHECKS = [2007848143586818235, 1429496844213877026, 1464971332560229637, 1332518423204515934]


def test_keys_never_change_from_one_version_to_the_next() -> None:
    # Pinned: a sender of one version and a receiver of another must agree, or everything would seem to be lost.
    assert [key_of(text) for text in ("", "a", "user:1 1f-12", "é")] == PINNED_KEYS
    assert [cells_of(key) for key in PINNED_KEYS] == PINNED_CELLS
    assert [check_of(key) for key in PINNED_KEYS] == PINNED_CHECKS


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=())), max_size=20))
def test_many_ids_hash_as_one_by_one_whatever_they_hold(ids: list[str]) -> None:
    keys = keys_of(ids).tolist()
    assert keys == [key_of(text) for text in ids]
    assert all(0 < key <= KEY_MASK for key in keys)


@given(st.lists(st.integers(1, KEY_MASK), min_size=1, max_size=50))
def test_the_array_forms_agree_with_the_plain_ones(keys: list[int]) -> None:
    import numpy as np

    array = np.array(keys, dtype=np.uint64)
    assert _mix(array ^ np.uint64(CELL_SALT)).tolist() == [mix(key ^ CELL_SALT) for key in keys]
    assert [(mix(key ^ CHECK_SALT) >> 3) % PRIME for key in keys] == [check_of(key) for key in keys]
    in_fours = _cells(array, CELLS).reshape(4, len(keys)).T.tolist()
    assert [tuple(cells) for cells in in_fours] == [cells_of(key) for key in keys]


def in_another_process(script: str) -> str:
    words = [sys.executable, "-c", script]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=20).stdout.strip()


def test_importing_the_ledger_and_counting_a_few_ids_does_not_import_numpy() -> None:
    script = (
        "import sys, redis\n"
        "from realtime_core.ledger import Ledger\n"
        "ledger = Ledger(redis.Redis(), 'n', 'o#1')\n"
        "ledger.sent('a>b', ['1', '2'], 12.5)\n"
        "print(sorted({'numpy', 'gevent', 'locust'} & set(sys.modules)))\n"
    )
    assert in_another_process(script) == "[]"


def test_who_prepares_has_imported_all_that_counting_many_ids_needs() -> None:
    script = (
        "import sys, redis\n"
        "from realtime_core.ledger import Ledger, prepare\n"
        "prepare()\n"
        "before = set(sys.modules)\n"
        "ledger = Ledger(redis.Redis(), 'n', 'o#1')\n"
        "ledger.sent('a>b', [str(number) for number in range(2_000)], 12.5)\n"
        "print(sorted(name for name in set(sys.modules) - before if name.startswith(('numpy', 'realtime_core'))))\n"
    )
    assert in_another_process(script) == "[]"
