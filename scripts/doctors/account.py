"""Who asks, in which account, and whether the Regions can be used there."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from botocore.exceptions import ClientError

from scripts.core.errors import denied_action, error_code
from scripts.core.session import Target
from scripts.core.settings import Environment
from scripts.doctors.finding import Finding, fail, ok, unknown, warn
from scripts.doctors.place import Place, by_organization

_SHORT = timedelta(minutes=60)
_REGIONS = "https://docs.aws.amazon.com/accounts/latest/reference/manage-acct-regions.html"
# What a Region answers that the account has not enabled: its keys are not known there.
_NOT_KNOWN_THERE = frozenset({"AuthFailure", "OptInRequired", "InvalidClientTokenId", "UnrecognizedClientException"})


def credentials(target: Target, expires: datetime | None, now: datetime) -> Iterable[Finding]:
    """The caller, and how long the credentials still hold."""
    if target.caller.endswith(":root"):
        yield warn(
            "the caller is the account's root user",
            "nothing bounds what a mistake can do, and no least-privilege role is proven by it",
            "log in as a role: templates/deployer.yaml makes one",
            "https://docs.aws.amazon.com/IAM/latest/UserGuide/root-user-best-practices.html",
        )
    else:
        yield ok(f"the caller is {target.caller}")
    if expires is None:
        return
    left = expires - now
    if left <= timedelta():
        yield fail("the credentials have expired", f"they ended at {expires:%Y-%m-%d %H:%M} UTC", "log in again: aws sso login")
    elif left < _SHORT:
        yield warn(
            f"the credentials end in {left.total_seconds() // 60:.0f} min",
            "a first deploy takes about 15 minutes in each wave, and one that loses its credentials only stops watching",
            "log in again first: aws sso login",
        )
    else:
        yield ok(f"the credentials hold until {expires:%Y-%m-%d %H:%M} UTC")


def owner(environment: Environment, target: Target, reached: bool) -> Finding:
    """Whether the caller is in the environment's account, or has a way there."""
    if reached:
        return ok(f"the account {environment.account} is that of {environment.file}")
    return fail(
        f"the caller's account is {target.account}, not {environment.account}",
        f"{environment.file} says account: {environment.account}; every command refuses it",
        "change AWS_PROFILE to that account, write a role: of it into the file, or correct account:",
    )


def region(place: Place) -> Iterable[Finding]:
    """Whether the Region is enabled, and not shut by the organization."""
    name = place.region
    try:
        place.client("ec2").describe_availability_zones()
    except ClientError as error:
        if by_organization(error):
            yield fail(
                "a service control policy shuts the Region",
                f"{denied_action(error)} is denied there for everybody, so each stack would fail",
                f"ask who administers the organization to allow {name}, or take it out of regions: in {place.roots.environment.file}",
                "https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_scps.html",
            )
        elif error_code(error) in _NOT_KNOWN_THERE:
            yield _not_enabled(place)
        else:
            yield _status(place, denied_action(error) or error_code(error))
        return
    yield ok("the Region can be used")


def _not_enabled(place: Place) -> Finding:
    return fail(
        "the Region is not enabled in this account",
        "its services do not know the credentials, so no stack can be made there",
        f"aws account enable-region --region-name {place.region} (minutes to hours), or take it out of regions: in {place.roots.environment.file}",
        _REGIONS,
    )


def _status(place: Place, refused: str) -> Finding:
    """The Region as another one tells of it, for a caller who may not look into the Region itself."""
    home = {"cn": "cn-north-1", "us-gov": "us-gov-west-1"}.get(place.region.rsplit("-", 2)[0], "us-east-1")
    otherwise = f"aws ec2 describe-regions --all-regions --region-names {place.region} --query Regions[].OptInStatus"
    try:
        found = place.calls.client("ec2", home).describe_regions(RegionNames=[place.region], AllRegions=True)["Regions"]
    except ClientError as error:
        if error_code(error) == "InvalidParameterValue":
            return fail(f"there is no Region {place.region}", "AWS does not know the name", f"correct regions: in {place.roots.environment.file}")
        return unknown("whether the Region is enabled", f"refused: {refused}; {denied_action(error) or error_code(error)}", f"look: {otherwise}")
    status = found[0].get("OptInStatus", "") if found else ""
    if status == "not-opted-in":
        return _not_enabled(place)
    return ok(f"the Region is enabled ({status})") if status else unknown("whether the Region is enabled", f"refused: {refused}", f"look: {otherwise}")
