"""The deployer: made by an administrator, asked for by the parameters files, and assumed by the commands that deploy and by no others."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from scripts_fakes import PROJECT, FakeAws, FakeClock, FakeCloudFormation, Recorder, a_world, refusal

from scripts import deployer, destroy
from scripts.core import accounts, deployers, settings
from scripts.core.errors import CommandError, WrongUse

ACCOUNT, OTHER = "111122223333", "444455556666"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/sample-deployer"
TEMPLATES = Path(__file__).resolve().parents[2] / "templates"


class Sts:
    """Says whose the session is; refuses where `refused` is set."""

    def __init__(self, arn: str, refused: bool = False) -> None:
        self.arn, self.refused = arn, refused

    def get_caller_identity(self) -> dict[str, str]:
        if self.refused:
            raise refusal("AccessDenied", "not authorized to perform: sts:AssumeRole", "AssumeRole")
        return {"Account": self.arn.split(":")[4], "Arn": self.arn}


class Roles(FakeAws):
    """Clients of one principal, and of the roles that it assumes, in order."""

    def __init__(self, arn: str, assumed: list[str], refused: bool = False, clients: dict[str, Any] | None = None, local: bool = False) -> None:
        super().__init__(clients or {}, local=local, account=arn.split(":")[4])
        self.clients["sts"], self.assumed, self.refused = Sts(arn), assumed, refused

    def assume(self, role: str, region: str) -> FakeAws:
        self.assumed.append(role)
        account, name = role.split(":")[4], role.rpartition("/")[2]
        found = Roles(f"arn:aws:sts::{account}:assumed-role/{name}/handsoff", self.assumed, clients=dict(self.clients), local=self.local)
        found.clients["sts"] = Sts(f"arn:aws:sts::{account}:assumed-role/{name}/handsoff", self.refused)
        return found


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = Path(shutil.copytree(PROJECT, tmp_path / "project"))
    (root / "parameters/pipeline.yaml").unlink(missing_ok=True)
    shutil.copy(TEMPLATES / "deployer.yaml", root / "templates")
    return root


def _gamma(root: Path, *lines: str, local: bool = False) -> settings.Environment:
    file = root / "parameters/gamma.yaml"
    file.write_text(file.read_text().replace("tags: {}", "\n".join(["tags: {}", *lines])))
    return settings.load(root, "gamma", local)


def _enter(environment: settings.Environment, caller: str, refused: bool = False, deploying: bool = True) -> tuple[accounts.Accounts, list[str]]:
    assumed: list[str] = []
    return accounts.open_accounts(Roles(caller, assumed, refused), environment.regions, [environment], deploying), assumed


def test_commands_that_deploy_act_as_it_and_say_so(project: Path) -> None:
    entered, assumed = _enter(_gamma(project, "deployer: true"), f"arn:aws:iam::{ACCOUNT}:user/admin")
    assert assumed == [ROLE]
    assert entered.target.caller == f"arn:aws:sts::{ACCOUNT}:assumed-role/sample-deployer/handsoff"
    assert f"caller {entered.target.caller}" in entered.target.line


@pytest.mark.parametrize(("line", "deploying"), [("deployer: true", False), ("deployer: false", True), ("", True)])
def test_others_act_as_whoever_calls(project: Path, line: str, deploying: bool) -> None:
    environment = _gamma(project, line)
    entered, assumed = _enter(environment, f"arn:aws:iam::{ACCOUNT}:user/admin", deploying=deploying)
    assert entered.of(environment) is entered.caller
    assert assumed == []


def test_who_is_it_already_stays_it(project: Path) -> None:
    environment = _gamma(project, "deployer: true")
    entered, assumed = _enter(environment, f"arn:aws:sts::{ACCOUNT}:assumed-role/sample-deployer/me")
    assert entered.of(environment) is entered.caller
    assert assumed == []


def test_in_another_account_it_is_assumed_directly_or_by_the_role_that_leads_there(project: Path) -> None:
    environment = _gamma(project, "deployer: true")
    entered, assumed = _enter(environment, f"arn:aws:iam::{OTHER}:user/admin")
    entered.of(environment)
    assert assumed == [ROLE]
    assert f"account {ACCOUNT} (gamma) as {ROLE}" in entered.target.line
    way = f"arn:aws:iam::{ACCOUNT}:role/way-in"
    environment = _gamma(project, f"role: {way}")
    entered, assumed = _enter(environment, f"arn:aws:iam::{OTHER}:user/admin")
    entered.of(environment)
    assert assumed == [way, ROLE]


def test_one_that_cannot_be_assumed_says_how_to_make_it(project: Path) -> None:
    with pytest.raises(CommandError) as caught:
        _enter(_gamma(project, "deployer: true"), f"arn:aws:iam::{ACCOUNT}:user/admin", refused=True)
    assert ROLE in str(caught.value) and "sts:AssumeRole" in str(caught.value)
    assert "make deployer ENV=gamma" in str(caught.value)


def test_another_word_is_refused(project: Path) -> None:
    with pytest.raises(WrongUse, match="neither true nor false"):
        _gamma(project, "deployer: yes please")


# --- on the local AWS it is made by whoever needs it -----------------------------------------------------------------------


def _destroy(root: Path, cloud: FakeCloudFormation, environment: str) -> tuple[int, Recorder]:
    _gamma(root, "deployer: true")
    recorder = Recorder()
    aws = Roles("arn:aws:iam::000000000000:user/admin", [], clients={"cloudformation": cloud}, local=True)
    return destroy.main(["--env", environment, "--local", "--yes"], a_world(root, aws, recorder, cloud.clock)), recorder


@pytest.mark.parametrize("environment", ["gamma", "release-store", "all"])
def test_where_there_is_nothing_to_remove_it_is_not_made(project: Path, environment: str) -> None:
    cloud = FakeCloudFormation(FakeClock())
    code, recorder = _destroy(project, cloud, environment)
    assert (code, cloud.stacks) == (0, {}), recorder.errors
    assert "Target: local AWS" in recorder.text and "Nothing to do: there is no stack of it." in recorder.text


def test_with_no_environment_it_is_not_made_either(project: Path) -> None:
    cloud = FakeCloudFormation(FakeClock())
    code, recorder = _destroy(project, cloud, "")
    assert (code, cloud.stacks) == (2, {}) and "no environment is named" in recorder.errors


def test_where_there_is_something_to_remove_it_is_made_and_removes_it(project: Path) -> None:
    cloud = FakeCloudFormation(FakeClock())
    cloud.add("sample-environment-gamma", "CREATE_COMPLETE")
    code, recorder = _destroy(project, cloud, "gamma")
    assert code == 0, recorder.errors
    assert "caller arn:aws:sts::000000000000:assumed-role/sample-deployer/handsoff" in recorder.text
    left = {one["StackName"] for one in cloud.stacks.values() if one["StackStatus"] != "DELETE_COMPLETE"}
    assert left == {"sample-deployer"}


# --- making it ----------------------------------------------------------------------------------------------------------


def _make(root: Path, cloud: FakeCloudFormation, clock: FakeClock, *options: str) -> Recorder:
    recorder = Recorder()
    account = "arn:aws:iam::123456789012:user/admin"
    file = root / "parameters/gamma.yaml"
    file.write_text(file.read_text().replace(ACCOUNT, "123456789012"))
    aws = Roles(account, [], clients={"cloudformation": cloud})
    assert deployer.main(["--env", "gamma", "--yes", *options], a_world(root, aws, recorder, clock)) == 0, recorder.errors
    return recorder


def test_it_is_made_with_what_is_given_and_keeps_what_it_was_given_before(project: Path) -> None:
    clock = FakeClock()
    cloud = FakeCloudFormation(clock)
    said = _make(project, cloud, clock, "--boundary", "arn:aws:iam::123456789012:policy/b", "--mfa", "true").text
    (made,) = cloud.requests
    values = {one["ParameterKey"]: one["ParameterValue"] for one in made["Parameters"]}
    assert made["StackName"] == "sample-deployer" and made["Capabilities"] == ["CAPABILITY_NAMED_IAM"]
    assert values["PermissionsBoundaryArn"].endswith("policy/b") and values["RequireMfa"] == "true" and values["TrustedPrincipalArns"] == "*"
    assert "deployer: true" in said and "[profile sample-deployer]" in said
    _make(project, cloud, clock, "--trust", "arn:aws:iam::123456789012:role/Ops")
    values = {one["ParameterKey"]: one["ParameterValue"] for one in cloud.requests[-1]["Parameters"]}
    assert values["TrustedPrincipalArns"].endswith("role/Ops")
    assert values["PermissionsBoundaryArn"].endswith("policy/b") and values["RequireMfa"] == "true"


# --- values that cannot be ----------------------------------------------------------------------------------------------


class NoAws(Roles):
    """Nobody has logged in: whoever asks AWS anything fails the test."""

    def client(self, service: str, region: str) -> Any:
        raise AssertionError(f"{service} was asked before the values were judged")


def _refused(root: Path, *options: str, aws: FakeAws | None = None) -> str:
    recorder = Recorder()
    file = root / "parameters/gamma.yaml"
    file.write_text(file.read_text().replace(ACCOUNT, "123456789012"))
    aws = aws or NoAws("arn:aws:iam::123456789012:user/admin", [])
    assert deployer.main(["--env", "gamma", "--yes", *options], a_world(root, aws, recorder, FakeClock())) == 2
    return recorder.errors


@pytest.mark.parametrize(("options", "reason", "step"), [
    (["--trust", "Ops"], "'Ops' does not match", "correct --trust"),
    (["--trust", "arn:aws:sts::123456789012:assumed-role/Ops/me"], "is a session of a role", "aws iam get-role --role-name Ops"),
    (["--trust", "*,arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Deployers_0123abcd/me"], "is a session of a role",
     "arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com*/AWSReservedSSO_Deployers_*"),
    (["--trust", "arn:aws-us-gov:sts::123456789012:assumed-role/AWSReservedSSO_Deployers_0123abcd/me"], "is a session of a role",
     "arn:aws-us-gov:iam::123456789012:role/aws-reserved/sso.amazonaws.com*/AWSReservedSSO_Deployers_*"),
    (["--trust", "arn:aws:sts::123456789012:federated-user/me"], "federated users only ask who they are", "a role or user"),
    (["--trust", "arn:aws:iam::123456789012:root"], "no root user", "* is every role and user of the account"),
    (["--trust", "arn:aws:iam::123456789012:group/Ops"], "is a group", "its users"),
    (["--trust", "arn:aws:iam::444455556666:role/Ops", "--trust-account", ""], "lets only account 123456789012 in", "444455556666"),
    (["--trust", "arn:aws:iam::123456789012:role/Ops", "--trust-account", OTHER], f"lets only account {OTHER} in", "123456789012"),
    (["--trust-account", "me"], "'me' does not match", "correct --trust-account"),
    (["--boundary", "boundary"], "'boundary' does not match", "correct --boundary"),
])
def test_a_value_that_cannot_be_is_said_before_anybody_has_to_log_in(project: Path, options: list[str], reason: str, step: str) -> None:
    said = _refused(project, *options)
    assert options[0] in said and reason in said
    assert step in said.partition("next:")[2]


def test_everything_that_is_wrong_is_said_at_once(project: Path) -> None:
    said = _refused(project, "--trust", "Ops,arn:aws:iam::123456789012:root", "--boundary", "boundary")
    assert "no root user" in said and "--boundary" in said


def test_a_placeholder_is_said_before_anybody_has_to_log_in(project: Path) -> None:
    recorder = Recorder()
    assert deployer.main(["--env", "gamma", "--yes"], a_world(project, NoAws(f"arn:aws:iam::{ACCOUNT}:user/admin", []), recorder, FakeClock())) == 2
    assert f"{ACCOUNT} is a placeholder" in recorder.errors


def test_good_values_are_what_the_stack_gets(project: Path) -> None:
    clock = FakeClock()
    cloud = FakeCloudFormation(clock)
    trust = f"arn:aws:iam::{OTHER}:role/Ops,arn:aws:iam::*:user/me,arn:aws:iam::{OTHER}:*"
    _make(project, cloud, clock, "--trust", trust, "--trust-account", OTHER, "--through-cloudformation", "services")
    values = {one["ParameterKey"]: one["ParameterValue"] for one in cloud.requests[-1]["Parameters"]}
    assert (values["TrustedPrincipalArns"], values["TrustedAccountId"], values["ThroughCloudFormationOnly"]) == (trust, OTHER, "services")


def test_a_value_of_the_deployed_stack_that_cannot_be_is_said_before_the_change(project: Path) -> None:
    """It was taken when the stack was made, and stays as it is where none is given."""
    clock = FakeClock()
    cloud = FakeCloudFormation(clock)
    _make(project, cloud, clock, "--trust", "arn:aws:iam::123456789012:role/Ops")
    asked = len(cloud.requests)
    said = _refused(project, "--trust-account", OTHER, aws=Roles("arn:aws:iam::123456789012:user/admin", [], clients={"cloudformation": cloud}))
    assert "TrustedPrincipalArns" in said and f"lets only account {OTHER} in" in said
    assert len(cloud.requests) == asked


def test_its_stack_is_in_the_pipelines_first_region(project: Path) -> None:
    environment = settings.load(project, "gamma", False)
    assert deployers.home(project, environment, False) == environment.regions[0]
