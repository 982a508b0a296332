"""Erlang's hash and its chance, against what Erlang/OTP 25 and 27 answer."""

from __future__ import annotations

from typing import Any

import pytest

from mockbroker.core.exchanges.erlang import jump_consistent_hash, phash2
from mockbroker.terms import Atom

HASHES: list[tuple[int, Any]] = [
    (113_427_502, []),
    (87_486_268, ()),
    (13_708_901, b""),
    (45_914_356, Atom("undefined")),
    (506_293, Atom("true")),
    (7_111_573, Atom("false")),
    (88_723_725, 0),
    (2_614_250, 1),
    (44_071_773, -1),
    (5_878_562, 5),
    (112_602_999, 134217727),
    (12_354_923, 134217728),
    (69_672_967, -134217728),
    (76_739_502, -134217729),
    (95_053_261, 4294967295),
    (95_057_355, 4294967296),
    (35_930_262, -4294967296),
    (39_852_678, 9223372036854775808),
    (126_213_383, -9223372036854775808),
    (26_969_617, 576460752303423488),
    (31_803_508, 1152921504606846976),
    (77_147_068, 1.0),
    (20_875_736, -0.0),
    (20_875_736, 0.0),
    (119_729_543, 3.25),
    (65_711_459, (Atom("longstr"), b"a")),
    (40_839_585, (Atom("signedint"), 5)),
    (8_099_856, (Atom("long"), -7)),
    (32_030_443, (Atom("bool"), Atom("true"))),
    (27_077_197, (Atom("void"), Atom("undefined"))),
    (59_280_699, (Atom("timestamp"), 1700000000)),
    (113_508_173, (Atom("decimal"), (2, 314))),
    (35_934_167, (Atom("array"), [(Atom("longstr"), b"x"), (Atom("signedint"), 1)])),
    (95_356_243, (Atom("table"), [(b"k", Atom("longstr"), b"v")])),
    (86_211_673, (Atom("array"), [])),
    (25_788_620, [1, 2, 3]),
    (90_049_352, [1, 2, 3, 4]),
    (66_056_394, [1, 2, 3, 4, 5]),
    (99_763_619, [300]),
    (82_184_728, [1, 300, 2]),
    (403_364, [b"k"]),
    (9_305_725, [b"k", b"l"]),
    (38_220_213, [b""]),
    (71_728_499, (Atom("binary"), b"\x00\x01\x02")),
    (126_418_831, (Atom("double"), 2.5)),
    (117_343_302, [97, 98, 99]),
    (7_682_534, [Atom("undefined")]),
    (17_560_713, ((),)),
    (30_249_041, ([],)),
    (96_416_884, [[]]),
    (109_942_119, [[1], [2]]),
    (40_565_202, [1, Atom("a")]),
    (88_973_546, (Atom("unsignedbyte"), 200)),
    (89_606_477, b"\x8a"),
    (119_172_945, b"\x8eS\xf0\x8a"),
    (34_487_468, b"\x13F\x96\xbf\x9d \xc1\xe8"),
    (13_464_690, b"a\x9f\xcb7`\x8cH\xe1\xa3\xe2\xbb"),
    (115_595_751, b"\xfa=\xf7\x06\x19gD1\xc8\xad\x13L"),
    (58_602_695, b'2\x8c\xd0\xc7\xf2\xd6\xe5">3\x8a\x9b\xc0'),
    (48_738_694, b"\xcb|\xc5\xe4'g\xf9G\x9f\x93\x96\x8b\x15a\x94\x968\xb57\xae"),
    (88_181_090, b"#\x8b\xda\x99\xa9sBe}\xd7\x94U\xf6b-\xa1a\x95k\x81T\x9f*\x12"),
    (
        54_725_738,
        b'S\xfd\xb8"\x85\xceofvi\xb1\x15\xecd\xf7\x89nn\xb9?H\xa7.a\xe5\xfa^\x8c\x8b\xf0\x00\x80i\x15<',
    ),
    (
        16_479_816,
        b"\xe4\x08\x8f\xa0CaN\xdb\x9c\xe6g\xd8;5m\x08\x99D\xa64\xf3\x13\xdd\xb7\x89\xe4c^T\x01\xe7\x08,C\xc4G\xd3p\xf1\xf48\x98q\xa2O\x87i\x14\xd3\xa0\x0b\x04\xf0\x9b}hP\xb5K\xef",
    ),
]

