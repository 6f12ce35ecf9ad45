"""Stacks that cannot be deleted by mistake: protected once they stand, never in the way of a failed first create or of destroy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scripts_fakes import refusal
from test_scripts_commands import FakeCloudWatch, Place
from test_scripts_rollout import NAME, Bench, request

from scripts import deploy, destroy
from scripts.core import roots, settings
from scripts.core.errors import BadInput, CommandError

DENIED = "User: arn:aws:iam::000000000000:user/someone is not authorized to perform: cloudformation:UpdateTerminationProtection on resource: x"
WANTED = request(protected=True)


def protected(bench: Bench | Place) -> list[bool]:
    return [stack.get("EnableTerminationProtection", False) for stack in bench.cloudformation.stacks.values()]


def test_a_deploy_protects_once_the_stack_stands_and_not_twice() -> None:
    bench = Bench()
    bench.deploy(WANTED)
    assert bench.cloudformation.calls == ["create_change_set", "execute_change_set", "protect"] and protected(bench) == [True]
    assert f"{NAME} (us-east-1): protected against deletion" in bench.recorder.text
    bench.deploy(request(protected=True, template_text="newer"))
    bench.deploy(request(protected=True, template_text="newer"))
    assert bench.cloudformation.calls.count("protect") == 1


def test_a_deploy_without_changes_protects_what_is_not() -> None:
    bench = Bench()
    bench.deploy()
    assert protected(bench) == [False]
    bench.deploy(WANTED)
    assert "no change" in bench.recorder.text and protected(bench) == [True]


def test_a_deploy_never_lifts() -> None:
    bench = Bench()
    bench.deploy(WANTED)
    bench.deploy(request(template_text="newer"))
    assert "unprotect" not in bench.cloudformation.calls and protected(bench) == [True]


@pytest.mark.parametrize("ending", ["ROLLBACK_COMPLETE", "ROLLBACK_FAILED"])
def test_a_failed_first_create_is_not_protected_and_made_anew(ending: str) -> None:
    bench = Bench()
    bench.cloudformation.endings = [ending]
    with pytest.raises(CommandError, match=ending):
        bench.deploy(WANTED)
    assert "protect" not in bench.cloudformation.calls
    assert bench.deploy(WANTED).status == "CREATE_COMPLETE"
    assert protected(bench) == [False, True]


def test_a_failed_update_protects_nothing() -> None:
    bench = Bench()
    bench.deploy()
    bench.cloudformation.endings = ["UPDATE_ROLLBACK_COMPLETE"]
    with pytest.raises(CommandError, match="UPDATE_ROLLBACK_COMPLETE"):
        bench.deploy(request(protected=True, template_text="newer"))
    assert "protect" not in bench.cloudformation.calls


def test_a_stack_that_cannot_be_updated_is_made_anew_though_somebody_protected_it() -> None:
    bench = Bench()
    bench.cloudformation.add(NAME, "ROLLBACK_COMPLETE", EnableTerminationProtection=True)
    assert bench.deploy(WANTED).status == "CREATE_COMPLETE"
    assert bench.cloudformation.calls[:2] == ["unprotect", "delete_stack"]


def test_without_the_permission_the_deploy_fails_and_names_it() -> None:
    bench = Bench()
    bench.cloudformation.refuse_protection = DENIED
    for _ in range(2):  # after a create, and with no change
        with pytest.raises(CommandError, match="is CREATE_COMPLETE, and its protection against deletion could not be set") as caught:
            bench.deploy(WANTED)
        assert "cloudformation:UpdateTerminationProtection" in caught.value.what and "make deployer" in caught.value.next_step


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.with_store()
    place.aws.clients["cloudwatch"] = FakeCloudWatch("OK")
    overlay = place.root / "parameters/local/gamma.yaml"
    overlay.write_text("protected: true\n" + overlay.read_text())
    return place


def test_deploy_protects_the_environment_and_the_release_store_below_it(place: Place) -> None:
    assert deploy.main(["--env", "gamma", "--local", "--yes"], place.world) == 0
    assert protected(place) == [True, True] and place.cloudformation.calls[0] == "protect"
    assert deploy.main(["--env", "gamma", "--local", "--yes"], place.world) == 0
    assert place.cloudformation.calls.count("protect") == 2


def test_destroy_says_so_asks_lifts_and_deletes(place: Place, tmp_path: Path) -> None:
    asked = Place(tmp_path / "other", "n")
    asked.cloudformation.add("sample-environment-gamma", "CREATE_COMPLETE", _body="Resources: {}", EnableTerminationProtection=True)
    assert destroy.main(["--env", "gamma", "--local"], asked.world) == 1
    assert "sample-environment-gamma (us-east-1) is protected against deletion" in asked.recorder.text
    assert asked.cloudformation.calls == [] and protected(asked) == [True]
    deploy.main(["--env", "gamma", "--local", "--yes"], place.world)
    place.cloudformation.stacks[next(reversed(place.cloudformation.stacks))]["_body"] = "Resources: {}"
    place.cloudformation.calls.clear()
    assert destroy.main(["--env", "gamma", "--local", "--yes"], place.world) == 0
    assert place.cloudformation.calls == ["unprotect", "delete_stack"] and protected(place) == [True, False]  # the store stays, and stays protected
    assert destroy.main(["--env", "all", "--local", "--yes"], place.world) == 0
    assert {stack["StackStatus"] for stack in place.cloudformation.stacks.values()} == {"DELETE_COMPLETE"}


def test_a_destroy_that_was_interrupted_is_run_again_or_deployed_over(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    cloudformation = place.cloudformation
    stack_id = cloudformation.add("sample-environment-gamma", "CREATE_COMPLETE", _body="Resources: {}", EnableTerminationProtection=True)

    def cut_off(StackName: str) -> None:
        raise refusal("Throttling", "Rate exceeded", "DeleteStack")

    with monkeypatch.context() as patch:
        patch.setattr(cloudformation, "delete_stack", cut_off)
        assert destroy.main(["--env", "gamma", "--local", "--yes"], place.world) == 1
    assert cloudformation.stacks[stack_id]["EnableTerminationProtection"] is False
    assert deploy.main(["--env", "gamma", "--local", "--yes"], place.world) == 0
    assert cloudformation.stacks[stack_id]["EnableTerminationProtection"] is True
    cloudformation.stacks[stack_id].update(EnableTerminationProtection=False, _body="Resources: {}")
    assert destroy.main(["--env", "gamma", "--local", "--yes"], place.world) == 0
    assert cloudformation.calls.count("unprotect") == 1 and cloudformation.stacks[stack_id]["StackStatus"] == "DELETE_COMPLETE"


def test_destroy_without_the_permission_names_it_and_deletes_nothing(place: Place) -> None:
    place.cloudformation.add("sample-environment-gamma", "CREATE_COMPLETE", _body="Resources: {}", EnableTerminationProtection=True)
    place.cloudformation.refuse_protection = DENIED
    assert destroy.main(["--env", "gamma", "--local", "--yes"], place.world) == 1
    assert "could not be lifted: Access denied: cloudformation:UpdateTerminationProtection" in place.recorder.errors
    assert "delete_stack" not in place.cloudformation.calls


def test_release_stores_are_protected_where_a_protected_environment_stands_on_them(place: Place) -> None:
    other = place.root / "parameters/beta.yaml"
    other.write_text((place.root / "parameters/gamma.yaml").read_text().replace("EnvironmentName: gamma", "EnvironmentName: beta"))
    (place.root / "parameters/local/beta.yaml").write_text((place.root / "parameters/local/gamma.yaml").read_text().replace("protected: true\n", ""))
    beta = roots.load(place.root, "beta", local=True)
    assert not beta.environment.protected and beta.protected == {("release-store", "us-east-1")}
    assert roots.needed_request(beta, "release-store", "us-east-1").protected and not roots.needed_request(beta, "release-store", "us-west-2").protected
    assert roots.load(place.root, "beta", local=False).protected == frozenset()


@pytest.mark.parametrize(("value", "said"), [("true", True), (True, True), ("false", False)])
def test_the_files_say_it(value: Any, said: bool) -> None:
    document = {"template": "t", "account": "000000000000", "regions": ["r"], "parameters": {"ServiceName": "s"}}
    assert settings.from_document("e", document, "f").protected is False
    assert settings.from_document("e", {**document, "protected": value}, "f").protected is said
    with pytest.raises(BadInput, match="cannot be used") as caught:
        settings.from_document("e", {**document, "protected": "prod"}, "f")
    assert "'prod' is neither true nor false" in str(caught.value)
