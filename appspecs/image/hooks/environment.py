"""Make the container's environment file: `environment.py APP_JSON SCOPE_JSON ENV_FILE [NAME=VALUE…]`.

The JSON files are answers of `aws ssm get-parameters-by-path`; the scope's parameters lie over the app's, and both over the NAME=VALUEs.
The file is made with mode 0600 and replaced in one step. Prints how many settings, never a value.
Exit 1 with a sentence naming a parameter that no environment file can hold. Runs on a host: Python 3.9, standard library only.
"""

from __future__ import annotations

import json
import os
import re
import sys


def parameters(path: str) -> dict[str, str]:
    """{NAME: value} of one answer, NAME being the last part of the parameter's path. Raises ValueError naming the parameter."""
    with open(path, encoding="utf-8") as file:
        found = json.load(file)["Parameters"]
    settings = {}
    for parameter in found:
        name = parameter["Name"].rsplit("/", 1)[-1]
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError(f"the parameter {parameter['Name']} cannot be an environment variable; rename it to letters, digits and underscores")
        if re.search(r"[\r\n\0]", parameter["Value"]):
            raise ValueError(f"the value of {parameter['Name']} has a line break, which an environment file cannot hold; store it in base64, say")
        settings[name] = parameter["Value"]
    return settings


def write(path: str, settings: dict[str, str]) -> None:
    """Replace the file at once; only its owner may read it, at no moment anybody else."""
    new = path + ".new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.fchmod(descriptor, 0o600)  # it may be left from a run that was killed, with another mode
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.writelines(f"{name}={value}\n" for name, value in sorted(settings.items()))
    os.replace(new, path)


def main(arguments: list[str]) -> None:
    """Read, overlay, write."""
    app, scope, target, *given = arguments
    settings = {**dict(item.split("=", 1) for item in given), **parameters(app), **parameters(scope)}
    write(target, settings)
    print(f"Wrote {len(settings)} settings for the container: {', '.join(sorted(settings))}.")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ValueError as error:
        sys.exit(f"FAILED: {error}.")
