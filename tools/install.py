"""``pip install ARGUMENTS`` into this interpreter's environment, through uv: the same result in a fraction of the time.

    .venv/bin/python tools/install.py ARGUMENTS ...

uv reads none of pip's settings, so index, local files, constraints and certificates are taken from ``pip config list``
(files and PIP_* variables). Where uv cannot be installed, or does not succeed, pip does the work.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Mapping

PIP = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-compile"]
# pip's setting, and uv's option for each of its values.
OPTIONS = {
    "index-url": "--index-url",
    "extra-index-url": "--extra-index-url",
    "find-links": "--find-links",
    "constraint": "--constraint",
    "trusted-host": "--allow-insecure-host",
}


def pip_settings() -> dict[str, str]:
    """Pip's settings for installing; of one that is set several times, that which pip heeds."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    pairs = [line.partition("=") for line in lines]
    # Least first: global, then that of the command, then the environment.
    found: dict[str, str] = {}
    for section in ("global", "install", ":env:"):
        for key, _, value in pairs:
            if key.rpartition(".")[0] == section:
                found[key.rpartition(".")[2]] = str(ast.literal_eval(value))
    return found


def uv_command(settings: Mapping[str, str], arguments: list[str]) -> list[str]:
    """The same work as uv does it."""
    command = [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", sys.executable]
    # As pip: the best version of all indexes, not that of the first index.
    command += ["--index-strategy", "unsafe-best-match"]
    for name, option in OPTIONS.items():
        for value in settings.get(name, "").split():
            command += [option, value]
    return [*command, *(["--no-index"] if settings.get("no-index") == "true" else []), *arguments]


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Uv's certificates and proxy are variables."""
    named = {"SSL_CERT_FILE": settings.get("cert"), "ALL_PROXY": settings.get("proxy")}
    return {name: value for name, value in named.items() if value} | os.environ


def main() -> int:
    """Exit code of the installer."""
    arguments = sys.argv[1:]
    if subprocess.run([*PIP, "uv"], capture_output=True, check=False).returncode == 0:
        settings = pip_settings()
        done = subprocess.run(uv_command(settings, arguments), env=environment(settings), check=False)
        if done.returncode == 0:
            return 0
        print("uv does not succeed here: trying pip", file=sys.stderr)
    return subprocess.run([*PIP, *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
