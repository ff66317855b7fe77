"""Python files as the rules of tests/tidy_rules.py see them: text, tree, calls, imports, definitions, uses.

Rule: nothing is executed or imported; what cannot be seen in the text of a file does not count.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

CALLED_BY_A_FRAMEWORK = re.compile(r"command|callback|\w*validator|\w*serializer|overload|register|fixture")
OVERRIDES = frozenset({"capture_signals"})  # uvicorn calls it: the venue handles signals itself

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """A Python file: its path from the root with forward slashes, its text and its tree."""

    path: str
    text: str
    tree: ast.Module

    @classmethod
    def parse(cls, path: str, text: str) -> Source:
        return cls(path, text, ast.parse(text, path))

    @classmethod
    def read(cls, root: Path, file: Path) -> Source:
        return cls.parse(file.relative_to(root).as_posix(), file.read_text(encoding="utf-8"))

    @property
    def module(self) -> str:
        return ".".join(PurePosixPath(self.path).with_suffix("").parts).removesuffix(".__init__")

    def at(self, node: ast.AST, finding: str) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {finding}"

    def calls(self) -> Iterator[tuple[ast.Call, str]]:
        """Every call and the dotted name of what is called."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                yield node, dotted(node.func)

    def imports(self) -> Iterator[tuple[ast.AST, str]]:
        """Every imported module, and every imported name as module.name."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node)
                yield from ((node, f"{base}.{alias.name}") for alias in node.names)

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.module.split(".") + (["__init__"] if self.path.endswith("__init__.py") else [])
        return ".".join([*package[: -node.level], *([node.module] if node.module else [])])


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a chain of names; what stands before the first name is written as `()`."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return "()"


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def keywords(call: ast.Call) -> set[str]:
    return {keyword.arg for keyword in call.keywords if keyword.arg}


def text_of(node: ast.AST | None) -> str:
    """The text of a string literal, or "" for anything else."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def functions(source: Source) -> Iterator[tuple[Function, int]]:
    """Every function and the number of lines of its body: a signature, however long, is no logic."""
    for node in ast.walk(source.tree):
        if isinstance(node, Function):
            yield node, (node.end_lineno or node.lineno) - node.body[0].lineno + 1


def definitions(source: Source) -> Iterator[tuple[ast.AST, str]]:
    """Functions, methods and classes that somebody must call by name."""
    for node in ast.walk(source.tree):
        if isinstance(node, Function | ast.ClassDef) and not re.fullmatch(r"__\w+__", node.name):
            if node.name in OVERRIDES:
                continue
            decorators = [
                dotted(mark.func if isinstance(mark, ast.Call) else mark) for mark in node.decorator_list
            ]
            if not any(CALLED_BY_A_FRAMEWORK.fullmatch(name.split(".")[-1]) for name in decorators):
                yield node, node.name


def used_names(source: Source) -> set[str]:
    """Names read, attributes, imports, and identifiers in strings (getattr, registries, forward types)."""
    names: set[str] = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.alias):
            names.update(node.name.split("."))
        elif isinstance(node, ast.keyword) and node.arg:
            names.add(node.arg)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 120:
            names.update(re.findall(r"[A-Za-z_]\w*", node.value))
    return names - exported(source)


def exported(source: Source) -> set[str]:
    """Names that stand in `__all__` and nowhere else in the file: to export is not to use."""
    listed: set[str] = set()
    for node in source.tree.body:
        if isinstance(node, ast.Assign) and any(dotted(target) == "__all__" for target in node.targets):
            listed = {text_of(item) for item in ast.walk(node.value)} - {""}
    read = {dotted(node) for node in ast.walk(source.tree) if isinstance(node, ast.Name)}
    return listed - read
