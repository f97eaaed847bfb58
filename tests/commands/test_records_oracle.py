"""An oracle recomputes the method from a run's own records: values, advantages, and both gates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest


@pytest.mark.parametrize("step", range(1, 7))
def test_records_obey_the_method(trained: tuple[Path, str], step: int) -> None:
    table = parquet.read_table(trained[0] / "records" / f"step-00000{step}.parquet").to_pydict()
    column = {name: np.array(values) for name, values in table.items()}
    values = np.stack([column["value_0"], column["value_1"]]).astype(np.float64)
    np.testing.assert_allclose(column["value_mean"], values.mean(0), atol=1e-6)
    np.testing.assert_allclose(column["value_std"], values.std(0), atol=1e-6)
    # gamma = lambda = 1: the advantage is the outcome minus the value.
    np.testing.assert_allclose(column["advantage"], column["reward"] - column["value_mean"], atol=1e-5)
    sigma = column["value_std"]
    order = sorted(range(len(sigma)), key=lambda i: (sigma[i], i))
    count = int(0.2 * len(sigma)) if sigma.max() > sigma.min() else 0
    masked = set(order[:count])
    highest = sorted(range(len(sigma)), key=lambda i: (-sigma[i], i))[:count]
    assert set(np.flatnonzero(~column["advantage_kept"])) == masked
    assert set(np.flatnonzero(~column["entropy_kept"])) == set(highest)
    assert (count == 0) == (step == 1)


def test_gradient_norms_follow_from_the_policys_distribution(trained: tuple[Path, str]) -> None:
    table = parquet.read_table(trained[0] / "records" / "step-000006.parquet").to_pydict()
    column = {name: np.array(values) for name, values in table.items()}
    # |onehot - pi| lies between 1 - p and sqrt(2) (1 - p).
    distance = column["gradient_norm"] / np.abs(column["advantage"])
    rest = 1 - np.exp(column["logprob"])
    assert (distance >= rest - 1e-5).all() and (distance <= np.sqrt(2) * rest + 1e-4).all()


def test_records_cover_every_token_of_every_response(trained: tuple[Path, str]) -> None:
    table = parquet.read_table(trained[0] / "records" / "step-000003.parquet").to_pandas()
    assert table.response_id.nunique() == 16 and table.prompt_id.nunique() == 4
    for _, response in table.groupby("response_id"):
        assert response.position.tolist() == list(range(len(response)))
