"""parameters/*.yaml fit the templates they name, on AWS and with the local overlay, and the templates' Rules refuse what does not fit together."""

from __future__ import annotations

import functools
import math
import re
from pathlib import Path
from typing import Any

import pytest
from template_files import ROOT, read_yaml

FOLDER = ROOT / "parameters"
FILES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
# What the AWS of one machine may have otherwise: which account, machine image, repository and base image, how many hosts, how long waits take.
LOCAL = {"AmiId", "AgentVersion", "BaseImage", "RepositoryId", "NotificationEmail", "Egress", "FleetSize", "FleetMaxSize", "OneBoxSize", "LogRetentionDays"}
LOCAL |= {"DeregistrationDelaySeconds", "FirstZoneMonitorSeconds", "ZoneMonitorSeconds", "EvaluationPeriods", "DatapointsToAlarm"}
LOCAL |= {"ToolsAccountId", "AvailabilityZoneCount", "MinimumHealthyPercent", "TrafficMinutes", "CanaryRateMinutes", "GammaLoadSeconds", "SettleSeconds"}
LOCAL |= {"GammaBakeSeconds", "OneBoxBakeSeconds", "Wave1BakeSeconds", "Wave2BakeSeconds", "GateLimitSeconds", "EntryLimitSeconds"}
LOCAL |= {"GammaMinimumRequests", "ProdMinimumRequests"}
REFERENCE = re.compile(r"\$\{([\w-]+)(?:\[(\d+)\]|@([\w-]+))?\.(\w+)\}")


def _merge(below: Any, above: Any) -> Any:
    """`above` laid over `below`: mappings merge, all else is replaced."""
    if isinstance(below, dict) and isinstance(above, dict):
        return {key: _merge(below[key], above[key]) if key in below and key in above else above.get(key, below.get(key)) for key in below | above}
    return above


def _settings(name: str, local: bool) -> dict[str, Any]:
    settings = read_yaml((FOLDER / f"{name}.yaml").read_text())
    return _merge(settings, read_yaml((FOLDER / "local" / f"{name}.yaml").read_text())) if local else settings


@functools.cache
def _template(name: str) -> dict[str, Any]:
    return read_yaml((ROOT / "templates" / f"{name}.yaml").read_text())


def _values(settings: dict[str, Any], region: str) -> dict[str, str]:
    """Parameter values for a Region as CloudFormation gets them: strings, the template's defaults where none is given."""
    specs = _template(settings["template"])["Parameters"]
    values = {name: spec["Default"] for name, spec in specs.items() if "Default" in spec}
    values |= settings["parameters"] | (settings.get("region_parameters") or {}).get(region, {})
    return {name: str(value) for name, value in values.items()}


def _misfits(specs: dict[str, dict[str, Any]], values: dict[str, str]) -> list[str]:
    """Why CloudFormation would refuse the values; a reference to an output fits any pattern."""
    found = [f"{name} is missing" for name in specs if name not in values] + [f"{name} is not declared" for name in values if name not in specs]
    for name, value in values.items():
        spec = specs.get(name, {})
        if REFERENCE.fullmatch(value):
            continue
        if "AllowedValues" in spec and value not in [str(allowed) for allowed in spec["AllowedValues"]]:
            found.append(f"{name} may not be {value}")
        if "AllowedPattern" in spec and not re.fullmatch(spec["AllowedPattern"], value):
            found.append(f"{name} does not match: {value}")
        if spec.get("Type") == "Number" and not spec.get("MinValue", -math.inf) <= float(value) <= spec.get("MaxValue", math.inf):
            found.append(f"{name} is out of range: {value}")
        if spec.get("Type") == "AWS::EC2::Image::Id" and not re.fullmatch(r"ami-[0-9a-f]{8,17}", value):
            found.append(f"{name} is not an image: {value}")
    return found


