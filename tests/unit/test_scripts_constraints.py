"""A value against a parameter's declaration."""

from __future__ import annotations

import pytest

from scripts.core.constraints import fault
from scripts.core.templates import ParameterSpec


@pytest.mark.parametrize(
    ("spec", "good", "bad"),
    [
        (ParameterSpec("P", "String", allowed_values=("true", "false")), ["true"], ["True", ""]),
        (ParameterSpec("P", "String", allowed_pattern="[a-z]+"), ["abc"], ["abc1", ""]),
        (ParameterSpec("P", "String", allowed_pattern="[a-z]*"), ["", "abc"], ["A"]),
        (ParameterSpec("P", "String", min_length=2, max_length=3), ["ab", "abc"], ["a", "abcd"]),
        (ParameterSpec("P", "Number", min_value="1", max_value="10"), ["1", "10", "2.5"], ["0", "11", "x", "", "1e", "NaN", "1_0", "\u0663"]),
        (ParameterSpec("P", "Number"), ["-1", "1e3", ".5"], ["Infinity", "NaN", "0x10"]),
        (ParameterSpec("P", "List<Number>"), ["1, 2"], ["1,b", ""]),
        (ParameterSpec("P", "CommaDelimitedList", allowed_pattern="arn:.+"), ["arn:a,arn:b"], ["arn:a,b", ""]),
        (ParameterSpec("P", "CommaDelimitedList"), ["", "a,b"], []),
        (ParameterSpec("P", "AWS::EC2::VPC::Id"), ["vpc-0123456789abcdef0"], ["", "subnet-0123456789abcdef0"]),
        (ParameterSpec("P", "List<AWS::EC2::Subnet::Id>"), ["subnet-01234567,subnet-0123456789abcdef0"], ["subnet-01234567,x"]),
    ],
)
def test_values(spec: ParameterSpec, good: list[str], bad: list[str]) -> None:
    assert [value for value in good if fault(spec, value)] == []
    assert [value for value in bad if not fault(spec, value)] == []


def test_the_templates_own_explanation_is_given() -> None:
    spec = ParameterSpec("P", "String", allowed_pattern="[a-z]+", constraint="lower-case letters")
    assert fault(spec, "X") == "'X' does not match [a-z]+ (lower-case letters)"


def test_a_pattern_that_only_java_reads_is_left_to_cloudformation() -> None:
    assert fault(ParameterSpec("P", "String", allowed_pattern=r"\p{Alpha}+"), "1") is None
