"""The pipeline of the templates in small, over the real engine of the local AWS, and `why` looking at it through real boto3 clients in this process.

Source, Build, Gamma (Deploy1, Tests, Gate) and OneBox (Enter, Deploy1, Gate). What actions do outside is made up (builds, deployments, functions); the
words of Enter and Gate are the real function's, from `gate_world`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ClientError
from inprocess import InProcess
from localaws_fakes import ACCOUNT, CALLER, REGION, FakeAws
from test_localaws_codeconnections import push
from test_localaws_codepipeline_api import KEY, ROLE, Outside

from localaws.codeconnections.api import Api as Connections
from localaws.codepipeline.api import Api
from scripts.core.stacks import Stack as Deployed
from scripts.diagnosis.calls import Calls
from scripts.diagnosis.case import Case
from scripts.diagnosis.collect import Asked, Place, Scene, collect
from scripts.diagnosis.judge import Verdict, judge

# The functions are imported as Lambda imports them; their tests' double of AWS lies beside their tests.
for folder in ("functions", "tests/unit/functions"):
    path = str(Path(__file__).resolve().parents[2] / folder)
    if path not in sys.path:
        sys.path.insert(0, path)

ROLE_OF_GAMMA = f"arn:aws:iam::{ACCOUNT}:role/gamma-deploy"
GATE = '{"do":"gate","environment":"%s","stage":"%s"}'


def error(code: str, message: str) -> ClientError:
    """What a service answers to an action."""
    return ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 400}}, "Op")  # type: ignore[typeddict-item]


class Services(Outside):
    """Builds and deployments by id; functions are noted. `raises` is {method: error}."""

    def __init__(self) -> None:
        super().__init__()
        self.builds: dict[str, dict[str, Any]] = {}
        self.deployments: dict[str, dict[str, Any]] = {}
        self.invoked: list[dict[str, Any]] = []
        self.raises: dict[str, Exception] = {}

    def _check(self, method: str) -> None:
        if method in self.raises:
            raise self.raises[method]
        super()._check(method)

    def start_build(self, **given: Any) -> dict[str, Any]:
        self._check("start_build")
        project = given["projectName"]
        identity = f"{project}:{len(self.builds) + 1}"
        self.builds[identity] = {"id": identity, "projectName": project, "buildStatus": "IN_PROGRESS", "phases": [], "logs": {}, "given": given}
        return {"build": self.builds[identity]}

    def batch_get_builds(self, ids: list[str]) -> dict[str, Any]:
        self._check("batch_get_builds")
        return {"builds": [self.builds[each] for each in ids if each in self.builds]}

    def create_deployment(self, **given: Any) -> dict[str, Any]:
        self._check("create_deployment")
        identity = f"d-{len(self.deployments) + 1:09d}"
        self.deployments[identity] = {"status": "InProgress"}
        return {"deploymentId": identity}

    def get_deployment(self, deploymentId: str) -> dict[str, Any]:
        self._check("get_deployment")
        return {"deploymentInfo": self.deployments[deploymentId]}

    def invoke(self, FunctionName: str, InvocationType: str, Payload: bytes) -> dict[str, Any]:
        self._check("invoke")
        import json

        self.invoked.append(json.loads(Payload)["CodePipeline.job"])
        return {"StatusCode": 202}


class Pipe:
    """The services, a connection, a repository and the pipeline; `case()` and `verdict()` are what `why` makes of it."""

    def __init__(self, folder: Path, complete: bool = True) -> None:
        self.folder, self.outside, self.record = folder, Services(), None
        named = ("s3", "kms", "sts", "codebuild", "codedeploy", "lambda")
        self.local = FakeAws(folder, dict.fromkeys(named, self.outside))
        self.connections, self.api = Connections(self.local), Api(self.local)  # type: ignore[arg-type]
        self.local.services.update(codeconnections=self.connections, codepipeline=self.api)
        self.arn = self.connections.create_connection(CALLER, {"ConnectionName": "github", "ProviderType": "GitHub"})["ConnectionArn"]
        if complete:
            self.connections.complete(self.arn)
        self.aws = InProcess({"codepipeline": self.api, "codeconnections": self.connections}, account=ACCOUNT)
        self.ledger(None)
        self.groups()
        self.calls = Calls(self.aws)
        self.pushes = 0

    # What happens

    def declaration(self, **more: Any) -> dict[str, Any]:
        def action(name: str, category: str, provider: str, configuration: dict[str, str], **rest: Any) -> dict[str, Any]:
            return {"name": name, "actionTypeId": {"category": category, "owner": "AWS", "provider": provider, "version": "1"},
                    "configuration": configuration, **rest}

        def deploy(group: str, order: int) -> dict[str, Any]:
            return action("Deploy1", "Deploy", "CodeDeploy", {"ApplicationName": "app", "DeploymentGroupName": group}, runOrder=order,
                          roleArn=ROLE_OF_GAMMA, inputArtifacts=[{"name": "Release"}])

        def function(name: str, environment: str, stage: str, order: int) -> dict[str, Any]:
            return action(name, "Invoke", "Lambda", {"FunctionName": "gate", "UserParameters": GATE % (environment, stage)}, runOrder=order)

        return {"name": "sample", "roleArn": ROLE, "pipelineType": "V2",
                "artifactStore": {"type": "S3", "location": "store", "encryptionKey": {"id": KEY, "type": "KMS"}}, "stages": [
                    {"name": "Source", "actions": [action("Source", "Source", "CodeStarSourceConnection", {
                        "ConnectionArn": self.arn, "FullRepositoryId": "acme/sample", "BranchName": "main"},
                        outputArtifacts=[{"name": "Source"}], namespace="Source")]},
                    {"name": "Build", "actions": [action("Build", "Build", "CodeBuild", {"ProjectName": "build"},
                        inputArtifacts=[{"name": "Source"}], outputArtifacts=[{"name": "Release"}], namespace="Build")]},
                    {"name": "Gamma", "actions": [deploy("gamma-fleet", 1), action("Tests", "Test", "CodeBuild", {"ProjectName": "tests"}, runOrder=2,
                                                  inputArtifacts=[{"name": "Source"}]), function("Gate", "gamma", "Gamma", 2)]},
                    {"name": "OneBox", "actions": [function("Enter", "prod", "OneBox", 1), deploy("prod-onebox", 2),
                                                   function("Gate", "prod", "OneBox", 3)]}], **more}

    def create(self, **more: Any) -> Pipe:
        self.api.create_pipeline(CALLER, {"pipeline": self.declaration(**more)})
        self.settle()
        return self

    def push(self) -> Pipe:
        self.pushes += 1
        push(self.connections.repository("acme/sample"), self.folder / "work", f"file{self.pushes}.txt", f"change {self.pushes}")
        self.connections.poll()
        return self.settle()

    def settle(self) -> Pipe:
        """Do what was begun, then look at what runs, twice: a minute goes by."""
        for _ in range(3):
            self.local.run_spawned()
            self.local.clock.advance(20)
            self.api.tick()
            self.local.run_spawned()
        return self

    def built(self, status: str = "SUCCEEDED", project: str = "build", **more: Any) -> Pipe:
        for build in self.outside.builds.values():
            if build["projectName"] == project and build["buildStatus"] == "IN_PROGRESS":
                build.update(buildStatus=status, **more)
                if project == "build":
                    build.update(artifacts={"location": "arn:aws:s3:::store/sample/Release/abc"})
        return self.settle()

    def deployed(self, status: str = "Succeeded", **more: Any) -> Pipe:
        for deployment in self.outside.deployments.values():
            if deployment["status"] == "InProgress":
                deployment.update(status=status, **more)
        return self.settle()

    def told(self, text: str, ok: bool = False, token: str | None = None) -> Pipe:
        """The newest call of the function is answered: passed, to be continued, or failed with these words."""
        job = self.outside.invoked[-1]["id"]
        if ok:
            more = {"continuationToken": token} if token else {}
            self.api.put_job_success_result(CALLER, {"jobId": job, "executionDetails": {"summary": text, "percentComplete": 10}, **more})
        else:
            self.api.put_job_failure_result(CALLER, {"jobId": job, "failureDetails": {"type": "JobFailed", "message": text}})
        return self.settle()

    def to_gamma(self) -> Pipe:
        """A release is being deployed to gamma."""
        return self.create().push().built()

    def to_gate(self) -> Pipe:
        """It is in gamma, and its gate and tests run."""
        return self.to_gamma().deployed()

    def to_onebox(self) -> Pipe:
        """It passed gamma, and Enter is asked."""
        return self.to_gate().built(project="tests").told("passed", ok=True)

    def to_prod_gate(self) -> Pipe:
        """It is on the one-box, whose gate bakes."""
        return self.to_onebox().told("entered", ok=True).deployed()

    def execution(self, number: int = 0) -> str:
        """The id of an execution, newest first."""
        found = self.api.list_pipeline_executions(CALLER, {"pipelineName": "sample"})["pipelineExecutionSummaries"]
        return str(found[number]["pipelineExecutionId"])

    def status(self, number: int = 0) -> str:
        found = self.api.list_pipeline_executions(CALLER, {"pipelineName": "sample"})["pipelineExecutionSummaries"]
        return str(found[number]["status"])

    # What else there is

    def ledger(self, record: Mapping[str, Any] | None) -> Pipe:
        """The ledger's record of every environment."""
        item = {key: TypeSerializer().serialize(value) for key, value in record.items()} if record else None
        self.aws.record("dynamodb", "GetItem", {"Item": item} if item else {})
        self.aws.record("dynamodb", "Query", {"Items": []})
        return self

    def groups(self, *last: Mapping[str, Any]) -> Pipe:
        """The last attempts of the environment's deployment groups."""
        self.aws.record("codedeploy", "BatchGetDeploymentGroups", {"deploymentGroupsInfo": [{"deploymentGroupName": "g", "lastAttemptedDeployment": one}
                                                                                           for one in last]})
        return self

    # What why says

    def scene(self, environment: str = "gamma", status: str = "UPDATE_COMPLETE") -> Scene:
        outputs = {"ApplicationName": "app", "FleetDeploymentGroupName": f"{environment}-fleet"}
        name = f"sample-environment-{environment}"
        place = Place(environment, REGION, self.calls, name, deployed_stack(name, outputs, status))
        home = Place("pipeline", REGION, self.calls, "sample-pipeline",
                     deployed_stack("sample-pipeline", {"PipelineName": "sample", "LedgerTableName": "ledger", "ConnectionArn": self.arn}))
        places = (home,) if environment == "pipeline" else (place,)
        return Scene(environment, "sample", ("gamma", "prod"), places, home, (), lambda name: self.calls)

    def case(self, environment: str = "gamma", **asked: str) -> Case:
        return collect(self.scene(environment), Asked(**asked), self.local.clock.now())

    def verdict(self, environment: str = "gamma", **asked: str) -> Verdict:
        return judge(self.case(environment, **asked))


def deployed_stack(name: str, outputs: Mapping[str, str], status: str = "UPDATE_COMPLETE") -> Deployed:
    """A stack as `stacks.find` gives it."""
    from datetime import UTC, datetime

    given = {"StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{name}/1", "StackName": name, "StackStatus": status,
             "LastUpdatedTime": datetime.fromtimestamp(1_600_000_000, UTC),
             "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]}
    from scripts.core.stacks import from_description

    return from_description(given)
