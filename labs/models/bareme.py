"""The barème of a lab beyond its points: thresholds, eliminatory checks, what a reboot is worth, what stays hidden."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from labs.models.loader import Strict


class Bareme(Strict):
    """How points become results. A row weighs what its checks are worth together, a task likewise."""

    threshold: float = Field(default=1.0, gt=0, le=1)
    """Share of a row's points from which it is met."""
    rows: dict[str, float] = Field(default_factory=dict)
    """Rows with a threshold of their own, e.g. {CP06-S1: 0.6}."""
    coefficients: dict[str, Annotated[float, Field(gt=0, le=100)]] = Field(default_factory=dict)
    """Rows whose checks count that many times their points, whatever their task, e.g. {CP06-S1: 2}."""
    eliminatory: tuple[str, ...] = ()
    """Checks without which neither their row nor its competence is met, whatever the rest."""
    hidden: tuple[str, ...] = ()
    """Checks that candidates are not told about, not even in their feedback sheet."""
    persistence: float = Field(default=0.5, ge=0, le=1)
    """Share of a check's points that its second measure, after the reboot, is worth."""
    mark: bool = False
    """Whether documents also give a mark out of 20, a habit of schools that the title does not know."""

    def threshold_of(self, row: str) -> float:
        return self.rows.get(row, self.threshold)

    def only(self, checks: Iterable[str]) -> Bareme:
        """What of it is about these checks."""
        known = set(checks)
        rows = {check.rpartition(".")[0] for check in known}
        return self.model_copy(
            update={
                "rows": {row: share for row, share in self.rows.items() if row in rows},
                "coefficients": {row: value for row, value in self.coefficients.items() if row in rows},
                "eliminatory": tuple(check for check in self.eliminatory if check in known),
                "hidden": tuple(check for check in self.hidden if check in known),
            }
        )

    def strangers(self, checks: Iterable[str]) -> list[str]:
        """What this names and the sheet does not have: checks, or rows that no check grades."""
        known = set(checks)
        rows = {check.rpartition(".")[0] for check in known}
        wrong = [row for row, share in self.rows.items() if row not in rows or not 0 < share <= 1]
        wrong += [row for row in self.coefficients if row not in rows]
        return [*wrong, *(check for check in (*self.eliminatory, *self.hidden) if check not in known)]
