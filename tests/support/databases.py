"""A PostgreSQL server of the tests' own: in a temporary folder, on a loopback port, as a user who is not root."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asyppo_cli.system import free_port


def postgres_programs() -> Path | None:
    """The folder of the newest PostgreSQL server that is installed; None if there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@contextmanager
def postgres(programs: Path) -> Iterator[str]:
    """Start a server; yields the URL of an empty database in it, and stops it in the end."""
    folder = Path(tempfile.mkdtemp(prefix="asyppo-postgres-"))
    server = None
    try:
        user = as_user(folder)
        run = [*user, str(programs / "initdb"), "-D", str(folder / "data"), "-U", "tester", "-A", "trust", "-N"]
        subprocess.run(run, check=True, capture_output=True, cwd="/")
        port = free_port("127.0.0.1")
        settings = [f"-p{port}", "-k", str(folder), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        with (folder / "log").open("wb") as log:
            command = [*user, str(programs / "postgres"), "-D", str(folder / "data"), *settings]
            server = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
        wait_for(programs, port, server)
        yield f"postgresql://tester@127.0.0.1:{port}/postgres"
    finally:
        if server is not None:
            # Fast: clients that are still there are sent away.
            server.send_signal(signal.SIGINT)
            server.wait(timeout=60)
        shutil.rmtree(folder)


def as_user(folder: Path) -> list[str]:
    """The words before a command that make it run as somebody who may; the folder becomes that user's."""
    if os.getuid() != 0:
        return []
    name = next(name for name in ("postgres", "nobody") if any(entry.pw_name == name for entry in pwd.getpwall()))
    user = pwd.getpwnam(name)
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def wait_for(programs: Path, port: int, server: subprocess.Popen[bytes]) -> None:
    """Until the server answers."""
    deadline = time.monotonic() + 60
    while subprocess.run([programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False).returncode:
        assert server.poll() is None, "the server has ended"
        assert time.monotonic() < deadline
        time.sleep(0.1)
