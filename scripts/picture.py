"""Draw docs/pictures/flow.svg: the pipeline's stages and actions as the templates declare them, and the way back.

With --check it draws nothing and fails if the picture is not that of the templates.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from xml.sax.saxutils import escape

from scripts.core import documents, world
from scripts.core.errors import CommandError

SOURCE = "templates/pipeline/stages.yaml"
# Where the waits have their defaults.
ROOT = "templates/pipeline.yaml"
TARGET = "docs/pictures/flow.svg"

_WIDTH, _GAP, _LEFT, _TOP, _HEAD, _LINE = 218, 28, 20, 58, 36, 42
_BETWEEN = 74
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1f2328}.name{font-weight:600;font-size:15px}.small{font-size:11.5px;fill:#59636e}"
    ".box{fill:#f6f8fa;stroke:#59636e}.deploy{fill:#ddf4ff;stroke:#0969da}.maybe{stroke-dasharray:6 4}.go{stroke:#59636e;stroke-width:2;fill:none}"
    ".wayback{fill:#ffebe9;stroke:#cf222e}.back{stroke:#cf222e;stroke-width:2;fill:none;stroke-dasharray:5 4}.red{fill:#cf222e}"
    "@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.small{fill:#9198a1}.box{fill:#151b23;stroke:#9198a1}"
    ".deploy{fill:#0c2d6b;stroke:#58a6ff}.go{stroke:#9198a1}.red{fill:#ff7b72}.back{stroke:#ff7b72}.wayback{fill:#25171c;stroke:#ff7b72}}"
)
_MARKERS = (
    '<defs><marker id="a" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto"><path d="M0 0 8 4 0 8z" fill="#59636e"/></marker>'
    '<marker id="b" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto"><path d="M0 0 8 4 0 8z" fill="#cf222e"/></marker></defs>'
)


@dataclass(frozen=True)
class Action:
    """One action, or several alike that run at once, a Region each. `least` and `most` are how many of them there can be."""

    order: int
    name: str
    provider: str
    say: str
    least: int = 1
    most: int = 1


@dataclass(frozen=True)
class Stage:
    """One stage; `optional` is one that a condition switches, `enters` one that has to be let in."""

    name: str
    optional: bool
    enters: bool
    actions: tuple[Action, ...]


def main(argv: list[str] | None = None) -> int:
    """Draw or check the picture. Exit code 0 done, 1 it is out of date."""
    parser = world.parser("picture", __doc__, environment=None)
    parser.add_argument("--check", action="store_true", help="fail if the picture is out of date")
    return world.run(parser, argv, None, _picture)


def _picture(options: Any, here: world.World) -> int:
    pipeline, root = (documents.read(here.root / name, documents.TemplateLoader, here.root) for name in (SOURCE, ROOT))
    text = draw(stages(pipeline, root))
    target = here.root / TARGET
    if options.check:
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            raise CommandError(TARGET, f"it is not the picture of {SOURCE}", "python -m scripts.picture")
        return 0
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    here.console.line(f"Drawn: {TARGET}")
    return 0


def stages(template: Mapping[str, Any], root: Mapping[str, Any]) -> list[Stage]:
    """The stages of the template's pipeline, in order; `root` has the defaults of its parameters."""
    pipeline = next(one for one in template["Resources"].values() if one["Type"] == "AWS::CodePipeline::Pipeline")
    defaults = {name: spec.get("Default") for name, spec in root.get("Parameters", {}).items()}
    found = []
    for declared in pipeline["Properties"]["Stages"]:
        stage, optional = _unwrap(declared)
        actions = [_action(*_unwrap(one), defaults) for one in stage["Actions"]]
        enters = any(_order_of(_unwrap(one)[0]) == "enter" for one in stage["Actions"])
        found.append(Stage(stage["Name"], optional, enters, tuple(_merged(actions))))
    return found