def _holds(function: Any, values: dict[str, str]) -> Any:
    """A rule's function applied to the values."""
    if not isinstance(function, dict):
        return str(function)
    ((name, argument),) = function.items()
    if name == "Ref":
        return values[argument]
    arguments = [_holds(item, values) for item in argument]
    return {"Fn::And": all, "Fn::Or": any, "Fn::Not": lambda these: not these[0], "Fn::Equals": lambda these: these[0] == these[1]}[name](arguments)


def _refusals(template: dict[str, Any], values: dict[str, str]) -> list[str]:
    """The AssertDescription of each rule that the values break."""
    rules = [rule for rule in template.get("Rules", {}).values() if "RuleCondition" not in rule or _holds(rule["RuleCondition"], values)]
    return [item["AssertDescription"] for rule in rules for item in rule["Assertions"] if not _holds(item["Assert"], values)]


@pytest.mark.parametrize("local", [False, True], ids=["aws", "local"])
@pytest.mark.parametrize("name", FILES)
def test_values_fit_the_template(name: str, local: bool) -> None:
    settings = _settings(name, local)
    assert set(settings) - {"waves", "protected"} == {"template", "account", "deployer", "regions", "needs", "parameters", "region_parameters", "tags"}
    assert re.fullmatch(r"\d{12}", settings["account"])
    for region in settings["regions"]:
        assert _misfits(_template(settings["template"])["Parameters"], _values(settings, region)) == []


def test_misfits_are_found() -> None:
    specs = _template("environment")["Parameters"]
    values = _values(_settings("gamma", local=True), "us-east-1")
    wrong = {"Egress": "none", "VpcCidr": "10.0.0.0/8", "FleetSize": "1", "AmiId": "latest", "Misspelt": "x", "EnvironmentName": ""}
    found = _misfits(specs, values | wrong)
    assert len(found) == len(wrong), found
    del values["AmiId"]
    assert _misfits(specs, values) == ["AmiId is missing"]


@pytest.mark.parametrize("name", FILES)
def test_every_parameter_is_written_down(name: str) -> None:
    """The file is what a reader looks at: nothing hangs on a template's default unseen."""
    settings = _settings(name, local=False)
    given = set(settings["parameters"]).union(*(settings["region_parameters"] or {"": {}}).values())
    assert given == set(_template(settings["template"])["Parameters"])


@pytest.mark.parametrize("name", FILES)
def test_references_name_outputs(name: str) -> None:
    for value in _settings(name, local=False)["parameters"].values():
        for stack, index, _, output in REFERENCE.findall(str(value)):
            named = _settings(stack, local=False)["template"] if stack in FILES else stack
            assert output in _template(named)["Outputs"], f"{value} in parameters/{name}.yaml"
            assert not index or int(index) < len(_settings(stack, local=False)["regions"]), f"{value} in parameters/{name}.yaml"


@pytest.mark.parametrize("name", FILES)
def test_local_overlay_changes_sizes_and_waits_alone(name: str) -> None:
    overlay = read_yaml((FOLDER / "local" / f"{name}.yaml").read_text())
    assert set(overlay) <= {"account", "deployer", "parameters", "region_parameters"}
    assert overlay["account"] == "000000000000"
    assert overlay["deployer"] is True or overlay["deployer"] == "true", "nobody deploys as root, locally either"
    changed = set(overlay.get("parameters", {})).union(*overlay.get("region_parameters", {"": {}}).values())
    assert changed <= LOCAL


def test_every_overlay_has_its_file() -> None:
    assert sorted(path.stem for path in (FOLDER / "local").glob("*.yaml")) == FILES


