"""Filter patterns of CloudWatch Logs: the examples of its User Guide, and what it refuses."""

from __future__ import annotations

import pytest

from localaws import logpatterns
from localaws.service import ServiceError

BAD, UNAUTHORIZED, MISSING = "[ERROR 400] BAD REQUEST", "[ERROR 401] UNAUTHORIZED REQUEST", "[ERROR 419] MISSING ARGUMENTS"
INVALID, INFO = "[ERROR 420] INVALID ARGUMENTS", "[INFO] Phase complete: PRE_BUILD"
MESSAGES = [BAD, UNAUTHORIZED, MISSING, INVALID, INFO]


@pytest.mark.parametrize(("pattern", "expected"), [
    ("", MESSAGES),
    ("ERROR", [BAD, UNAUTHORIZED, MISSING, INVALID]),
    ("error", []),
    ("ERROR ARGUMENTS", [MISSING, INVALID]),
    ("?400 ?ARGUMENTS", [BAD, MISSING, INVALID]),
    ("?400 ARGUMENTS", [MISSING, INVALID]),
    ("ERROR -ARGUMENTS", [BAD, UNAUTHORIZED]),
    ("-ERROR", [INFO]),
    ('"INVALID ARGUMENTS"', [INVALID]),
    ('"Phase complete: BUILD"', []),
    ('"Phase complete: PRE_BUILD" INFO', [INFO]),
    ('ERROR -"BAD REQUEST"', [UNAUTHORIZED, MISSING, INVALID]),
    ("%4[02][01]%", [BAD, UNAUTHORIZED, INVALID]),
])
def test_what_a_pattern_finds(pattern: str, expected: list[str]) -> None:
    matches = logpatterns.matcher(pattern)
    assert [message for message in MESSAGES if matches(message)] == expected


@pytest.mark.parametrize(("pattern", "code"), [
    ("{ $.level = \"ERROR\" }", "NotImplementedByLocalAws"),
    ("[level, message]", "NotImplementedByLocalAws"),
    ('"no end', "InvalidParameterException"),
    ("%4(0|2)%", "InvalidParameterException"),
    ("%[%", "InvalidParameterException"),
])
def test_what_is_refused(pattern: str, code: str) -> None:
    with pytest.raises(ServiceError) as refused:
        logpatterns.matcher(pattern)
    assert refused.value.code == code
