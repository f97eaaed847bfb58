"""What every section of a configuration is built from: its base, and the kinds of values.

YAML (in ``conf/``) holds every value; the schema holds types, meaning and rules, and no default. A component is
given its own section, never the whole; a function of ``algorithm/`` is given plain numbers.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from asyppo_cli.keys import REFERENCE

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Decay = Annotated[float, Field(ge=0.0, lt=1.0)]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Text = Annotated[str, Field(min_length=1)]
Reference = Annotated[str, Field(pattern=REFERENCE)]
Scalar = bool | int | float | str | None


class Section(BaseModel):
    """Base of all sections: frozen, no unknown keys, no silent conversion of strings, finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
