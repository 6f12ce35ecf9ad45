"""`parameters/<environment>.yaml`, with `parameters/local/<environment>.yaml` laid over it on the local AWS.

Keys: template, account, role, deployer, protected, regions, waves, needs, parameters, region_parameters, tags, monitor_minutes. Mappings are
merged, lists replaced. An overlay that says `account` or `regions` and not `role` or `waves` takes those of the file below only as far as they fit.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.core import constraints, documents, references
from scripts.core.errors import BadInput, Problem, WrongUse
from scripts.core.templates import ParameterSpec, Template, as_text

_KEYS = (
    "template", "account", "role", "deployer", "protected", "regions", "waves", "needs", "parameters", "region_parameters", "tags", "monitor_minutes",
)
_FLAGS = {"deployer": "write true, after make deployer", "protected": "write true, where a stack must not be deleted by mistake"}
_REQUIRED = ("template", "account", "regions", "parameters")


@dataclass(frozen=True)
class Environment:
    """One environment as the parameters files declare it. Values may still hold references."""

    name: str
    template: str
    account: str
    # The ARN of a role that commands assume where the caller's own account is another; "" for none.
    role: str
    regions: tuple[str, ...]
    # The Regions once more, in the order in which a deploy works them: those of one wave at once.
    waves: tuple[tuple[str, ...], ...]
    needs: tuple[str, ...]
    parameters: Mapping[str, str]
    region_parameters: Mapping[str, Mapping[str, str]]
    tags: Mapping[str, str]
    # CloudFormation's MonitoringTimeInMinutes: how long alarms can still take an update back after its last resource.
    monitor_minutes: int
    file: str
    # Whether deploy, package and destroy act as the account's role of that name, which `make deployer` makes.
    deployer: bool = False
    # Whether deploy protects its root stacks, and the release stores below them, against deletion; destroy lifts that.
    protected: bool = False

    @property
    def service(self) -> str:
        return self.parameters["ServiceName"]

    @property
    def stack_name(self) -> str:
        suffix = "" if self.name == self.template else f"-{self.name}"
        return f"{self.service}-{self.template}{suffix}"

    @property
    def deployer_role(self) -> str:
        """The name of the role that templates/deployer.yaml makes for this service, in whichever account."""
        return f"{self.service}-deployer"

    def needed_stack_name(self, root: str) -> str:
        return f"{self.service}-{root}"

    def parameters_in(self, region: str) -> dict[str, str]:
        return {**self.parameters, **self.region_parameters.get(region, {})}


def names(root: Path) -> tuple[str, ...]:
    """The environments that there are."""
    return tuple(sorted(path.stem for path in (root / "parameters").glob("*.yaml")))


def load(root: Path, name: str, local: bool) -> Environment:
    """The environment `name`. WrongUse or BadInput says which key of which file is wrong, and why."""
    known = names(root)
    if not name:
        raise WrongUse(
            "no environment is named", f"parameters/ has {', '.join(known) or 'no files'}", "name one: ENV=" + (known[0] if known else "…")
        )
    if name not in known:
        raise WrongUse(
            f"there is no environment {name!r}",
            f"parameters/ has {', '.join(known) or 'no files'}" + did_you_mean(name, known),
            "name one with ENV=…, or write parameters/" + name + ".yaml",
        )
    file = f"parameters/{name}.yaml"
    document = _read(root, file)
    # An overlay may drop Regions; what the base file says about those is then not used, and not wrong.
    declared = [region for region in _list(document.get("regions")) if isinstance(region, str)]
    overlay = f"parameters/local/{name}.yaml"
    if local and (root / overlay).exists():
        document = _lay_over(document, _read(root, overlay))
        file = f"{file} with {overlay}"
    return from_document(name, document, file, declared)


def _list(value: Any) -> list[str]:
    return list(value) if isinstance(value, list) else []


def _read(root: Path, file: str) -> dict[str, Any]:
    document = documents.read(root / file, documents.TextLoader, root) or {}
    if not isinstance(document, dict):
        raise WrongUse(f"{file} is not a mapping", "it must hold keys such as template: and parameters:", "write them, or restore the file")
    problems = [
        Problem(f"{file}: {key}", "there is no such key" + did_you_mean(key, _KEYS), f"the keys are {', '.join(_KEYS)}")
        for key in document
        if key not in _KEYS
    ]
    if problems:
        raise BadInput(f"{file} cannot be used", problems)
    return document


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`: mappings are merged at every depth, anything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def _lay_over(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`merge`, without the role of another account and the waves of Regions that are gone."""
    merged = merge(base, over)
    if "account" in over and "role" not in over and over["account"] != base.get("account"):
        merged.pop("role", None)
    if "regions" in over and "waves" not in over:
        left = [[region for region in _list(wave) if region in _list(over["regions"])] for wave in _list(base.get("waves"))]
        merged["waves"] = [wave for wave in left if wave]
    return merged


