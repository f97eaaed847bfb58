"""The tables of a report: outcome, configuration and machine, settings that differ, numbers side by side."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from analysis.pages.html import joined, table, tag
from asyppo_cli.display.drawing import format_duration, format_value
from asyppo_cli.display.run_board import training_board
from asyppo_cli.keys import flatten
from asyppo_cli.runs import metrics as names
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.files.disk import unusable
from asyppo_cli.runs.listing import (
    MISSING,
    RunSummary,
    algorithm_label,
    diff_configs,
    lookup,
    read_config,
    summarise,
    whole_number,
)
from asyppo_cli.runs.metric_log import MetricRows, read_metrics

# More runs than this are rows of a table, fewer are columns.
MAX_SIDE_BY_SIDE = 6
# The main settings, and the label of each beside the others of its row.
HIGHLIGHTS = {
    "task": {"task.name": ""},
    "policy": {"policy.model": ""},
    "critics": {"critics.count": "", "critics.depth": "depth", "critics.split": "split", "critics.aggregation": ""},
    "gates": {"gates.mask_pct": "mask", "gates.entropy_filter_pct": "entropy filter", "gates.mask_signal": "by"},
    "rollout": {
        "rollout.prompts": "prompts",
        "rollout.responses": "responses each",
        "rollout.response_length": "tokens",
    },
    "updates per sample": {"training.utd": ""},
    "learning rates": {"learner.policy.lr": "policy", "learner.critics.lr": "critics"},
    "entropy coefficient": {"policy_loss.entropy_coef": ""},
    "sampling": {
        "sampler.engine": "",
        "sampler.temperature": "temperature",
        "sampler.top_p": "top-p",
        "sampler.top_k": "top-k",
    },
    "training": {"learner.engine": "", "learner.device": "device", "learner.dtype": ""},
    "seed": {"seed": ""},
}


@dataclass(frozen=True)
class RunFiles:
    """The contents of a run's small files."""

    run: RunDirectory
    config: Mapping[str, Any]
    metrics: MetricRows
    summary: RunSummary
    environment: Mapping[str, Any]


def read_files(run: RunDirectory) -> RunFiles:
    """Read them.

    Raises:
        ValueError: one of them is damaged.
    """
    return RunFiles(run, read_config(run), read_metrics(run.metrics), summarise(run), _environment(run))


