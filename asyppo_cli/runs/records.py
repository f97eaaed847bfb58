"""Token records (Parquet, one row a response token) and readable samples (JSON lines), one file of each a step.

What belongs to a whole prompt or response rather than to a token (question, gold answer, verdict) is kept once, in the
file's own metadata.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.files.atomic import replace_file, replace_text
from asyppo_cli.runs.files.disk import unusable

if TYPE_CHECKING:
    import pyarrow as pa

BEFORE_VALUES = ("step", "prompt_id", "response_id", "position", "token_id", "token")
AFTER_VALUES = (
    "value_mean",
    "value_std",
    "advantage",
    "entropy",
    "logprob",
    "gradient_norm",
    "advantage_kept",
    "entropy_kept",
    "reward",
)
INTEGERS = ("step", "response_id", "position", "token_id")
STRINGS = ("prompt_id", "token")
BOOLEANS = ("advantage_kept", "entropy_kept")
TEXTS_KEY = b"asyppo.texts"


def record_columns(critics: int) -> list[str]:
    """Names of all columns, in order; with ``critics`` M there are value_0 ... value_{M-1}."""
    return [*BEFORE_VALUES, *(f"value_{m}" for m in range(critics)), *AFTER_VALUES]


@dataclass(frozen=True)
class RecordTexts:
    """What a file of token records says of whole prompts and responses; JSON values only.

    ``prompts``: by prompt id, ``{problem, answer}``; ``responses``: in the order of response ids,
    ``{verdict, extracted, truncated}``. Both are empty for a file written without them.
    """

    prompts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    responses: Sequence[Mapping[str, Any]] = ()


def write_records(path: Path, columns: Mapping[str, Any], texts: RecordTexts | None = None) -> None:
    """Write the columns (arrays or lists of one length) in compact types; the file appears whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = record_columns(sum(re.fullmatch(r"value_\d+", name) is not None for name in columns))
    assert set(names) == set(columns), f"columns differ from the records' by {sorted(set(names) ^ set(columns))}"
    metadata = None if texts is None else {TEXTS_KEY: json.dumps(asdict(texts)).encode("ascii")}
    schema = pa.schema([(name, _column_type(name)) for name in names], metadata=metadata)
    table = pa.table({name: _array(columns[name], schema.field(name).type) for name in names}, schema=schema)
    replace_file(path, lambda aside: pq.write_table(table, aside, compression="zstd"))


def _column_type(name: str) -> pa.DataType:
    import pyarrow as pa

    if name in STRINGS:
        return pa.dictionary(pa.int32(), pa.string())
    if name in BOOLEANS:
        return pa.bool_()
    return pa.int32() if name in INTEGERS else pa.float32()


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        # A byte token may be half a character: what is no text is kept as an escape instead of failing the step.
        texts = [text.encode("utf-8", "backslashreplace").decode("utf-8") for text in values]
        return pa.array(texts, pa.string()).dictionary_encode()
    return pa.array(values).cast(kind)


def recorded_steps(run: RunDirectory) -> list[int]:
    """Steps that have token records."""
    return _steps_in(run.records_folder)


def probed_steps(run: RunDirectory) -> list[int]:
    """Steps after which the probes were recorded; 0 is before training."""
    return _steps_in(run.probes_folder)


def _steps_in(folder: Path) -> list[int]:
    numbers = (path.stem.removeprefix("step-") for path in sorted(folder.glob("step-*.parquet")))
    return [int(number) for number in numbers if number.isdecimal()]


def read_table(path: Path, columns: Sequence[str] | None = None, responses: Sequence[int] | None = None) -> pa.Table:
    """Token records of one file, of training or of probes; only some columns, or only some responses, if so asked.

    Raises:
        ValueError: the file is damaged or cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        chosen = None if responses is None else [("response_id", "in", list(responses))]
        return pq.read_table(path, columns=None if columns is None else list(columns), filters=chosen)
    except (pa.ArrowInvalid, OSError) as error:
        raise unusable(path, error) from error


def row_count(path: Path) -> int:
    """How many tokens a file of records holds, without reading them.

    Raises:
        ValueError: the file is damaged or cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows: int = pq.read_metadata(path).num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise unusable(path, error) from error
    return rows


def texts_of(table: pa.Table) -> RecordTexts:
    """Texts that came with a table of one file; none if it was written without, or by another program."""
    try:
        found = json.loads((table.schema.metadata or {})[TEXTS_KEY])
        return RecordTexts(dict(found["prompts"]), list(found["responses"]))
    except (KeyError, ValueError, TypeError):
        return RecordTexts()


def write_samples(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write readable samples: {step, prompt_id, problem, answer, response, reward, verdict, ...}, one a line."""
    replace_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def read_samples(run: RunDirectory, step: int | None = None) -> list[dict[str, Any]]:
    """Samples of one step, or of the last that has any; none if there are none.

    Raises:
        ValueError: the file is damaged or cannot be read.
    """
    files = sorted(run.samples_folder.glob("step-*.jsonl"))
    path = files[-1] if step is None and files else run.samples(step or 0)
    if not path.exists():
        return []
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (ValueError, OSError) as error:
        raise unusable(path, error) from error
