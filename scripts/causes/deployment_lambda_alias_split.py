"""A Lambda alias points at two versions, and no deployment shifts it any more."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import over_at
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """A Lambda deployment that is over, and an alias that still has two weights. CodeDeploy refuses to begin on such an alias."""
    for one in sorted(case.deployments, key=lambda each: each.created):
        split = one.function.routing if one.function else {}
        if one.platform != "Lambda" or one.function is None or len(split) < 2 or one.status not in ("Stopped", "Failed"):
            continue
        weights = ", ".join(f"version {version}: {weight:.0%}" for version, weight in split.items())
        name, alias = one.function.name, one.function.alias
        keep = one.function.current or next(iter(split))
        return Match(
            "certain", one.where,
            (f"the alias {alias} of {name} points at two versions: {weights}", f"{one.id} is over ({one.status}{f', {one.code}' if one.code else ''})"),
            (f"Give it one version: aws lambda update-alias --region {one.region} --function-name {name} --name {alias} --function-version {keep} "
             "--routing-config 'AdditionalVersionWeights={}'",
             "Then deploy again; a deployment that is stopped with a rollback (--auto-rollback-enabled) puts the alias back by itself."),
            over_at(one), f"The alias {alias} of {name} points at two versions")
    return None


CAUSE = Cause(
    id="deployment-lambda-alias-split",
    area="deployment",
    title="A Lambda alias points at two versions",
    document=Document("Lambda alias routing configuration", "https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html"),
    check=check,
    rank=5,
    source="https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html",
)
