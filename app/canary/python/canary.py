"""A caller of the service, for CloudWatch Synthetics: a run fails when this raises. Standard library only.

It asks what a caller asks and looks at what is answered, not only at the status. URL: where callers find the service.
Its time and its metric are Synthetics' own. Layout and handler: CloudWatch User Guide, "Writing a Python canary script".
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urljoin

TIMEOUT_SECONDS = 10


def handler(event: object, context: object) -> str:
    """Ask the service for a greeting and its version. Raises RuntimeError, which names the URL, for any other than the right answer."""
    url = os.environ["URL"]
    greeting = ask(urljoin(url, "/?name=canary"))
    if greeting.get("message") != "hello, canary":
        raise RuntimeError(f"{url}: the greeting is {greeting.get('message')!r}, not 'hello, canary'")
    version = ask(urljoin(url, "/version"))
    if not version.get("commit"):
        raise RuntimeError(f"{url}: /version names no commit: {version}")
    return f"{url} answers rightly; it runs {version['commit']}"


def ask(url: str) -> dict[str, Any]:
    """Return the JSON object that a GET answers with 200. Raises RuntimeError for anything else."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:
            content = json.load(answer)
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{url}: status {error.code}") from error
    except (OSError, ValueError) as error:
        raise RuntimeError(f"{url}: {error}") from error
    if not isinstance(content, dict):
        raise RuntimeError(f"{url}: not a JSON object: {content!r}")
    return content