@pytest.mark.parametrize("name", FILES)
def test_placeholders_are_refused_and_local_values_are_not(name: str) -> None:
    template = _template(_settings(name, False)["template"])
    for region in _settings(name, False)["regions"]:
        refused = _refusals(template, _values(_settings(name, local=False), region))
        assert len(refused) == (1 if name == "pipeline" else 2), refused
        assert all("still" in one for one in refused)
        assert _refusals(template, _values(_settings(name, local=True), region)) == []


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("gamma", {"ExistingVpcId": "vpc-01234567"}, "all together"),
        ("gamma", {"ExistingHostSubnetIds": "subnet-01234567,subnet-12345678"}, "all together"),
        ("prod", {"AvailabilityZoneCount": "3"}, "FleetSize must be 3"),
        ("prod", {"EvaluationPeriods": "2", "DatapointsToAlarm": "3"}, "DatapointsToAlarm"),
        ("prod", {"EvaluationPeriods": "4", "DatapointsToAlarm": "5"}, "DatapointsToAlarm"),
        ("prod", {"AmiId": "ami-00000000000000000"}, "AmiId"),
        ("prod", {"AgentVersion": "0.0.0"}, "AgentVersion"),
        ("pipeline", {"RepositoryId": "your-org/your-repo"}, "RepositoryId"),
        ("pipeline", {"Gamma1ApplicationName": "${prod.ApplicationName}"}, "gamma would be prod"),
        ("pipeline", {"Prod1FleetDeploymentGroupName": "${prod.OneBoxDeploymentGroupName}"}, "same deployment group"),
        ("pipeline", {"Store2KeyArn": ""}, "release store of Region 2"),
        ("pipeline", {"Store4Region": "eu-central-1"}, "release store of Region 4"),
        ("pipeline", {"Beta1EndpointUrl": "http://beta"}, "beta"),
        ("pipeline", {"Gamma2EndpointUrl": ""}, "Region 2 of gamma"),
        ("pipeline", {"Gamma3Region": "eu-west-1"}, "Region 3 of gamma"),
        ("pipeline", {"Prod2ControlRoleArn": ""}, "Region 2 of prod"),
        ("pipeline", {"Prod3Region": ""}, "Region 3 of prod"),
        ("pipeline", {"Prod4ApplicationName": "x"}, "Region 4 of prod"),
    ],
)
def test_rules_refuse_what_does_not_fit_together(name: str, values: dict[str, str], reason: str) -> None:
    settings = _settings(name, local=True)
    refused = _refusals(_template(settings["template"]), _values(settings, "us-east-1") | values)
    assert len(refused) == 1, refused
    assert reason in refused[0]


def test_rules_allow_every_m_of_n() -> None:
    template, values = _template("environment"), _values(_settings("prod", local=True), "us-east-1")
    for periods in range(1, 6):
        for points in range(1, 6):
            refused = _refusals(template, values | {"EvaluationPeriods": str(periods), "DatapointsToAlarm": str(points)})
            assert bool(refused) == (points > periods), (points, periods)


@pytest.mark.parametrize("local", [False, True], ids=["aws", "local"])
@pytest.mark.parametrize("name", [name for name in FILES if name != "pipeline"])
def test_fleets_can_be_deployed_to_and_replaced(name: str, local: bool) -> None:
    """A host can be out of service at the minimum, and replacing hosts may add one first."""
    values = _values(_settings(name, local), "us-east-1")
    size, minimum = int(values["FleetSize"]), int(values["MinimumHealthyPercent"])
    assert math.ceil(size * minimum / 100) < size
    assert int(values["FleetMaxSize"]) > max(size, int(values["OneBoxSize"]))


def test_environments_differ_where_they_must() -> None:
    beta, gamma, prod = (_settings(name, local=False) for name in ("beta", "gamma", "prod"))
    networks = [_values(each, region)["VpcCidr"] for each in (beta, gamma, prod) for region in each["regions"]]
    assert len(set(networks)) == len(networks), networks
    alarms = [name for name in gamma["parameters"] if re.search("Threshold|Latency|Floor|Periods|Datapoints", name)]
    assert len(alarms) > 5
    for each in (beta, prod):
        assert {name: gamma["parameters"][name] for name in alarms} == {name: each["parameters"][name] for name in alarms}
    for name in ("AppPort", "HealthPath"):
        assert len({each["parameters"][name] for each in (beta, gamma, prod)}) == 1, f"{name} is the app's, not an environment's"


