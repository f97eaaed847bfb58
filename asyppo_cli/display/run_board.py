"""The numbers that matter while a run is trained, for the live display and ``asyppo runs show``."""

from __future__ import annotations

from asyppo_cli.display.board import Board, Row
from asyppo_cli.runs import metrics as names

# More values than this side by side are hard to read: their mean is shown instead.
MOST_SIDE_BY_SIDE = 3


def training_board(critics: int) -> Board:
    """Rows for a run with ``critics`` M critics."""
    return Board(
        rows=(
            Row("held-out accuracy", (names.ACCURACY,), "percent", "acc", "high", names.ACCURACY_HALFWIDTH),
            Row("reward", (names.REWARD_MEAN,), "number", "reward", "high"),
            Row("response length", (names.LENGTH_MEAN,), "length", "len"),
            Row("truncated", (names.TRUNCATED,), "percent", "trunc", "low"),
            Row("entropy", (names.ENTROPY,), "number", "ent"),
            *_critic_rows(critics),
            Row("clipped", (names.CLIP_SHARE,), "percent"),
            Row("KL", (names.KL,), "number", "kl"),
            Row("sampler difference", (names.LOGPROB_DIFF,), "number"),
            Row("unparseable", (names.UNPARSEABLE,), "percent", better="low"),
            Row("tokens per second", (names.TOKENS_PER_SECOND,), "count", "tok/s", "high"),
            Row("peak memory", (names.PEAK_MEMORY,), "bytes"),
        ),
        phases=names.time(""),
        step_time=names.STEP_TIME,
    )


def warmstart_board() -> Board:
    """Rows for supervised training."""
    return Board(
        rows=(Row("loss", (names.SUPERVISED_LOSS,), "number", "loss", "low"),),
        phases=names.time(""),
        step_time=names.STEP_TIME,
    )


def _critic_rows(critics: int) -> list[Row]:
    explained = tuple(names.critic(m, "explained_variance") for m in range(critics))
    if critics > MOST_SIDE_BY_SIDE:
        explained = (names.EXPLAINED_VARIANCE,)
    rows = [Row("explained variance", explained, "number", "ev", "high")] if critics else []
    if critics > 1:
        rows += [
            Row("disagreement", (names.DISAGREEMENT,), "number", "dis"),
            Row("advantages masked", (names.ADVANTAGE_MASKED,), "percent"),
        ]
    return rows
