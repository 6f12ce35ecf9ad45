"""What functions, the canary and templates expect of each other: environment variables, events, keys, metrics, alarms, documents."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from scripts.checks import code
from scripts.checks.contracts_build import GIVEN, as_json
from scripts.checks.contracts_pipeline import module_of
from scripts.checks.finding import Finding
from scripts.checks.tree import Place, Tree, listing, mapping, walk
from scripts.checks.wiring import Source, Wiring, fits, pattern
from scripts.core import roots, settings
from scripts.core.errors import CommandError
from scripts.core.settings import did_you_mean

RULES = {
    "contract-function-variable": "Every environment variable that a function needs is set by its template.",
    "contract-function-variable-unused": "Every environment variable that a template sets is read by the function.",
    "contract-canary-handler": "A canary's handler is a function in python/ of its code's folder.",
    "contract-event": "The events that a function looks for come from a rule that calls it, or from the project's own code.",
    "contract-command": "The commands that scripts send are those that the function knows.",
    "contract-table-key": "Code names the keys that the table has.",
    "contract-metric": "A metric of the project's own is published, with these dimensions, by its functions.",
    "contract-metric-namespace": "A policy allows metrics of a namespace that the project publishes to or AWS has.",
    "contract-canary-name": "Metrics of a canary are asked by the name that a canary has.",
    "contract-alarm-name": "Alarms are asked by names that alarms have.",
    "contract-parameter-path": "A parameter that code reads is one that a template makes.",
    "contract-document": "The document that an environment writes has the keys that its readers take.",
}
_CLOUDWATCH = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/"
SOURCES = {
    "contract-function-variable": "https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html",
    "contract-function-variable-unused": "https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html",
    "contract-canary-handler": _CLOUDWATCH + "monitoring/CloudWatch_Synthetics_Canaries_WritingCanary_Python.html",
    "contract-event": "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html",
    "contract-command": "https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html",
    "contract-table-key": "https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_GetItem.html",
    "contract-metric": _CLOUDWATCH + "monitoring/cloudwatch_concepts.html#Dimension",
    "contract-metric-namespace": "https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html",
    "contract-canary-name": _CLOUDWATCH + "monitoring/CloudWatch_Synthetics_Canaries_metrics.html",
    "contract-alarm-name": _CLOUDWATCH + "APIReference/API_DescribeAlarms.html",
    "contract-parameter-path": "https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html",
    "contract-document": "https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html",
}

CANARIES = "CloudWatchSynthetics"
# Namespaces of AWS's own and of its agents.
_AWS = re.compile(r"(AWS|Glue|ECS|ContainerInsights|LambdaInsights|CWAgent|CloudWatchSynthetics)(/.*)?$")
# Code of this project that talks to what its templates make.
_CODE = ("functions/*.py", "buildspecs/*.py", "scripts/**/*.py")
# The folders whose texts are about the checks, not about what is deployed.
_NOT = ("scripts/checks/", "scripts/rules/")
# Who reads which document, by the last part of the parameter's path: the file, the function, and its variables with where they are in the document.
READERS: dict[str, tuple[tuple[str, str, dict[str, tuple[str, ...]]], ...]] = {
    "environment": (
        ("functions/places.py", "read_document", {"given": (), "scope": ("scopes", "*")}),
        ("buildspecs/rollback_safety.py", "", {"document": ()}),
    )
}


def finding(rule: str, at: Place, message: str, next_step: str) -> Finding:
    """A finding with its rule's source."""
    return Finding(rule, at.path, at.line, 0, message, next_step=next_step, source=SOURCES[rule])


def check(root: Path) -> Iterable[Finding]:
    """Every expectation of a function that is not met."""
    tree = Tree(root)
    wiring = Wiring(tree)
    found = [*_function_variables(tree, wiring), *_canaries(tree, wiring), *_events(tree, wiring), *_commands(tree), *_keys(tree)]
    found += [*_metrics(tree, wiring), *_alarms(tree, wiring), *_parameters(tree, wiring), *_documents(tree, wiring)]
    return tree.settled(found)


