"""What a pipeline, its environments and the functions behind its stages expect of each other: variables, stages, targets, parameters."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from scripts.checks import code, contracts_build
from scripts.checks.contracts_build import as_json, known, outputs
from scripts.checks.finding import Finding
from scripts.checks.tree import Place, Step, Tree, mapping, walk
from scripts.checks.wiring import Action, Parameter, Wiring
from scripts.core.settings import did_you_mean

RULES = {
    "contract-artifact-folder": "A policy that names the folder of an artifact names one that a pipeline makes.",
    "contract-variable": "A variable `#{…}` of a build is one that its buildspec exports.",
    "contract-stage-name": "A stage that a function, a policy or a function's parameters name is one of the pipeline, and is the one that it stands in.",
    "contract-stage-environment": "A stage's function is told the environment that the functions know the stage by.",
    "contract-user-parameters": "The parameters of an action that invokes a function are those that the function reads.",
    "contract-deploy-target": "Region, role, application and group of a deployment come from the same environment's Region.",
    "contract-slot": "What stands together in a text is of one Region of one environment.",
    "contract-slot-condition": "What depends on whether there is a Region is of that Region.",
}
_PIPELINE = "https://docs.aws.amazon.com/codepipeline/latest/userguide/"
SOURCES = {
    "contract-artifact-folder": _PIPELINE + "welcome-introducing-artifacts.html",
    "contract-variable": _PIPELINE + "reference-variables.html",
    "contract-stage-name": "https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscodepipeline.html",
    "contract-stage-environment": _PIPELINE + "action-reference-Lambda.html",
    "contract-user-parameters": _PIPELINE + "action-reference-Lambda.html",
    "contract-deploy-target": _PIPELINE + "action-reference-CodeDeploy.html",
    "contract-slot": _PIPELINE + "actions-create-cross-region.html",
    "contract-slot-condition": "https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-conditions.html",
}

# CodePipeline keeps so many characters of an artifact's name in its key.
_KEY_CHARACTERS = 10
_VARIABLE = re.compile(r"#\{([A-Za-z0-9_@-]+)\.([A-Za-z0-9_@-]+)\}")
_SLOT = re.compile(r"^([A-Z][a-z]+\d)([A-Z]\w*)?$")


def finding(rule: str, at: Place, message: str, next_step: str) -> Finding:
    """A finding with its rule's source."""
    return Finding(rule, at.path, at.line, 0, message, next_step=next_step, source=SOURCES[rule])


def check(root: Path) -> Iterable[Finding]:
    """Every expectation of a pipeline that is not met."""
    tree = Tree(root)
    wiring = Wiring(tree)
    found = [*_folders(tree, wiring), *_variables(tree, wiring), *_stages(tree, wiring), *_orders(tree, wiring)]
    found += [*_targets(tree, wiring), *_slots(tree, wiring)]
    return tree.settled(found)


# Artifacts' folders and builds' variables


def _before(one: Action, other: Action) -> bool:
    """Whether an action is at its end when the other begins. An order that a condition decides is taken to be right."""
    if (one.path, one.pipeline) != (other.path, other.pipeline):
        return False
    if one.stage_number != other.stage_number:
        return one.stage_number < other.stage_number
    orders = [str(action.content.get("RunOrder", 1)) for action in (one, other)]
    return not all(order.isdigit() for order in orders) or int(orders[0]) < int(orders[1])


def _folders(tree: Tree, wiring: Wiring) -> Iterator[Finding]:
    """CodePipeline stores an artifact under <pipeline>/<artifact>/: a policy that names that folder reads nothing if the name is another."""
    made = {artifact[:_KEY_CHARACTERS]: action for action in wiring.actions for artifact in outputs(action)}
    for path in tree.templates if made else ():
        for steps, value in walk(tree.template(path)):
            match = re.search(r":s3:::[^/]*/\*/([A-Za-z0-9_.-]+)/\*", value) if isinstance(value, str) else None
            if match and match[1] not in made:
                there = ", ".join(f"{name} ({tree.place(action.path, (*action.steps, 'OutputArtifacts'))})" for name, action in made.items())
                told = f"the objects under {match[1]}/ are meant, and the pipeline's artifacts are {there}{did_you_mean(match[1], made)}"
                yield finding("contract-artifact-folder", tree.place(path, steps), told, "correct the folder: CodePipeline names it after the artifact")


def _variables(tree: Tree, wiring: Wiring) -> Iterator[Finding]:
    """Variables of builds; that a namespace is one of an action before is cfn-lint's to say (E9006 of scripts/rules)."""
    built = contracts_build.builds(tree, wiring)
    for action in wiring.actions:
        spaces = {str(other.content["Namespace"]): other for other in wiring.actions if "Namespace" in other.content and _before(other, action)}
        for steps, value in walk(action.configuration):
            for space, name in _VARIABLE.findall(value) if isinstance(value, str) else ():
                build = contracts_build.build_of(wiring, spaces[space], built) if space in spaces else None
                offered = contracts_build.exported(tree, build.buildspec) if build else []
                if build and name not in offered:
                    by = tree.place(build.buildspec, ("env", "exported-variables"))
                    told = f"#{{{space}.{name}}} has no value: {by} exports {', '.join(offered) or 'nothing'}{did_you_mean(name, offered)}"
                    at = tree.place(action.path, (*action.steps, "Configuration", *steps))
                    yield finding("contract-variable", at, told, "correct the name, or export the variable")