def _unwrap(declared: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """What a condition switches, and whether one does."""
    return (declared["Fn::If"][1], True) if "Fn::If" in declared else (declared, False)


def _parameters(action: Mapping[str, Any]) -> str:
    """The text of a function's UserParameters, its ${…} as written."""
    given = action.get("Configuration", {}).get("UserParameters", "")
    text = given.get("Fn::Sub", "") if isinstance(given, Mapping) else given
    return str(text[0] if isinstance(text, list) else text)


def _order_of(action: Mapping[str, Any]) -> str:
    match = re.search(r'"do":"(\w+)"', _parameters(action))
    return match.group(1) if match else ""


def _action(action: Mapping[str, Any], optional: bool, defaults: Mapping[str, Any]) -> Action:
    provider = action["ActionTypeId"]["Provider"]
    category = action["ActionTypeId"].get("Category", "")
    do, text = _order_of(action), _parameters(action)
    say = {"CodeStarSourceConnection": "a push to main", "CodeBuild": "tests, image by digest, bundle"}.get(provider, "")
    if category == "Test":
        # LOAD_SECONDS 0, as text in a text, is a stage without load.
        loaded = re.search(r'"LOAD_SECONDS","value":"(?!0")', str(action["Configuration"].get("EnvironmentVariables")))
        say = "functional, integration" + (", load" if loaded else "")
        if optional:
            say = "if switched on: both ways"
    elif provider == "CodeDeploy":
        onebox = "OneBox" in str(action["Configuration"].get("DeploymentGroupName"))
        say = "one-box, host by host" if onebox else "zone by zone, alarms watch"
    elif do == "enter":
        say = "quiet, open, not known as bad?"
    elif do == "gate":
        bake = re.search(r'"bake":\$\{(\w+)\}', text)
        seconds = defaults.get(bake.group(1)) if bake else None
        say = f"bakes {_span(seconds)}" if seconds is not None else "bakes"
        if '"final":"true"' in text:
            say += " → last good"
    order = action.get("RunOrder", 1)
    # Where a condition decides it, as it is with the action that the condition brings in: that one is drawn too.
    order = order["Fn::If"][1] if isinstance(order, Mapping) else order
    return Action(int(order), action["Name"], provider, say, 0 if optional else 1, 1)


def _span(seconds: Any) -> str:
    whole = int(seconds)
    return f"{whole // 3600} h" if whole and whole % 3600 == 0 else f"{whole // 60} min" if whole and whole % 60 == 0 else f"{whole} s"


def _merged(actions: Sequence[Action]) -> list[Action]:
    """Deployments that run at once as one line: `Deploy1–3`."""
    found: list[Action] = []
    for action in actions:
        last = found[-1] if found else None
        if last and action.provider == "CodeDeploy" and (last.provider, last.order, last.say) == (action.provider, action.order, action.say):
            name = f"{last.name.partition('–')[0]}–{re.sub(r'^[^0-9]*', '', action.name) or action.name}"
            found[-1] = replace(last, name=name, least=last.least + action.least, most=last.most + action.most)
        else:
            found.append(action)
    return found


def draw(declared: Sequence[Stage]) -> str:
    """Return the picture as SVG; it reads in light and dark. The stages that have to be let in stand in a row of their own."""
    door = next((index for index, stage in enumerate(declared) if stage.enters), len(declared))
    rows = [row for row in (declared[:door], declared[door:]) if row]
    heights = [max(_HEAD + len(stage.actions) * _LINE for stage in row) for row in rows]
    width = 2 * _LEFT - _GAP + (_WIDTH + _GAP) * max(len(row) + index for index, row in enumerate(rows))
    height = _TOP + sum(heights) + _BETWEEN * (len(rows) - 1) + 44
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="The pipeline, stage by stage">',
        f"<style>{_STYLE}</style>",
        _MARKERS,
        f'<text class="small" x="{_LEFT}" y="24">One release, one digest, in order; nothing goes on while an alarm says no.</text>',
        f'<text class="small" x="{_LEFT}" y="42">In a stage, actions of one number run at once. Dashed: there if parameters say so.</text>',
    ]
    top = _TOP
    for index, row in enumerate(rows):
        parts += _row(row, top, heights[index])
        if index + 1 < len(rows):
            parts += _door(len(row), top + heights[index])
            top += heights[index] + _BETWEEN
    if len(rows) > 1:
        parts += _way_back(len(rows[1]), top, heights[1])
    return "\n".join(parts) + "\n</svg>\n"