def modules(tree: Tree, *words: str) -> list[str]:
    """The project's modules that talk to AWS and have one of these words: reading all of them takes long."""
    return [path for path in tree.glob(*_CODE) if not path.startswith(_NOT) and any(word in tree.text(path) for word in words)]


# Variables and handlers


def _function_variables(tree: Tree, wiring: Wiring) -> Iterator[Finding]:
    for path, name, properties in tree.resources("AWS::Lambda::Function"):
        module = module_of(tree, path, properties.get("Code"), properties.get("Handler"))
        if module:
            given = mapping(mapping(properties.get("Environment")).get("Variables"))
            yield from _compared(tree, wiring, Source(path, name), module, given, ("Environment", "Variables"))


def _compared(
    tree: Tree, wiring: Wiring, function: Source, module: str, given: dict[str, Any], steps: tuple[str, ...]
) -> Iterator[Finding]:
    """What code reads of its environment against what a template sets."""
    reads = code.environment(tree, code.closure(tree, module))
    names = {read.name for read in reads}
    for read in {read.name: read for read in reversed(reads) if read.needed and read.name not in given and not GIVEN.fullmatch(read.name)}.values():
        at = wiring.place(function, "Properties", *steps)
        told = f"{read.name} is read at {read.place}, and {function.name} does not set it{did_you_mean(read.name, set(given) - names)}"
        yield finding("contract-function-variable", at, told, f"set {read.name}, or read what is set")
    for name in given:
        if name not in names and not GIVEN.fullmatch(name):
            told = f"{function.name} sets {name}, and nothing that {module} runs reads it{did_you_mean(name, names - set(given))}"
            yield finding("contract-function-variable-unused", wiring.place(function, "Properties", *steps, name), told, "correct the name, or remove it")


def _canaries(tree: Tree, wiring: Wiring) -> Iterator[Finding]:
    """Canaries whose code is a folder here, in the layout that the runtime asks for: python/<file>.py."""
    runs = _some_environment_has_canaries(tree.root)
    for path, name, properties in tree.resources("AWS::Synthetics::Canary"):
        content = mapping(properties.get("Code"))
        folder, handler = content.get("S3Key"), content.get("Handler")
        if content.get("S3Bucket") != "packaged" or not isinstance(folder, str) or not isinstance(handler, str):
            continue
        base = posixpath.normpath(posixpath.join(posixpath.dirname(path), folder))
        file, _, function = handler.rpartition(".")
        module = f"{base}/python/{file}.py"
        if not runs and not tree.glob(f"{base}/**/*"):
            continue  # no environment has canaries, and the packager asks for no code then
        at = wiring.place(Source(path, name), "Properties", "Code", "Handler")
        known = code.functions(tree.python(module))
        if not tree.has(module):
            near = did_you_mean(module, tree.glob(f"{base}/python/*.py"))
            yield finding("contract-canary-handler", at, f"{name} runs {handler}, and there is no {module}{near}: every run would fail", "correct one of them")
        elif function not in known:
            told = f"{name} runs {handler}, and {module} has {', '.join(known) or 'no function'}{did_you_mean(function, known)}: every run would fail"
            yield finding("contract-canary-handler", at, told, "correct one of them")
        else:
            given = mapping(mapping(properties.get("RunConfig")).get("EnvironmentVariables"))
            yield from _compared(tree, wiring, Source(path, name), module, given, ("RunConfig", "EnvironmentVariables"))


def _some_environment_has_canaries(root: Path) -> bool:
    """Whether a canary runs anywhere; also where no file says so, or one cannot be read."""
    try:
        loaded = [settings.load(root, name, local=False) for name in settings.names(root)]
    except CommandError:
        return True
    given = [one for one in loaded if any("CanaryRateMinutes" in one.parameters_in(region) for region in one.regions)]
    return not given or any(roots.has_canaries(one) for one in given)


# Events and commands


