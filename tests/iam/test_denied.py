"""What must be denied is denied, each by a policy that could let it be; and nothing that holds somebody back is there for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.iam import evaluate, questions, reference, roles
from tests.iam.questions import Question
from tests.iam.roles import World

QUESTIONS = questions.load()
NOTHING_LOST = {(one["policy"], one["statement"], one["what"]): one["reason"]
                for one in yaml.safe_load((Path(__file__).parent / "redundant.yaml").read_text())}


def _worlds(question: Question) -> list[World]:
    """Every variation, or the one that the question is about."""
    return [roles.resolve(name) for name in ([question.body["in"]] if "in" in question.body else roles.VARIATIONS)]


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda one: one.name)
def test_it_is_denied(question: Question) -> None:
    for world in _worlds(question):
        decision = questions.ask(world, question)
        assert not decision.allowed, f"{world.variation}: {decision}"


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda one: one.name)
def test_it_would_be_allowed_by_another_policy(question: Question) -> None:
    world = _worlds(question)[0]
    decision = questions.ask(questions.changed(world, question), question)
    assert decision.allowed, decision


BY_HAND = {"deployer-changes-the-gate-by-hand", "deployer-opens-a-security-group-by-hand", "deployer-opens-the-bus-by-hand", "deployer-deletes-the-key-by-hand"}


@pytest.mark.parametrize(("value", "allowed"), [("true", set()), ("services", set()), ("false", BY_HAND)])
def test_what_the_deployer_may_not_whichever_way_it_reaches_what_stacks_hold(value: str, allowed: set[str]) -> None:
    """Through any service it can no more than through CloudFormation, as long as it calls for itself; by hand it can all of this, and no more."""
    asked = [question for question in QUESTIONS if question.about == "deployer Deployer"]
    world = roles.with_deployer(roles.resolve("accounts"), ThroughCloudFormationOnly=value)
    assert {question.name for question in asked if questions.ask(world, question).allowed} == allowed
    assert len(asked) > len(BY_HAND)


@pytest.mark.parametrize(("value", "allowed"), [("true", False), ("services", True), ("false", True)])
def test_a_second_services_call_may_come_without_the_first_ones_name(value: str, allowed: bool) -> None:
    """What the parameter is for: a call that AWS makes for the deployer, with no service's name on it. Roles are CloudFormation's whatever it says."""
    world = roles.with_deployer(roles.resolve(), ThroughCloudFormationOnly=value)
    role, keys = questions.role_of(world, "deployer Deployer"), {"aws:ViaAWSService": "true"}
    layer = f"arn:aws:lambda:us-east-1:{role.account}:layer:cwsyn-sample-probe"
    assert evaluate.allowed(world, role, "lambda:PublishLayerVersion", layer, keys).allowed is allowed
    made = f"arn:aws:iam::{role.account}:role/sample-environment-gamma-R"
    assert not evaluate.allowed(world, role, "iam:CreateRole", made, keys).allowed
    assert evaluate.allowed(world, role, "iam:CreateRole", made, {**keys, "aws:CalledViaFirst": "cloudformation.amazonaws.com"}).allowed


def test_there_are_questions_about_every_role() -> None:
    asked = {questions.role_of(roles.resolve("accounts"), question.about).declared for question in QUESTIONS if question.about}
    assert {role.declared for role in roles.resolve().roles} - asked == set()
    assert len(QUESTIONS) >= 90
    assert len({question.name for question in QUESTIONS}) == len(QUESTIONS)


def test_questions_are_of_actions_that_there_are() -> None:
    """A misspelt action is denied to everybody."""
    wrong = [question.name for question in QUESTIONS if question.kind != "assume" and not reference.actions(question.body["action"])]
    assert wrong == []


def test_questions_are_of_resources_that_their_actions_take() -> None:
    """A resource of another kind is denied to everybody."""
    def fits(question: Question, action: reference.Action) -> bool:
        resource = questions.resource_of(_worlds(question)[0], question)
        return not action.types or "cloudwatch:" in action.name if resource == "*" else reference.fits(action, resource)

    wrong = [question.name for question in QUESTIONS if question.kind != "assume"
             and not any(fits(question, action) for action in reference.actions(question.body["action"]))]
    assert wrong == []


def _needless(variation: str) -> dict[tuple[str, str, str], bool]:
    """Each weakening of a variation, and whether no question has another answer under it."""
    world = roles.resolve(variation)
    asked = [question for question in QUESTIONS if question.body.get("in", variation) == variation]
    of_role: dict[str, list[Question]] = {}
    for question in asked:
        if question.about:
            of_role.setdefault(questions.role_of(world, question.about).declared, []).append(question)
    return {(weakening.declared, weakening.statement, weakening.what):
            not any(questions.ask(weaker, question).allowed for question in of_role.get(weakening.declared, asked))
            for weakening, weaker in questions.weakenings(world)}


def test_whatever_holds_somebody_back_does() -> None:
    """Each condition of what is allowed, and each denial: without it some question has another answer, in one variation at least."""
    found: dict[tuple[str, str, str], bool] = {}
    for variation in ("aws", "accounts"):
        for weakening, needless in _needless(variation).items():
            found[weakening] = found.get(weakening, True) and needless
    assert {weakening for weakening, needless in found.items() if needless} == NOTHING_LOST.keys()
    assert all(reason.strip() for reason in NOTHING_LOST.values())


def test_an_entry_that_says_too_little_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "questions.yaml"
    path.write_text("- { name: a, role: pipeline Build/BuildRole, action: s3:GetObject, resource: '*' }\n")
    with pytest.raises(ValueError, match="why"):
        questions.load(path)
    with pytest.raises(KeyError, match="no role Build/Role"):
        questions.role_of(roles.resolve(), "pipeline Build/Role")