# Stages, and what their functions are told


def _stages(tree: Tree, wiring: Wiring) -> Iterator[Finding]:
    stages = {action.stage: tree.place(action.path, action.steps[:6]) for action in wiring.actions}
    if not stages:
        return
    there = f"the pipeline's stages are {', '.join(stages)} ({next(iter(stages.values()))})"
    environments: dict[str, tuple[str, Place]] = {}
    for path, name, properties in tree.resources("AWS::Lambda::Function"):
        variables = mapping(mapping(properties.get("Environment")).get("Variables"))
        for variable in ("STAGES", "ENTRY_STAGE"):
            at = tree.place(path, ("Resources", name, "Properties", "Environment", "Variables", variable))
            for text in known(wiring, path, variables[variable]) if variable in variables else ():
                for word in text.split():
                    stage, _, environment = word.partition("=")
                    if stage not in stages:
                        told = f"{variable} of {name} names the stage {stage}, and {there}{did_you_mean(stage, stages)}"
                        yield finding("contract-stage-name", at, told, "correct the name")
                    elif environment:
                        environments[stage] = (environment, at)
    for path in tree.templates:
        for steps, value in walk(tree.template(path)):
            if isinstance(value, str) and ":codepipeline:" in value and "/" in value:
                stage = value.split("/")[1]
                if re.fullmatch(r"[A-Za-z0-9.@_-]+", stage) and stage not in stages:
                    told = f"the policy is about the stage {stage}, and {there}{did_you_mean(stage, stages)}"
                    yield finding("contract-stage-name", tree.place(path, steps), told, "correct the name")
    for action in wiring.actions:
        order = mapping(as_json(action.configuration.get("UserParameters")))
        at = tree.place(action.path, (*action.steps, "Configuration", "UserParameters"))
        if isinstance(order.get("stage"), str) and order["stage"] != action.stage:
            told = f"{action.stage}/{action.name} tells its function the stage {order['stage']}, and stands in {action.stage} ({stages[action.stage]})"
            yield finding("contract-stage-name", at, told, f"write {action.stage}")
        elif order.get("environment") and action.stage in environments and order["environment"] != environments[action.stage][0]:
            environment, said = environments[action.stage]
            told = f"{action.stage}/{action.name} is about {order['environment']}, and by STAGES ({said}) the stage is of {environment}"
            yield finding("contract-stage-environment", at, told, "correct one of them")


