"""Answers that were paid for, in one file: none is asked twice, and no more rows than allowed, ever.

The file is an SQLite database, so that a process that is killed in the middle of a write leaves what it
had written before, and several processes may share it. A row is counted just before it is sent, so that
none is sent that does not count, and its answer is kept before anybody hears it. Nothing expires: an audit
is about the model as it answered.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from whybox_server.core.errors import BudgetSpent, EndpointBudgetSpent
from whybox_server.serving.cache.codec import seal, unseal
from whybox_server.serving.cache.counters import Counters
from whybox_server.serving.cache.keys import check_of, redis_key

FORMAT = 0x77623031  # "wb01", in the field that SQLite keeps for the kind of a file
LOCK_WAIT_S = 10.0  # for other processes that write at this moment
TAGS_AT_ONCE = 500  # SQLite takes 999 values in one statement at least

# `asked` is read by clients, too: rows that models were asked so far.
TABLES = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS answers (tag BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS asked (rows INTEGER NOT NULL);
INSERT INTO asked SELECT 0 WHERE NOT EXISTS (SELECT * FROM asked);
COMMIT;
"""
SELECT = "SELECT tag, value FROM answers WHERE tag IN ({})"
TAKE = "UPDATE asked SET rows = rows + :n WHERE :most = 0 OR :n < 0 OR rows + :n <= :most"


class PaidFile:
    """Implements `serving.cache.store.Store`; `take` and `keep` are called from the threads of models.

    most_rows: that may be asked in the file's whole life; 0: no limit.
    Raises ValueError if the file cannot be made or is something else.
    """

    def __init__(self, path: Path, most_rows: int = 0) -> None:
        self.counters = Counters()
        self._path = path
        self._most_rows = most_rows
        self._lock = threading.Lock()
        self._failure: Exception | None = None
        try:
            self._file = opened(path)
        except sqlite3.Error as error:
            raise ValueError(f"answers: cannot keep answers in {path}: {error}") from error

    @property
    def up(self) -> bool:
        return True

    @property
    def largest_bytes(self) -> int:
        return sys.maxsize

    @property
    def queued_bytes(self) -> int:
        return 0

    async def start(self) -> None:
        """Nothing to find out: the file is there."""

    async def close(self) -> None:
        with self._lock:
            self._file.close()

    async def read(self, tags: Sequence[bytes]) -> list[bytes | None]:
        return await asyncio.to_thread(self._read, tags)

    def offer(self, tags: Sequence[bytes], records: Sequence[bytes], ttl_s: float | None = None) -> None:
        """They were kept already, when the model answered."""

    def take(self, rows: int) -> None:
        """Count rows that are about to be asked; less than 0 takes back what was not asked after all.

        Raises BudgetSpent if they are too many, and EndpointBudgetSpent if they cannot be counted; then
        nothing is counted.
        """
        try:
            with self._lock:
                self._refuse_broken()
                taken = self._file.execute(TAKE, {"n": rows, "most": self._most_rows}).rowcount
                left = 0 if taken else max(self._most_rows - self._asked(), 0)
        except sqlite3.Error as error:
            raise self._cannot(error) from error
        if not taken:
            raise BudgetSpent(needed=rows, left=left)

    def keep(self, tags: Sequence[bytes], records: Iterable[bytes]) -> None:
        """Keep what a model has just answered. What cannot be kept ends all further asking, and only that."""
        values = [
            (redis_key(tag), seal(record, check_of(tag))) for tag, record in zip(tags, records, strict=True)
        ]
        try:
            with self._lock:
                self._file.execute("BEGIN IMMEDIATE")
                self._file.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", values)
                self._file.execute("COMMIT")
        except sqlite3.Error as error:
            self._failure = error

    def _read(self, tags: Sequence[bytes]) -> list[bytes | None]:
        found: dict[bytes, bytes] = {}
        keys = [redis_key(tag) for tag in tags]
        try:
            with self._lock:
                for start in range(0, len(keys), TAGS_AT_ONCE):
                    some = keys[start : start + TAGS_AT_ONCE]
                    marks = ",".join("?" * len(some))
                    found.update(self._file.execute(SELECT.format(marks), some))
        except sqlite3.Error as error:  # nothing that was paid may be asked again
            raise self._cannot(error) from error
        return [unseal(found.get(key), check_of(tag)) for key, tag in zip(keys, tags, strict=True)]

    def _asked(self) -> int:
        (rows,) = self._file.execute("SELECT rows FROM asked").fetchone()
        return int(rows)

    def _refuse_broken(self) -> None:
        if self._failure is not None:
            raise self._cannot(self._failure)

    def _cannot(self, error: Exception) -> EndpointBudgetSpent:
        return EndpointBudgetSpent(
            f"nothing more is asked, because answers cannot be kept in {self._path.name}: {error}; "
            "make room or repair the file, and resume",
            unit="rows",
        )


def opened(path: Path) -> sqlite3.Connection:
    """The database, made if it is not there. Raises sqlite3.Error for what is none of ours."""
    fresh = not path.exists() or path.stat().st_size == 0
    file = sqlite3.connect(path, timeout=LOCK_WAIT_S, isolation_level=None, check_same_thread=False)
    try:
        with closing(file.execute("PRAGMA application_id")) as row:
            (kind,) = row.fetchone()
        if not fresh and kind != FORMAT:
            raise sqlite3.DatabaseError("it is another kind of file")
        file.executescript(TABLES)
        file.execute(f"PRAGMA application_id = {FORMAT}")
    except BaseException:
        file.close()
        raise
    return file
