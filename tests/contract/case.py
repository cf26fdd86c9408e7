"""A case of the contract, and the list of all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.contract.target import Target

Needs = Literal["read", "write", "paid", "emulator"]
"""What a case does to the account: reads only; leaves something there, free of charge; runs a
model; or needs faults and a clock that only the emulator has."""

Check = Callable[[Target], None]

ENDPOINTS = (
    "authentication",
    "envelope",
    "/Run",
    "/Task/Detail",
    "/Task/List",
    "/Task/Cancel",
    "/Task/Kill",
    "/Task/InputOutputDelete",
    "/Tool/Detail",
    "/Tool/List",
    "/File/FolderCreate",
    "/File/Upload",
    "CDN",
    "WebSocket",
    "callback",
)


@dataclass(frozen=True)
class Case:
    """One thing that the API document promises.

    Args:
        endpoint: one of ENDPOINTS.
        name: what is promised, in a few words.
        needs: what it does to the account.
        codes: the error codes that it covers.
        check: raises AssertionError where the promise is not kept.
    """

    endpoint: str
    name: str
    needs: Needs
    codes: tuple[int, ...]
    check: Check


CASES: list[Case] = []


def case(
    endpoint: str, name: str, *, needs: Needs = "emulator", codes: tuple[int, ...] = ()
) -> Callable[[Check], Check]:
    """Puts a check on the list."""

    def register(check: Check) -> Check:
        assert endpoint in ENDPOINTS
        CASES.append(Case(endpoint, name, needs, codes, check))
        return check

    return register
