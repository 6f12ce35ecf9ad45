"""Raw questions of a run become the words of the resolved templates."""

from __future__ import annotations

from typing import Any

from tests.iam import evaluate, recordings
from tests.iam.roles import World

_STACK, _REGION = "sample-pipeline", "us-east-1"
_RESOURCES = {
    f"{_REGION} {_STACK} Build/BuildRole": "sample-pipeline-Build-1-BuildRole-ABC",
    f"{_REGION} sample-release-store ArtifactBucketPolicy": "sample-release-store-artifactbucket-x1y2",
    f"{_REGION} sample-release-store ArtifactBucket": "sample-release-store-artifactbucket-x1y2",
    f"{_REGION} another-stack Thing": "another",
}


def _raw(resource: str, allowed: bool = True, role: str = "sample-pipeline-Build-1-BuildRole-ABC") -> dict[str, Any]:
    return {"principal": f"arn:aws:sts::000000000000:assumed-role/{role}/session", "region": _REGION, "action": "s3:GetObject", "resource": resource,
            "keys": {"kms:calleraccount": "000000000000"}, "allowed": allowed}


def test_names_that_were_made_up_become_the_worlds(local: World) -> None:
    (one,) = recordings.convert([_raw("arn:aws:s3:::sample-release-store-artifactbucket-x1y2/sample/1234567890123")], _RESOURCES, local)
    bucket = local.physical["sample-release-store", _REGION, "ArtifactBucket"]["Ref"]
    assert one == {"stack": _STACK, "region": _REGION, "role": "Build/BuildRole", "action": "s3:GetObject", "allowed": True,
                   "resource": f"arn:aws:s3:::{bucket}/sample/0", "keys": {"kms:calleraccount": "000000000000"}}
    role = local.role(_STACK, "Build/BuildRole", _REGION)
    assert evaluate.allowed(local, role, one["action"], one["resource"], one["keys"]).allowed
    assert not evaluate.allowed(local, role, one["action"], "arn:aws:s3:::sample-release-store-artifactbucket-x1y2/a").allowed


def test_what_differs_in_a_number_is_kept_once_and_a_yes_wins(local: World) -> None:
    bucket = "arn:aws:s3:::sample-release-store-artifactbucket-x1y2"
    found = recordings.convert([_raw(f"{bucket}/{'a' * 40}"), _raw(f"{bucket}/{'b' * 40}"), _raw(f"{bucket}/{'a' * 40}", allowed=False)], _RESOURCES, local)
    assert [one["allowed"] for one in found] == [True]


def test_principals_that_no_template_makes_are_left_out(local: World) -> None:
    assert recordings.convert([_raw("*", role="administrator")], _RESOURCES, local) == []


def test_a_file_that_is_no_recording_is_refused(capsys: Any) -> None:
    assert recordings.main(["nowhere.json", "--source", "x"]) == 2
    assert "nowhere.json is no file questions-*.json" in capsys.readouterr().err
