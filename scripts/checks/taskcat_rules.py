"""`.taskcat.yml` against the templates that it tests and the parameters files that its values come from.

taskcat says nothing of most of these: it drops what it does not know, and CloudFormation gets the rest as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from scripts.checks.finding import Finding
from scripts.checks.tree import Step, Tree, mapping
from scripts.core import constraints, references, settings, tested
from scripts.core import templates as core
from scripts.core.errors import CommandError
from scripts.core.settings import Environment
from scripts.core.templates import ParameterSpec, Template
from scripts.core.tested import Case, Plan

VALUES = "https://aws-ia.github.io/taskcat/docs/usage/PSUEDO_PARAMETERS"
# Of the release that requirements-taskcat.in pins.
CONFIG = "https://github.com/aws-ia/taskcat/blob/0.9.58/taskcat/_config.py"
TEMPLATE = "https://github.com/aws-ia/taskcat/blob/0.9.58/taskcat/_cfn/template.py"
PARAMETERS = "https://github.com/aws-ia/taskcat/blob/0.9.58/taskcat/_template_params.py"
LAMBDA = "https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-lambda-function-code.html"
OWNERSHIP = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/about-object-ownership.html"

RULES = {
    "taskcat-template": "A test's template is one that `make package` writes, or a flat one of the tree.",
    "taskcat-region": "A template that is packaged for one Region, with code in its bucket, is tested in that Region.",
    "taskcat-coverage": "Every root template is tested in at least two Regions.",
    "taskcat-parameter-unknown": "A test gives only parameters that its template has: taskcat drops others without a word.",
    "taskcat-parameter-missing": "A test gives every parameter that has no Default.",
    "taskcat-parameter-ignored": "A test gives no value for a parameter whose Default is a number: taskcat drops it, and the Default holds.",
    "taskcat-parameter-value": "A test's literal values are within the template's constraints.",
    "taskcat-pseudo-parameter": "Each $[taskcat_…] is one that taskcat knows: another goes to CloudFormation as it is written.",
    "taskcat-value-file": "A value that is read from a file is read from one that `make package` writes for that Region.",
    "taskcat-buckets": "taskcat keeps to one bucket for each Region, with the only ACL that a bucket without ACLs takes: else each run forgets a bucket.",
}
SOURCES = {
    "taskcat-template": TEMPLATE,
    "taskcat-region": LAMBDA,
    "taskcat-coverage": TEMPLATE,
    "taskcat-parameter-unknown": CONFIG,
    "taskcat-parameter-missing": PARAMETERS,
    "taskcat-parameter-ignored": TEMPLATE,
    "taskcat-parameter-value": "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html",
    "taskcat-pseudo-parameter": VALUES,
    "taskcat-value-file": PARAMETERS,
    "taskcat-buckets": OWNERSHIP,
}

_PACKAGED = re.compile(r"build/packaged/([^/]+)/([^/]+)/(.+\.yaml)")
_ROOT = re.compile(r"(?:^|/)(?:templates|build/packaged/[^/]+/[^/]+)/([a-z-]+)\.yaml$")
_VALUE_FILE = re.compile(r"\$\[taskcat_getlicensecontent\]/\$\[taskcat_autobucket\]/([^/]+)/build/packaged/([^/]+)/([^/]+)/values/([A-Za-z0-9]+)")
_PSEUDO = re.compile(r"\$\[[^\]]*\]?")
# What taskcat 0.9.58 replaces (_template_params.py), with one way to write each.
_KNOWN = re.compile(
    r"\$\[taskcat_(autobucket|autobucket_prefix|current_region|project_name|test_name|git_branch|random-string|random-numbers|gen[gu]uid|ge[nt]az_\d"
    r"|ge[nt]singleaz_\d+|genpass_\d+[A-Za-z]?|getval_\w+|getkeypair|getlicensecontent|presignedurl|ssm_.+|secretsmanager_.+)\]"
)


def check(root: Path) -> Iterable[Finding]:
    """Everything that is wrong with .taskcat.yml; nothing where there is none, or where it cannot be read (its schema says that)."""
    try:
        plan = tested.load(root)
    except CommandError:
        return []
    if not plan.cases:
        return []
    tree = Tree(root)
    return tree.settled(_found_in(tree, plan))


def _found_in(tree: Tree, plan: Plan) -> Iterator[Finding]:
    yield from _buckets(tree)
    reached: dict[str, set[str]] = {}
    # One Region is enough for whoever deploys to no other: what differs by Region (images) is known only there.
    loaded = [one for name in settings.names(tree.root) if (one := _environment(tree, name))]
    most = min(2, len({region for one in loaded for region in one.regions}) or 2)
    for case in plan.cases:
        yield from _case(tree, plan, case)
        for text in (case.template, *case.parameters.values()):
            if found := _ROOT.search(text):
                reached.setdefault(found.group(1), set()).update(case.regions)
    for path in tree.glob("templates/*.yaml"):
        regions = reached.get(Path(path).stem, set())
        if len(regions) < most:
            yield _found(tree, ("tests",), "taskcat-coverage", f"{path} is tested in {', '.join(sorted(regions)) or 'no Region'}",
                         "add a test in another Region")


def _found(tree: Tree, steps: Sequence[Step], rule: str, message: str, next_step: str, path: str = tested.FILE) -> Finding:
    return Finding(rule, path, tree.place(path, steps).line, message=message, next_step=next_step, source=SOURCES[rule])


def _buckets(tree: Tree) -> Iterator[Finding]:
    project = mapping(mapping(tree.yaml(tested.FILE)).get("project"))
    if project.get("s3_regional_buckets") != "true":
        yield _found(tree, ("project", "s3_regional_buckets"), "taskcat-buckets",
                     "without s3_regional_buckets taskcat makes a bucket each time that it looks for one, and deletes only the last",
                     "write s3_regional_buckets: true under project")
    if project.get("s3_object_acl") != "bucket-owner-full-control":
        yield _found(tree, ("project", "s3_object_acl"), "taskcat-buckets",
                     f"a new bucket has no ACLs, and need not take an upload with the ACL {project.get('s3_object_acl', 'private')}",
                     "write s3_object_acl: bucket-owner-full-control under project")


def _case(tree: Tree, plan: Plan, case: Case) -> Iterator[Finding]:
    at: tuple[Step, ...] = ("tests", case.name)
    source, packaged = case.template, _PACKAGED.fullmatch(case.template)
    if packaged:
        environment = _environment(tree, packaged.group(1))
        there = [environment.template, *environment.needs] if environment else []
        source = f"templates/{packaged.group(3)}"
        if Path(packaged.group(3)).stem not in there or not tree.has(source):
            what = f"it packages {', '.join(there)} for {packaged.group(1)}" if environment else f"parameters/ has no {packaged.group(1)}"
            yield _found(tree, (*at, "template"), "taskcat-template", f"`make package` writes no {case.template}: {what}", "correct the path")
            return
    template = _template(tree, source)
    if template is None or (template.children and not packaged):
        why = "there is no such template" if template is None else "its TemplateURLs are paths, which CloudFormation does not take"
        yield _found(tree, (*at, "template"), "taskcat-template", f"{case.template}: {why}", "name what make package writes into build/packaged/")
        return
    if packaged and (template.children or template.codes) and case.regions != (packaged.group(2),):
        yield _found(tree, (*at, "template"), "taskcat-region",
                     f"the copy for {packaged.group(2)} is tested in {', '.join(case.regions)}: a function takes its code from a bucket of its own Region",
                     f"write regions: [{packaged.group(2)}], and another test for the others")
    yield from _parameters(tree, at, case.parameters, template.parameters, source)
    for key, value in case.parameters.items():
        yield from _value(tree, plan, case, (*at, "parameters", key), value, template.parameters.get(key))
    if source.startswith("tests/taskcat/"):
        yield from _around(tree, source)


def _parameters(tree: Tree, at: tuple[Step, ...], given: Mapping[str, str], specs: Mapping[str, ParameterSpec], source: str) -> Iterator[Finding]:
    typed = mapping(tree.template(source).get("Parameters"))
    for key in given:
        where = (*at, "parameters", key)
        if key not in specs:
            yield _found(tree, where, "taskcat-parameter-unknown", f"{source} has no parameter {key}" + settings.did_you_mean(key, specs),
                         "correct the name, or remove the line")
        elif isinstance(mapping(typed.get(key)).get("Default"), (int, float)):
            yield _found(tree, where, "taskcat-parameter-ignored", f"the Default of {key} is a number, and taskcat takes it whatever is written here",
                         "remove the line")
    for key, spec in specs.items():
        if spec.default is None and key not in given:
            yield _found(tree, at, "taskcat-parameter-missing", f"{source} requires {key}", f"add {key}: under parameters")


def _value(tree: Tree, plan: Plan, case: Case, at: tuple[Step, ...], value: str, spec: ParameterSpec | None) -> Iterator[Finding]:
    pseudo = _PSEUDO.findall(value)
    for one in pseudo:
        if not _KNOWN.fullmatch(one):
            yield _found(tree, at, "taskcat-pseudo-parameter", f"taskcat knows no {one}: CloudFormation would get those characters", "correct it")
    if not pseudo and spec and (reason := constraints.fault(spec, value)):
        yield _found(tree, at, "taskcat-parameter-value", f"{at[-1]}: {reason}", "correct the value")
    if "taskcat_getlicensecontent" in value:
        yield from _value_file(tree, plan, case, at, value)


def _value_file(tree: Tree, plan: Plan, case: Case, at: tuple[Step, ...], value: str) -> Iterator[Finding]:
    found = _VALUE_FILE.fullmatch(value)
    step = "write $[taskcat_getlicensecontent]/$[taskcat_autobucket]/<project>/build/packaged/<environment>/<Region>/values/<Parameter>"
    if not found:
        yield _found(tree, at, "taskcat-value-file", f"{value} is no file that make package writes", step)
        return
    project, name, region, key = found.groups()
    environment = _environment(tree, name)
    reasons, correct = [], "correct the path"
    if project != plan.project:
        reasons.append(f"what taskcat uploads is under {plan.project}/, not {project}/")
    if case.regions != (region,):
        reasons.append(f"it is a value of {region}, and the test is in {', '.join(case.regions)}")
    if environment is None:
        reasons.append(f"parameters/ has no {name}")
    elif key not in environment.parameters_in(region):
        away = "" if region in environment.regions else f" for {region}, where {name} is not deployed"
        reasons.append(f"{environment.file} has no {key}{away}" + settings.did_you_mean(key, environment.parameters_in(region)))
        correct = f"test in a Region that it has values for: {', '.join(environment.regions)}" if away else correct
    elif any(reference.source not in environment.needs for reference in references.find(environment.parameters_in(region)[key])):
        reasons.append(f"{key} is another environment's output, and is not known to make package")
    for reason in reasons:
        yield _found(tree, at, "taskcat-value-file", reason, correct)


def _around(tree: Tree, path: str) -> Iterator[Finding]:
    """tests/taskcat/<root>.yaml has the root of that name inside, by URL: cfn-lint cannot see what it is given."""
    root = f"templates/{Path(path).name}"
    inner = _template(tree, root)
    for name, resource in mapping(tree.template(path).get("Resources")).items():
        if mapping(resource).get("Type") != core.NESTED_STACK or inner is None:
            continue
        at: tuple[Step, ...] = ("Resources", name, "Properties")
        given = mapping(mapping(mapping(resource).get("Properties")).get("Parameters"))
        for key, value in given.items():
            spec = inner.parameters.get(key)
            if spec is None:
                yield _found(tree, (*at, "Parameters", key), "taskcat-parameter-unknown",
                             f"{root} has no parameter {key}" + settings.did_you_mean(key, inner.parameters), "correct the name", path)
            elif isinstance(value, str) and (reason := constraints.fault(spec, value)):
                yield _found(tree, (*at, "Parameters", key), "taskcat-parameter-value", f"{key}: {reason}", "correct the value", path)
        for key, spec in inner.parameters.items():
            if spec.default is None and key not in given:
                yield _found(tree, (*at, "Parameters"), "taskcat-parameter-missing", f"{root} requires {key}", f"add {key}", path)


def _template(tree: Tree, path: str) -> Template | None:
    tree.template(path)
    try:
        return core.load(tree.root / path, tree.root) if tree.has(path) else None
    except CommandError:
        return None


def _environment(tree: Tree, name: str) -> Environment | None:
    tree.yaml(f"parameters/{name}.yaml")
    try:
        return settings.load(tree.root, name, local=False) if name in settings.names(tree.root) else None
    except CommandError:
        return None
