"""Alarm decisions, metric math and composite rules, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from localaws.cloudwatch import engine, metricmath, rules
from localaws.cloudwatch.engine import Point
from localaws.cloudwatch.store import Bucket, Metrics, key_of

ALARM = {"ComparisonOperator": "GreaterThanThreshold", "Threshold": 1.0, "Statistic": "Sum", "Period": 60, "MetricName": "m", "Namespace": "n"}


def points(row: str) -> list[Point]:
    """"0 - X" as data points: 0 within the threshold, X breaching, - missing; oldest first."""
    values = {"0": 0.0, "X": 5.0, "-": None}
    return [Point(60.0 * index, values[each], 1) for index, each in enumerate(row.split())]


def state(row: str, needed: int, breaching: int, treat: str) -> str:
    verdict = engine.evaluate({**ALARM, "EvaluationPeriods": needed, "DatapointsToAlarm": breaching, "TreatMissingData": treat},
                              points(row), 1000.0)
    return verdict.state if verdict else "retain"


@pytest.mark.parametrize(("row", "missing", "ignore", "breaching", "not_breaching"), [
    ("0 - X - X", "OK", "OK", "OK", "OK"),
    ("- - - - 0", "OK", "OK", "OK", "OK"),
    ("- - - - -", "INSUFFICIENT_DATA", "retain", "ALARM", "OK"),
    ("0 X X - X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("- - X - -", "ALARM", "retain", "ALARM", "OK"),
    ("- - - - X", "retain", "retain", "ALARM", "OK"),
])
def test_three_of_three_with_missing_data_as_in_awss_table(row: str, missing: str, ignore: str, breaching: str, not_breaching: str) -> None:
    assert [state(row, 3, 3, treat) for treat in ("missing", "ignore", "breaching", "notBreaching")] == \
        [missing, ignore, breaching, not_breaching]


@pytest.mark.parametrize(("row", "missing", "ignore", "breaching", "not_breaching"), [
    ("0 - X - X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("0 0 X 0 X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("0 - X - -", "OK", "OK", "ALARM", "OK"),
    ("- - - - 0", "OK", "OK", "ALARM", "OK"),
])
def test_two_of_three_with_missing_data_as_in_awss_table(row: str, missing: str, ignore: str, breaching: str, not_breaching: str) -> None:
    assert [state(row, 3, 2, treat) for treat in ("missing", "ignore", "breaching", "notBreaching")] == \
        [missing, ignore, breaching, not_breaching]


def test_m_of_n_needs_m_in_the_newest_n() -> None:
    assert state("X 0 0 0 X", 3, 2, "missing") == "OK"
    assert state("0 0 X 0 X", 3, 2, "missing") == "ALARM"


def test_reason_says_what_crossed() -> None:
    verdict = engine.evaluate({**ALARM, "EvaluationPeriods": 3, "DatapointsToAlarm": 2}, points("0 0 X 0 X"), 1000.0)
    assert verdict is not None
    assert verdict.reason == ("Threshold Crossed: 2 out of the last 3 datapoints [5.0 (01/01/70 00:04:00), 5.0 (01/01/70 00:02:00)] were "
                              "greater than the threshold (1.0) (minimum 2 datapoints for OK -> ALARM transition).")
    assert verdict.data["recentDatapoints"] == [5.0, 0.0, 5.0]
    assert verdict.data["evaluatedDatapoints"][0] == {"timestamp": "1970-01-01T00:04:00.000+0000", "sampleCount": 1, "value": 5.0}


def test_reason_for_no_data() -> None:
    verdict = engine.evaluate({**ALARM, "EvaluationPeriods": 1, "TreatMissingData": "notBreaching"}, points("- - -"), 1000.0)
    assert verdict is not None
    assert verdict.reason == ("Threshold Crossed: no datapoints were received for 1 period and 1 missing datapoint was treated as "
                              "[NonBreaching].")


@pytest.mark.parametrize(("operator", "value", "expected"), [
    ("GreaterThanThreshold", 1.0, "OK"), ("GreaterThanOrEqualToThreshold", 1.0, "ALARM"),
    ("LessThanThreshold", 1.0, "OK"), ("LessThanThreshold", 0.5, "ALARM"), ("LessThanOrEqualToThreshold", 1.0, "ALARM")])
def test_comparisons(operator: str, value: float, expected: str) -> None:
    verdict = engine.evaluate({**ALARM, "EvaluationPeriods": 1, "ComparisonOperator": operator}, [Point(0, value, 1)], 100.0)
    assert verdict is not None
    assert verdict.state == expected


@pytest.mark.parametrize(("stat", "samples", "weak"), [
    ("p99", 999, True), ("p99", 1000, False), ("p50", 19, True), ("p50", 20, False), ("p10", 99, True), ("p10", 100, False), ("Sum", 0, False)])
def test_a_percentile_needs_samples(stat: str, samples: float, weak: bool) -> None:
    assert engine.too_few(stat, samples) is weak


def test_low_sample_count_ignored_keeps_the_state_and_evaluated_does_not() -> None:
    alarm = {**ALARM, "EvaluationPeriods": 1, "ExtendedStatistic": "p99", "TreatMissingData": "notBreaching"}
    weak = [Point(0, None), Point(60, None), Point(120, 9.0, 999)]
    assert engine.evaluate({**alarm, "EvaluateLowSampleCountPercentile": "ignore"}, weak, 300.0) is None
    verdict = engine.evaluate({**alarm, "EvaluateLowSampleCountPercentile": "evaluate"}, weak, 300.0)
    assert verdict is not None
    assert verdict.state == "ALARM"
    strong = engine.evaluate({**alarm, "EvaluateLowSampleCountPercentile": "ignore"}, [Point(120, 9.0, 1000)], 300.0)
    assert strong is not None
    assert strong.state == "ALARM"


# -- points from samples -----------------------------------------------------------------------------------------------------

SCOPE = ("000000000000", "us-east-1")


def reader(metrics: Metrics) -> engine.Read:
    def read(metric: dict[str, Any], start: float, end: float) -> Bucket:
        series = metrics.series(SCOPE, key_of(metric["Namespace"], metric["MetricName"],
                                              {each["Name"]: each["Value"] for each in metric["Dimensions"]}))
        return series.window(start, end) if series else Bucket()

    return read


def record(metrics: Metrics, name: str, at: float, count: int, value: float = 1.0) -> None:
    metrics.record(SCOPE, key_of("n", name, {}), at, Bucket({value: count}), "Count")


def fault_alarm(floor: int = 20) -> dict[str, Any]:
    def metric(identity: str) -> dict[str, Any]:
        return {"Id": identity, "ReturnData": False,
                "MetricStat": {"Metric": {"Namespace": "n", "MetricName": identity, "Dimensions": []}, "Period": 60, "Stat": "Sum"}}

    return {"ComparisonOperator": "GreaterThanThreshold", "Threshold": 1.0, "EvaluationPeriods": 1, "TreatMissingData": "notBreaching",
            "Metrics": [metric("requests"), metric("errors"), metric("refused"), {
                "Id": "faults", "Expression": f"IF(requests >= {floor}, 100 * (FILL(errors, 0) + FILL(refused, 0)) / requests, 0)"}]}


def judge(alarm: dict[str, Any], metrics: Metrics, now: float) -> str:
    verdict = engine.evaluate(alarm, engine.points(alarm, reader(metrics), engine.end_of_range(now)), now)
    return verdict.state if verdict else "retain"


def test_faults_are_seen_within_seconds_and_the_request_floor_holds() -> None:
    metrics, start = Metrics(), 1_700_000_000.0
    for second in range(0, 120, 5):  # two minutes of good traffic, 10 requests per second
        record(metrics, "requests", start + second, 50)
    assert judge(fault_alarm(), metrics, start + 121) == "OK"
    record(metrics, "requests", start + 120, 50)
    record(metrics, "errors", start + 120, 10)
    assert judge(fault_alarm(), metrics, start + 126) == "ALARM"
    assert judge(fault_alarm(floor=601), metrics, start + 126) == "OK"


def test_alarm_ends_one_period_after_the_last_fault_and_silence_is_ok() -> None:
    metrics, start = Metrics(), 1_700_000_000.0
    for second in range(0, 300, 5):
        record(metrics, "requests", start + second, 50)
    record(metrics, "errors", start + 100, 10)
    assert judge(fault_alarm(), metrics, start + 106) == "ALARM"
    assert judge(fault_alarm(), metrics, start + 160) == "ALARM"
    assert judge(fault_alarm(), metrics, start + 171) == "OK"
    assert judge(fault_alarm(), metrics, start + 1000) == "OK"


def test_few_first_requests_make_neither_alarm() -> None:
    metrics, start = Metrics(), 1_700_000_000.0
    record(metrics, "requests", start, 3)
    record(metrics, "errors", start, 1)
    assert judge(fault_alarm(), metrics, start + 6) == "OK"


def test_a_less_than_alarm_is_not_fooled_by_a_minute_that_has_just_begun() -> None:
    alarm = {"ComparisonOperator": "LessThanThreshold", "Threshold": 100.0, "EvaluationPeriods": 1, "TreatMissingData": "breaching",
             "Namespace": "n", "MetricName": "requests", "Dimensions": [], "Statistic": "Sum", "Period": 60}
    metrics, start = Metrics(), 1_700_000_040.0  # a full minute of the clock
    for second in range(0, 65, 5):
        record(metrics, "requests", start + second, 50)
    assert judge(alarm, metrics, start + 66) == "OK"
    assert judge(alarm, metrics, start + 400) == "ALARM"


def test_percentiles_are_exact_over_the_period() -> None:
    metrics, start = Metrics(), 1_700_000_000.0
    record(metrics, "latency", start, 99, 0.02)
    record(metrics, "latency", start + 30, 1, 3.0)
    alarm = {**ALARM, "MetricName": "latency", "Dimensions": [], "EvaluationPeriods": 1, "ExtendedStatistic": "p99", "Threshold": 1.0}
    del alarm["Statistic"]
    assert engine.points(alarm, reader(metrics), start + 60)[-1] == Point(start, 0.02, 100)
    assert engine.points({**alarm, "ExtendedStatistic": "p99.9"}, reader(metrics), start + 60)[-1].value == 3.0


def test_samples_are_folded_and_forgotten_without_changing_what_they_say() -> None:
    metrics, start = Metrics(), 1_700_000_040.0
    for second in range(0, 60, 5):
        record(metrics, "requests", start + second, 10)
    metrics.prune(start + 3600)
    read = reader(metrics)
    metric = {"Namespace": "n", "MetricName": "requests", "Dimensions": []}
    assert read(metric, start, start + 60).count == 120
    again = Metrics()
    again.load(metrics.dump())
    assert reader(again)(metric, start, start + 60).count == 120
    metrics.prune(start + 4 * 3600)
    assert read(metric, start, start + 60).count == 0


# -- metric math -------------------------------------------------------------------------------------------------------------

GRID = [0.0, 60.0, 120.0, 180.0]


def calc(expression: str, **series: dict[float, float]) -> dict[float, float]:
    return dict(sorted(metricmath.evaluate(metricmath.parse(expression), series, GRID, 60, series).items()))


@pytest.mark.parametrize(("expression", "expected"), [
    ("a + 1", {0.0: 2, 60.0: 3}), ("a / b", {60.0: 1.0}), ("-a ^ 2", {0.0: -1, 60.0: -4}), ("2 + 3 * a", {0.0: 5, 60.0: 8}),
    ("(a + a) * 2 - 1", {0.0: 3, 60.0: 7}), ("a > 1", {0.0: 0, 60.0: 1}), ("a >= 1 AND a != 2", {0.0: 1, 60.0: 0}),
    ("a == 1 || a == 2", {0.0: 1, 60.0: 1}), ("FILL(a, 0)", {0.0: 1, 60.0: 2, 120.0: 0, 180.0: 0}),
    ("FILL(empty, 7)", {0.0: 7, 60.0: 7, 120.0: 7, 180.0: 7}), ("FILL(a, REPEAT)", {0.0: 1, 60.0: 2, 120.0: 2, 180.0: 2}),
    ("FILL(late, REPEAT)", {120.0: 5, 180.0: 5}), ("FILL(gap, LINEAR)", {0.0: 0, 60.0: 1, 120.0: 2, 180.0: 3}),
    ("IF(a > 1, a, 0)", {0.0: 0, 60.0: 2}), ("IF(a > 1, a)", {60.0: 2}), ("SUM([a, b])", {0.0: 1, 60.0: 4, 120.0: 4}),
    ("MAX([a, b, 3])", {0.0: 3, 60.0: 3, 120.0: 4}), ("AVG([a, b])", {0.0: 0.5, 60.0: 2, 120.0: 4}), ("a - MIN(a)", {0.0: 0, 60.0: 1}),
    ("SUM(METRICS('late'))", {120.0: 5}), ("a / PERIOD(a) * 60", {0.0: 1, 60.0: 2}), ("a > 1 AND b > 0 OR FALSE", {0.0: 0, 60.0: 1}),
])
def test_metric_math(expression: str, expected: dict[float, float]) -> None:
    assert calc(expression, a={0.0: 1, 60.0: 2}, b={0.0: 0, 60.0: 2, 120.0: 4}, empty={}, late={120.0: 5},
                gap={0.0: 0, 180.0: 3}) == expected


@pytest.mark.parametrize("expression", ["", "a +", "a b", "(a", "SEARCH('x', 'Sum')", "a @ 1", "FILL(a)", "[a, b]", "Nope", "1 / 0"])
def test_metric_math_that_cannot_be_is_refused(expression: str) -> None:
    with pytest.raises(metricmath.MathError):
        calc(expression, a={0.0: 1}, b={0.0: 1})


def test_expressions_in_a_circle_are_refused() -> None:
    queries = [{"Id": "a", "Expression": "b + 1"}, {"Id": "b", "Expression": "a + 1"}]
    with pytest.raises(metricmath.MathError, match="circle"):
        engine.math_values(queries, reader(Metrics()), GRID, 60)


# -- composite rules ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("rule", "expected"), [
    ("ALARM(a)", True), ('ALARM("b")', False), ("OK('b')", True), ("INSUFFICIENT_DATA(c)", True), ("NOT ALARM(a)", False),
    ("ALARM(b) OR ALARM(a)", True), ("ALARM(b) OR ALARM(a) AND ALARM(c)", False), ("(ALARM(b) OR ALARM(a)) AND OK(b)", True),
    ("NOT (ALARM(a) AND OK(b))", False), ("TRUE AND NOT FALSE", True), ("ALARM(gone)", False),
    ("ALARM(arn:aws:cloudwatch:us-east-1:000000000000:alarm:a)", True), ('ALARM("with space (and) brackets")', True)])
def test_rules(rule: str, expected: bool) -> None:
    states = {"a": "ALARM", "b": "OK", "c": "INSUFFICIENT_DATA", "with space (and) brackets": "ALARM"}
    assert rules.holds(rules.parse(rule), states) is expected


@pytest.mark.parametrize("rule", ["", "ALARM", "ALARM()", "ALARM(a", "ALARM(a) ALARM(b)", "ALARM(a) OR", "()", "BROKEN(a)", "NOT", 'ALARM("a)'])
def test_rules_that_cannot_be_are_refused(rule: str) -> None:
    with pytest.raises(rules.RuleError):
        rules.parse(rule)


def test_children_of_a_rule() -> None:
    assert rules.children(rules.parse('ALARM("b") OR (ALARM(a) AND NOT OK("b"))')) == ["b", "a"]
