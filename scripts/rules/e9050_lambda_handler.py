"""E9050: a handler that is not in the packaged folder, or an action that no permission knows."""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfnlint.data import AdditionalSpecs
from cfnlint.helpers import load_resource

if TYPE_CHECKING:
    from scripts.rules import _rule, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _rule
    import _values

_INVOKE = ("lambda:InvokeFunction", "lambda:InvokeFunctionUrl")


class LambdaHandler(_rule.Rule):
    id = "E9050"
    shortdesc = "Lambda's handler is not in its code"
    description = (
        "Lambda creates a function whose handler is not there, and each invocation fails with Runtime.ImportModuleError or Runtime.HandlerNotFound. "
        "Judged where Code is a folder beside the template. A permission's Action that does not exist is accepted and lets nobody invoke."
    )
    source_url = "https://docs.aws.amazon.com/lambda/latest/dg/python-handler.html"
    next_step = "correct Handler or Code, so that the file and the function are there"
    tags = ("resources", "lambda")
    resource_types = ("AWS::Lambda::Function", "AWS::Lambda::Permission")

    def check(self, cfn: Any, resource: _values.Branch) -> Iterable[tuple[_values.Path, str]]:
        if cfn.template["Resources"][resource.path[1]]["Type"] == "AWS::Lambda::Permission":
            for action in _values.literals(cfn, resource, "Action"):
                service, _, name = action.value.lower().partition(":")
                if action.value != "*" and (service != "lambda" or (name not in _actions() and "*" not in name)):
                    yield action.path, f"Lambda has no action {action.value}, so this lets nobody in; {_rule.meant(action.value, _INVOKE)}"
            return
        for code in _values.members(cfn, resource, "Code"):
            if not isinstance(code.value, str) or not cfn.filename or "://" in code.value:
                continue
            folder = (Path(cfn.filename).resolve().parent / code.value).resolve()
            if not folder.exists():
                yield code.path, f"there is no {code.value} beside this template, so there is nothing to package; mend the path"
            for handler in _values.literals(cfn, resource, "Handler") if folder.is_dir() else ():
                for runtime in _values.literals(cfn, resource, "Runtime"):
                    wrong = _missing(folder, handler.value, runtime.value)
                    if wrong:
                        yield handler.path, wrong


@functools.cache
def _actions() -> frozenset[str]:
    """Lambda's actions in lower case, from cfn-lint's own copy of the authorization reference."""
    return frozenset(load_resource(AdditionalSpecs, "Policies.json")["lambda"]["Actions"])


def _missing(folder: Path, handler: str, runtime: str) -> str:
    """What of a handler is not in a folder of code, or empty. Python is read; of Node.js only the file is looked for."""
    module, _, function = handler.rpartition(".")
    endings = [".py"] if runtime.startswith("python") else [".js", ".mjs", ".cjs"] if runtime.startswith("nodejs") else []
    if not endings or not module:
        return ""
    path = module if runtime.startswith("nodejs") else module.replace(".", "/")
    files = [folder / f"{path}{ending}" for ending in endings] + ([folder / path / "__init__.py"] if endings == [".py"] else [])
    there = [file for file in files if file.is_file()]
    if not there:
        names = {file.stem for file in folder.iterdir() if file.suffix in endings and not file.stem.startswith("_")}
        return f"there is no {path}{endings[0]} in {folder.name}/; {_rule.meant(module, names) if names else 'mend Code or Handler'}"
    if endings == [".py"]:
        try:
            tree = ast.parse(there[0].read_text(encoding="utf-8"))
        except SyntaxError:
            return ""
        defined = _defined(tree.body)
        if defined is not None and function not in defined:
            return f"{there[0].name} defines no {function}; {_rule.meant(function, {name for name in defined if not name.startswith('_')})}"
    return ""


def _defined(body: list[ast.stmt]) -> set[str] | None:
    """Names that a module has at its top level; None where a star import may bring any."""
    found: set[str] = set()
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(statement.name)
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            names = [alias.asname or alias.name.split(".")[0] for alias in statement.names]
            if "*" in names:
                return None
            found.update(names)
        else:
            found.update(node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
            found.update(node.name for node in ast.walk(statement) if isinstance(node, ast.FunctionDef | ast.ClassDef))
    return found
