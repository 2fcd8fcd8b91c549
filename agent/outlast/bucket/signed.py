"""Requests by URLs that carry a signature, one object at a time: what it allows may be one folder alone.

obstore deletes in batches. To Blob Storage that is a request to the container, which a signature for one
folder does not reach.
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from urllib.parse import quote

from outlast.bucket.credentials import Keys
from outlast.bucket.dialect import Answer

LIMIT_S = 20.0
BODY_BYTES_MAX = 8 << 10

Urls = Callable[[str], str | None]  # key → where whoever has the URL may do all that its signature allows


def urls_of(base: str, name: str, options: Mapping[str, str], keys: Keys | None) -> Urls:
    """`base`: of the whole bucket. `name`: of the option that is a signature; without one there is no URL.

    The URLs raise NoKeys where `keys` does.
    """

    def url(key: str) -> str | None:
        signature = (keys() if keys is not None else options).get(name, "").lstrip("?")
        return f"{base}/{quote(key)}?{signature}" if signature else None

    return url


def delete_at(url: str) -> Answer | None:
    """None: it is done. The URL is a secret, and appears in no answer."""
    request = urllib.request.Request(url, method="DELETE")  # noqa: S310  # http or https, by the address
    try:
        with urllib.request.urlopen(request, timeout=LIMIT_S):  # noqa: S310
            return None
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(BODY_BYTES_MAX).decode("utf-8", errors="replace")
        kind = "denied" if error.code in (401, 403) else "other"
        return Answer(f"status code: {error.code} {said}", kind)
    except (OSError, http.client.HTTPException) as error:
        return Answer(f"the store was not reached ({type(error).__name__})", "other")