def _x(column: int) -> int:
    return _LEFT + column * (_WIDTH + _GAP)


def _row(row: Sequence[Stage], top: int, height: int) -> list[str]:
    parts = []
    for column, stage in enumerate(row):
        left = _x(column)
        kind = "deploy" if any(action.provider == "CodeDeploy" for action in stage.actions) else "box"
        parts.append(f'<rect class="{kind}{" maybe" if stage.optional else ""}" x="{left}" y="{top}" width="{_WIDTH}" height="{height}" rx="8"/>')
        parts.append(f'<text class="name" x="{left + 12}" y="{top + 24}">{escape(stage.name)}</text>')
        for line, action in enumerate(stage.actions):
            y = top + _HEAD + line * _LINE + 16
            by = action.provider.replace("CodeStarSourceConnection", "GitHub")
            number = f"{action.order}  " if len(stage.actions) > 1 else ""
            parts.append(f'<text x="{left + 12}" y="{y}" xml:space="preserve">{number}{escape(action.name)}: {escape(by)}</text>')
            parts.append(f'<text class="small" x="{left + (28 if number else 12)}" y="{y + 16}">{escape(_words(action))}</text>')
        if column + 1 < len(row):
            parts.append(f'<path class="go" marker-end="url(#a)" d="M{left + _WIDTH} {top + height // 2}h{_GAP - 3}"/>')
    return parts


def _words(action: Action) -> str:
    if action.most == 1:
        return action.say
    return f"{max(1, action.least)} to {action.most} Regions; {action.say.partition(',')[0]}"


def _door(columns: int, bottom: int) -> list[str]:
    """The way from the last stage of the first row down to the first of the second."""
    start, end, middle = _x(columns - 1) + _WIDTH // 2, _x(0) + _WIDTH // 2, _BETWEEN // 2 + 8
    return [
        f'<path class="go" marker-end="url(#a)" d="M{start} {bottom}v{middle}H{end}v{_BETWEEN - middle - 3}"/>',
        f'<text class="small" x="{end + 14}" y="{bottom + middle - 10}">The door of prod: closed while prod is blocked, frozen or outside its window.</text>',
    ]


def _way_back(columns: int, top: int, height: int) -> list[str]:
    """The box beside the second row, and from it the way to each of its stages."""
    left, middle, below = _x(columns), _x(columns) + _WIDTH // 2, top + height + 26
    words = (
        "Any alarm, failure or stop, here",
        "or in a bake: every group of every",
        "Region goes back to last good, the",
        "release is marked bad, prod is",
        "blocked, and a page says why.",
        "Gamma goes back likewise.",
    )
    parts = [
        f'<rect class="wayback" x="{left}" y="{top}" width="{_WIDTH}" height="{height}" rx="8"/>',
        f'<text class="name red" x="{left + 12}" y="{top + 24}">Rollback reconciler</text>',
        *(f'<text class="small red" x="{left + 12}" y="{top + 50 + line * 18}">{text}</text>' for line, text in enumerate(words)),
        f'<path class="back" d="M{middle} {top + height}V{below}H{_x(0) + _WIDTH // 2}"/>',
    ]
    parts += [f'<path class="back" marker-end="url(#b)" d="M{_x(column) + _WIDTH // 2} {below}V{top + height + 3}"/>' for column in range(columns)]
    return parts


if __name__ == "__main__":
    sys.exit(main())
