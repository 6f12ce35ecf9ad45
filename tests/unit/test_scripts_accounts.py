"""Several accounts and Regions: roles, references that name a Region, what the release stores are told, waves."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from scripts_fakes import PROJECT, FakeAws, FakeClock, FakeCloudFormation, FakeS3, Recorder, a_world

from scripts import deploy, destroy, package
from scripts.core import accounts, references, roots, session, settings
from scripts.core.errors import BadInput, WrongUse

TOOLS, GAMMA, PROD = "111111111111", "222222222222", "333333333333"
ROLE = f"arn:aws:iam::{GAMMA}:role/deployer"
PIPELINE = f"""
template: pipeline
account: "{TOOLS}"
regions: [us-east-1]
needs: [release-store]
parameters:
  ServiceName: sample
  Store2: ${{release-store@us-west-2.ArtifactBucketName}}
  Gamma1: ${{gamma.EndpointUrl}}
  Gamma2: ${{gamma[1].EndpointUrl}}
"""
PIPELINE_TEMPLATE = """
Parameters:
  ServiceName: {Type: String}
  Store2: {Type: String}
  Gamma1: {Type: String}
  Gamma2: {Type: String}
  EnvironmentAccountIds: {Type: String, Default: ''}
Resources: {}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Tools in one account, gamma in another, prod (a copy of gamma) in a third."""
    root = Path(shutil.copytree(PROJECT, tmp_path / "project"))
    gamma = root / "parameters/gamma.yaml"
    text = gamma.read_text().replace("111122223333", GAMMA)
    gamma.write_text(text)
    (root / "parameters/prod.yaml").write_text(text.replace(GAMMA, PROD).replace("EnvironmentName: gamma", "EnvironmentName: prod"))
    (root / "parameters/pipeline.yaml").write_text(PIPELINE)
    (root / "templates/pipeline.yaml").write_text(PIPELINE_TEMPLATE)
    return root


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_reference_may_name_a_region() -> None:
    (found,) = references.find("${release-store@us-west-2.X}")
    assert (found.source, found.region, found.output) == ("release-store", "us-west-2", "X")
    assert references.find("${store@us-gov-west-1.X}")[0].region == "us-gov-west-1"
    assert references.malformed("${release-store@west.X}") == "${release-store@west.X}"


def test_the_pipeline_needs_stores_where_it_names_them_and_gamma_for_its_outputs(project: Path) -> None:
    loaded = roots.load(project, "pipeline", local=False)
    assert roots.regions_of(loaded.environment, "release-store") == ("us-east-1", "us-west-2")
    assert [one.name for one in loaded.involved] == ["pipeline", "pipeline", "gamma"]


def test_a_region_without_a_slot_is_refused(project: Path) -> None:
    edit(project / "parameters/pipeline.yaml", "  Gamma2: ${gamma[1].EndpointUrl}\n", "  Gamma2: ''\n")
    with pytest.raises(BadInput, match="us-west-2 is in no slot"):
        roots.load(project, "pipeline", local=False)


def test_the_pipeline_acts_in_the_accounts_of_the_environments(project: Path) -> None:
    edit(project / "parameters/pipeline.yaml", "  Gamma1:", f"  EnvironmentAccountIds: '{PROD},{GAMMA}'\n  Gamma1:")
    roots.load(project, "pipeline", local=False)
    edit(project / "parameters/pipeline.yaml", f"'{PROD},{GAMMA}'", f"'{GAMMA}'")
    with pytest.raises(BadInput) as caught:
        roots.load(project, "pipeline", local=False)
    assert caught.value.problems[0].next_step == f'write "{GAMMA},{PROD}"'


@pytest.mark.parametrize("reference", ["${gamma[2].EndpointUrl}", "${gamma@eu-west-1.EndpointUrl}"])
def test_a_region_that_an_environment_has_not_is_refused(project: Path, reference: str) -> None:
    edit(project / "parameters/pipeline.yaml", "${gamma[1].EndpointUrl}", reference)
    with pytest.raises(BadInput, match="gamma has only"):
        roots.load(project, "pipeline", local=False)


def test_stores_are_told_who_reads_them(project: Path) -> None:
    edit(project / "templates/release-store.yaml", "Resources:", "  ReaderAccountIds:\n    Type: String\n\nResources:")
    for name in ("gamma", "pipeline", "prod"):
        loaded = roots.load(project, name, local=False)
        request = roots.needed_request(loaded, "release-store", "us-west-2")
        assert request.parameters == {"ServiceName": "sample", "ReaderAccountIds": f"{GAMMA},{PROD}"}
    edit(project / "parameters/prod.yaml", PROD, "111122223333")
    assert roots.load(project, "gamma", local=False).readers == (GAMMA,)  # nobody is let in by a placeholder


def test_tools_account_and_home_region_are_the_pipelines(project: Path) -> None:
    edit(project / "templates/environment.yaml", "  Egress:", "  ToolsAccountId: {Type: String}\n  HomeRegion: {Type: String}\n  Egress:")
    given = f"EnvironmentName: gamma\n  ToolsAccountId: '{TOOLS}'\n  HomeRegion: us-east-1"
    edit(project / "parameters/gamma.yaml", "EnvironmentName: gamma", given)
    roots.load(project, "gamma", local=False)
    edit(project / "parameters/gamma.yaml", f"'{TOOLS}'", f"'{GAMMA}'")
    edit(project / "parameters/gamma.yaml", "HomeRegion: us-east-1", "HomeRegion: us-west-2")
    with pytest.raises(BadInput) as caught:
        roots.load(project, "gamma", local=False)
    assert [problem.next_step for problem in caught.value.problems] == [f"write {TOOLS}", "write us-east-1"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("role: deployer", "is not the ARN of a role"),
        (f"role: arn:aws:iam::{PROD}:role/deployer", f"it is a role of {PROD}"),
        ("waves: [us-east-1]", "a list of lists"),
        ("waves: [[us-east-1]]", "us-west-2 is in no wave"),
        ("waves: [[us-east-1, us-west-2], [us-east-1]]", "us-east-1 is there twice"),
        ("waves: [[us-east-1, us-west-2], [eu-west-1]]", "eu-west-1 is not among regions"),
    ],
)
def test_a_wrong_role_or_wave_is_said(project: Path, line: str, said: str) -> None:
    edit(project / "parameters/gamma.yaml", "tags: {}", line)
    with pytest.raises(WrongUse) as caught:
        settings.load(project, "gamma", local=False)
    assert said in str(caught.value) and "parameters/gamma.yaml" in str(caught.value)


def test_waves_and_role_are_read_and_the_overlay_takes_what_fits(project: Path) -> None:
    assert settings.load(project, "gamma", local=False).waves == (("us-east-1", "us-west-2"),)
    edit(project / "parameters/gamma.yaml", "tags: {}", f"role: {ROLE}\nwaves: [[us-west-2], [us-east-1]]")
    gamma = settings.load(project, "gamma", local=False)
    assert (gamma.role, gamma.waves) == (ROLE, (("us-west-2",), ("us-east-1",)))
    local = settings.load(project, "gamma", local=True)
    assert (local.role, local.waves) == ("", (("us-east-1",),))


class Roles(FakeAws):
    """A role's clients are of the role's account."""

    def __init__(self, account: str) -> None:
        super().__init__({}, account=account)
        self.assumed: list[str] = []

    def assume(self, role: str, region: str) -> FakeAws:
        self.assumed.append(role)
        return FakeAws({}, account=role.split(":")[4])


def test_the_callers_account_is_taken_as_it_is_and_others_by_their_role(project: Path) -> None:
    edit(project / "parameters/gamma.yaml", "tags: {}", f"role: {ROLE}")
    loaded, caller = roots.load(project, "pipeline", local=False), Roles(TOOLS)
    entered = accounts.open_accounts(caller, loaded.environment.regions, loaded.involved)
    assert entered.of(loaded.tools) is caller
    gamma = entered.of(loaded.sources["gamma"])
    assert gamma.client("sts", "r").account == GAMMA and entered.of(loaded.sources["gamma"]) is gamma
    assert caller.assumed == [ROLE]
    assert entered.target.line.splitlines()[1].strip() == f"account {GAMMA} (gamma) as {ROLE}"


def test_an_account_without_a_role_is_refused(project: Path) -> None:
    loaded = roots.load(project, "pipeline", local=False)
    entered = accounts.open_accounts(Roles(TOOLS), loaded.environment.regions, loaded.involved)
    assert "names no role" in entered.target.line
    with pytest.raises(WrongUse, match=rf"account is {TOOLS}, not {GAMMA}") as caught:
        entered.of(loaded.sources["gamma"])
    assert "role:" in caught.value.next_step


def test_a_role_that_acts_elsewhere_is_refused(project: Path) -> None:
    edit(project / "parameters/gamma.yaml", "tags: {}", f"role: {ROLE}")
    caller = Roles(TOOLS)
    caller.assume = lambda role, region: FakeAws({}, account=PROD)  # type: ignore[method-assign]
    loaded = roots.load(project, "pipeline", local=False)
    with pytest.raises(WrongUse, match=f"acts in account {PROD}, not {GAMMA}"):
        accounts.open_accounts(caller, ["us-east-1"], loaded.involved).of(loaded.sources["gamma"])


def test_a_roles_session_signs_with_the_roles_keys_and_stays_local(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def assume_role(self: Any) -> dict[str, Any]:
        asked.append(self._assume_kwargs)
        keys = {"AccessKeyId": "theirs", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": "2099-01-01T00:00:00Z"}
        return {"Credentials": keys, "AssumedRoleUser": {"Arn": ROLE}}

    monkeypatch.setattr("botocore.credentials.AssumeRoleCredentialFetcher._get_credentials", assume_role)
    environ = {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566", "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local-secret"}
    client = session.open_session(True, environ).assume(ROLE, "us-east-1").client("s3", "us-east-1")
    assert client._request_signer._credentials.access_key == "theirs"
    assert client.meta.endpoint_url == "http://127.0.0.1:4566"
    assert asked == [{"RoleArn": ROLE, "RoleSessionName": "handsoff"}]


class Cloud(FakeAws):
    """An account of several: a CloudFormation in each Region, and one S3."""

    def __init__(self, account: str, others: dict[str, Cloud], clock: FakeClock) -> None:
        self.regions, self.s3 = {region: FakeCloudFormation(clock) for region in ("us-east-1", "us-west-2")}, OwnedS3()
        super().__init__({"s3": self.s3}, account=account)
        self.others = others
        others[account] = self

    def client(self, service: str, region: str) -> Any:
        if service == "cloudformation":
            return self.regions[region]
        if service == "service-quotas":
            return type("Quota", (), {"get_service_quota": lambda self, **_: {"Quota": {"Value": 100.0}}})()
        if service == "ec2":
            return type("Ec2", (), {"get_paginator": lambda self, name: self, "paginate": lambda self: []})()
        return super().client(service, region)

    def assume(self, role: str, region: str) -> Cloud:
        return self.others[role.split(":")[4]]


class OwnedS3(FakeS3):
    """Remembers whose bucket it was told to be."""

    owners: set[str]

    def __init__(self) -> None:
        super().__init__()
        self.owners = set()

    def put_object(self, Bucket: str, Key: str, Body: bytes, ContentType: str, ExpectedBucketOwner: str) -> None:
        super().put_object(Bucket, Key, Body, ContentType, ExpectedBucketOwner)
        self.owners |= {Bucket, ExpectedBucketOwner}


@pytest.fixture
def cloud(project: Path) -> dict[str, Cloud]:
    """The accounts, the tools account with a release store; gamma has a role, and prod has none."""
    edit(project / "parameters/gamma.yaml", "tags: {}", f"role: {ROLE}")
    for path in (project / "parameters").glob("*.yaml"):
        path.write_text(path.read_text().replace("ami-00000000000000000", "ami-0123456789abcdef0"))
    found: dict[str, Cloud] = {}
    clock = FakeClock()
    for account in (TOOLS, GAMMA, PROD):
        Cloud(account, found, clock)
    body = (project / "templates/release-store.yaml").read_text()
    values = [{"ParameterKey": "ServiceName", "ParameterValue": "sample"}]
    outputs = [{"OutputKey": "ArtifactBucketName", "OutputValue": "the-bucket"}]
    for there in found[TOOLS].regions.values():
        there.add("sample-release-store", "CREATE_COMPLETE", _body=body, Parameters=values, Outputs=outputs)
    return found


def run(command: Any, project: Path, caller: Cloud, *options: str) -> tuple[int, Recorder]:
    recorder = Recorder()
    return command.main([*options, "--yes"], a_world(project, caller, recorder, FakeClock())), recorder


def names(cloud: Cloud) -> set[str]:
    stacks = [stack for there in cloud.regions.values() for stack in there.stacks.values()]
    return {stack["StackName"] for stack in stacks if stack["StackStatus"] != "DELETE_COMPLETE"}


def test_deploy_acts_in_each_account_where_it_must(project: Path, cloud: dict[str, Cloud]) -> None:
    code, recorder = run(deploy, project, cloud[TOOLS], "--env", "gamma")
    assert code == 0, recorder.errors
    assert names(cloud[TOOLS]) == {"sample-release-store"} and names(cloud[GAMMA]) == {"sample-environment-gamma"}
    assert cloud[TOOLS].s3.owners == {"the-bucket", TOOLS} and cloud[GAMMA].s3.puts == []
    assert f"account {GAMMA} (gamma) as {ROLE}" in recorder.text.splitlines()[1]
    assert recorder.text.splitlines()[-1] == "deploy of gamma done: us-east-1 CREATE_COMPLETE; us-west-2 CREATE_COMPLETE"


def test_deploy_enters_no_account_when_one_cannot_be(project: Path, cloud: dict[str, Cloud]) -> None:
    code, recorder = run(deploy, project, cloud[TOOLS], "--env", "prod")
    assert code == 2 and f"not {PROD}" in recorder.errors
    code, recorder = run(deploy, project, cloud[GAMMA], "--env", "gamma")
    assert code == 2 and f"not {TOOLS}" in recorder.errors  # the release stores are not gamma's
    assert all(there.calls == [] for account in cloud.values() for there in account.regions.values())


def test_packages_go_to_the_tools_account(project: Path, cloud: dict[str, Cloud]) -> None:
    code, recorder = run(package, project, cloud[TOOLS], "--env", "prod")
    assert code == 0, recorder.errors
    assert cloud[TOOLS].s3.owners == {"the-bucket", TOOLS}


def test_destroy_of_all_leaves_what_an_account_out_of_reach_uses(project: Path, cloud: dict[str, Cloud]) -> None:
    for account, name in ((GAMMA, "gamma"), (PROD, "prod")):
        cloud[account].regions["us-west-2"].add(f"sample-environment-{name}", "CREATE_COMPLETE", _body="Resources: {}")
    code, recorder = run(destroy, project, cloud[TOOLS], "--env", "all")
    assert code == 0, recorder.errors
    assert names(cloud[GAMMA]) == set() and names(cloud[PROD]) == {"sample-environment-prod"}
    assert names(cloud[TOOLS]) == {"sample-release-store"}
    assert "not touched: prod is in account" in recorder.text and "not touched: sample-release-store" in recorder.text
    assert run(destroy, project, cloud[TOOLS], "--env", "prod")[0] == 2
    assert run(destroy, project, cloud[TOOLS], "--env", "release-store")[0] == 2  # prod cannot be asked whether it uses it


def test_an_environment_that_nobody_gave_an_account_is_in_no_ones_way(project: Path, cloud: dict[str, Cloud]) -> None:
    """A beta.yaml as it ships."""
    text = (project / "parameters/gamma.yaml").read_text()
    (project / "parameters/prod.yaml").unlink()
    (project / "parameters/beta.yaml").write_text(text.replace(GAMMA, "111122223333").replace("EnvironmentName: gamma", "EnvironmentName: beta"))
    cloud[GAMMA].regions["us-west-2"].add("sample-environment-gamma", "CREATE_COMPLETE", _body="Resources: {}")
    assert roots.load(project, "pipeline", local=False).readers == (GAMMA,)
    assert run(destroy, project, cloud[TOOLS], "--env", "release-store")[0] == 1  # gamma uses it
    code, recorder = run(destroy, project, cloud[TOOLS], "--env", "all")
    assert code == 0, recorder.errors
    assert "beta" not in recorder.text
    assert names(cloud[GAMMA]) == names(cloud[TOOLS]) == set()


def test_files_of_two_services_are_refused_before_anything_is_removed(project: Path, cloud: dict[str, Cloud]) -> None:
    edit(project / "parameters/gamma.yaml", "ServiceName: sample", "ServiceName: other")
    for command in (deploy, destroy):
        code, recorder = run(command, project, cloud[TOOLS], "--env", "all" if command is destroy else "pipeline")
        assert code == 2
        assert "parameters/gamma.yaml: ServiceName\n  reason: it is other, and that of parameters/pipeline.yaml is sample" in recorder.errors
    assert all(there.calls == [] for account in cloud.values() for there in account.regions.values())
