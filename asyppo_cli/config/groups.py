"""The configuration groups: which there are, which options they have, and which of them take a number.

A group is a folder of ``conf/`` (or of the user's own ``--config-dir``), an option a YAML file in it. Its first comment
line is its description.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

# Groups whose name takes a preset or any valid number, and the settings that the number stands for.
NUMERIC_GROUPS: Mapping[str, tuple[str, ...]] = {
    "critic_count": ("critics.count={}",),
    "critic_size": ("critics.model=null", "critics.depth={}"),
    "mask_pct": ("gates.mask_pct={}",),
    "entropy_filter_pct": ("gates.entropy_filter_pct={}",),
    "utd": ("training.utd={}",),
}


def config_folder() -> Path:
    """The folder of YAML files that the package ships."""
    return Path(str(resources.files("conf")))


def read_groups(config_dir: Path | None) -> dict[str, dict[str, Path]]:
    """Options of every group by name; a user's option replaces ours of the same name."""
    groups: dict[str, dict[str, Path]] = {}
    for folder in (config_folder(), *([] if config_dir is None else [config_dir])):
        for file in sorted(folder.glob("*/*.yaml")):
            groups.setdefault(file.parent.name, {})[file.stem] = file
    return dict(sorted(groups.items()))


def description(file: Path) -> str:
    """The first comment of a YAML file that is not an instruction to Hydra."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.removeprefix("#").strip()
    return ""
