"""What every `KeyValue` promises. An engine's test subclasses this and gives the fixtures."""

from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.errors import StoreFailed
from node.store.kv import KeyValue

Opener = Callable[[], KeyValue]
Puts = dict[bytes, bytes | None]

KEYS = st.binary(max_size=3)
PUTS = st.dictionaries(KEYS, st.none() | st.binary(max_size=8), max_size=8)
RANGES = st.tuples(KEYS, KEYS, st.booleans())
LAST = b"\xff" * 8


class KvContract:
    @pytest.fixture
    def fresh(self, tmp_path: Path) -> Opener:
        """Gives an empty engine on each call."""
        raise NotImplementedError

    @pytest.fixture
    def kv(self, fresh: Opener) -> KeyValue:
        return fresh()

    def test_an_absent_key_is_none(self, kv: KeyValue) -> None:
        assert kv.get(b"a") is None
        assert list(kv.scan(b"", LAST)) == []

    def test_a_value_is_kept_byte_for_byte(self, kv: KeyValue) -> None:
        rows: dict[bytes, bytes | None] = {
            b"": b"empty key",
            b"\0": b"",
            bytes(range(256)): bytes(range(256)) * 400,
        }
        kv.write(rows)
        assert {key: kv.get(key) for key in rows} == rows
        assert dict(kv.scan(b"", LAST)) == rows

    def test_none_deletes_and_absent_is_fine(self, kv: KeyValue) -> None:
        kv.write({b"a": b"1", b"b": b"2"})
        kv.write({b"a": None, b"never": None})
        assert kv.get(b"a") is None
        assert list(kv.scan(b"", LAST)) == [(b"b", b"2")]

    def test_compacting_changes_no_row(self, kv: KeyValue) -> None:
        rows: Puts = {b"%03d" % n: b"v" * 500 for n in range(300)}
        kv.write(rows)
        kv.write({b"%03d" % n: None for n in range(300) if n % 3})
        left = {key: value for key, value in rows.items() if int(key) % 3 == 0}
        for start, stop in ((b"", LAST), (b"100", b"200"), (b"200", b"100"), (b"x", LAST)):
            kv.compact(start, stop)
            assert dict(kv.scan(b"", LAST)) == left

    def test_compacting_beside_a_reader_and_a_writer(self, kv: KeyValue) -> None:
        value = bytes(range(250)) * 20
        kv.write({b"%04d" % n: value for n in range(2_000)})
        done = Event()

        def compact() -> None:
            for low in range(0, 2_000, 100):
                kv.compact(b"%04d" % low, b"%04d" % (low + 100))
            done.set()

        worker = Thread(target=compact)
        worker.start()
        n = 0
        while not done.is_set() or n < 100:
            kv.write({b"%04d" % n: None, b"%04d" % (n + 2_000): value})
            assert kv.get(b"%04d" % n) is None
            assert len(list(kv.scan(b"", LAST))) == 2_000
            n += 1
        worker.join()

    def test_an_empty_write_is_harmless(self, kv: KeyValue) -> None:
        kv.write({})
        assert list(kv.scan(b"", LAST)) == []

    @pytest.mark.parametrize("reverse", [False, True])
    def test_a_scan_takes_its_start_and_leaves_its_stop(self, kv: KeyValue, reverse: bool) -> None:
        kv.write({b"%03d" % n: b"v" for n in range(300)})
        found = [key for key, _ in kv.scan(b"010", b"290", reverse=reverse)]
        assert found == sorted((b"%03d" % n for n in range(10, 290)), reverse=reverse)

    def test_an_empty_or_turned_range_has_no_rows(self, kv: KeyValue) -> None:
        kv.write({b"a": b"1", b"b": b"2"})
        for start, stop in [(b"a", b"a"), (b"b", b"a"), (b"c", b"d"), (b"\xff", b"")]:
            assert list(kv.scan(start, stop)) == []
            assert list(kv.scan(start, stop, reverse=True)) == []

    def test_keys_are_ordered_as_bytes(self, kv: KeyValue) -> None:
        keys = [b"", b"\0", b"\0\0", b"a", b"a\0", b"aa", b"b", b"\x7f", b"\x80", b"\xff"]
        kv.write(dict.fromkeys(reversed(keys), b"v"))
        assert [key for key, _ in kv.scan(b"", LAST)] == keys

    def test_a_scan_left_half_way_can_be_closed(self, kv: KeyValue) -> None:
        kv.write({b"%03d" % n: b"v" for n in range(200)})
        for reverse in (False, True):
            scan = kv.scan(b"", LAST, reverse=reverse)
            next(scan)
            scan.close()
            scan.close()
            assert list(scan) == []

    def test_a_scan_bears_a_write_between_its_steps(self, kv: KeyValue) -> None:
        kept = [b"%03d" % n for n in range(0, 400, 2)]
        kv.write(dict.fromkeys(kept, b"v"))
        scan = kv.scan(b"", LAST)
        seen = [next(scan)[0] for _ in range(10)]
        kv.write({b"%03d" % n: b"new" for n in range(1, 400, 2)})
        seen += [key for key, _ in scan]
        assert [key for key in seen if key in set(kept)] == kept
        assert seen == sorted(set(seen))

    def test_a_scan_bears_a_writer_in_a_thread(self, kv: KeyValue) -> None:
        kept = [b"%04d" % n for n in range(0, 1000, 2)]
        kv.write(dict.fromkeys(kept, b"v"))
        stop = Event()

        def churn() -> None:
            turn = 0
            while not stop.is_set():
                turn += 1
                kv.write({b"%04d" % n: (b"x" if turn % 2 else None) for n in range(1, 1000, 20)})

        writer = Thread(target=churn)
        writer.start()
        try:
            for reverse in (False, True) * 5:
                seen = [key for key, value in kv.scan(b"", LAST, reverse=reverse) if value == b"v"]
                assert seen == sorted(kept, reverse=reverse)
        finally:
            stop.set()
            writer.join()

    def test_what_is_frozen_does_not_change(self, kv: KeyValue) -> None:
        kv.write({b"%03d" % n: b"old" for n in range(300)})
        frozen = kv.freeze()
        kv.write({b"%03d" % n: (b"new" if n % 2 else None) for n in range(0, 400, 3)})
        old = [(b"%03d" % n, b"old") for n in range(300)]
        assert list(frozen.scan(b"", LAST)) == old
        assert list(frozen.scan(b"010", b"020")) == old[10:20]
        frozen.scan(b"", LAST).close()
        assert dict(kv.scan(b"", LAST)) != dict(old)
        frozen.close()
        frozen.close()

    def test_a_closed_engine_freezes_nothing(self, kv: KeyValue) -> None:
        kv.write({b"a": b"1"})
        frozen = kv.freeze()
        kv.close()
        with pytest.raises(StoreFailed, match="closed"):
            kv.freeze()
        frozen.close()

    def test_after_close_every_call_fails_and_closing_again_does_not(self, kv: KeyValue) -> None:
        kv.write({b"a": b"1"})
        kv.close()
        kv.close()
        with pytest.raises(StoreFailed, match="closed"):
            kv.get(b"a")
        with pytest.raises(StoreFailed, match="closed"):
            kv.write({b"a": b"2"})
        with pytest.raises(StoreFailed, match="closed"):
            list(kv.scan(b"", LAST))

    def test_it_is_an_ordered_dict(self, fresh: Opener) -> None:
        @settings(max_examples=40)
        @given(st.lists(st.tuples(PUTS, RANGES), max_size=12))
        def follows(steps: list[tuple[Puts, tuple[bytes, bytes, bool]]]) -> None:
            kv = fresh()
            model: dict[bytes, bytes] = {}
            for puts, (start, stop, reverse) in steps:
                kv.write(puts)
                changed: Puts = {**model, **puts}
                model = {key: value for key, value in changed.items() if value is not None}
                rows = sorted(row for row in model.items() if start <= row[0] < stop)
                assert list(kv.scan(start, stop, reverse=reverse)) == rows[:: -1 if reverse else 1]
                assert all(kv.get(key) == model.get(key) for key in changed)
            kv.close()

        follows()