def test_beta_is_one_region_and_the_pipeline_takes_it_as_its_comments_say() -> None:
    beta = _settings("beta", local=False)
    text = (FOLDER / "pipeline.yaml").read_text()
    slot = {f"Beta1{output}": f"${{beta.{output}}}" for output in ("Region", "ApplicationName", "FleetDeploymentGroupName", "DeployRoleArn", "EndpointUrl")}
    pipeline = _settings("pipeline", local=True)
    assert len(beta["regions"]) == 1
    assert {name for name in pipeline["parameters"] if name.startswith("Beta")} == set(slot)
    for name, reference in slot.items():
        assert f'{name}: ""' in text and reference in text
        assert reference[7:-1] in _template("environment")["Outputs"]
    assert _refusals(_template("pipeline"), _values(pipeline, "us-east-1") | slot) == []


def test_prod_has_one_one_box_at_home_and_goes_there_first() -> None:
    prod, pipeline = _settings("prod", local=False), _settings("pipeline", local=False)
    assert [_values(prod, region)["HasOneBox"] for region in prod["regions"]] == ["true"] + ["false"] * (len(prod["regions"]) - 1)
    assert [region for wave in prod["waves"] for region in wave] == prod["regions"]
    assert prod["waves"][0] == pipeline["regions"] == [prod["parameters"]["HomeRegion"]]


def test_the_pipeline_names_every_region_of_every_environment() -> None:
    """A Region that is added to an environment and forgotten here would never get a release."""
    pipeline = _settings("pipeline", local=False)
    values = pipeline["parameters"]
    regions = {region for name in ("gamma", "prod") for region in _settings(name, local=False)["regions"]}
    assert {*pipeline["regions"], *(values[f"Store{number}Region"] for number in (2, 3, 4))} - {""} == regions
    for name in ("gamma", "prod"):
        for index, _ in enumerate(_settings(name, local=False)["regions"]):
            used = f"${{{name}[{index}].Region}}" if index else f"${{{name}.Region}}"
            assert values[f"{name.capitalize()}{index + 1}Region"] == used


@pytest.mark.parametrize("local", [False, True], ids=["aws", "local"])
def test_waits_fit_together(local: bool) -> None:
    """What CloudFormation cannot add: a load as long as gamma's gate looks, enough of it, and limits that leave time to decide."""
    values, gamma = _values(_settings("pipeline", local), "us-east-1"), _values(_settings("gamma", local), "us-east-1")
    settle, limit = int(values["SettleSeconds"]), int(values["GateLimitSeconds"])
    assert all(int(values[f"{stage}BakeSeconds"]) + settle < limit for stage in ("Gamma", "OneBox", "Wave1", "Wave2"))
    assert int(values["GammaLoadSeconds"]) >= int(values["GammaBakeSeconds"]) + settle
    assert int(values["GammaLoadRate"]) * int(values["GammaBakeSeconds"]) > int(values["GammaMinimumRequests"])
    assert int(values["GammaLoadRate"]) * 60 > int(gamma["FaultRequestFloor"])
    if not local:
        assert settle == int(gamma["EvaluationPeriods"]) * 60


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.yaml")), ids=lambda path: str(path.relative_to(FOLDER)))
def test_no_key_is_written_twice(path: Path) -> None:
    """YAML takes the last one in silence."""
    keys: list[tuple[int, str]] = []
    for line in path.read_text().splitlines():
        match = re.match(r"( *)([\w-]+):", line)
        if match:
            depth = len(match.group(1))
            keys = [key for key in keys if key[0] <= depth]
            assert (depth, match.group(2)) not in keys, line
            keys.append((depth, match.group(2)))


def test_what_customers_stand_on_is_protected_against_deletion() -> None:
    assert {name for name in FILES for local in (False, True) if str(_settings(name, local).get("protected")).lower() == "true"} == {"prod", "pipeline"}
