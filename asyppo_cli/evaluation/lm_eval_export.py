"""Results in the format of lm-evaluation-harness, for the tools that read it.

Two files, ``results_DATE.json`` and ``samples_TASK_DATE.jsonl``, with the names of its ``EvaluationTracker``: metrics
are called ``METRIC,FILTER``; samples are one object a problem with all its responses.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from asyppo_cli.evaluation.scores import GradedSample
from asyppo_cli.runs.evaluations import EvaluationDirectory, folder_name, write_json
from asyppo_cli.runs.files.atomic import replace_text
from asyppo_cli.types import Problem

# The harness's name of an unfiltered result.
FILTER = "none"
NORMAL_QUANTILE = 1.959963984540054


def write_lm_eval_files(
    directory: EvaluationDirectory,
    row: Mapping[str, Any],
    problems: Sequence[Problem],
    prompts: Sequence[str],
    responses: Sequence[Sequence[str]],
    graded: Sequence[Sequence[GradedSample]],
    now: datetime,
) -> None:
    """Write both files in place of older ones. ``row`` is scores.json, ``prompts`` are the texts that were sent."""
    task = folder_name(str(row["settings"]["benchmark"]))
    date = now.replace(tzinfo=None).isoformat().replace(":", "-")
    for old in (*directory.lm_eval_folder.glob("results_*.json"), *directory.lm_eval_folder.glob("samples_*.jsonl")):
        old.unlink()
    lines = [
        sample_row(number, *parts, row["settings"])
        for number, parts in enumerate(zip(problems, prompts, responses, graded, strict=True))
    ]
    replace_text(
        directory.lm_eval_folder / f"samples_{task}_{date}.jsonl", "".join(json.dumps(line) + "\n" for line in lines)
    )
    hashes = "".join(line["doc_hash"] + line["prompt_hash"] + line["target_hash"] for line in lines)
    write_json(directory.lm_eval_folder / f"results_{date}.json", results(task, row, hash_string(hashes), now))


def results(task: str, row: Mapping[str, Any], task_hash: str, now: datetime) -> dict[str, Any]:
    """The aggregated results; a standard error is the width of the 95 % interval divided by 3.92."""
    settings, scores = row["settings"], row["scores"]
    metrics = {f"avg@{scores['samples']}": scores["avg"]}
    metrics |= {f"pass@{k}": interval for k, interval in scores["pass_at"].items()}
    metrics |= {f"maj@{k}": interval for k, interval in scores["maj_at"].items()}
    values: dict[str, Any] = {"alias": task}
    for name, interval in metrics.items():
        values[f"{name},{FILTER}"] = interval["value"]
        values[f"{name}_stderr,{FILTER}"] = standard_error(interval)
    system, template = settings.get("system_prompt"), settings.get("chat_template")
    generation = {name: settings.get(name) for name in ("temperature", "top_p", "top_k", "max_tokens")}
    return {
        "results": {task: values},
        "group_subtasks": {task: []},
        "configs": {
            task: {
                "task": task,
                "dataset_path": row["about"].get("source"),
                "output_type": "generate_until",
                "repeats": scores["samples"],
                "generation_kwargs": {**generation, "do_sample": True},
                "metadata": {"version": settings.get("benchmark_revision"), "grader": row["grader"]},
            }
        },
        "versions": {task: settings.get("benchmark_revision")},
        "n-shot": {task: 0},
        "higher_is_better": {task: dict.fromkeys(metrics, True)},
        "n-samples": {task: {"original": scores["problems"], "effective": scores["problems"]}},
        "config": {
            "model": settings.get("engine"),
            "model_args": {"pretrained": settings.get("model"), "revision": settings.get("revision")},
            "gen_kwargs": generation,
            "random_seed": settings.get("seed"),
            "asyppo": {"settings": dict(settings), "grader": row["grader"]},
        },
        "date": now.timestamp(),
        "task_hashes": {task: task_hash},
        "model_source": settings.get("engine"),
        "model_name": settings.get("model"),
        "model_name_sanitized": folder_name(str(settings.get("model"))),
        "system_instruction": system,
        "system_instruction_sha": hash_string(system) if system else None,
        "chat_template": None,
        "chat_template_sha": template,
    }


def sample_row(
    number: int,
    problem: Problem,
    prompt: str,
    responses: Sequence[str],
    graded: Sequence[GradedSample],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """One problem with its prompt and all responses, as the harness logs a document."""
    doc = {"id": problem.id, "problem": problem.question, "answer": problem.answer}
    right = [float(sample.right) for sample in graded]
    generation = {name: settings.get(name) for name in ("temperature", "top_p", "top_k", "max_tokens")}
    return {
        "doc_id": number,
        "doc": doc,
        "target": problem.answer,
        "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": generation}},
        "resps": [list(responses)],
        "filtered_resps": list(responses),
        "filter": FILTER,
        "metrics": [f"avg@{len(graded)}"],
        "doc_hash": hash_string(json.dumps(doc, indent=2, ensure_ascii=False)),
        "prompt_hash": hash_string(prompt),
        "target_hash": hash_string(problem.answer),
        f"avg@{len(graded)}": sum(right) / len(right),
        "correct": right,
    }


def standard_error(interval: Mapping[str, Any]) -> float | None:
    """That of a normal distribution with an equally wide 95 % interval; None without an interval."""
    if interval["low"] is None or interval["high"] is None:
        return None
    return float((interval["high"] - interval["low"]) / (2 * NORMAL_QUANTILE))


def hash_string(text: str) -> str:
    """The harness's hash of a text."""
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
