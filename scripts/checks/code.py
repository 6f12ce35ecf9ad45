"""What Python and shell code expects from outside, read from its text: environment variables, names, keys. Not a check."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass

from scripts.checks.tree import Place, Tree


@dataclass(frozen=True)
class Read:
    """A variable that code reads. Without it, code that needs it fails; other code takes a default."""

    name: str
    place: Place
    needed: bool


# Python


def closure(tree: Tree, path: str) -> list[str]:
    """A module and those beside it that it imports, directly or not: the folder is the top of the path."""
    folder, found, waiting = posixpath.dirname(path), [path], [path]
    while waiting:
        for name in imported(tree.python(waiting.pop())):
            file = posixpath.join(folder, *name.split("."))
            near = next((one for one in (f"{file}.py", f"{file}/__init__.py") if tree.has(one)), None)
            if near and near not in found:
                found.append(near)
                waiting.append(near)
    return found


def imported(module: ast.Module) -> Iterator[str]:
    """The modules that a module imports."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def functions(module: ast.Module) -> dict[str, ast.FunctionDef]:
    """The functions at the top of a module."""
    return {node.name: node for node in module.body if isinstance(node, ast.FunctionDef)}


def constants(module: ast.Module) -> dict[str, ast.expr]:
    """What the names at the top of a module are set to."""
    found: dict[str, ast.expr] = {}
    for node in module.body:
        if isinstance(node, ast.Assign):
            found |= {target.id: node.value for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            found[node.target.id] = node.value
    return found


def text(node: ast.AST | None) -> str | None:
    """The text of a constant."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def text_pattern(node: ast.AST | None) -> str | None:
    """A text or an f-string with `*` for what is put in."""
    if isinstance(node, ast.JoinedStr):
        return re.sub(r"\*+", "*", "".join(text(part) or "*" for part in node.values))
    return text(node)


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """An argument by name."""
    return next((argument.value for argument in call.keywords if argument.arg == name), None)


def called(call: ast.Call) -> str:
    """The last part of what is called."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""


def environment(tree: Tree, paths: list[str]) -> list[Read]:
    """The environment variables that modules read from os.environ, also through functions that are handed it.

    The first module is the one that runs; the `main` of the others is not called.
    """
    modules = {path: tree.python(path) for path in paths}
    by_name = {posixpath.basename(path).removesuffix(".py"): path for path in paths}
    found: dict[Read, None] = {}
    seen: set[tuple[str, str, str]] = set()

    def look(path: str, scope: ast.AST, is_environment: str | None) -> None:
        """The reads in a scope: of os.environ, or of the parameter that holds it."""
        for node in ast.walk(scope):
            if isinstance(node, ast.Subscript) and holds(node.value, is_environment):
                note(path, node.slice, True)
            elif isinstance(node, ast.Call):
                if isinstance(node.func, ast.Attribute) and node.func.attr == "get" and holds(node.func.value, is_environment) and node.args:
                    note(path, node.args[0], False)
                for index, argument in enumerate(node.args):
                    if holds(argument, is_environment):
                        follow(path, node, index)

    def holds(node: ast.AST, name: str | None) -> bool:
        if name is not None:
            return isinstance(node, ast.Name) and node.id == name
        return isinstance(node, ast.Attribute) and node.attr == "environ"

    def note(path: str, key: ast.AST, needed: bool) -> None:
        name = text(key)
        if name:
            found[Read(name, Place(path, getattr(key, "lineno", 0)), needed)] = None

    def follow(path: str, call: ast.Call, index: int) -> None:
        """A function gets the environment: what it reads, and the names that it is called with."""
        target, function = definition(path, call)
        if function is None:
            return
        parameters = [argument.arg for argument in function.args.args if argument.arg not in ("self", "cls")]
        if index >= len(parameters):
            return
        # A helper that reads what it is told, and raises without it, needs what it is told.
        raises = any(isinstance(node, ast.Raise) for node in ast.walk(function))
        keys = [node.args[0] for node in ast.walk(function) if isinstance(node, ast.Call) and called(node) == "get" and node.args]
        keys += [node.slice for node in ast.walk(function) if isinstance(node, ast.Subscript)]
        told = {node.id for node in keys if isinstance(node, ast.Name)}
        for position, argument in enumerate(call.args):
            if position < len(parameters) and parameters[position] in told:
                note(path, argument, raises)
        if (target, function.name, parameters[index]) not in seen:
            seen.add((target, function.name, parameters[index]))
            look(target, function, parameters[index])

    def definition(path: str, call: ast.Call) -> tuple[str, ast.FunctionDef | None]:
        name = called(call)
        if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
            alias = call.func.value.id
            module = next((name for name, asname in aliases(modules[path]) if asname == alias), alias)
            if module in by_name:
                return by_name[module], functions(modules[by_name[module]]).get(name)
        for node in ast.walk(modules[path]):
            if isinstance(node, ast.FunctionDef) and node.name == name:
                return path, node
        origin = next((module for module, names in froms(modules[path]) if name in names and module in by_name), "")
        return (by_name[origin], functions(modules[by_name[origin]]).get(name)) if origin else (path, None)

    for path, module in modules.items():
        for statement in module.body:
            if path == paths[0] or not (isinstance(statement, ast.FunctionDef) and statement.name == "main"):
                look(path, statement, None)
    return list(found)


def aliases(module: ast.Module) -> list[tuple[str, str]]:
    """(module, the name that it goes by) of the imports."""
    return [(alias.name, alias.asname or alias.name) for node in ast.walk(module) if isinstance(node, ast.Import) for alias in node.names]


def froms(module: ast.Module) -> list[tuple[str, list[str]]]:
    """(module, names) of the from-imports of modules beside this one."""
    found = [node for node in ast.walk(module) if isinstance(node, ast.ImportFrom) and not node.level]
    return [(node.module, [alias.name for alias in node.names]) for node in found if node.module]


# Shell

_USE = re.compile(r"\$(?:\{([A-Z][A-Z0-9_]*)([^}]?)|([A-Z][A-Z0-9_]*))")
# Assignments where a command begins: `A=1 B="2" command`, but not `command A=1`.
_COMMAND = re.compile(
    r"(?:^|[;&|(`{}]|\b(?:then|do|else|export|local|readonly)\b)[ \t]*((?:[A-Za-z_]\w*=(?:\"[^\"\n]*\"|\$\([^)\n]*\)|[^\s;&|])*[ \t]*)+)", re.MULTILINE
)
_SET = re.compile(r"(?:^|[ \t])([A-Z][A-Z0-9_]*)=")
_EXPORT = re.compile(r"\bexport\s+([A-Z][A-Z0-9_]*)\b")
_LOOP = re.compile(r"\b(?:for|read(?:\s+-r)?)\s+([A-Z][A-Z0-9_]*)\b")


def shell_reads(content: str, path: str, first: int = 1) -> list[Read]:
    """The variables in capitals that a script uses; those that it gives a default are not needed."""
    found: dict[Read, None] = {}
    plain = unquoted(content)
    for match in _USE.finditer(plain):
        if match.start() and plain[match.start() - 1] == "\\":
            continue
        name, after = match[1] or match[3], match[2] or ""
        # ${X:-default}, ${X-}, ${X:+set}, ${X+set}; not ${X%…}, ${X#…}, ${X:?message}.
        rest = plain[match.end() - 1 : match.end() + 1] if match[1] else ""
        optional = after in ("-", "+", "=") or (after == ":" and rest[1:2] in ("-", "+", "="))
        found[Read(name, Place(path, first + plain.count("\n", 0, match.start())), not optional)] = None
    return list(found)


def shell_sets(content: str) -> set[str]:
    """The variables in capitals that a script sets."""
    plain = unquoted(content).replace("\\\n", "  ")
    assigned = {name for match in _COMMAND.finditer(plain) for name in _SET.findall(match[1])}
    return assigned | set(_LOOP.findall(plain)) | set(_EXPORT.findall(plain))


def unquoted(content: str) -> str:
    """A script without its comments and what stands in single quotes; lines stay where they are."""
    out: list[str] = []
    stack = ["plain"]  # plain, "double" quotes, "(" of a substitution
    index = 0
    while index < len(content):
        char = content[index]
        state = stack[-1]
        if char == "\\" and index + 1 < len(content):
            out.append(content[index : index + 2])
            index += 2
            continue
        if char == '"':
            stack.pop() if state == "double" else stack.append("double")
        elif content.startswith("$(", index):
            stack.append("(")
            out.append("$(")
            index += 2
            continue
        elif state != "double" and char == "(":
            stack.append("(")
        elif state == "(" and char == ")":
            stack.pop()
        elif state != "double" and char == "'":
            end = content.find("'", index + 1)
            end = len(content) - 1 if end < 0 else end
            out.append("'" + "\n" * content.count("\n", index, end) + "'")
            index = end + 1
            continue
        elif state != "double" and char == "#" and (index == 0 or content[index - 1] in " \t\n;"):
            end = content.find("\n", index)
            index = len(content) if end < 0 else end
            continue
        out.append(char)
        index += 1
    return "".join(out)
