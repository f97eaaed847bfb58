from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import postgres, postgres_programs


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL database of the tests' own."""
    programs = postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed (Debian: apt install postgresql)")
    with postgres(programs) as url:
        yield url


@pytest.fixture(params=["journal", "sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each kind of storage in turn."""
    match request.param:
        case "journal":
            return str(tmp_path / "study.journal")
        case "sqlite":
            return f"sqlite:///{tmp_path}/studies.db"
    return str(request.getfixturevalue("postgres_url"))
