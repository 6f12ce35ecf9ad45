"""Deployment configurations: those that AWS predefines, and the checks of one's own.

Source: user guide, "Working with deployment configurations"; API reference, MinimumHealthyHosts and ZonalConfig.
"""

from __future__ import annotations

from typing import Any

from localaws.service import ServiceError

PREDEFINED: dict[str, dict[str, Any]] = {
    "CodeDeployDefault.AllAtOnce": {"type": "FLEET_PERCENT", "value": 0},
    "CodeDeployDefault.HalfAtATime": {"type": "FLEET_PERCENT", "value": 50},
    "CodeDeployDefault.OneAtATime": {"type": "MOST_CONCURRENCY", "value": 1},
}


def predefined(name: str) -> dict[str, Any] | None:
    """The record of a predefined configuration for EC2, or None."""
    if name not in PREDEFINED:
        return None
    return {"deploymentConfigId": "00000000-0000-0000-0000-" + f"{sorted(PREDEFINED).index(name) + 1:012d}",
            "deploymentConfigName": name, "minimumHealthyHosts": PREDEFINED[name], "computePlatform": "Server", "createTime": 0.0}


def check(params: dict[str, Any]) -> None:
    """Refuse what AWS refuses of CreateDeploymentConfig, and platforms other than Server."""
    name = params["deploymentConfigName"]
    if name.startswith("CodeDeployDefault."):
        raise ServiceError("InvalidDeploymentConfigNameException", f"The deployment configuration name {name} is reserved.")
    if (params.get("computePlatform") or "Server") != "Server":
        raise ServiceError("InvalidComputePlatformException", "This local AWS has the compute platform Server only.")
    if params.get("trafficRoutingConfig"):
        raise ServiceError("InvalidTrafficRoutingConfigurationException",
                           "A traffic routing configuration cannot be specified for the compute platform Server.")
    _check_minimum(params.get("minimumHealthyHosts"), "InvalidMinimumHealthyHostValueException")
    zonal = params.get("zonalConfig")
    if zonal is not None:
        for key in ("firstZoneMonitorDurationInSeconds", "monitorDurationInSeconds"):
            if zonal.get(key) is not None and zonal[key] < 0:
                raise ServiceError("InvalidZonalDeploymentConfigurationException", f"{key} must not be negative.")
        if zonal.get("minimumHealthyHostsPerZone"):
            _check_minimum(zonal["minimumHealthyHostsPerZone"], "InvalidZonalDeploymentConfigurationException")


def _check_minimum(minimum: dict[str, Any] | None, code: str) -> None:
    if not minimum or "type" not in minimum or "value" not in minimum:
        raise ServiceError(code, "The minimum healthy hosts value must have a type and a value.")
    if minimum["value"] < 0 or (minimum["type"] == "FLEET_PERCENT" and minimum["value"] > 99):
        raise ServiceError(code, f"The minimum healthy hosts value {minimum['value']} of type {minimum['type']} is out of range.")
