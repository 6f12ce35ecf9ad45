"""Print a release's commit, digest and image for one Region: `release.py RELEASE_JSON REGION`.

Exit 1 with a sentence if the file does not say. Runs on a host: Python 3.9, standard library only.
"""

from __future__ import annotations

import json
import re
import sys


def describe(path: str, region: str) -> str:
    """'COMMIT DIGEST IMAGE' from a file {"commit", "digest", "images": {region: "repository@digest"}}. Raises ValueError saying what is wrong."""
    try:
        with open(path, encoding="utf-8") as file:
            release = json.load(file)
        commit, digest, images = str(release["commit"]), str(release["digest"]), dict(release["images"])
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; the bundle is not what the build makes") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a release ({error!r}); the bundle is not what the build makes") from error
    image = images.get(region)
    if image is None:
        regions = ", ".join(sorted(images)) or "no Region"
        raise ValueError(f"this release has no image for {region}, only for {regions}; add the Region's release store to parameters/pipeline.yaml")
    if not re.fullmatch(r"[0-9a-f]{7,64}", commit):
        raise ValueError(f"{path}: '{commit}' is not a commit")
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest) or not re.fullmatch(r"[^\s@]+@" + digest, str(image)):
        raise ValueError(f"{path}: the image '{image}' is not named by the digest '{digest}'")
    return f"{commit} {digest} {image}"


if __name__ == "__main__":
    try:
        print(describe(sys.argv[1], sys.argv[2]))
    except ValueError as error:
        sys.exit(f"FAILED: {error}.")
