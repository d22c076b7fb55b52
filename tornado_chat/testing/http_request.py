"""HTTP requests of tests: JSON in, the answer out, errors included."""

import json
from collections.abc import Mapping
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse


async def request(
    url: str,
    method: str,
    token: str | None = None,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> HTTPResponse:
    """Request ``url``, and return the answer whatever its status.

    :arg token: for the header ``Authorization``; None: no header.
    :arg body: a JSON value; None: an empty object, or no body with GET.
    """
    authorization = {} if token is None else {"Authorization": f"Bearer {token}"}
    return await AsyncHTTPClient().fetch(
        HTTPRequest(
            url,
            method=method,
            headers={**(headers or {}), **authorization},
            body=None if body is None and method == "GET" else json.dumps(body or {}),
            allow_nonstandard_methods=True,
        ),
        raise_error=False,
    )
