"""Disagreement analysed: worked examples, the algorithm's own functions as oracles, figures against their tables."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from analysis.tokens import critic_agreement, std_by_token, std_correlates, std_profiles
from analysis.tokens.resampling import Resamples
from analysis.tokens.std_profiles import cut
from analysis.tokens.std_summary import COLUMNS, ValueStd, std_findings, value_std, write_std
from analysis.tokens.table import TokenTable, load
from asyppo_cli.algorithm import diagnostics
from asyppo_cli.algorithm.gating import lowest
from asyppo_cli.runs.directory import RunDirectory

MakeRun = Callable[..., RunDirectory]
MANY = {step: [7, 12, 3, 9, 15, 6, 11, 8] * 5 for step in (10, 20, 30, 40)}


@pytest.fixture
def run(make_run: MakeRun) -> RunDirectory:
    return make_run(steps=MANY)


def table_of(run: RunDirectory, steps: tuple[int, ...] = tuple(MANY)) -> TokenTable:
    return load(run, steps, COLUMNS)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize(
    ("taken", "threshold"),
    [([1, 1, 0, 0], 0.2), ([0, 1, 1, 0], math.nan), ([0, 0, 0, 0], math.nan), ([1, 1, 1, 1], math.nan)],
)
def test_a_threshold_is_one_only_if_it_parts_taken_from_left(taken: list[int], threshold: float) -> None:
    assert cut(np.array([0.1, 0.2, 0.2, 0.4]), np.array(taken, bool)) == pytest.approx(threshold, nan_ok=True)


def test_bands_and_thresholds_are_those_of_the_records(run: RunDirectory) -> None:
    table = table_of(run)
    data = std_profiles.over_training(table)
    for i, (_, rows) in enumerate(table.slices()):
        sigma = table["value_std"][rows]
        np.testing.assert_allclose(data.quantiles[i], np.quantile(sigma, [0.05, 0.25, 0.5, 0.75, 0.95]))
        ordered = np.sort(sigma)
        assert data.mask_threshold[i] == ordered[len(sigma) // 5 - 1]
        assert data.filter_threshold[i] == ordered[len(sigma) - len(sigma) // 5]
    assert data.masked_share == pytest.approx(0.2, abs=0.003)
    assert "Advantage mask: 20.0 % of recorded states, below σ" in std_profiles.training_finding(data)


def test_gates_by_another_signal_have_no_threshold(make_run: MakeRun) -> None:
    size = sum(MANY[10])
    run = make_run(steps={10: MANY[10]}, advantage_kept=np.arange(size) % 5 > 0, entropy_kept=np.ones(size, bool))
    said = std_profiles.training_finding(std_profiles.over_training(table_of(run, (10,))))
    assert "not cut at one σ" in said and "Entropy filter: off." in said


def test_places_are_those_of_a_plain_group_by(run: RunDirectory) -> None:
    table = table_of(run)
    data = std_profiles.by_place(table, Resamples(table.responses))
    frame = pd.DataFrame({name: table[name] for name in ("value_std", "position", "reward")})
    frame["part"] = (20 * (frame.position + 0.5) / np.repeat(table.lengths, table.lengths)).astype(int)
    for along, bins in (
        (data.position, pd.cut(frame.position, data.position.edges, right=False)),
        (data.relative, frame.part),
    ):
        for outcome, quartiles in ((1.0, along.right), (0.0, along.wrong)):
            groups = frame[frame.reward == outcome].groupby(bins, observed=False).value_std
            expected = groups.quantile([0.25, 0.5, 0.75]).unstack().reindex(groups.size().index).to_numpy(copy=True)
            expected[groups.size().to_numpy() < 20] = np.nan
            np.testing.assert_allclose(quartiles, expected, rtol=1e-5)
    means = frame.groupby("reward").value_std.mean()
    assert data.wrong_minus_right.value == pytest.approx(means[0.0] - means[1.0], abs=1e-6)
    assert data.right_responses + data.wrong_responses == table.responses


def test_right_and_wrong_are_told_apart_only_where_they_are(make_run: MakeRun) -> None:
    lengths = [5] * 60
    reward = np.repeat(np.arange(60) % 2, 5).astype(float)
    noise = np.random.default_rng(1).random(300)
    for name, shift, said in (("apart", 0.5, "disagree more in wrong"), ("same", 0.0, "no difference is resolved")):
        table = table_of(make_run(name, {10: lengths}, reward=reward, value_std=noise + shift * (1 - reward)), (10,))
        assert said in std_profiles.places_finding(std_profiles.by_place(table, Resamples(60)))
    table = table_of(make_run("all", {10: lengths}, reward=np.ones(300)), (10,))
    assert "All recorded responses are right" in std_profiles.places_finding(
        std_profiles.by_place(table, Resamples(60))
    )


def test_agreement_is_what_training_measures(run: RunDirectory) -> None:
    table = table_of(run)
    data = critic_agreement.agreement(table)
    for i, (_, rows) in enumerate(table.slices()):
        values = torch.tensor(np.stack([value[rows] for value in table.values()]))[:, None]
        mask, reward = torch.ones_like(values[0], dtype=torch.bool), torch.tensor(table["reward"][rows])[None]
        assert data.correlation[i] == pytest.approx(diagnostics.correlation(values, mask), abs=1e-5)
        for m in range(2):
            assert data.explained[i, m] == pytest.approx(
                diagnostics.explained_variance(values[m], reward, mask), abs=1e-5
            )
    assert data.late == (40,)
    late = table.part([40])
    known = critic_agreement._explained(late["value_mean"], late["reward"])
    assert data.reliability[-1].explained.value == pytest.approx(known, abs=1e-6)
    assert data.density.sum() == len(late)


def test_reliability_by_hand(make_run: MakeRun) -> None:
    # Half of the states are given 0.25 and win one time in four, half 0.75 and win always: off by 0 and by 0.25.
    lengths = [10] * 40
    value = np.repeat(np.where(np.arange(40) < 20, 0.25, 0.75), 10)
    reward = np.repeat(np.where(np.arange(40) < 20, np.arange(40) % 4 == 0, 1.0), 10)
    run = make_run(steps={10: lengths}, value_mean=value, reward=reward)
    table = table_of(run, (10,))
    part = critic_agreement.reliability(table, table["value_mean"], "together", Resamples(40))
    assert part.value.tolist() == [0.25, 0.75]
    assert [at.value for at in part.outcome] == pytest.approx([0.25, 1.0])
    assert part.error == pytest.approx(0.125) and part.bias.value == pytest.approx(-0.125)


def test_overlap_is_that_of_the_gates_own_sets(run: RunDirectory) -> None:
    table = table_of(run)
    data = std_correlates.meaning(table, std_correlates.rank_states(table), Resamples(table.responses))
    for share, found in zip(data.shares, data.overlap, strict=True):
        both = total = 0
        for _, rows in table.slices():
            signals = [torch.tensor(table[name][rows])[None] for name in ("value_std", "entropy")]
            sets = [lowest(signal, torch.ones_like(signal, dtype=torch.bool), share, None) for signal in signals]
            both, total = both + int((sets[0] & sets[1]).sum()), total + int(sets[0].sum())
        assert found.value == pytest.approx(both / total)
    assert data.masked_overlap is not None
    assert data.masked_overlap.value == pytest.approx(data.overlap_at(0.2).value)
    assert data.overlap_at(0.2).holds(0.2), "independent signals overlap as chance has it"


def test_rank_correlation_is_that_of_ranks_within_steps(run: RunDirectory) -> None:
    table = table_of(run)
    data = std_correlates.meaning(table, std_correlates.rank_states(table), Resamples(table.responses))
    frame = pd.DataFrame({"sigma": table["value_std"], "error": np.abs(table["value_mean"] - table["reward"])})
    ranks = frame.groupby(np.repeat(table.response_steps, table.lengths)).rank(pct=True)
    assert data.spearman.value == pytest.approx(ranks.sigma.corr(ranks.error), abs=1e-4)
    assert "is not resolved" in std_correlates.error_finding(data)
    decile = np.minimum((10 * (ranks.sigma - 0.5 / len(frame) * len(MANY))).astype(int), 9)
    expected = frame.error.groupby(decile).mean()
    assert [at.value for at in data.error_by_decile] == pytest.approx(expected.tolist(), abs=0.02)


def test_disagreement_that_is_error_is_found(make_run: MakeRun) -> None:
    lengths = [8] * 40
    reward = np.repeat(np.arange(40) % 2, 8).astype(float)
    error = np.random.default_rng(0).random(320)
    run = make_run(steps={10: lengths}, reward=reward, value_mean=reward + error, value_std=error / 3, entropy=error)
    data = value_std(run).meaning
    assert data.spearman.value == pytest.approx(1.0)
    assert "predicts value error strongly" in std_correlates.error_finding(data)
    assert data.overlap_at(0.05).value == 1.0 and "more than chance" in std_correlates.overlap_finding(data)


def test_critics_that_never_differ_mark_no_states(make_run: MakeRun) -> None:
    size = sum(MANY[10])
    same: dict[str, Any] = {"value_std": np.zeros(size), "value_0": np.zeros(size), "value_1": np.zeros(size)}
    same |= {"advantage_kept": np.ones(size, bool), "entropy_kept": np.ones(size, bool), "value_mean": np.zeros(size)}
    run = make_run(steps={10: MANY[10]}, **same)
    data = value_std(run)
    said = " ".join(std_findings(data))
    assert "there is no association" in said and "there is no lowest-σ set" in said
    assert "do not vary" in said and "nan" not in said
    assert write_std(data, run.figures, ["png"])


def test_tokens_that_stand_out_are_found_and_no_others(make_run: MakeRun) -> None:
    size = sum(MANY[10])
    random = np.random.default_rng(1)
    token = random.integers(5, size=size)
    sigma = random.random(size) + 0.6 * (token == 3)
    run = make_run(steps={10: MANY[10]}, token_id=token, value_std=sigma)
    table = table_of(run, (10,))
    data = std_by_token.by_token(table, std_correlates.rank_states(table), Resamples(table.responses))
    assert [t.text for t in data.highest] == ["d"]
    (found,) = data.highest
    ranks = pd.Series(np.float32(sigma)).rank(pct=True)[token == 3]
    assert found.percentile.value == pytest.approx(100 * ranks.mean(), abs=0.2)
    assert found.count == int((token == 3).sum()) and found.std == pytest.approx(sigma[token == 3].mean(), abs=1e-6)
    assert data.ranked == data.kinds == 5
    # Among 200 tokens of 40 occurrences some are far from the middle by chance.
    token = random.permutation(np.repeat(np.arange(200), 40))
    words, sigma = [f"t{number}" for number in token], random.random(8000)
    noise = table_of(make_run("noise", {10: [50] * 160}, token_id=token % 5, token=words, value_std=sigma), (10,))
    nothing = std_by_token.by_token(noise, std_correlates.rank_states(noise), Resamples(noise.responses))
    assert nothing.kinds == 200 and not nothing.highest and not nothing.lowest
    assert "stands out" in std_by_token.tokens_finding(nothing)
    std_by_token.draw_tokens(nothing)


@pytest.fixture
def data(run: RunDirectory) -> ValueStd:
    return value_std(run)


def test_the_figures_draw_what_their_tables_say(data: ValueStd) -> None:
    ax = std_profiles.draw_training(data.training).axes[0]
    table = rows_of(std_profiles.training_csv(data.training))
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    for label, column in (
        ("median", "std_p50"),
        ("below: advantage masked", "mask_threshold"),
        ("above: no entropy bonus", "filter_threshold"),
    ):
        assert list(lines[label]) == pytest.approx([float(row[column]) for row in table], rel=1e-6)
    left, right = std_correlates.draw_meaning(data.meaning).axes
    table = rows_of(std_correlates.meaning_csv(data.meaning))
    drawn = [row for row in table if row["what"] == "mean_error_by_std_tenth"]
    assert list(left.lines[0].get_ydata()) == pytest.approx([float(row["number"]) for row in drawn], rel=1e-6)
    drawn = [row for row in table if row["what"] == "overlap_with_lowest_entropy"]
    assert list(right.lines[0].get_ydata()) == pytest.approx([100 * float(row["number"]) for row in drawn], rel=1e-6)
    assert right.lines[2].get_ydata()[0] == 38.0, "the paper's point"


def test_a_single_step_is_seen(run: RunDirectory) -> None:
    data = std_profiles.over_training(table_of(run, (20,)))
    ax = std_profiles.draw_training(data).axes[0]
    assert ax.lines[0].get_ydata().tolist() == [data.quantiles[0, 2]] * 2 and list(ax.get_xticks()) == [20]


def test_places_and_critics_draw_what_their_tables_say(data: ValueStd) -> None:
    left, _ = std_profiles.draw_places(data.places).axes
    table = rows_of(std_profiles.places_csv(data.places))
    drawn = [row for row in table if (row["axis"], row["outcome"]) == ("position_tokens", "wrong")]
    wrong = [float(row["std_p50"] or "nan") for row in drawn]
    assert list(left.lines[1].get_ydata()) == pytest.approx(wrong, rel=1e-6, nan_ok=True)
    axes = critic_agreement.draw_agreement(data.agreement).axes
    assert axes[0].collections[0].get_array().sum() == data.agreement.density.sum()
    cells = rows_of(critic_agreement.agreement_density_csv(data.agreement))
    assert sum(int(row["states"]) for row in cells) == data.agreement.density.sum()
    table = rows_of(critic_agreement.agreement_csv(data.agreement))
    drawn = [row for row in table if (row["what"], row["of"]) == ("outcome by value", "together")]
    line = next(line for line in reversed(axes[2].lines) if len(line.get_xdata()) == len(drawn))
    assert list(line.get_ydata()) == pytest.approx([float(row["number"]) for row in drawn], rel=1e-6)


def test_every_figure_is_written_with_its_table(data: ValueStd, tmp_path: Path) -> None:
    paths = write_std(data, tmp_path, ["svg"])
    names = ["training", "places", "tokens", "critics", "meaning"]
    assert {path.name for path in paths} == {
        *(f"value-std-{name}.{kind}" for name in names for kind in ("svg", "csv")),
        "value-std-critics-density.csv",
    }
    assert all(path.stat().st_size > 50 for path in paths)
