"""A script of the *previous* revision failed: ApplicationStop and the hooks around BlockTraffic run from what was installed before."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import alike, clears_events, first, ran, replace_host
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """The first event that shows it. What the new release changes in that script does not help: it is not the one that runs."""
    found = first(case, "previous")
    if found is None:
        return None
    one, previous = found.deployment, found.deployment.previous
    location = previous.location if previous else ""
    kind, _, rest = location.partition("://")
    bucket, _, key = rest.partition("/")
    again = f"aws deploy create-deployment --region {one.region} --application-name {one.application} --deployment-group-name {one.group} " \
            "--ignore-application-stop-failures --s3-location "
    wanted = one.revision.partition("://")[2].partition("/")
    of = f" (of {previous.commit[:12]})" if previous and previous.commit else ""
    return Match(
        "certain", found.where, (*found.evidence, f"{found.event.script or 'the script'} is of the revision that was installed before{of}"
                                 + (f": {location}" if kind == "s3" and bucket and key else ""), alike(case, found)),
        (f"Leave its failure out of account, this once: {again}bucket={wanted[0] or '<bucket>'},key={wanted[2] or '<key>'},bundleType=zip "
         "(the reconciler's own deployments do the same)",
         f"Or go back, which ignores it too: make rollback ENV={case.environment} REASON=\"ApplicationStop of the previous release fails\"",
         f"Or replace the instance, which has nothing to stop: {replace_host(one.region, found.target.id)}",
         "Mend the script in this release all the same: it will be the previous one of the next."),
        found.at, f"{found.event.name} of the previous release failed")


CAUSE = Cause(
    id="deployment-previous-stop-failed",
    area="deployment",
    title="ApplicationStop of the previous revision failed",
    document=Document("Troubleshooting a failed ApplicationStop, BeforeBlockTraffic, or AfterBlockTraffic deployment lifecycle event",
                      "https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-deployments.html#troubleshooting-deployments-lifecycle-event-failures"),
    check=check,
    rank=8,
    clears=clears_events(["previous"], ran("ApplicationStop")),
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-deployments.html#troubleshooting-deployments-lifecycle-event-failures",
)
