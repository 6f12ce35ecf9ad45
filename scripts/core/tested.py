"""`.taskcat.yml`: which packaged copies taskcat tests, in which Regions, with which values.

taskcat knows nothing of parameters/, and a test has one set of values. So each test of a root that lives in a Region takes that Region's packaged copy, and
its values from files that `make package` writes beside it, which taskcat has uploaded with everything else before it reads them:
`$[taskcat_getlicensecontent]/$[taskcat_autobucket]/<project>/build/packaged/<environment>/<Region>/values/<Parameter>` (taskcat 0.9.58,
_template_params.py: the content of that object).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.core import documents
from scripts.core.errors import WrongUse
from scripts.core.templates import as_text

FILE = ".taskcat.yml"
# taskcat's own prefix of stack names; the project's name follows.
STACK_PREFIX = "tCaT"
_COPY = re.compile(r"build/packaged/([^/]+)/([^/]+)/")


@dataclass(frozen=True)
class Copy:
    """What `make package` wrote for one environment and Region: build/packaged/<environment>/<region>/."""

    environment: str
    region: str

    @property
    def folder(self) -> Path:
        return Path("build") / "packaged" / self.environment / self.region


@dataclass(frozen=True)
class Case:
    """One test; its values as written, with taskcat's $[…] in them."""

    name: str
    template: str
    regions: tuple[str, ...]
    parameters: Mapping[str, str]

    @property
    def copies(self) -> tuple[Copy, ...]:
        """The packaged copies that its template or its values are from."""
        return tuple(dict.fromkeys(Copy(*found) for text in (self.template, *self.parameters.values()) for found in _COPY.findall(text)))


@dataclass(frozen=True)
class Plan:
    """The whole file."""

    project: str
    cases: tuple[Case, ...]

    @property
    def regions(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(region for case in self.cases for region in case.regions))

    @property
    def copies(self) -> tuple[Copy, ...]:
        return tuple(dict.fromkeys(copy for case in self.cases for copy in case.copies))


def load(root: Path) -> Plan:
    """The file of a project; an empty plan where there is none. WrongUse when it cannot be read."""
    if not (root / FILE).is_file():
        return Plan("", ())
    document = documents.read(root / FILE, documents.TextLoader, root)
    if not isinstance(document, dict) or not isinstance(document.get("project"), dict) or not isinstance(document.get("tests"), dict):
        raise WrongUse(f"{FILE} is not taskcat's configuration", "it must hold the mappings project: and tests:")
    project = document["project"]
    for name, part in {"project": project, **document["tests"]}.items():
        said = part or {}
        good = isinstance(said, dict) and isinstance(said.get("parameters") or {}, dict) and isinstance(said.get("regions") or [], list)
        if not good or not all(isinstance(region, str) for region in said.get("regions") or ()):
            raise WrongUse(f"{FILE}: {name} has another shape than taskcat takes", "it must be a mapping, with a list regions: and a mapping parameters:")
    return Plan(as_text(project.get("name")), tuple(_case(name, test or {}, project) for name, test in document["tests"].items()))


def _case(name: str, test: Mapping[str, Any], project: Mapping[str, Any]) -> Case:
    """taskcat passes the project's values down; where both say one, the project's holds (_dataclasses.py, BaseConfig._merge)."""
    values = {**(test.get("parameters") or {}), **(project.get("parameters") or {})}
    return Case(
        name=str(name),
        template=as_text(test.get("template") or project.get("template")),
        regions=tuple(test.get("regions") or project.get("regions") or ()),
        parameters={str(key): as_text(value) for key, value in values.items()},
    )


def regions_of(root: Path, environment: str) -> tuple[str, ...]:
    """The Regions that the tests want an environment's packaged copy of, be it deployed there or not."""
    return tuple(dict.fromkeys(copy.region for copy in load(root).copies if copy.environment == environment))
