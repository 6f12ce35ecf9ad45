"""What CloudFormation's handlers are declared to call, as a proof of the deployer's permissions; and that each part of the proof can fail."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from tests.iam import handlers, mutate, recordings
from tests.iam.handlers import Call, Needs
from tests.iam.mutate import Mutant, Permission
from tests.iam.roles import Role, World

REPOSITORY = Permission(handlers.DEPLOYER, "WorkOnWhatIsNamedAfterTheService", "ecr:DeleteRepository")
NEED = {"ecr:DeleteRepository": frozenset({"AWS::ECR::Repository"})}


def _deployer(world: World) -> Role:
    (role,) = [role for role in world.roles if role.declared == handlers.DEPLOYER]
    return role


def _with(world: World, sid: str, **elements: Any) -> World:
    """The world with elements of one of the deployer's statements replaced."""
    role = _deployer(world)
    policies = {name: {**document, "Statement": [{**body, **elements} if body.get("Sid") == sid else body for body in document["Statement"]]}
                for name, document in role.policies.items()}
    return dataclasses.replace(world, roles=tuple(dataclasses.replace(role, policies=policies) if one is role else one for one in world.roles))


def _declared(world: World, needs: Needs) -> Mapping[Permission, Call]:
    return {mutant.permission: mutant.declared for mutant in mutate.mutants(world, (), needs) if mutant.declared is not None}


def test_a_permission_is_missed_by_the_handlers_that_call_it(local: World) -> None:
    assert _declared(local, NEED) == {REPOSITORY: Call("ecr:DeleteRepository", ("AWS::ECR::Repository",))}
    assert "AWS::ECR::Repository" in str(_declared(local, NEED)[REPOSITORY])


def test_without_the_need_it_is_an_unexplained_survivor(local: World) -> None:
    """What would come of a handler that AWS takes the call from, or of a resource type that leaves the templates."""
    questions, justified = recordings.load(), mutate.unused()
    assert REPOSITORY not in justified
    needs = {action: types for action, types in handlers.needed().items() if action != REPOSITORY.action}
    (said,) = mutate.problems(list(mutate.mutants(local, questions, needs)), justified)
    assert said.startswith(f"{REPOSITORY}: no recorded call misses it, and no resource type's handlers are declared to; take it away")


def test_a_reason_for_what_handlers_miss_is_refused(local: World) -> None:
    found = [Mutant(REPOSITORY, None, Call("ecr:DeleteRepository", ("AWS::ECR::Repository",)))]
    (said,) = mutate.problems(found, {REPOSITORY: "because"})
    assert "missed: ecr:DeleteRepository by the handlers of AWS::ECR::Repository" in said and said.endswith("take it out of unused.yaml")


def test_a_wildcard_is_missed_by_any_action_that_it_covers(local: World) -> None:
    found = _declared(local, {"s3:GetLifecycleConfiguration": frozenset({"AWS::S3::Bucket"})})
    assert {permission.action for permission in found} == {"s3:Get*Configuration"}


def test_what_another_statement_gives_too_is_not_missed(local: World) -> None:
    """`ec2:Describe*` gives handlers what the command has as `ec2:DescribeAddresses`: only the first would be missed."""
    alone = {"ec2:DescribeAddresses": frozenset({"AWS::EC2::EIP"})}
    assert _declared(local, alone) == {}
    narrow = _with(local, "LookBeforehand", Action=["iam:ListAccountAliases"])
    assert {permission.statement for permission in _declared(narrow, alone)} == {"WorkOnWhatAwsLetsNobodyName"}


@pytest.mark.parametrize("elements", [
    pytest.param({"Condition": {"StringEquals": {"aws:CalledViaFirst": "servicecatalog.amazonaws.com"}}}, id="only through another service"),
    pytest.param({"Condition": {"StringLike": {"kms:ViaService": "s3.*.amazonaws.com"}}}, id="only with a key that handlers are not known to have"),
    pytest.param({"Resource": "arn:aws:ecr:*:111122223333:repository/sample-*", "Effect": "Deny"}, id="denied"),
    pytest.param({"Resource": "arn:aws:s3:::sample-*"}, id="on what the action is not about"),
])
def test_a_statement_that_cloudformation_does_not_come_by_proves_nothing(local: World, elements: dict[str, Any]) -> None:
    assert _declared(_with(local, REPOSITORY.statement, **elements), NEED) == {}


def test_an_action_that_there_is_not_proves_nothing(local: World) -> None:
    twice = _with(local, "StartTheFirstRelease", Action=["s3:GetObjectMetadata"], Resource="*")
    assert _declared(twice, {"s3:GetObjectMetadata": frozenset({"AWS::S3::Bucket"})}) == {}


def test_a_service_linked_role_is_of_the_types_own_service(local: World) -> None:
    need = {"iam:CreateServiceLinkedRole": frozenset({"AWS::AutoScaling::AutoScalingGroup", "AWS::DynamoDB::Table"})}
    assert [call.types for call in _declared(local, need).values()] == [("AWS::AutoScaling::AutoScalingGroup",)]


def test_only_the_deployers_permissions_are_proven_so(local: World) -> None:
    found = _declared(local, handlers.needed())
    assert {permission.policy for permission in found} == {handlers.DEPLOYER}
    assert len(found) > 100


def test_what_has_a_reason_not_to_be_needed_is_no_need() -> None:
    assert "ec2:AllocateAddress" in handlers.needed()
    assert "dynamodb:PutItem" not in handlers.needed()
