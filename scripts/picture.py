"""Draw docs/pictures/flow.svg: the pipeline's stages and actions as templates/pipeline/stages.yaml declares them, and the way back.

With --check it draws nothing and fails if the picture is not that of the template.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from scripts.core import documents, world
from scripts.core.errors import CommandError

SOURCE = "templates/pipeline/stages.yaml"
TARGET = "docs/pictures/flow.svg"

_WIDTH, _GAP, _TOP, _HEIGHT = 196, 30, 54, 84
_SAY = {"CodeStarSourceConnection": "a push to main", "CodeBuild": "tests, image by digest, bundle", "CodeDeploy": "zone by zone, alarms watch"}


def main(argv: list[str] | None = None) -> int:
    """Draw or check the picture. Exit code 0 done, 1 it is out of date."""
    parser = world.parser("picture", __doc__, environment=None)
    parser.add_argument("--check", action="store_true", help="fail if the picture is out of date")
    return world.run(parser, argv, None, _picture)


def _picture(options: Any, here: world.World) -> int:
    text = draw(stages(documents.read(here.root / SOURCE, documents.TemplateLoader, here.root)))
    target = here.root / TARGET
    if options.check:
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            raise CommandError(TARGET, f"it is not the picture of {SOURCE}", "python -m scripts.picture")
        return 0
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    here.console.line(f"Drawn: {TARGET}")
    return 0


def stages(template: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return (stage, [(action, provider)]) of the template's pipeline, in order."""
    pipeline = next(one for one in template["Resources"].values() if one["Type"] == "AWS::CodePipeline::Pipeline")
    return [(stage["Name"], [(action["Name"], action["ActionTypeId"]["Provider"]) for action in stage["Actions"]])
            for stage in pipeline["Properties"]["Stages"]]


def draw(declared: Sequence[tuple[str, Sequence[tuple[str, str]]]]) -> str:
    """Return the picture as SVG; it reads in light and dark."""
    height = _TOP + _HEIGHT + 84
    width = len(declared) * (_WIDTH + _GAP) - _GAP + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="The pipeline, stage by stage">',
        "<style>text{font:13px system-ui,sans-serif;fill:#1f2328}.name{font-weight:600;font-size:15px}.small{font-size:11px;fill:#59636e}"
        ".box{fill:#f6f8fa;stroke:#59636e}.deploy{fill:#ddf4ff;stroke:#0969da}.go{stroke:#59636e;stroke-width:2;fill:none}"
        ".back{stroke:#cf222e;stroke-width:2;fill:none;stroke-dasharray:5 4}.red{fill:#cf222e}"
        "@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.small{fill:#9198a1}.box{fill:#151b23;stroke:#9198a1}"
        ".deploy{fill:#0c2d6b;stroke:#58a6ff}.go{stroke:#9198a1}.red{fill:#ff7b72}.back{stroke:#ff7b72}}</style>",
        '<defs><marker id="a" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto"><path d="M0 0 8 4 0 8z" fill="#59636e"/></marker>'
        '<marker id="b" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto"><path d="M0 0 8 4 0 8z" fill="#cf222e"/></marker></defs>',
    ]
    for index, (stage, actions) in enumerate(declared):
        left, middle = 20 + index * (_WIDTH + _GAP), _TOP + _HEIGHT / 2
        deploys = any(provider == "CodeDeploy" for _, provider in actions)
        parts.append(f'<rect class="{"deploy" if deploys else "box"}" x="{left}" y="{_TOP}" width="{_WIDTH}" height="{_HEIGHT}" rx="8"/>')
        parts.append(f'<text class="name" x="{left + 12}" y="{_TOP + 24}">{escape(stage)}</text>')
        for row, (action, provider) in enumerate(actions):
            by = provider.replace("CodeStarSourceConnection", "GitHub")
            parts.append(f'<text x="{left + 12}" y="{_TOP + 46 + row * 18}">{escape(action)}: {escape(by)}</text>')
        parts.append(f'<text class="small" x="{left + 12}" y="{_TOP + _HEIGHT - 10}">{escape(_SAY.get(actions[0][1], ""))}</text>')
        if index + 1 < len(declared):
            parts.append(f'<path class="go" marker-end="url(#a)" d="M{left + _WIDTH} {middle}h{_GAP - 3}"/>')
        if deploys:
            x, bottom = left + _WIDTH / 2, _TOP + _HEIGHT
            parts.append(f'<path class="back" marker-end="url(#b)" d="M{x + 30} {bottom}v26h-60v-22"/>')
            parts.append(f'<text class="small red" x="{left + 12}" y="{bottom + 44}">alarm or failure:</text>')
            parts.append(f'<text class="small red" x="{left + 12}" y="{bottom + 58}">the last good comes back</text>')
    parts.append(f'<text class="small" x="20" y="{_TOP - 22}">One release, one digest, from left to right; nothing goes on while an alarm says no.</text>')
    return "\n".join(parts) + "\n</svg>\n"


if __name__ == "__main__":
    sys.exit(main())
