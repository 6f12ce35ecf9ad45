"""The README's picture is that of the real stages."""

from __future__ import annotations

from typing import Any

from scripts import picture


def test_the_picture_is_that_of_the_template() -> None:
    assert picture.main(["--check"]) == 0


def action(name: str, provider: str, order: int = 1, **configuration: Any) -> dict[str, Any]:
    return {"Name": name, "RunOrder": order, "ActionTypeId": {"Provider": provider}, "Configuration": configuration}


def switched(what: dict[str, Any]) -> dict[str, Any]:
    return {"Fn::If": ["HasIt", what, {"Ref": "AWS::NoValue"}]}


def pipeline(*stages: dict[str, Any]) -> dict[str, Any]:
    return {"Resources": {"Pipeline": {"Type": "AWS::CodePipeline::Pipeline", "Properties": {"Stages": list(stages)}}}}


ROOT = {"Parameters": {"BakeSeconds": {"Default": 3600}}}
GAMMA = {"Name": "Gamma", "Actions": [action("Deploy1", "CodeDeploy"), switched(action("Deploy2", "CodeDeploy")), switched(action("Deploy3", "CodeDeploy"))]}
ENTER, GATE = '{"do":"enter"}', '{"do":"gate","bake":${BakeSeconds},"final":"true"}'
WAVE = {
    "Name": "Wave1",
    "Actions": [
        action("Enter", "Lambda", UserParameters={"Fn::Sub": ENTER}),
        action("Deploy1", "CodeDeploy", 2, DeploymentGroupName={"Ref": "ProdOneBoxGroup"}),
        action("Gate", "Lambda", 3, UserParameters={"Fn::Sub": [GATE, {}]}),
    ],
}


def test_regions_of_a_stage_are_one_line() -> None:
    (gamma,) = picture.stages(pipeline(GAMMA), ROOT)
    assert [(one.name, one.least, one.most) for one in gamma.actions] == [("Deploy1–3", 1, 3)]
    assert "1 to 3 Regions" in picture.draw([gamma])


def test_a_gate_says_how_long_it_bakes_and_what_it_makes() -> None:
    (wave,) = picture.stages(pipeline(WAVE), ROOT)
    assert [one.say for one in wave.actions] == ["quiet, open, not known as bad?", "one-box, host by host", "bakes 1 h → last good"]
    assert wave.enters and not wave.optional


def test_an_order_that_a_condition_decides_is_as_it_is_with_what_the_condition_brings() -> None:
    first = {**action("Safety", "CodeBuild", 2), "ActionTypeId": {"Provider": "CodeBuild", "Category": "Test"}}
    gate = {**action("Gate", "Lambda", UserParameters=GATE), "RunOrder": {"Fn::If": ["HasIt", 3, 2]}}
    (stage,) = picture.stages(pipeline({"Name": "Gamma", "Actions": [switched(first), gate]}), ROOT)
    assert [(one.order, one.say) for one in stage.actions] == [(2, "if switched on: both ways"), (3, "bakes 1 h → last good")]


def test_a_stage_more_renamed_or_made_optional_is_another_picture() -> None:
    first = picture.draw(picture.stages(pipeline(GAMMA, WAVE), ROOT))
    others = [pipeline(GAMMA), pipeline(GAMMA, WAVE, {**WAVE, "Name": "Wave2"}), pipeline(GAMMA, {**WAVE, "Name": "Wave2"}), pipeline(switched(GAMMA), WAVE)]
    drawn = [picture.draw(picture.stages(other, ROOT)) for other in others]
    assert len({first, *drawn}) == 5
    assert "reconciler" in first and "reconciler" not in drawn[0]
