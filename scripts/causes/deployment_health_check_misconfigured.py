"""The load balancer does not find the instance healthy, though the release's own check did: AllowTraffic waits in vain."""

from __future__ import annotations

from scripts.diagnosis.case import Case, TargetGroup
from scripts.diagnosis.failures import Failure, alike, clears_events, first, look, ran
from scripts.diagnosis.judge import Cause, Document, Match

_MEANS = {
    "Target.Timeout": "the check got no answer in time: a security group, or a port on which nothing listens",
    "Target.ResponseCodeMismatch": "the app answered with another status than the check wants: another path, or a redirect",
    "Target.FailedHealthChecks": "the check could not connect: another port, or another protocol",
    "Elb.InitialHealthChecking": "the first checks are not through",
    "Target.NotInUse": "no listener sends requests to this target group",
}


def check(case: Case) -> Match | None:
    """AllowTraffic failed, and CodeDeploy's own errors do not say another thing. Certain where ValidateService succeeded and the target is unhealthy now."""
    found = first(case, "allow")
    if found is None:
        return None
    validated = any(event.name == "ValidateService" and event.status == "Succeeded" for event in found.target.events)
    groups = found.deployment.settings.target_groups if found.deployment.settings else ()
    seen = [(group, health) for group in groups for health in group.targets if health.id == found.target.id and health.state in ("unhealthy", "unused")]
    lines = [found.line, *(["ValidateService succeeded before it: on the instance itself the app answers"] if validated else [])]
    lines += [f"{group.name} says {health.state}: {health.reason} {health.description}".strip() for group, health in seen[:2]]
    lines += [_checks(group) for group in groups[:2] if group.check_protocol or group.check_path]
    means = [_MEANS[health.reason] for _, health in seen if health.reason in _MEANS]
    return Match(
        "certain" if validated and seen else "likely", found.where, (*lines, alike(case, found)),
        (*((f"Its reason means: {means[0]}.",) if means else ()),
         f"Ask as the balancer does, on the instance: {look(found)}, then curl -i {_url(groups)}",
         "Health path and port are HealthPath and AppPort in parameters/; the host's security group must let the balancer's in on that port. Put it right: "
         f"make deploy ENV={case.environment}", *_describe(found)),
        found.event.started or found.at, "The load balancer does not find the instances healthy")


def _checks(group: TargetGroup) -> str:
    port = group.port if group.check_port == "traffic-port" else group.check_port
    wants = f" and wants {group.check_matcher}" if group.check_matcher else ""
    often = f", {group.healthy_threshold} times every {group.check_interval} s" if group.check_interval else ""
    return f"{group.name} asks {group.check_protocol}:{port}{group.check_path}{wants}{often}; requests go to port {group.port}"


def _url(groups: tuple[TargetGroup, ...]) -> str:
    group = groups[0] if groups else TargetGroup("")
    port = group.port if group.check_port in ("", "traffic-port") else group.check_port
    return f"{(group.check_protocol or 'http').lower()}://127.0.0.1:{port or '<port>'}{group.check_path or '/<path>'}"


def _describe(found: Failure) -> tuple[str, ...]:
    names = " ".join(group.name for group in found.deployment.settings.target_groups) if found.deployment.settings else ""
    return (f"All of it: aws elbv2 describe-target-groups --region {found.deployment.region} --names {names}",) if names else ()


CAUSE = Cause(
    id="deployment-health-check-misconfigured",
    area="deployment",
    title="The load balancer does not find the instance healthy",
    document=Document("Troubleshooting a failed AllowTraffic lifecycle event with no error reported in the deployment logs",
                      "https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-deployments.html#troubleshooting-deployments-allowtraffic-no-logs"),
    check=check,
    clears=clears_events(["allow"], ran("AllowTraffic")),
    source="https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html",
)