def _environment(run: RunDirectory) -> Mapping[str, Any]:
    if not run.environment.exists():
        return {}
    try:
        found = json.loads(run.environment.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise unusable(run.environment, error) from error
    return found if isinstance(found, dict) else {}


def outcome_table(files: Sequence[RunFiles]) -> Markup:
    """How each run ended: accuracy with the half width of its interval, reward, time, memory."""
    header = ["run", "state", "steps", "accuracy before", "after", "best", "reward", "time", "peak memory"]
    rows = [_outcome(one) for one in files]
    # The name of a single run is the title of the page.
    return table(header, rows, "numbers") if len(rows) > 1 else table(header[1:], [rows[0][1:]], "numbers")


def _outcome(one: RunFiles) -> list[object]:
    summary, series = one.summary, one.metrics.series
    half, memory = series(names.ACCURACY_HALFWIDTH), series(names.PEAK_MEMORY)
    after = format_value(summary.accuracy_last, "percent")
    return [
        summary.name,
        summary.state,
        f"{summary.step} of {summary.max_steps}",
        format_value(summary.accuracy_first, "percent"),
        f"{after} ± {100 * half[-1]:.1f}" if half and summary.accuracy_last is not None else after,
        format_value(summary.accuracy_best, "percent"),
        format_value(summary.reward, "number"),
        format_duration(summary.seconds),
        format_value(max(memory), "bytes") if memory else "-",
    ]


def outcome_sentence(one: RunFiles) -> str:
    """The change of the accuracy, in one sentence."""
    scored = [row for row in one.metrics.rows if names.ACCURACY in row]
    done = f"{one.summary.step} of {one.summary.max_steps} steps in {format_duration(one.summary.seconds)}"
    if len(scored) < 2:
        return f"{done}; held-out accuracy was measured {'once' if scored else 'not yet'}."
    first, last = scored[0], scored[-1]
    change = last[names.ACCURACY] - first[names.ACCURACY]
    verb = "rose" if change > 0 else "fell" if change < 0 else "stayed"
    half = last.get(names.ACCURACY_HALFWIDTH)
    within = "" if half is None else f" (± {100 * half:.1f} points, 95 %)"
    return (
        f"Held-out accuracy {verb} from {first[names.ACCURACY]:.1%} to {last[names.ACCURACY]:.1%}{within} by step "
        f"{last[names.STEP]:.0f}; {done}."
    )


def config_tables(one: RunFiles) -> Markup:
    """Highlights of the configuration, where it ran, and every setting folded away."""
    rows: list[list[object]] = [["method", algorithm_label(one.config)]]
    for label, keys in HIGHLIGHTS.items():
        values = [(called, lookup(one.config, key, MISSING)) for key, called in keys.items()]
        parts = [f"{called} {setting_text(value)}".strip() for called, value in values if value is not MISSING]
        if parts:
            rows.append([label, ", ".join(parts)])
    every = [[key, setting_text(value)] for key, value in flatten(one.config).items()]
    folded = tag("details", tag("summary", f"All {len(every)} settings"), table([], every, "settings"))
    return joined(table([], rows, "settings"), folded, _environment_table(one.environment))


def _environment_table(environment: Mapping[str, Any]) -> Markup:
    if not environment:
        return tag("p", "Where it ran was not written down.", class_="muted")
    hardware, git = environment.get("hardware") or {}, environment.get("git") or {}
    packages = environment.get("packages") or {}
    gpus = ", ".join(map(str, hardware.get("gpus") or [])) or "no GPU"
    memory = format_value(float(hardware.get("memory_bytes") or "nan"), "bytes")
    rows = [
        ["command", tag("code", " ".join(map(str, environment.get("command") or ["?"])))],
        ["machine", f"{hardware.get('cpu', '?')}, {hardware.get('cores', '?')} cores, {memory}; {gpus}"],
        ["system", f"{environment.get('system', '?')}, Python {environment.get('python', '?')}"],
        ["packages", ", ".join(f"{name} {version}" for name, version in packages.items())],
    ]
    if git:
        rows.append(["commit", f"{git.get('commit')}{', with changes' if git.get('changed') else ''}"])
    return tag("details", tag("summary", "Where it ran"), table([], rows, "settings"))


def setting_text(value: object) -> str:
    """A setting's value as it is typed; a dash where a run has no such key."""
    if value is MISSING:
        return "–"
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value


def differing_settings(files: Sequence[RunFiles]) -> Markup:
    """Settings in which the runs differ, each run's value."""
    first = files[0].config
    keys = list(dict.fromkeys(key for one in files[1:] for key in diff_configs(first, one.config)))
    if not keys:
        return tag("p", "None: the configurations are the same.")
    flat = [flatten(one.config) for one in files]
    cells = [[setting_text(config.get(key, MISSING)) for key in keys] for config in flat]
    return _across(keys, files, cells)


def last_numbers(files: Sequence[RunFiles]) -> Markup:
    """The last value of everything the live display shows, run by run."""
    boards = [training_board(whole_number(one.config, "critics.count")) for one in files]
    rows = {row.label: row for board in boards for row in board.rows}
    values = [[format_value(_last(one.metrics, row.value), row.kind) for row in rows.values()] for one in files]
    kept = [i for i in range(len(rows)) if any(line[i] != "-" for line in values)]
    labels = list(rows)
    return _across([labels[i] for i in kept], files, [[line[i] for i in kept] for line in values])


def _last(metrics: MetricRows, value: Callable[[Mapping[str, float]], float | None]) -> float | None:
    return next((found for found in map(value, reversed(metrics.rows)) if found is not None), None)


def _across(labels: Sequence[str], files: Sequence[RunFiles], cells: Sequence[Sequence[str]]) -> Markup:
    """``cells[run][label]`` with the runs side by side, or below each other where there are many."""
    named = [one.run.name for one in files]
    if len(files) > MAX_SIDE_BY_SIDE:
        return table(["run", *labels], [[name, *line] for name, line in zip(named, cells, strict=True)], "numbers")
    columns = list(zip(*cells, strict=True))
    return table(["", *named], [[label, *column] for label, column in zip(labels, columns, strict=True)], "numbers")