def from_document(name: str, document: Mapping[str, Any], file: str, also_declared: Iterable[str] = ()) -> Environment:
    """Checks the document; raises BadInput with everything that is wrong at once.

    `also_declared` are Regions that may be spoken of but are not used.
    """
    problems = _shape_faults(document, file) or _value_faults(document, file, {*document["regions"], *also_declared})
    if problems:
        raise BadInput(f"{file} cannot be used", problems)
    by_region = document.get("region_parameters") or {}
    regions = tuple(document["regions"])
    return Environment(
        name=name,
        template=document["template"],
        account=str(document["account"]),
        role=str(document.get("role") or ""),
        regions=regions,
        waves=tuple(tuple(wave) for wave in document.get("waves") or ()) or (regions,),
        needs=tuple(document.get("needs") or ()),
        parameters=_texts(document["parameters"]),
        region_parameters={region: _texts(by_region.get(region) or {}) for region in regions},
        tags=_texts(document.get("tags") or {}),
        monitor_minutes=int(document.get("monitor_minutes") or 0),
        file=file,
        deployer=_flag(document, "deployer") == "true",
        protected=_flag(document, "protected") == "true",
    )


def _flag(document: Mapping[str, Any], key: str) -> str:
    return as_text(document.get(key) or False)


def _shape_faults(document: Mapping[str, Any], file: str) -> list[Problem]:
    problems = [Problem(f"{file}: {key}", "it is missing", f"add {key}: …") for key in _REQUIRED if not document.get(key)]
    for key, kind in (("parameters", dict), ("region_parameters", dict), ("tags", dict), ("regions", list), ("needs", list), ("waves", list)):
        if document.get(key) and not isinstance(document[key], kind):
            problems.append(Problem(f"{file}: {key}", f"it must be a {'mapping' if kind is dict else 'list'}"))
    for key in ("template", "account", "role", "monitor_minutes"):
        if isinstance(document.get(key), (dict, list)):
            problems.append(Problem(f"{file}: {key}", "it must be a text"))
    for key in ("regions", "needs"):
        if not all(isinstance(entry, str) and entry for entry in _list(document.get(key))):
            problems.append(Problem(f"{file}: {key}", "it must be a list of names"))
    if isinstance(document.get("waves"), list) and not all(_list(wave) and all(isinstance(region, str) for region in wave) for wave in document["waves"]):
        problems.append(Problem(f"{file}: waves", "it must be a list of lists of Regions", "write [[us-east-1], [us-west-2, eu-west-1]]"))
    for region, values in (document.get("region_parameters") or {}).items() if not problems else ():
        if values and not isinstance(values, dict):
            problems.append(Problem(f"{file}: region_parameters: {region}", "it must be a mapping"))
    return problems


