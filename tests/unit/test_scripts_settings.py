"""Parameters files: reading, laying the overlay over, and saying what is wrong before any call."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from scripts_fakes import PROJECT

from scripts.core import placeholders, references, roots, settings
from scripts.core.errors import BadInput, WrongUse


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PROJECT, tmp_path / "project"))


def edit(project: Path, old: str, new: str, file: str = "parameters/gamma.yaml") -> None:
    path = project / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_an_environment_is_read_with_its_texts_as_written(project: Path) -> None:
    gamma = settings.load(project, "gamma", local=False)
    assert (gamma.account, gamma.stack_name, gamma.needed_stack_name("release-store")) == (
        "111122223333",
        "sample-environment-gamma",
        "sample-release-store",
    )
    assert gamma.parameters_in("us-west-2")["FleetSize"] == "4"
    assert gamma.parameters_in("us-west-2")["AmiId"].startswith("ami-")


def test_the_overlay_is_merged_and_replaces_lists(project: Path) -> None:
    gamma = settings.load(project, "gamma", local=True)
    assert gamma.account == "000000000000"  # keeps its zeros though nothing quotes it in the merged text
    assert gamma.regions == ("us-east-1",)
    assert gamma.parameters["FleetSize"] == "2" and gamma.parameters["EnvironmentName"] == "gamma"
    assert set(gamma.region_parameters) == {"us-east-1"}


def test_a_stack_is_not_named_twice_after_its_environment(project: Path) -> None:
    (project / "parameters/pipeline.yaml").write_text(
        "template: pipeline\naccount: '111122223333'\nregions: [us-east-1]\nparameters: {ServiceName: sample}\n"
    )
    assert settings.load(project, "pipeline", local=False).stack_name == "sample-pipeline"


def test_an_unknown_environment_names_those_there_are(project: Path) -> None:
    with pytest.raises(WrongUse, match="did you mean gamma") as caught:
        settings.load(project, "gama", local=False)
    assert caught.value.exit_code == 2
    with pytest.raises(WrongUse, match="no environment is named"):
        settings.load(project, "", local=False)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("needs:", "need:", "did you mean needs"),
        ("  FleetSize: 4", "  FleetSiez: 4", "did you mean FleetSize"),
        ("  FleetSize: 4\n", "", "requires it"),
        ("  FleetSize: 4", "  FleetSize: 1", "1 is less than 2"),
        ("  FleetSize: 4", "  FleetSize: 40", "40 is more than 20"),
        ("  FleetSize: 4", "  FleetSize: four", "'four' is not a number"),
        ("  FleetSize: 4", "  FleetSize: 4\n  Egress: everywhere", "'everywhere' is not one of 'public'"),
        ("ServiceName: sample", "ServiceName: Sample!", "'Sample!' does not match"),
        ("{AmiId: ami-00000000000000000}\n  us-west", "{AmiId: image-1}\n  us-west", "not an id of the form ami-"),
        ("${release-store.ArtifactBucketName}", "${release-store.ArtifactBuckeName}", "did you mean ArtifactBucketName"),
        ("${release-store.ArtifactBucketName}", "${releasestore.ArtifactBucketName}", "did you mean release-store"),
        ("${release-store.ArtifactBucketName}", "${AWS::AccountId}", "${AWS::AccountId} is no reference"),
        ("${release-store.ArtifactBucketName}", "${gamma.TopicName}", "output of this same environment"),
        ("template: environment", "template: enviroment", "did you mean environment"),
        ("needs: [release-store]", "needs: [environment]", "it has nested stacks"),
        ('account: "111122223333"', "account: 1111", "not an account id of 12 digits"),
        ("tags: {}", "tags: [a]", "it must be a mapping"),
        ("tags: {}", "monitor_minutes: 200", "from 0 to 180"),
        ("tags: {}", "template: again", "the key 'template' is there twice"),
        ("tags: {}", "tags: {", "is not valid YAML"),
        ("  us-west-2: {AmiId", "  us-west-3: {AmiId", "did you mean us-west-2"),
    ],
)
def test_what_is_wrong_is_said_with_name_reason_and_way_out(project: Path, old: str, new: str, said: str) -> None:
    edit(project, old, new)
    with pytest.raises(WrongUse) as caught:
        roots.load(project, "gamma", local=False)
    assert said in str(caught.value)
    assert "parameters/gamma.yaml" in str(caught.value)
    assert caught.value.exit_code == 2


def test_several_faults_are_said_together(project: Path) -> None:
    edit(project, "  FleetSize: 4", "  FleetSize: 1\n  Colour: red")
    with pytest.raises(BadInput) as caught:
        roots.load(project, "gamma", local=False)
    assert {problem.name.split(": ")[1] for problem in caught.value.problems} == {"FleetSize", "Colour"}


def test_the_fixture_itself_is_good(project: Path) -> None:
    assert roots.load(project, "gamma", local=False).needed.keys() == {"release-store"}


def test_placeholders_name_where_to_get_the_right_value(project: Path) -> None:
    found = placeholders.problems(settings.load(project, "gamma", local=False))
    assert [problem.next_step.split(":")[0] for problem in found] == ["put your account", "put an exact image id", "put an exact image id"]
    assert any("--region us-west-2" in problem.next_step for problem in found)
    edit(project, '"111122223333"', '"123456789012"')
    edit(project, "ami-00000000000000000", "ami-0123456789abcdef0")
    assert placeholders.problems(settings.load(project, "gamma", local=False)) == []
    edit(project, "EnvironmentName: gamma", "EnvironmentName: gamma\n  AgentVersion: 0.0.0")
    assert "Distributor" in placeholders.problems(settings.load(project, "gamma", local=False))[0].next_step
    edit(project, "AgentVersion: 0.0.0", "AgentVersion: 1.8.1")
    assert placeholders.problems(settings.load(project, "gamma", local=False)) == []
    edit(project, "EnvironmentName: gamma", "EnvironmentName: your-org/your-repo")
    assert "git remote" in placeholders.problems(settings.load(project, "gamma", local=False))[0].next_step


def test_references() -> None:
    assert references.find("a-${prod[1].X}-b")[0] == references.Reference("prod", 1, "X", "${prod[1].X}")
    assert references.resolve("${a.X}/${b.Y}/$c", lambda reference: reference.output.lower()) == "x/y/$c"
    assert references.malformed("${a.X} ${oops") == "${oops"
    assert references.malformed("plain $ {text}") is None


def test_did_you_mean_keeps_silent_when_nothing_is_near() -> None:
    assert settings.did_you_mean("zebra", ["gamma", "prod"]) == ""
