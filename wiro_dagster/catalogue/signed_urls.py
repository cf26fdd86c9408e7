"""URLs of files without what signs them: the same object is the same input tomorrow."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

from wiro_dagster.catalogue.file_values import is_url

_AMAZON = "algorithm credential date expires signature signedheaders security-token content-sha256"
_OLD = "signature expires policy key-pair-id awsaccesskeyid googleaccessid ossaccesskeyid"
_AZURE = "sig se st sv sr sp spr sip ss srt skoid sktid skt ske sks skv saoid suoid scid sdd"
_TENCENT = "sign-algorithm ak sign-time key-time header-list url-param-list signature"

# What must be there for a query to be signed in this way, and what belongs to the signature. A
# parameter that is not listed may choose another object, so it counts.
_SCHEMES: tuple[tuple[frozenset[str], frozenset[str]], ...] = (
    *(
        (frozenset({f"{prefix}signature"}), frozenset(f"{prefix}{n}" for n in names.split()))
        for prefix, names in (
            ("x-amz-", _AMAZON),  # S3 and services like it
            ("x-goog-", _AMAZON),
            ("x-oss-", _AMAZON),
            ("x-tos-", _AMAZON),
            ("q-", _TENCENT),
        )
    ),
    (frozenset({"signature", "expires"}), frozenset(f"{_OLD} security-token".split())),
    (frozenset({"signature", "policy", "key-pair-id"}), frozenset(_OLD.split())),  # CloudFront
    (frozenset({"sig", "se"}), frozenset(_AZURE.split())),
    (frozenset({"ex", "is", "hm"}), frozenset({"ex", "is", "hm"})),  # Discord
)


def without_signatures(text: str) -> str:
    """Return a URL, or several divided by commas, without signatures; other text as it is."""
    if "?" not in text:
        return text
    urls = [url.strip() for url in re.split(",", text)]
    return ",".join(map(_unsigned, urls)) if all(map(is_url, urls)) else text


def _unsigned(url: str) -> str:
    parts = urlsplit(url)
    pairs = parts.query.split("&")
    names = {_name(pair) for pair in pairs}
    signing = frozenset[str]().union(*(drop for need, drop in _SCHEMES if need <= names))
    kept = "&".join(pair for pair in pairs if _name(pair) not in signing)
    return urlunsplit(parts._replace(query=kept)) if signing else url


def _name(pair: str) -> str:
    return pair.partition("=")[0].lower()
