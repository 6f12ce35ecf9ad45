"""A project's tree, deployed in process: localaws' CloudFormation behind botocore's own clients, every resource a record of nothing."""

from __future__ import annotations

import copy
import io
import itertools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.sax.saxutils import escape

import pytest
from inprocess import InProcess
from scripts_fakes import FakeClock, Recorder

from localaws.clock import VirtualClock
from localaws.cloudformation import api as api_module
from localaws.cloudformation.resources import Made, Request, handlers
from localaws.cloudformation.schema import schemas
from localaws.service import Context, ServiceError
from scripts.core.session import Aws
from scripts.core.world import World

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = "000000000000"
ZONES = "abc"
# Where a template asks for an ARN's exact form.
_ARNS = {"AWS::KMS::Key": "arn:aws:kms:us-east-1:{}:key/00000000-0000-0000-0000-000000000000",
         "AWS::ECR::Repository": "arn:aws:ecr:us-east-1:{}:repository/{}",
         "AWS::IAM::Role": "arn:aws:iam::{}:role/{}"}


class Things:
    """Makes anything: a new id each time, and each attribute that the registry names."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def create(self, request: Request) -> Made:
        names = [pointer.split("/")[2:] for pointer in schemas("us-east-1").of(request.type).get("readOnlyProperties") or []]
        made = f"{request.logical_id.lower()}-{next(self._numbers)}"
        attributes = {".".join(name): f"{made}-{'.'.join(name)}" for name in names}
        arn = _ARNS.get(request.type, "arn:aws:x:us-east-1:{}:{}").format(ACCOUNT, made)
        return Made(made, {**attributes, "TopicName": made, **request.properties, "Arn": arn})

    def update(self, request: Request) -> Made:
        return Made(request.physical_id)

    def delete(self, request: Request) -> None:
        pass


class Behind:
    """What the local AWS gives to its CloudFormation: S3's templates, EC2's images and zones; work is done at once."""

    endpoint = "http://127.0.0.1:4566"
    account = ACCOUNT

    def __init__(self, aws: InProcess, region: str = "us-east-1") -> None:
        self.clock, self.aws, self.region = VirtualClock(), aws, region

    def as_caller(self, ctx: Context) -> Behind:
        return self

    def authorize(self, ctx: Context, action: str, resource: str) -> None:
        pass

    def spawn(self, name: str, work: Callable[[], None]) -> None:
        work()

    def client(self, service: str, region: str) -> Any:
        return Behind(self.aws, region)

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        return {"Body": io.BytesIO(self.aws.buckets.get(Bucket, Key))}

    def describe_images(self, ImageIds: list[str]) -> dict[str, Any]:
        return {"Images": [{"ImageId": name} for name in ImageIds]}

    def describe_vpcs(self, VpcIds: list[str]) -> dict[str, Any]:
        return {"Vpcs": [{"VpcId": name} for name in VpcIds]}

    def describe_security_groups(self, GroupIds: list[str]) -> dict[str, Any]:
        return {"SecurityGroups": [{"GroupId": name} for name in GroupIds]}

    def describe_subnets(self, SubnetIds: Sequence[str] = (), **_: Any) -> dict[str, Any]:
        return {"Subnets": [{"SubnetId": name} for name in SubnetIds]}

    def describe_availability_zones(self, **_: Any) -> dict[str, Any]:
        return {"AvailabilityZones": [{"ZoneName": self.region + letter} for letter in ZONES]}


class Writable(InProcess):
    """InProcess whose S3 also takes objects."""

    def _object(self, service: str, region: str, headers: dict[str, str], path: str, body: bytes,
                query: dict[str, list[str]]) -> tuple[int, dict[str, str], bytes]:
        if headers[":method"] != "PUT":
            return super()._object(service, region, headers, path, body, query)
        self.called.append(("s3", "PutObject"))
        bucket, _, key = unquote(path).lstrip("/").partition("/")
        try:
            self._allow("s3:PutObject", f"arn:aws:s3:::{bucket}/{key}", "rest-xml")
        except ServiceError as error:
            text = f"<Error><Code>{error.code}</Code><Message>{escape(error.message)}</Message></Error>"
            return error.status, {"Content-Type": "application/xml"}, text.encode()
        self.buckets.put(bucket, key, body)
        return 200, {"ETag": '"e"'}, b""


class Place:
    """A copy of the project (or of `source`) and an empty account."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, source: Path = ROOT, aws: Writable | None = None) -> None:
        monkeypatch.setattr(api_module, "handlers", lambda: dict.fromkeys([*handlers(), "AWS::S3::Bucket", "AWS::SNS::Topic"], Things()))
        self.root, self.aws, self.clock = folder, aws or Writable(account=ACCOUNT), FakeClock()
        for name in ("templates", "parameters", "functions", "app/canary"):
            if (source / name).is_dir():
                shutil.copytree(source / name, folder / name)
        self.behind = Behind(self.aws)
        self.cloudformation = api_module.Api(self.behind)  # type: ignore[arg-type]
        self.cloudformation.runner.pause = self.behind.clock.advance
        self.aws.services = {"cloudformation": self.cloudformation}

    def world(self, recorder: Recorder) -> World:
        def open_aws(local: bool, environ: Any) -> Aws:
            return self.aws

        return World(self.root, {}, recorder.console, self.clock, open_aws)

    def run(self, command: Any, *argv: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        recorder = Recorder()
        self.clock.sleep(1)  # a change set is named by the time
        code = command.main([*argv, "--local"], self.world(recorder))
        return code, recorder.text, recorder.errors

    def state(self) -> Any:
        """What is deployed, to be taken up by another Place."""
        return copy.deepcopy((self.cloudformation.dump(), self.aws.buckets.objects))

    def take_up(self, state: Any) -> None:
        self.clock.sleep(3600)
        stacks, objects = copy.deepcopy(state)
        self.cloudformation.load(stacks)
        self.aws.buckets.objects = objects

    def edit(self, file: str, find: str, replace: str) -> None:
        """Change a text that is there once."""
        path = self.root / file
        text = path.read_text(encoding="utf-8")
        assert text.count(find) == 1, f"{find!r} is {text.count(find)} times in {file}"
        path.write_text(text.replace(find, replace), encoding="utf-8")