def _value_faults(document: Mapping[str, Any], file: str, regions: set[str]) -> list[Problem]:
    problems = []
    account, minutes = str(document["account"]), str(document.get("monitor_minutes") or "0")
    by_region = document.get("region_parameters") or {}
    if not re.fullmatch(r"\d{12}", account):
        problems.append(
            Problem(f"{file}: account", f"{account!r} is not an account id of 12 digits", "aws sts get-caller-identity --query Account")
        )
    problems += [*_role_faults(document, file), *_wave_faults(document, file)]
    for key, step in _FLAGS.items():
        if _flag(document, key) not in ("true", "false"):
            problems.append(Problem(f"{file}: {key}", f"{document[key]!r} is neither true nor false", step))
    if not re.fullmatch(r"\d{1,3}", minutes) or int(minutes) > 180:
        problems.append(Problem(f"{file}: monitor_minutes", f"{minutes!r} is not a number of minutes from 0 to 180"))
    for region in by_region:
        if region not in regions:
            problems.append(
                Problem(f"{file}: region_parameters: {region}", "it is not among the environment's regions" + did_you_mean(region, regions))
            )
    if not document["parameters"].get("ServiceName"):
        problems.append(Problem(f"{file}: ServiceName", "it is missing; it begins every stack name", "add ServiceName: under parameters"))
    for key, value in [*document["parameters"].items(), *(item for values in by_region.values() for item in (values or {}).items())]:
        if isinstance(value, Mapping):
            problems.append(Problem(f"{file}: {key}", "a parameter's value cannot be a mapping"))
        elif bad := references.malformed(as_text(value)):
            step = "write ${<root or environment>.<Output>}, like ${release-store.ArtifactBucketName}"
            problems.append(Problem(f"{file}: {key}", f"{bad} is no reference", step))
    return problems


def _role_faults(document: Mapping[str, Any], file: str) -> list[Problem]:
    role = str(document.get("role") or "")
    if not role:
        return []
    match = re.fullmatch(r"arn:aws[a-z-]*:iam::(\d{12}):role/[\w+=,.@/-]+", role)
    if not match:
        return [Problem(f"{file}: role", f"{role!r} is not the ARN of a role", "write arn:aws:iam::<account>:role/<name>")]
    if match.group(1) != str(document["account"]):
        return [Problem(f"{file}: role", f"it is a role of {match.group(1)}, and account: says {document['account']}", "correct one of them")]
    return []


def _wave_faults(document: Mapping[str, Any], file: str) -> list[Problem]:
    """Waves name each of the Regions once, and no other."""
    regions, named = list(document["regions"]), [region for wave in document.get("waves") or () for region in wave]
    if not named or (sorted(named) == sorted(regions)):
        return []
    wrong = [f"{region} is not among regions" for region in dict.fromkeys(named) if region not in regions]
    wrong += [f"{region} is in no wave" for region in regions if region not in named]
    wrong += [f"{region} is there twice" for region in dict.fromkeys(named) if named.count(region) > 1]
    return [Problem(f"{file}: waves", ", ".join(wrong), "name each Region of regions: in one wave")]


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {str(key): as_text(value) for key, value in values.items()}


def check(environment: Environment, template: Template, region: str, values: Mapping[str, str]) -> list[Problem]:
    """What is wrong with the values for a template; a value that still holds a reference is left for later."""
    file, specs = environment.file, template.parameters
    problems = []
    for key, value in values.items():
        if key not in specs:
            problems.append(
                Problem(
                    f"{file}: {key}",
                    f"templates/{template.path.name} has no such parameter" + did_you_mean(key, specs),
                    "correct the name, or remove the line",
                )
            )
        elif not references.find(value) and (reason := constraints.fault(specs[key], value)):
            problems.append(Problem(f"{file}: {key}", f"{reason} (in {region})", "correct the value"))
    for key, spec in specs.items():
        if spec.default is None and key not in values:
            problems.append(
                Problem(
                    f"{file}: {key}",
                    f"templates/{template.path.name} requires it, and {region} has no value",
                    f"add {key}: under parameters",
                )
            )
    return problems


def effective(specs: Mapping[str, ParameterSpec], values: Mapping[str, str]) -> dict[str, str]:
    """Every parameter of the template with its value: the file's, else the template's default."""
    return {name: values.get(name, spec.default or "") for name, spec in specs.items()}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?`, or nothing when no known word is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""
