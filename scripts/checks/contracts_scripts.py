"""What the commands of scripts/ expect of the stacks: outputs by their names."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from scripts.checks import code
from scripts.checks.finding import Finding
from scripts.checks.tree import Place, Tree, mapping
from scripts.checks.wiring import Wiring
from scripts.core.settings import did_you_mean

RULES = {"contract-stack-output": "An output that a command reads is one of a stack that the commands deploy."}
SOURCES = {"contract-stack-output": "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/outputs-section-structure.html"}


def check(root: Path) -> Iterable[Finding]:
    """Outputs that no root template has."""
    tree = Tree(root)
    return tree.settled(_missing(tree))


def _missing(tree: Tree) -> Iterator[Finding]:
    outputs = {name: path for path in Wiring(tree).roots() for name in mapping(tree.template(path).get("Outputs"))}
    for path in tree.glob("scripts/**/*.py"):
        if path.startswith(("scripts/checks/", "scripts/rules/")) or not any(word in tree.text(path) for word in ("outputs", "stacks.output(")):
            continue
        for name, line in dict.fromkeys(_read(tree, path)):
            if outputs and name not in outputs:
                at = Place(path, line)
                near = did_you_mean(name, outputs)
                told = f"{at} reads the output {name}, and no root template has it ({', '.join(dict.fromkeys(outputs.values()))}){near}"
                source = SOURCES["contract-stack-output"]
                yield Finding("contract-stack-output", path, line, 0, told, next_step="correct the name, or add the output", source=source)


def _read(tree: Tree, path: str) -> Iterator[tuple[str, int]]:
    """(output, line) of `….outputs["X"]`, `….outputs.get("X")` and `stacks.output(…, "X", …)`; X may be a constant of this module or another."""
    for node in tree.nodes(path):
        if isinstance(node, ast.Subscript) and _is_outputs(node.value):
            yield from _names(tree, path, node.slice, node.lineno)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr == "get" and _is_outputs(node.func.value) and node.args:
                yield from _names(tree, path, node.args[0], node.lineno)
            elif node.func.attr == "output" and isinstance(node.func.value, ast.Name) and node.func.value.id == "stacks" and len(node.args) > 2:
                yield from _names(tree, path, node.args[2], node.lineno)


def _is_outputs(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "outputs" and not (isinstance(node.value, ast.Name) and node.value.id == "template")


def _names(tree: Tree, path: str, node: ast.expr, line: int) -> Iterator[tuple[str, int]]:
    """The texts that an expression may be: itself, a constant, each of a tuple that a loop goes over."""
    if (text := code.text(node)) is not None:
        yield text, line
    elif isinstance(node, ast.Name):
        constant = code.constants(tree.python(path)).get(node.id)
        loops = [one for one in tree.nodes(path) if isinstance(one, (ast.comprehension, ast.For))]
        over = [one.iter for one in loops if isinstance(one.target, ast.Name) and one.target.id == node.id]
        for value in [constant] if constant is not None else over:
            yield from _texts(tree, path, value, line)
    elif isinstance(node, ast.Attribute):
        yield from _texts(tree, path, node, line)


def _texts(tree: Tree, path: str, node: ast.expr, line: int) -> Iterator[tuple[str, int]]:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        other = next((one for one in tree.glob(f"scripts/*/{node.value.id}.py")), "")
        value = code.constants(tree.python(other)).get(node.attr) if other else None
        if value is not None:
            yield from _texts(tree, other, value, line)
    elif isinstance(node, ast.Name):
        value = code.constants(tree.python(path)).get(node.id)
        if value is not None:
            yield from _texts(tree, path, value, line)
    else:
        yield from ((text, line) for one in [node, *getattr(node, "elts", [])] if (text := code.text(one)) is not None)
