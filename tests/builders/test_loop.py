"""Configurations become runs that train: every method, and models other than the embedded one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from memory import Memory
from run_files import computed

from asyppo_cli.builders.loop import build_grader, build_loop, load_inputs
from asyppo_cli.config.groups import config_folder
from asyppo_cli.config.load import load
from asyppo_cli.runs import metrics as names

SMALL = [
    "rollout.prompts=4",
    "rollout.responses=4",
    "rollout.response_length=40",
    "task.size=50",
    "evaluation.problems=8",
    "evaluation.every=0",
    "critics.warmup_steps=0",
    "critics.mini_batches=1",
    "learner.threads=1",
    "records.every=1",
]
ALGORITHMS = sorted(path.stem for path in (config_folder() / "algorithm").glob("*.yaml"))


def trained(overrides: list[str]) -> Memory:
    """Two steps of a run, in this process."""
    config, memory = load([*SMALL, "max_steps=2", *overrides]).config, Memory()
    with closing(build_grader(config)) as grader:
        assert build_loop(config, load_inputs(config), grader, memory, memory).run(Event())
    return memory


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_method_trains(algorithm: str) -> None:
    memory = trained([f"algorithm={algorithm}"])
    last = memory.rows[-1]
    assert last[names.POLICY_GRAD_NORM] > 0 and last["step"] == 2
    critics = load([f"algorithm={algorithm}"]).config.critics.count
    assert (names.critic(critics - 1, "loss") in last) == (critics > 0)
    assert names.critic(critics, "loss") not in last


@pytest.mark.parametrize(
    "overrides",
    [
        ["training.mini_batches=3", "utd=2", "gates.scope=mini_batch"],
        ["gates.mask_signal=entropy", "gates.entropy_filter_signal=random", "gates.scope=response"],
        ["advantage.values=after", "critics.aggregation=min", "critic_count=4"],
        ["critics.split=by_prompt", "critics.aggregation=median", "critic_count=3"],
        ["policy_loss.kl_coef=0.1", "policy_loss.kl_in=reward", "policy_loss.kl_form=k1"],
        ["policy_loss.kl_coef=0.1", "policy_loss.kl_in=loss", "policy_loss.dual_clip=3.0"],
        ["advantage.lambd=0.95", "advantage.whiten=true", "critics.value_clip=0.5", "rewards.truncated=mask"],
        ["learner.dtype=bfloat16", "learner.gradient_checkpointing=true"],
        ["sampler.temperature=0.7", "sampler.top_p=0.9", "sampler.top_k=20"],
        ["rollout.async_generate_level=1", "utd=2", "training.mini_batches=2"],
        ["rollout.async_generate_level=1", "policy_loss.importance_cap=2.0"],
        ["task=reasoning_gym", "task.name=chain_sum", "task.params.max_terms=5", "task.params.max_digits=1"],
    ],
)
def test_every_setting_trains(overrides: list[str]) -> None:
    last = trained(overrides).rows[-1]
    assert last[names.POLICY_GRAD_NORM] > 0 and last[names.critic(0, "grad_norm")] > 0


@pytest.mark.parametrize("place", ["reward", "loss"])
def test_the_divergence_from_the_reference_is_logged_wherever_it_counts(place: str) -> None:
    memory = trained(["policy_loss.kl_coef=0.1", f"policy_loss.kl_in={place}", "policy_loss.kl_form=k3"])
    # Before the first update policy and reference are the same.
    assert memory.rows[1][names.REFERENCE_KL] < 1e-6 < memory.rows[2][names.REFERENCE_KL]


def test_shares_are_exact_in_the_second_step() -> None:
    memory = trained(["mask_pct=0.25", "entropy_filter_pct=0.1"])
    kept = memory.columns["advantage_kept"]
    assert (~kept).sum() == int(0.25 * len(kept))
    assert (~memory.columns["entropy_kept"]).sum() == int(0.1 * len(kept))


def test_a_batch_sampled_ahead_is_compared_with_the_policy_that_sampled_it() -> None:
    overrides = ["rollout.async_generate_level=1", "max_steps=4", "evaluation.every=1"]
    memory = trained(overrides)
    assert [row[names.STALENESS] for row in memory.rows[1:]] == [0, 1, 1, 1]
    # Its ratios are off 1 from the first pass on, by what the policy learnt since.
    assert memory.rows[1][names.KL] == 0.0 != memory.rows[2][names.KL]
    assert memory.rows[1][names.LOGPROB_DIFF] < 1e-4 < memory.rows[2][names.LOGPROB_DIFF]
    sampled = [(step, span) for step, span in memory.spans if span.phase == "sample"]
    assert [step for step, _ in sampled] == [1, 2, 3, 4]
    assert [span.track for _, span in sampled] == ["trainer", "sampler", "sampler", "sampler"]
    again = trained(overrides)
    assert [computed(row) for row in again.rows] == [computed(row) for row in memory.rows]


def test_a_single_critic_says_that_its_gates_are_off() -> None:
    memory = trained(["critic_count=1"])
    assert any("nothing can disagree" in note for note in memory.notes)
    assert memory.rows[-1][names.ADVANTAGE_MASKED] == memory.rows[-1][names.ENTROPY_FILTERED] == 0.0


@pytest.fixture
def llama(tmp_path: Path, make_model: Callable[..., Any]) -> Path:
    """A model of another family, with the embedded tokenizer."""
    from asyppo_cli.engines.hf.tokenizer import load_tokenizer

    folder = tmp_path / "llama"
    make_model("llama", vocab_size=320, max_position_embeddings=256).save_pretrained(folder)
    load_tokenizer("embedded:policy", None, "policy.model").save(folder)
    return folder


def test_another_model_trains_with_critics_of_its_first_layers(llama: Path) -> None:
    memory = trained([f"policy.model={llama}", "critic_size=0.5"])
    assert memory.rows[-1][names.POLICY_GRAD_NORM] > 0 and names.critic(1, "loss") in memory.rows[-1]
    assert memory.rows[-1][names.LOGPROB_DIFF] < 1e-4


def test_tokenizers_that_differ_are_refused_before_weights_are_read(tmp_path: Path, llama: Path) -> None:
    from asyppo_cli.engines.hf.tokenizer import train_tokenizer

    train_tokenizer(["other words"], 300, []).save(llama)
    (llama / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="critics.model=embedded:critic has another tokenizer") as caught:
        load_inputs(load([f"policy.model={llama}"]).config)
    assert "critic_size" in str(caught.value)


def test_a_context_too_short_is_refused(llama: Path) -> None:
    with pytest.raises(ValueError, match=r"attends to 256 tokens.*rollout.response_length"):
        load_inputs(load([f"policy.model={llama}", "critic_size=0.5", "rollout.response_length=200"]).config)


@pytest.mark.parametrize(("special", "refused"), [(False, True), (True, False)])
def test_a_token_beyond_the_embedding_is_refused_unless_no_text_becomes_it(
    llama: Path, special: bool, refused: bool
) -> None:
    from tokenizers import AddedToken

    from asyppo_cli.engines.hf.tokenizer import load_tokenizer

    tokenizer = load_tokenizer("embedded:policy", None, "policy.model")
    tokenizer.inner.add_tokens([AddedToken(f"word{i}", special=special) for i in range(25)], special_tokens=special)
    tokenizer.save(llama)
    config = load([*SMALL, f"policy.model={llama}", "critic_size=0.5"]).config
    if refused:
        with pytest.raises(ValueError, match=r"policy\.model=.* id 320\b.* 320 rows"):
            load_inputs(config)
    else:
        assert load_inputs(config).tokenizer.largest_id() < 320


def test_weights_that_are_missing_are_an_error(llama: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(llama / "model.safetensors")
    weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, llama / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="lack the weights"):
        trained([f"policy.model={llama}", "critic_size=0.5"])


def test_checkpoints_are_ranked_by_what_is_measured() -> None:
    for metric in ("null", names.ACCURACY, names.critic(1, "explained_variance")):
        load_inputs(load([*SMALL, f"checkpoints.best_metric={metric}"]).config)
    for metric in ("eval/acuracy", names.critic(2, "loss")):
        with pytest.raises(ValueError, match=rf"checkpoints.best_metric={metric}: .* nearest: "):
            load_inputs(load([*SMALL, f"checkpoints.best_metric={metric}"]).config)


LONG_SUMS = ["task.params.min_terms=2", "task.params.max_terms=30", "rollout.prompt_length=68"]


def test_a_procedural_problem_that_is_too_long_is_left_out() -> None:
    config = load([*SMALL, *LONG_SUMS, "task.size=400", "rollout.response_length=40"]).config
    inputs = load_inputs(config)
    assert all(len(prompt.tokens) <= 68 for prompt in [*inputs.prompts_at(0, 1200), *inputs.heldout])
    assert len(inputs.notes) == 2 and all("task.overlong=drop" in note for note in inputs.notes)
    assert trained([*LONG_SUMS, "task.size=400"]).rows[-1]["step"] == 2


def test_all_problems_that_a_run_will_draw_are_checked_where_none_may_be_too_long() -> None:
    rare = ["task.params.min_terms=2", "task.params.max_terms=30", "evaluation.problems=1", "task.overlong=error"]
    config = load([*SMALL, *rare, "task.size=3000", "max_steps=200"]).config
    lengths = [len(prompt.tokens) for prompt in load_inputs(config).prompts_at(0, 800)]
    # The longest of them all comes late.
    late = f"rollout.prompt_length={max(lengths) - 1}"
    with pytest.raises(ValueError, match=f"set rollout.prompt_length to {max(lengths)}"):
        load_inputs(load([*SMALL, *rare, "task.size=3000", "max_steps=200", late]).config)


def test_every_problem_of_a_file_is_checked(tmp_path: Path) -> None:
    texts = [f"{i} + 1" + " + 1" * (300 if i == 90 else 3) for i in range(100)]
    lines = [json.dumps({"id": f"p{i}", "problem": text, "answer": "1"}) for i, text in enumerate(texts)]
    (tmp_path / "problems.jsonl").write_text("\n".join(lines) + "\n")
    file = ["task=jsonl", f"task.path={tmp_path / 'problems.jsonl'}", "task.size=1000"]
    inputs = load_inputs(load([*SMALL, *file]).config)
    assert "1 of 92 training problems" in inputs.notes[0]
    assert "p90" not in {prompt.problem.id for prompt in inputs.prompts_at(0, 400)}
    with pytest.raises(ValueError, match="problem p90 has a prompt"):
        load_inputs(load([*SMALL, *file, "task.overlong=error"]).config)


def test_gold_answers_are_tried_before_training(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    task = [*SMALL, "task=jsonl", f"task.path={path}", "evaluation.problems=2"]
    golds = ["4", "}{", *"5678"]
    path.write_text("".join(f'{{"question": "{i}?", "answer": "{gold}"}}\n' for i, gold in enumerate(golds)))
    [note] = load_inputs(load(task).config).notes
    assert "1 of 6" in note and "mine-1" in note
    path.write_text("".join(f'{{"question": "{i}?", "answer": "}}{{"}}\n' for i in range(6)))
    with pytest.raises(ValueError, match="6 of 6"):
        load_inputs(load(task).config)
