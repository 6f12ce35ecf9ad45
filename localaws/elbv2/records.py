"""What elbv2 keeps, and how its records refer to one another."""

from __future__ import annotations

from typing import Any

from localaws.elbv2.engine import Target
from localaws.service import Stores, Tables


class Records(Stores):
    """Tables `load_balancers`, `target_groups`, `listeners`, each by ARN.

    A record holds AWS's own `description`, `attributes` and `tags`; a load balancer also `ports` (published on 127.0.0.1), a listener
    its `slot` (index in its load balancer's ports), a target group its `targets` by "<id>:<port>" (see `engine.Target`).
    """

    def of(self, arn: str) -> Tables:
        """The tables of the account and Region that an ARN names."""
        return self.at(arn.split(":")[4], arn.split(":")[3])

    def all(self, table: str) -> list[tuple[str, dict[str, Any]]]:
        """Every (ARN, record) of a table, of every account and Region."""
        return [pair for scope in self.scopes() for pair in list(self.at(*scope)[table].items())]

    def targets(self, group: str) -> dict[str, Target]:
        """The targets of a target group; none if the group is gone."""
        found: dict[str, Target] = self.of(group)["target_groups"].get(group, {"targets": {}})["targets"]
        return found

    def listeners_of(self, balancer: str) -> list[dict[str, Any]]:
        """The listeners of a load balancer, oldest port first."""
        found = [record for record in self.of(balancer)["listeners"].values() if record["description"]["LoadBalancerArn"] == balancer]
        return sorted(found, key=lambda record: int(record["slot"]))

    def balancers_of(self, group: str) -> list[str]:
        """The ARNs of the load balancers whose listeners forward to a target group."""
        return sorted({record["description"]["LoadBalancerArn"] for record in self.of(group)["listeners"].values()
                       if group in dict(weights(record["description"]["DefaultActions"]))})


def weights(actions: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """The (target group ARN, weight) pairs of a listener's actions."""
    found = []
    for action in actions:
        if action["Type"] == "forward":
            groups = action.get("ForwardConfig", {}).get("TargetGroups") or [{"TargetGroupArn": action.get("TargetGroupArn")}]
            found += [(group["TargetGroupArn"], group.get("Weight", 1)) for group in groups if group.get("TargetGroupArn")]
    return found


def dimension(arn: str) -> str:
    """The value of a LoadBalancer or TargetGroup dimension: the end of the ARN."""
    return arn.rsplit(":", 1)[1].removeprefix("loadbalancer/")


def backend_name(group: str) -> str:
    """haproxy's name of a target group."""
    _, name, identity = dimension(group).split("/")
    return f"{name}.{identity}"


def backend_dimension(backend: str) -> str:
    """The TargetGroup dimension of a backend's name."""
    name, _, identity = backend.rpartition(".")
    return f"targetgroup/{name}/{identity}"


def server_name(target: Target) -> str:
    """haproxy's name of a target."""
    return f"{target['id']}_{target['port']}"