def _events(tree: Tree, wiring: Wiring) -> Iterator[Finding]:
    """`event.get("source") == "…"` in a function: who sends such events?"""
    sent = {code.text(value) for path in tree.glob("functions/*.py") for value in _sources_sent(tree.nodes(path))}
    for path, name, properties in tree.resources("AWS::Lambda::Function"):
        module = module_of(tree, path, properties.get("Code"), properties.get("Handler"))
        if not module:
            continue
        called_by = list(_rules_of(tree, wiring, Source(path, name)))
        offered = {source for _, sources in called_by for source in sources} | {source for source in sent if source}
        for node in tree.nodes(module):
            if not (isinstance(node, ast.Compare) and _reads_source(node.left)):
                continue
            for wanted in [node.comparators[0], *getattr(node.comparators[0], "elts", [])]:
                source = code.text(wanted)
                if source and source not in offered:
                    rules = ", ".join(f"{rule.name} ({wiring.place(rule)})" for rule, _ in called_by) or "no rule"
                    told = f"{module}:{node.lineno} looks for events of {source}, and what calls {name} ({rules}) brings {', '.join(sorted(offered)) or 'none'}"
                    yield finding("contract-event", Place(module, node.lineno), told + did_you_mean(source, offered), "correct the source, or add a rule")


def _reads_source(node: ast.AST) -> bool:
    if isinstance(node, ast.Call) and code.called(node) == "get" and node.args:
        return code.text(node.args[0]) == "source" and _is_event(node.func)
    return isinstance(node, ast.Subscript) and code.text(node.slice) == "source" and isinstance(node.value, ast.Name) and node.value.id == "event"


