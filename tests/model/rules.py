"""The nine rules of the design, each of which can be switched off to see what is lost then."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace


@dataclass(frozen=True)
class Rules:
    """Which rules hold.

    Args:
        ends_are_read_again: an end is not final at first sight.
        absence_is_proved: a lost run is sent again only after several complete looks.
        runs_carry_markers: a task is adopted by its marker, not by equal inputs.
        ledger_has_witnesses: a ledger that is older than its witnesses does not buy.
        books_are_audited: every task of the account is explained, or told.
        clocks_are_measured: Wiro's times are read by Wiro's clock.
        standing_still_is_told: an order that needs the user says so.
        fence_is_at_first_byte: nothing lies between the last look at the lease and the POST.
        answers_are_kept: an answer that the ledger cannot take is kept until it can.
    """

    ends_are_read_again: bool = True
    absence_is_proved: bool = True
    runs_carry_markers: bool = True
    ledger_has_witnesses: bool = True
    books_are_audited: bool = True
    clocks_are_measured: bool = True
    standing_still_is_told: bool = True
    fence_is_at_first_byte: bool = True
    answers_are_kept: bool = True

    def without(self, rule: str) -> Rules:
        """The same rules, one of them switched off."""
        return replace(self, **{rule: False})


RULES = tuple(field.name for field in fields(Rules))
