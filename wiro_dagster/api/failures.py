"""Faults of the network, described in a few words that quote nothing remote."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator

import requests
from urllib3 import exceptions as urllib3_errors

NETWORK_ERRORS = (requests.RequestException, urllib3_errors.HTTPError, OSError, ValueError)
"""How requests and urllib3 report a fault. ValueError comes from headers in no known encoding."""


class AnswerTooLarge(requests.RequestException):
    """An answer's body is larger than any answer of Wiro's."""


_Words = tuple[tuple[tuple[type[BaseException], ...], str], ...]

_LOCAL_WORDS: _Words = (
    ((ssl.SSLCertVerificationError,), "the TLS certificate could not be verified"),
    ((ssl.SSLError, urllib3_errors.SSLError), "TLS failed"),
    ((socket.gaierror,), "the host name was not found"),
    ((ConnectionRefusedError,), "the connection was refused"),
    ((ConnectionResetError, BrokenPipeError), "the connection was closed"),
    ((urllib3_errors.ConnectTimeoutError,), "no connection in time"),
    ((urllib3_errors.ReadTimeoutError, requests.ReadTimeout, TimeoutError), "no answer in time"),
)

_REMOTE_WORDS: _Words = (
    ((AnswerTooLarge,), "the answer is larger than 8 MB"),
    (
        (urllib3_errors.ProxyError, requests.exceptions.ProxyError),
        "the proxy refused",
    ),
    ((urllib3_errors.DecodeError,), "the answer's compression is broken"),
    ((urllib3_errors.IncompleteRead, http.client.IncompleteRead), "the answer was cut short"),
    ((http.client.HTTPException, urllib3_errors.HTTPError), "the answer is not HTTP"),
)


def describe_failure(error: BaseException) -> str:
    """Return what went wrong on the network, in a few words.

    urllib3's errors wrap each other and quote what was received. Only their kinds are described,
    or the operating system's own words if the kind is not known.
    """
    chain = list(_unwrap(error))
    system_words = (item.strerror for item in chain if isinstance(item, OSError))
    return (
        _find_words(chain, _LOCAL_WORDS)
        or next((words for words in system_words if words), None)
        or _find_words(chain, _REMOTE_WORDS)
        or type(chain[-1]).__name__
    )


def _find_words(chain: list[BaseException], table: _Words) -> str | None:
    for kinds, words in table:
        if any(isinstance(item, kinds) for item in chain):
            return words
    return None


def _unwrap(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        item = waiting.pop(0)
        if isinstance(item, BaseException) and id(item) not in seen:
            seen.add(id(item))
            yield item
            waiting += [getattr(item, "reason", None), *item.args, item.__cause__, item.__context__]