def _is_event(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "event"


def _sources_sent(nodes: Iterable[ast.AST]) -> Iterator[ast.expr]:
    for node in nodes:
        if isinstance(node, ast.Dict):
            yield from (value for key, value in zip(node.keys, node.values, strict=True) if code.text(key) == "source")


def _rules_of(tree: Tree, wiring: Wiring, function: Source) -> Iterator[tuple[Source, list[str]]]:
    """The rules that call a function, with the sources of their events."""
    for path, name, properties in tree.resources("AWS::Events::Rule"):
        for target in listing(properties.get("Targets")):
            arns = wiring.values(path, mapping(target).get("Arn"))
            if any(isinstance(part, Source) and (part.path, part.name) == (function.path, function.name) for one in arns for part in one):
                sources = [str(one) for one in listing(mapping(properties.get("EventPattern")).get("source"))]
                yield Source(path, name), sources + ["aws.events"] * ("ScheduleExpression" in properties)


def _commands(tree: Tree) -> Iterator[Finding]:
    """`match event.get("command")` of a function, and `send("…")` of the scripts."""
    known: dict[str, Place] = {}
    for path in modules(tree, '("command"):'):
        for node in tree.nodes(path):
            if isinstance(node, ast.Match) and isinstance(node.subject, ast.Call) and [code.text(one) for one in node.subject.args] == ["command"]:
                for case in node.cases:
                    if isinstance(case.pattern, ast.MatchValue) and (name := code.text(case.pattern.value)):
                        known[name] = Place(path, case.pattern.lineno)
    for path in modules(tree, ".send(") if known else ():
        for node in tree.nodes(path):
            if isinstance(node, ast.Call) and code.called(node) == "send" and node.args and (name := code.text(node.args[0])) and name not in known:
                at = Place(path, node.lineno)
                told = f"{at} sends the command {name}, and {next(iter(known.values())).path} knows {', '.join(known)}{did_you_mean(name, known)}"
                yield finding("contract-command", at, told, "correct one of them")


# Tables


def _keys(tree: Tree) -> Iterator[Finding]:
    """Key={…} of GetItem and its like against KeySchema, where the tree has one table."""
    tables = list(tree.resources("AWS::DynamoDB::Table"))
    if len(tables) != 1:
        return
    path, name, properties = tables[0]
    schema = {str(mapping(key).get("AttributeName")) for key in listing(properties.get("KeySchema"))}
    side = tree.place(path, ("Resources", name, "Properties", "KeySchema"))
    for module in modules(tree, "_item(", ".query("):
        syntax = tree.python(module)
        helpers = code.functions(syntax)
        for node in ast.walk(syntax):
            if not isinstance(node, ast.Call) or code.called(node) not in ("get_item", "delete_item", "update_item", "query"):
                continue
            key = code.keyword(node, "Key")
            if isinstance(key, ast.Call) and code.called(key) in helpers:
                key = next((one.value for one in ast.walk(helpers[code.called(key)]) if isinstance(one, ast.Return)), None)
            names = {text for one in key.keys if (text := code.text(one))} if isinstance(key, ast.Dict) else None
            if names is not None and names != schema:
                told = f"{module}:{node.lineno} asks by {', '.join(sorted(names))}, and the keys of {name} are {', '.join(sorted(schema))} ({side})"
                yield finding("contract-table-key", Place(module, node.lineno), told, "correct one of them: DynamoDB refuses other keys")
            asked = code.keyword(node, "ExpressionAttributeNames")
            if code.called(node) == "query" and isinstance(asked, ast.Dict):
                for one in asked.values:
                    if (text := code.text(one)) and text not in schema:
                        told = f"{module}:{node.lineno} queries by {text}, and the keys of {name} are {', '.join(sorted(schema))} ({side})"
                        yield finding("contract-table-key", Place(module, node.lineno), told + did_you_mean(text, schema), "correct one of them")


# Metrics and alarms


def _metrics(tree: Tree, wiring: Wiring) -> Iterator[Finding]:
    published: dict[tuple[str, str], tuple[frozenset[str], Place]] = {}
    for path in modules(tree, "put_metric_data("):
        for node in tree.nodes(path):
            if isinstance(node, ast.Call) and code.called(node) == "put_metric_data":
                published |= _published(tree, path, node)
    named = {namespace: where for (namespace, _), (_, where) in published.items()}
    canaries = {
        pattern(one): wiring.place(Source(path, name), "Properties", "Name")
        for path, name, properties in tree.resources("AWS::Synthetics::Canary")
        for one in wiring.values(path, properties.get("Name"))
    }
    for path in tree.templates:
        for steps, value in walk(mapping(tree.template(path).get("Resources"))):
            at = ("Resources", *steps)
            if isinstance(value, dict) and isinstance(value.get("Namespace"), str) and isinstance(value.get("MetricName"), str):
                yield from _metric(tree, wiring, path, at, value, published, canaries)
            elif steps and steps[-1] == "cloudwatch:namespace":
                for namespace in value if isinstance(value, list) else [value]:
                    if isinstance(namespace, str) and "*" not in namespace and not _AWS.match(namespace) and namespace not in named and "$" not in namespace:
                        there = ", ".join(f"{one} ({where})" for one, where in named.items()) or "no namespace of its own"
                        told = f"metrics of {namespace} may be published, and the code publishes to {there}"
                        yield finding("contract-metric-namespace", tree.place(path, at), told + did_you_mean(namespace, named), "correct the namespace")


def _published(tree: Tree, path: str, call: ast.Call) -> dict[tuple[str, str], tuple[frozenset[str], Place]]:
    """{(namespace, metric): (dimensions, where)} of a put_metric_data whose names are written in it."""
    namespace = code.text(code.keyword(call, "Namespace"))
    found: dict[tuple[str, str], tuple[frozenset[str], Place]] = {}
    for entry in getattr(code.keyword(call, "MetricData"), "elts", []):
        fields = {code.text(key): value for key, value in zip(entry.keys, entry.values, strict=True)} if isinstance(entry, ast.Dict) else {}
        metric, dimensions = code.text(fields.get("MetricName")), fields.get("Dimensions")
        if isinstance(dimensions, ast.Name):
            assigned = [one for one in tree.nodes(path) if isinstance(one, ast.Assign)]
            sought = dimensions.id
            dimensions = next((one.value for one in assigned for target in one.targets if isinstance(target, ast.Name) and target.id == sought), None)
        names = frozenset(
            name for one in getattr(dimensions, "elts", []) if isinstance(one, ast.Dict)
            for key, value in zip(one.keys, one.values, strict=True) if code.text(key) == "Name" and (name := code.text(value))
        )
        if namespace and metric:
            found[namespace, metric] = (names, Place(path, call.lineno))
    return found


def _metric(
    tree: Tree,
    wiring: Wiring,
    path: str,
    steps: tuple[str | int, ...],
    metric: dict[str, Any],
    published: dict[tuple[str, str], tuple[frozenset[str], Place]],
    canaries: dict[str, Place],
) -> Iterator[Finding]:
    namespace, name = metric["Namespace"], metric["MetricName"]
    dimensions = {str(mapping(one).get("Name")): mapping(one).get("Value") for one in listing(metric.get("Dimensions"))}
    at = tree.place(path, (*steps, "MetricName"))
    if namespace == CANARIES:
        for asked in wiring.values(path, dimensions["CanaryName"]) if "CanaryName" in dimensions else ():
            if canaries and not any(fits(pattern(asked), one) for one in canaries):
                there = ", ".join(f"{one} ({where})" for one, where in canaries.items())
                told = f"the canary {pattern(asked)} is asked for, and canaries are called {there}: there will never be data"
                yield finding("contract-canary-name", tree.place(path, (*steps, "Dimensions")), told, "correct one of them")
        return
    if _AWS.match(namespace) or not published:
        return
    there = ", ".join(f"{one[0]} {one[1]} ({where})" for one, (_, where) in published.items())
    if (namespace, name) not in published:
        near = did_you_mean(f"{namespace} {name}", [" ".join(one) for one in published])
        yield finding("contract-metric", at, f"nobody publishes {namespace} {name}: the code publishes {there}{near}", "correct one of them")
        return
    wanted, where = published[namespace, name]
    if wanted != set(dimensions):
        told = f"{namespace} {name} is asked with {', '.join(sorted(dimensions)) or 'no dimension'}, and published with {', '.join(sorted(wanted))} ({where})"
        yield finding("contract-metric", at, f"{told}: there will never be data", "name the same dimensions")


def _alarms(tree: Tree, wiring: Wiring) -> Iterator[Finding]:
    """Names in event patterns and in code, against the alarms that have a name by contract."""
    named: dict[str, Place] = {}
    for kind in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"):
        for path, name, properties in tree.resources(kind):
            for one in wiring.values(path, properties.get("AlarmName")) if "AlarmName" in properties else ():
                named[pattern(one)] = tree.place(path, ("Resources", name, "Properties", "AlarmName"))
    if not named:
        return
    there = ", ".join(f"{name} ({where})" for name, where in named.items())
    for path, name, properties in tree.resources("AWS::Events::Rule"):
        detail = mapping(mapping(properties.get("EventPattern")).get("detail"))
        for index, asked in enumerate(listing(detail.get("alarmName"))):
            prefix = isinstance(asked, dict) and "prefix" in asked
            for one in wiring.values(path, asked["prefix"] if prefix else asked):
                sought = pattern(one) + ("*" if prefix else "")
                if not any(fits(re.sub(r"\*+", "*", sought), known) for known in named):
                    at = tree.place(path, ("Resources", name, "Properties", "EventPattern", "detail", "alarmName", index))
                    told = f"{name} waits for an alarm called {sought}, and alarms with a name are {there}"
                    yield finding("contract-alarm-name", at, told, "correct one of them: the rule would never match")
    for path in modules(tree, "AlarmNamePrefix"):
        for node in tree.nodes(path):
            if not isinstance(node, ast.Call):
                continue
            asked = code.text_pattern(code.keyword(node, "AlarmNamePrefix"))
            if asked and not any(fits(re.sub(r"\*+", "*", asked + "*"), known) for known in named):
                at = Place(path, node.lineno)
                told = f"{at} asks for alarms that begin with {asked}, and alarms with a name are {there}"
                yield finding("contract-alarm-name", at, told, "correct one of them")


# Parameters and documents


def _made(tree: Tree, wiring: Wiring) -> dict[str, Place]:
    return {
        pattern(one): tree.place(path, ("Resources", name, "Properties", "Name"))
        for path, name, properties in tree.resources("AWS::SSM::Parameter")
        for one in wiring.values(path, properties.get("Name"))
    }


def _parameters(tree: Tree, wiring: Wiring) -> Iterator[Finding]:
    """Texts such as f"/{service}/{environment}/environment" in code, and the policies that let it read them."""
    made = _made(tree, wiring)
    if not made:
        return
    there = ", ".join(f"{name} ({where})" for name, where in made.items())
    for path in modules(tree, '"/{'):
        for node in tree.nodes(path):
            asked = code.text_pattern(node) if isinstance(node, (ast.JoinedStr, ast.Constant)) else None
            asked = re.sub(r"\{\w+\}", "*", asked) if asked else None
            if asked and re.fullmatch(r"/\*/[\w.*-]+/[\w.-]+", asked) and not any(fits(asked, name) for name in made):
                at = Place(path, getattr(node, "lineno", 0))
                yield finding("contract-parameter-path", at, f"{at} reads the parameter {asked}, and templates make {there}", "correct one of them")
    for path in tree.templates:
        for steps, value in walk(tree.template(path)):
            if isinstance(value, str) and ":parameter/${ServiceName}/${EnvironmentName}/" in value:
                asked = re.sub(r"\$\{[^}]*\}", "*", value.split(":parameter", 1)[1])
                last = asked.rsplit("/", 1)[-1]
                folders = {name.split("/")[3] for name in made if len(name.split("/")) > 4}
                if "*" not in last and last not in folders and not any(fits(asked, name) for name in made):
                    at = tree.place(path, steps)
                    told = f"the policy is about the parameter {asked}, and templates make {there}"
                    yield finding("contract-parameter-path", at, told, "correct one of them")


def _documents(tree: Tree, wiring: Wiring) -> Iterator[Finding]:
    """JSON in a parameter: what its readers take by a name must be in it."""
    for path, name, properties in tree.resources("AWS::SSM::Parameter"):
        last = next((pattern(one).rsplit("/", 1)[-1] for one in wiring.values(path, properties.get("Name"))), "")
        at = tree.place(path, ("Resources", name, "Properties", "Value"))
        for file, function, variables in READERS.get(last, ()):
            if not tree.has(file):
                continue
            document = as_json(properties.get("Value"))
            if not isinstance(document, dict):
                yield finding("contract-document", at, f"{name} is no JSON object, which {file} reads", "correct the JSON")
                return
            scope = code.functions(tree.python(file)).get(function, tree.python(file))
            for node in ast.walk(scope):
                variable, keys = _chain(node)
                parts = [document] if variable in variables else []
                for key in (*variables.get(variable, ()), *keys):
                    lacking = [part for part in parts if key != "*" and (not isinstance(part, dict) or key not in part)]
                    if lacking:
                        there = sorted({str(one) for part in lacking for one in mapping(part)})
                        told = f"{name} has no {key} where {file}:{getattr(node, 'lineno', 0)} reads it; {', '.join(there)} are there{did_you_mean(key, there)}"
                        yield finding("contract-document", at, told, "correct one of them")
                        break
                    parts = [inner for part in parts for inner in (mapping(part).values() if key == "*" else [part[key]])]
        if last in READERS:
            yield from _scopes(tree, wiring, name, at, mapping(as_json(properties.get("Value"))))


def _chain(node: ast.AST) -> tuple[str, list[str]]:
    """("given", ["scopes", "fleet"]) of `given["scopes"]["fleet"]`; nothing of anything else."""
    keys: list[str] = []
    while isinstance(node, ast.Subscript) and (key := code.text(node.slice)):
        keys.insert(0, key)
        node = node.value
    return (node.id, keys) if isinstance(node, ast.Name) and keys else ("", [])


def _scopes(tree: Tree, wiring: Wiring, name: str, at: Place, document: dict[str, Any]) -> Iterator[Finding]:
    """The scopes that stages are about, and that the document has."""
    scopes = mapping(document.get("scopes"))
    for action in wiring.actions:
        scope = mapping(as_json(action.configuration.get("UserParameters"))).get("scope")
        if isinstance(scope, str) and scopes and scope not in scopes:
            where = tree.place(action.path, (*action.steps, "Configuration", "UserParameters"))
            told = f"{action.stage}/{action.name} ({where}) is about {scope}, and {name} has the scopes {', '.join(scopes)}{did_you_mean(scope, scopes)}"
            yield finding("contract-document", at, told, "correct one of them")
