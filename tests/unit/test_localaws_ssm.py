"""Systems Manager's view of instances, as `why` asks for it: over boto3 in process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from inprocess import ACCOUNT, InProcess
from localaws_fakes import FakeAws

from localaws.ssm.api import AGENT_ACTION, Api

REGION = "us-east-1"


class Outside:
    """EC2 and the hosts."""

    def __init__(self) -> None:
        self.states = {"i-1": "running", "i-2": "running", "i-3": "terminated"}
        self.registered = {"i-1", "i-3"}

    def records(self, account: str, region: str) -> list[dict[str, Any]]:
        assert (account, region) == (ACCOUNT, REGION)
        return [{"InstanceId": one, "State": state, "Tags": {}} for one, state in self.states.items()]

    def may(self, instance: str, action: str) -> bool:
        assert action == AGENT_ACTION
        return instance in self.registered


@pytest.fixture
def ssm(tmp_path: Path) -> Any:
    aws = FakeAws(tmp_path)
    aws.services |= {"ec2": Outside(), "hosts": Outside()}
    return InProcess({"ssm": Api(aws)}).client("ssm", REGION)


def test_an_instance_is_managed_while_it_runs_and_its_role_allows_it(ssm: Any) -> None:
    told = ssm.describe_instance_information()["InstanceInformationList"]
    assert [(one["InstanceId"], one["PingStatus"]) for one in told] == [("i-1", "Online")]
    some = [{"Key": "InstanceIds", "Values": ["i-2", "i-3"]}]
    assert ssm.describe_instance_information(Filters=some)["InstanceInformationList"] == []
    with pytest.raises(ssm.exceptions.InvalidInstanceInformationFilterValue):
        ssm.describe_instance_information(Filters=[{"Key": "PingStatus", "Values": ["Online"]}])


def test_what_became_of_an_association_on_an_instance(ssm: Any) -> None:
    assert ssm.describe_instance_associations_status(InstanceId="i-1")["InstanceAssociationStatusInfos"] == []
    with pytest.raises(ssm.exceptions.InvalidInstanceId):
        ssm.describe_instance_associations_status(InstanceId="i-2")


def test_a_failed_installation_is_told(tmp_path: Path) -> None:
    aws = FakeAws(tmp_path)
    aws.services |= {"ec2": Outside(), "hosts": Outside()}
    api = Api(aws)
    ssm = InProcess({"ssm": api}).client("ssm", REGION)
    made = ssm.create_association(Name="AWS-ConfigureAWSPackage", Parameters={"action": ["Install"], "name": ["AWSCodeDeployAgent"]},
                                  Targets=[{"Key": "InstanceIds", "Values": ["i-1"]}])["AssociationDescription"]["AssociationId"]
    api._stores.at(ACCOUNT, REGION)["associations"][made]["Executions"]["i-1"] = {
        "Version": 1, "Status": "Failed", "Detail": "no package", "Time": 1.7e9, "Attempts": 3}
    told = ssm.describe_instance_associations_status(InstanceId="i-1")["InstanceAssociationStatusInfos"]
    assert [(one["Status"], one["ExecutionSummary"]) for one in told] == [("Failed", "no package")]
