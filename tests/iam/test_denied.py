"""What must be denied is denied, each by a policy that could let it be; and nothing that holds somebody back is there for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.iam import questions, reference, roles
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
