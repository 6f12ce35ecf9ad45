"""Buildspecs that templates name, as far as they can be read: those inside a template, files of the source beside it, and the
scripts of the source that they run."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfnlint.decode.decode import decode_str

if TYPE_CHECKING:
    from scripts.rules import _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _values

# docker where a command begins: after the line's start, && || ; | ( ! or words such as sudo and then.
_DOCKER = re.compile(r"(?:^|[;&|(!]|\b(?:sudo|exec|then|do|else|time|if)\b)\s*(docker(?:-compose)?\s+[a-z][\w-]*(?:\s+[a-z][\w-]*)?)", re.MULTILINE)
# These ask nothing of the daemon.
_HARMLESS = re.compile(r"docker(?:-compose)?\s+(?:--?version|version|--?help|help|login|logout|context|buildx\s+imagetools|manifest)\b")
# Scripts of the source that a command runs.
_SCRIPT = re.compile(r"(?<![\w./-])(?:\./)?([\w-][\w./-]*\.(?:sh|bash))\b")
# A daemon elsewhere does the work.
_ELSEWHERE = re.compile(r"DOCKER_HOST")


def docker(cfn: Any, spec: Any) -> str:
    """The first command of a buildspec that needs a Docker daemon, or nothing. What cannot be read has none."""
    for text in _values.texts(cfn, spec) or _lines_of_sub(spec):
        body = text if "\n" in text or text.lstrip().startswith("{") else _file(cfn, text)
        if body and not _ELSEWHERE.search(body):
            for command in _commands(body):
                scripts = [_file(cfn, name) for name in _SCRIPT.findall(command)]
                for run in (command, *(script for script in scripts if not _ELSEWHERE.search(script))):
                    for found in _DOCKER.finditer(run):
                        if not _HARMLESS.match(found[1]):
                            return found[1]
    return ""


def _lines_of_sub(spec: Any) -> list[str]:
    text = spec.get("Fn::Sub") if isinstance(spec, dict) and len(spec) == 1 else None
    text = text[0] if isinstance(text, list) and text else text
    return [text] if isinstance(text, str) else []


def _file(cfn: Any, name: str) -> str:
    """Text of a file of the source: below the nearest folder above the template that has it."""
    if not cfn.filename or name.startswith(("arn:", "/", "s3:", "http")):
        return ""
    for folder in Path(cfn.filename).absolute().parents:
        path = folder / name
        if path.is_file() and path.stat().st_size < 1_000_000:
            return path.read_text(encoding="utf-8", errors="replace")
        # The source ends where its repository does.
        if (folder / ".git").exists():
            break
    return ""


def _commands(body: str) -> Iterator[str]:
    """Every command of a buildspec; all of it where it is none that can be read."""
    spec, problems = decode_str(body)
    if problems or not isinstance(spec, dict) or not isinstance(spec.get("phases"), dict):
        return
    for phase in spec["phases"].values():
        for key in ("commands", "finally"):
            listed = phase.get(key) if isinstance(phase, dict) else None
            for command in listed if isinstance(listed, list) else [listed]:
                if isinstance(command, str):
                    yield command
