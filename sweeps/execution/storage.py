"""Opening the storage of a study: an Optuna journal in its folder, or any database that Optuna supports."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from asyppo_cli.requirements import install_command
from asyppo_cli.runs.files.jsonl import drop_torn_line

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.storages.journal import JournalFileBackend
    from sqlalchemy.engine import URL

# Seconds that a writer waits for the lock of another one.
SQLITE_TIMEOUT = 60.0


def open_storage(where: str) -> BaseStorage:
    """The storage at an SQLAlchemy URL, or in a journal file.

    Raises:
        ValueError: it cannot be reached, its driver is missing, or it was made by another version of Optuna.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return open_database(where) if "://" in where else open_journal(Path(where))


def open_journal(path: Path) -> BaseStorage:
    """The journal in a file, created if it does not exist.

    Raises:
        ValueError: the folder is not writable, or the file is no journal of this version of Optuna.
    """
    from optuna.storages.journal import JournalStorage

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(make_journal(path))
    except OSError as error:
        raise ValueError(f"cannot write to {path}: {error.strerror}: choose another --runs-dir") from error
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise ValueError(
            f"{path} is damaged, or the journal of another version of Optuna: move it away to start the study again"
        ) from error


def make_journal(path: Path) -> JournalFileBackend:
    """Optuna's journal, locked by the system while it is written to; a killed writer leaves no lock behind.

    Optuna's own lock is a symbolic link: one that a killed writer leaves blocks for 30 seconds, and for ever where
    the path is relative. An incomplete last line of a killed writer is removed before each write.
    """
    from optuna.storages.journal import JournalFileBackend

    class LockedJournal(JournalFileBackend):
        """Optuna's, with another lock and a check of the last line before each write."""

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            with path.open("ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if not _is_complete(path):
                    drop_torn_line(path)
                file.write("".join(f"{json.dumps(log, separators=(',', ':'))}\n" for log in logs).encode())
                file.flush()
                os.fsync(file.fileno())

    return LockedJournal(str(path))


def _is_complete(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def open_database(url: str) -> BaseStorage:
    """The database at a URL.

    Raises:
        ValueError: see :func:`open_storage`.
    """
    with _explained(url) as parsed:
        return _open(parsed)


def is_created(where: str) -> bool:
    """Whether a storage has been created; nothing is written.

    Raises:
        ValueError: it cannot be reached, or could not be created.
    """
    if "://" not in where:
        return Path(where).is_file() or _check_writable(Path(where).parent)
    from sqlalchemy import create_engine, inspect

    with _explained(where) as url:
        if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
            return _check_writable(Path(url.database or "").parent)
        engine = create_engine(url)
        try:
            return inspect(engine).has_table("studies")
        finally:
            engine.dispose()


def _check_writable(folder: Path) -> Literal[False]:
    """ValueError if a file cannot be created in a folder that may not exist yet."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise ValueError(f"cannot write to {existing}: choose another --runs-dir or --storage")
    return False


@contextmanager
def _explained(url: str) -> Iterator[URL]:
    """The parsed URL with a driver; what goes wrong with the database becomes a ValueError without the password."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise ValueError("--storage: a URL is written as postgresql://user@host:port/database") from error
    shown = parsed.render_as_string(hide_password=True)
    try:
        yield with_driver(parsed)
    except (ImportError, NoSuchModuleError) as error:
        raise ValueError(f"--storage {shown} needs a driver that is missing: {install_command('storage')}") from error
    except RuntimeError as error:
        raise ValueError(f"--storage {shown} was made by another version of Optuna: {_short(error)}") from error
    except SQLAlchemyError as error:
        raise ValueError(f"--storage {shown} cannot be reached: {_short(error)}") from error


def _open(url: URL, tries: int = 5) -> BaseStorage:
    """Open a database, with its tables created if needed; retried if another worker is creating them."""
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

    sqlite = url.get_backend_name() == "sqlite"
    options = {"connect_args": {"timeout": SQLITE_TIMEOUT}} if sqlite else {"pool_pre_ping": True}
    # Optuna treats the URL as a template.
    text = url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")
    try:
        storage = RDBStorage(text, engine_kwargs=options)
    except (IntegrityError, OperationalError, ProgrammingError) as error:
        if tries > 1 and (isinstance(error, IntegrityError) or "already exists" in str(error.orig)):
            time.sleep(0.5)
            return _open(url, tries - 1)
        raise
    if sqlite:
        lock_transactions(storage)
    return storage


def with_driver(url: URL) -> URL:
    """The URL; a bare postgresql:// gets psycopg2, which asyppo[storage] installs, unless psycopg is there."""
    bare = url.drivername == "postgresql" and find_spec("psycopg") is None
    return url.set(drivername="postgresql+psycopg2") if bare else url


def lock_transactions(storage: Any) -> None:
    """SQLite: lock the database from the beginning of each transaction.

    Optuna reads the state of a trial before it changes it; another process could do the same in between.
    """
    from sqlalchemy import event

    @event.listens_for(storage.engine, "begin")
    def lock(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _short(error: Exception) -> str:
    """The error without the SQL statement and the link that follow."""
    text = str(getattr(error, "orig", None) or error)
    return " ".join(text.split())[:200]
