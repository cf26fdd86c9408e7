"""States of the whole as integers of 64 bits: the numbers of three wishes, and shared bits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tests.model.tables import WISH_BITS, Numbers

States = npt.NDArray[np.uint64]

PLACES = 3
SHARED_BITS = 64 - PLACES * WISH_BITS
SHARED = (1 << SHARED_BITS) - 1
_WISH = (1 << WISH_BITS) - 1
_SHIFTS = tuple(SHARED_BITS + place * WISH_BITS for place in reversed(range(PLACES)))


def pack(wishes: Numbers, shared: States) -> States:
    """Put the wishes of each row into one integer, in order: they are alike."""
    ordered = np.sort(wishes, axis=1).astype(np.uint64)
    packed = shared.copy()
    for place, shift in enumerate(_SHIFTS):
        packed |= ordered[:, place] << np.uint64(shift)
    return packed


def unpack(states: States) -> tuple[Numbers, States]:
    """Return the numbers of the wishes, a row for each state, and the shared bits."""
    columns = [(states >> np.uint64(shift)) & np.uint64(_WISH) for shift in _SHIFTS]
    return np.stack(columns, axis=1).astype(np.int64), states & np.uint64(SHARED)


def list_wishes(state: int) -> list[int]:
    """Return the numbers of the wishes of one state."""
    return [state >> shift & _WISH for shift in _SHIFTS]
