"""Dashboards: what a body must look like, and that an account's dashboards are the same in every Region."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from localaws.clock import VirtualClock
from localaws.cloudwatch import dashboards
from localaws.cloudwatch.api import Api
from localaws.service import Context, ServiceError

ACCOUNT = "000000000000"
LINE = {"type": "metric", "x": 0, "y": 0, "width": 12, "height": 6, "properties": {
    "region": "us-east-1", "metrics": [["AWS/ApplicationELB", "RequestCount", "LoadBalancer", "app/a", {"stat": "Sum"}], [{"expression": "m1/2"}]],
    "annotations": {"horizontal": [{"label": "limit", "value": 5}]}}}


def context(region: str) -> Context:
    return Context(ACCOUNT, region, f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT)


def body(**changes: Any) -> str:
    return json.dumps({"widgets": [{**LINE, **changes}]})


def test_a_sound_body_has_no_problems() -> None:
    assert dashboards.problems(body()) == []
    repeated = {"region": "r", "metrics": [["N", "M", "D", "one", {"stat": "p50"}], ["...", {"stat": "p99"}], [".", "Other", ".", "."], ["...", "two"]]}
    assert dashboards.problems(body(properties=repeated)) == []
    assert dashboards.problems(json.dumps({"widgets": [{"type": "text", "properties": {"markdown": "# hello"}}]})) == []


@pytest.mark.parametrize(("wrong", "path"), [
    ("no json", ""), ("[]", "/widgets"), (body(type="graph"), "/widgets/0/type"), (body(width=25), "/widgets/0/width"),
    (body(properties={"metrics": [["N", "M"]]}), "/widgets/0/properties"), (body(properties={"region": "r"}), "/widgets/0/properties"),
    (body(properties={"region": "r", "metrics": [["N", "M", "Dimension"]]}), "/widgets/0/properties/metrics/0"),
    (body(properties={"region": "r", "metrics": [["N", "M"], [".", ".", "."]]}), "/widgets/0/properties/metrics/1"),
    (body(properties={"region": "r", "metrics": [["..."]]}), "/widgets/0/properties/metrics/0"),
    (body(properties={"region": "r", "metrics": [[{"label": "x"}]]}), "/widgets/0/properties/metrics/0"),
    (body(properties={"region": "r", "metrics": [["N", "M"]], "annotations": {"horizontal": [{"label": "x"}]}}),
     "/widgets/0/properties/annotations/horizontal/0"),
])
def test_a_body_with_mistakes_is_told_where(wrong: str, path: str) -> None:
    assert dashboards.problems(wrong)[0]["DataPath"] == path


def test_a_dashboard_is_kept_for_all_regions() -> None:
    api = Api(SimpleNamespace(clock=VirtualClock(1_700_000_000.0)))
    api.put_dashboard(context("us-east-1"), {"DashboardName": "shop-gamma", "DashboardBody": body()})
    assert api.get_dashboard(context("us-west-2"), {"DashboardName": "shop-gamma"})["DashboardArn"] == f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/shop-gamma"
    assert [each["DashboardName"] for each in api.list_dashboards(context("eu-west-1"), {"DashboardNamePrefix": "shop"})["DashboardEntries"]] == ["shop-gamma"]
    with pytest.raises(ServiceError, match="other does not exist"):
        api.delete_dashboards(context("us-east-1"), {"DashboardNames": ["shop-gamma", "other"]})
    api.delete_dashboards(context("us-east-1"), {"DashboardNames": ["shop-gamma"]})
    assert api.list_dashboards(context("us-east-1"), {})["DashboardEntries"] == []


def test_mistakes_are_refused() -> None:
    api = Api(SimpleNamespace(clock=VirtualClock(1_700_000_000.0)))
    with pytest.raises(ServiceError, match=r"1 validation errors: /widgets/0/type"):
        api.put_dashboard(context("us-east-1"), {"DashboardName": "a", "DashboardBody": body(type="pie")})
    with pytest.raises(ServiceError, match="invalid characters"):
        api.put_dashboard(context("us-east-1"), {"DashboardName": "a b", "DashboardBody": body()})


def test_iam_is_asked_about_the_dashboard() -> None:
    api = Api(SimpleNamespace(clock=VirtualClock()))
    assert list(api.permissions("PutDashboard", {"DashboardName": "a"}, context("us-east-1"))) == [
        ("cloudwatch:PutDashboard", f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/a")]