JUMPS = [
    (0, 2, 0),
    (0, 7, 4),
    (0, 100, 47),
    (1, 2, 0),
    (1, 7, 3),
    (1, 100, 29),
    (5, 2, 0),
    (5, 7, 4),
    (5, 100, 65),
    (123_456, 2, 1),
    (123_456, 7, 1),
    (123_456, 100, 45),
    (134_217_727, 2, 0),
    (134_217_727, 7, 6),
    (134_217_727, 100, 74),
    (2_097_151, 2, 0),
    (2_097_151, 7, 6),
    (2_097_151, 100, 74),
    (2_097_152, 2, 0),
    (2_097_152, 7, 4),
    (2_097_152, 100, 47),
    (-1, 2, 0),
    (-1, 7, 6),
    (-1, 100, 74),
    (-5, 2, 0),
    (-5, 7, 2),
    (-5, 100, 69),
    (1_700_000_000_000, 2, 1),
    (1_700_000_000_000, 7, 5),
    (1_700_000_000_000, 100, 77),
    (1_099_511_627_776, 2, 0),
    (1_099_511_627_776, 7, 4),
    (1_099_511_627_776, 100, 47),
    (123_211_364, 41, 7),
    (123_211_364, 4, 3),
    (114_895_864, 15, 7),
    (114_895_864, 6, 5),
    (23_902_151, 18, 1),
    (23_902_151, 4, 1),
    (117_913_028, 9, 2),
    (117_913_028, 2, 1),
    (78_053_825, 27, 23),
    (78_053_825, 6, 1),
    (67_646_771, 10, 9),
    (67_646_771, 2, 1),
    (127_294_587, 10, 6),
    (127_294_587, 5, 3),
    (90_084_424, 13, 4),
    (90_084_424, 2, 1),
    (68_779_401, 45, 5),
    (68_779_401, 6, 5),
    (20_670_186, 9, 1),
    (20_670_186, 4, 1),
    (111_831_601, 10, 3),
    (111_831_601, 5, 3),
    (34_241_997, 13, 10),
    (34_241_997, 4, 3),
    (22_777_650, 12, 9),
    (22_777_650, 2, 0),
    (124_915_656, 31, 22),
    (124_915_656, 4, 0),
    (20_533_440, 27, 23),
    (20_533_440, 6, 1),
    (116_741_928, 31, 30),
    (116_741_928, 2, 0),
    (91_589_089, 45, 24),
    (91_589_089, 2, 1),
]


@pytest.mark.parametrize(("expected", "term"), HASHES, ids=[repr(term)[:40] for _, term in HASHES])
def test_phash2_is_erlangs(expected: int, term: Any) -> None:
    assert phash2(term) == expected


@pytest.mark.parametrize(("key", "bucket_count", "expected"), JUMPS)
def test_jumps_are_those_of_erlangs_generator(key: int, bucket_count: int, expected: int) -> None:
    assert jump_consistent_hash(key, bucket_count) == expected


def test_a_new_bucket_takes_from_all_and_moves_nothing_else() -> None:
    keys = [phash2(b"%d" % number) for number in range(500)]
    before, after = ([jump_consistent_hash(key, count) for key in keys] for count in (9, 10))
    moved = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert 20 < len(moved) < 100
    assert {new for _, new in moved} == {9}
    assert {old for old, _ in moved} == set(range(9))