def _orders(tree: Tree, wiring: Wiring) -> Iterator[Finding]:
    """UserParameters against what the function reads of them: the names in `needed` of its read_order, and every text of its module."""
    for action in wiring.actions:
        for function in wiring.sources(action.path, action.configuration.get("FunctionName"), "AWS::Lambda::Function"):
            path = module_of(tree, function.path, wiring.resource(function).get("Code"), wiring.resource(function).get("Handler"))
            reader = code.functions(tree.python(path)).get("read_order") if path else None
            if path is None or reader is None or "UserParameters" not in action.configuration:
                continue
            order = as_json(action.configuration["UserParameters"])
            at = tree.place(action.path, (*action.steps, "Configuration", "UserParameters"))
            where = f"{action.stage}/{action.name}"
            if not isinstance(order, dict):
                told = f"the UserParameters of {where} are no JSON object, which {path}:{reader.lineno} reads"
                yield finding("contract-user-parameters", at, told, "correct the JSON")
                continue
            allowed, needed = _reads(reader, str(order.get("do")))
            if allowed and order.get("do") not in allowed:
                told = f"{where} asks {path} to do {order.get('do')!r}; it does {', '.join(allowed)} ({path}:{reader.lineno})"
                yield finding("contract-user-parameters", at, told + did_you_mean(str(order.get("do")), allowed), "correct do")
                continue
            texts = {node.value for node in tree.nodes(path) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
            for name in needed:
                if name not in order:
                    told = f"{where} does not give {name}, which {path}:{reader.lineno} needs{did_you_mean(name, order)}"
                    yield finding("contract-user-parameters", at, told, f"add {name}")
            for name in order:
                if name not in texts:
                    told = f"{where} gives {name}, which {path} does not read{did_you_mean(name, needed)}"
                    yield finding("contract-user-parameters", at, told, "correct the name, or remove it")


def _reads(reader: ast.FunctionDef, do: str) -> tuple[list[str], list[str]]:
    """(what `do` may be, the names that are needed for this one)."""
    allowed: list[str] = []
    needed: list[str] = []
    for node in ast.walk(reader):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.NotIn) and isinstance(node.comparators[0], (ast.Tuple, ast.List)):
            allowed += [text for one in node.comparators[0].elts if (text := code.text(one))]
        elif isinstance(node, (ast.Assign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == "needed" for target in targets):
                value = node.value
                if isinstance(value, ast.IfExp):
                    same = isinstance(value.test, ast.Compare) and code.text(value.test.comparators[0]) == do
                    value = value.body if same else value.orelse
                needed += [text for one in getattr(value, "elts", []) if (text := code.text(one))]
    return allowed, needed


def module_of(tree: Tree, template: str, folder: object, handler: object) -> str | None:
    """The file that a function's Handler names in its folder; None where its code is elsewhere or not there."""
    if not isinstance(folder, str) or not isinstance(handler, str) or "://" in folder:
        return None
    path = Path(template).parent / folder / (handler.rpartition(".")[0].replace(".", "/") + ".py")
    normal = Path(*_normal(path.parts)).as_posix()
    return normal if tree.has(normal) else None


def _normal(parts: Iterable[str]) -> list[str]:
    found: list[str] = []
    for part in parts:
        if part == ".." and found:
            found.pop()
        else:
            found.append(part)
    return found


# Targets: which environment's which Region


def _targets(tree: Tree, wiring: Wiring) -> Iterator[Finding]:
    wanted = {"Region": "Region", "RoleArn": "DeployRoleArn", "ApplicationName": "ApplicationName", "DeploymentGroupName": "DeploymentGroupName"}
    for action in wiring.actions:
        if action.provider != "CodeDeploy":
            continue
        given = {key: value for key, value in (*action.content.items(), *action.configuration.items()) if key in wanted}
        slots: dict[str, str] = {}
        for key, value in given.items():
            for one in wiring.values(action.path, value):
                parameter = one[0] if len(one) == 1 else None
                if not isinstance(parameter, Parameter) or not (match := _SLOT.match(parameter.name)):
                    continue
                slots[parameter.name] = match[1]
                if not parameter.name.endswith(wanted[key]):
                    inner: tuple[Step, ...] = (key,) if key in action.content else ("Configuration", key)
                    told = f"{key} of {action.stage}/{action.name} comes from {parameter.name} ({wiring.place(parameter)}), which is no {wanted[key]}"
                    yield finding("contract-deploy-target", tree.place(action.path, (*action.steps, *inner)), told, "correct what is selected")
        if len(set(slots.values())) > 1:
            told = f"{action.stage}/{action.name} takes its target from {' and '.join(sorted(set(slots.values())))}: {', '.join(sorted(slots))}"
            yield finding("contract-deploy-target", tree.place(action.path, action.steps), told, "take all of them from one")


def _slots(tree: Tree, wiring: Wiring) -> Iterator[Finding]:
    """Copies that were not changed everywhere: Gamma2's Region beside Gamma1's role, HasProd3 before Prod2."""
    for path in tree.templates:
        declared = {str(name): spec for name, spec in mapping(tree.template(path).get("Parameters")).items()}
        # A Region of an environment is a parameter of its own, or several of which one is the Region.
        regions = {match[1] for name in declared if (match := _SLOT.match(name)) and match[2] in (None, "Region")}
        parameters = {name: spec for name, spec in declared.items() if (match := _SLOT.match(name)) and match[1] in regions}
        for steps, value in walk(mapping(tree.template(path).get("Resources"))):
            if not isinstance(value, dict) or len(value) != 1:
                continue
            ((function, given),) = value.items()
            at = tree.place(path, ("Resources", *steps))
            if function == "Fn::Sub" or (function == "Fn::Join" and isinstance(given, list) and given[:1] == ["|"]):
                names = _names(given, parameters)
                slots = {match[1]: name for name in names if (match := _SLOT.match(name))}
                text = given if isinstance(given, str) else ""
                if len(slots) > 1:
                    told = f"{' and '.join(slots.values())} stand together, and are of different Regions"
                    yield finding("contract-slot", at, told, "take all of them from one")
                elif slots and (word := re.match(r"([a-z]+) \$\{", text)) and word[1] != next(iter(slots))[:-1].lower():
                    told = f"{text.split()[0]} stands before {next(iter(slots.values()))}, which is of {next(iter(slots))[:-1].lower()}"
                    yield finding("contract-slot", at, told, "correct the environment")
            elif function == "Fn::If" and isinstance(given, list) and len(given) == 3:
                condition = re.fullmatch(r"Has([A-Z][a-z]+\d)", str(given[0]))
                others = {match[1]: name for name in _names(given[1], parameters) if (match := _SLOT.match(name))}
                if condition and condition[1] in regions and others and condition[1] not in others:
                    told = f"{', '.join(others.values())} depends on {given[0]}, which says whether there is {condition[1]}"
                    yield finding("contract-slot-condition", at, told, f"write Has{next(iter(others))}")


def _names(value: object, parameters: dict[str, object]) -> list[str]:
    """The parameters that a value names, in a text or by Ref."""
    found: list[str] = []
    for _, inner in walk(value):
        if isinstance(inner, dict) and isinstance(inner.get("Ref"), str):
            found.append(inner["Ref"])
        elif isinstance(inner, str):
            found += re.findall(r"\$\{(\w+)\}", inner)
    return [name for name in dict.fromkeys(found) if name in parameters]
