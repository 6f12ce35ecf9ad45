"""Takes secrets out of text that people and files will see: log lines above all. Rather too much than too little, but never an id that one needs.

Kept: account numbers, ARNs, commits, digests, ids of deployments, executions and instances. Taken out: keys, tokens, passwords, headers, signed parts of URLs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

HIDDEN = "[hidden]"

LINE = 4096
"""How much of a line is looked at and shown: a log event may have 256 kB, and one that its sender made up must not hold anybody up."""
_CUT = "\ue000"
"""Stands where a line was cut, until the rules are through: a value in quotes may end there."""
_PART = 256

# A rule that may begin anywhere takes the word alone: what precedes it stays, and would be read anew from each of its parts.
_WORD = r"(?:pass(?:word|wd|phrase|code)|pwd|secret(?:[_-]?(?:access)?[_-]?key)?|(?:session|access|auth|refresh|security|id)?[_-]?token|api[_-]?key|apikey|private[_-]?key|access[_-]?key|credentials?)(?:[_.-][A-Za-z0-9]+)*"  # noqa: E501
_NAME = rf"(?:[A-Za-z0-9]+[_.-])*{_WORD}"
_QUOTED = rf"(?:\"[^\"{_CUT}]*(?:\"|(?={_CUT}))|'[^'{_CUT}]*(?:'|(?={_CUT})))"
_ESCAPED = rf"(?:\"(?:\\.|[^\"\\{_CUT}])*(?:\"|(?={_CUT}))|'[^'{_CUT}]*(?:'|(?={_CUT})))"
_BLOCK = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_RULES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    # IAM's ids of keys: four letters say which kind (IAM User Guide, "IAM identifiers").
    (re.compile(r"\b((?:AKIA|ASIA))[A-Z0-9]{12,}\b"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b((?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?)[^\r\n\"']+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b((?:set-)?cookie[\"']?\s*:\s*[\"']?)[^\r\n\"']+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b(x-[a-z-]{0,64}(?:token|api-key|secret)[\"']?\s*[:=]\s*[\"']?)[^\s\"'&]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {HIDDEN}"),
    # Signed URLs; an unsigned one keeps all of it.
    (re.compile(r"(?i)([?&](?:x-amz-(?:signature|credential|security-token)|signature|sig|token|access_token|awsaccesskeyid)=)[^&\s\"']+"), rf"\1{HIDDEN}"),
    (re.compile(r"\b([a-z][a-z0-9+.-]{0,30}://)[^\s/:@\"']*:[^\s/@\"']+@"), rf"\1{HIDDEN}@"),
    (re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}|glpat-[A-Za-z0-9_-]{16,}|xox[abprs]-[A-Za-z0-9-]{8,}|sk_live_[A-Za-z0-9]{8,})"),
     HIDDEN),
    # A JSON web token, and what KMS encrypted.
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"), HIDDEN),
    (re.compile(r"\bAQIC[A-Za-z0-9+/=]{40,}"), HIDDEN),
    # What ssm get-parameter --with-decryption and secretsmanager get-secret-value print.
    (re.compile(r"(?i)(SecureString.{0,200}?[\"']?Value[\"']?\s*[:=]\s*[\"']?)[^\s\"',}]+", re.DOTALL), rf"\1{HIDDEN}"),
    (re.compile(rf"(?i)([\"']?Value[\"']?\s*[:=]\s*)(?:{_QUOTED}|[^\s,}}]+)(?=.{{0,200}}?SecureString)", re.DOTALL), rf"\1{HIDDEN}"),
    (re.compile(rf"(?i)([\"']?Secret(?:String|Binary)[\"']?\s*[:=]\s*)(?:{_ESCAPED}|[^\s,}}]+)"), rf"\1{HIDDEN}"),
    # name=value, "name": "value", --name value. A plain word after a colon is prose ("token: invalid"), one with digits or marks in it is a value.
    (re.compile(rf"(?i)(?<![A-Za-z0-9]){_WORD}[\"']?\s*=\s*(?:{_QUOTED}|[^\s,;&\"']+)"), lambda m: re.split(r"=", m[0], maxsplit=1)[0] + f"={HIDDEN}"),
    (re.compile(rf"(?i)([\"']){_NAME}\1\s*:\s*{_ESCAPED}"), lambda m: m[0].split(":", 1)[0] + f": {HIDDEN}"),
    (re.compile(rf"(?i)(?<![A-Za-z0-9/])({_WORD}\s*:\s+)(?:{_QUOTED}|(?=\S*[0-9!@#$%^&*+/=_])\S{{6,}}|\S{{20,}})"), rf"\1{HIDDEN}"),
    (re.compile(rf"(?i)(?<![\w-])(--?{_NAME}\s+)(?!-)[^\s]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)(docker login\b[^\n]*?\s-p\s+)\S+"), rf"\1{HIDDEN}"),
    # A secret access key standing alone: 40 characters of base64. A commit is hexadecimal, and stays.
    (re.compile(r"(?<![A-Za-z0-9/+=_.:-])(?=[A-Za-z0-9/+]*[a-z])(?=[A-Za-z0-9/+]*[A-Z])(?=[A-Za-z0-9/+]*[0-9])[A-Za-z0-9+][A-Za-z0-9/+]{39}(?![A-Za-z0-9/+=_-])"),
     HIDDEN),
)


def redact(text: str) -> str:
    """The text without secrets. Of a private key, and of a parameter of type SecureString, all lines must be in it."""
    text = _BLOCK.sub(f"-----BEGIN PRIVATE KEY----- {HIDDEN}", text.replace(_CUT, ""))
    text = "\n".join(map(_cut, text.split("\n")))
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return text.replace(_CUT, "…")


def _cut(line: str) -> str:
    """The line, cut where it is too long: before a word, since of half a key nobody sees that it is one."""
    if len(line) <= LINE:
        return line
    head = line[: max(line.rfind(" ", 0, LINE), LINE - _PART)].rstrip("\\")
    # A value is a secret for what may stand behind it.
    return head + _CUT + (" SecureString" if "securestring" in line[len(head):].lower() else "")


def redact_lines(lines: tuple[str, ...]) -> tuple[str, ...]:
    """Lines that belong together (a log's end), so that what spans several of them is seen. A line may be gone afterwards."""
    return tuple(redact("\n".join(lines)).splitlines()) if lines else ()


def redact_all(value: Any) -> Any:
    """The same for every text of a document of mappings and lists. Lists of texts are taken as lines that belong together."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: redact_all(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(inner, str) for inner in value):
            return list(redact_lines(tuple(value)))
        return [redact_all(inner) for inner in value]
    return value
