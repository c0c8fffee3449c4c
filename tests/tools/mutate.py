"""Put faults into app/, one at a time, and show which of them no test notices.

If no test notices a fault, a test is missing or the code is not needed. We have our own tool
because mutmut skips functions with decorators, so all endpoints, and cosmic-ray doesn't change
keyword arguments.
"""

import argparse
import ast
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
GOAL = 96  # The percentage of the faults that the tests must notice.

# Faults that no test can notice: what the line contains, and how the change begins.
EQUIVALENT = [
    ("return False", "removed result"),  # None is false, too.
    ("return None", "removed result"),
    ("MIGRATION_LOCK = ", "changed constant"),  # Any number will do.
    ('hasher.hash("\\0")', "changed constant"),  # Any text that can't be a password will do.
    ("pool_size=pool_size", "dropped keyword: pool_size"),  # SQLAlchemy's default is the same.
    ("@classmethod", "removed decorator"),  # Pydantic adds it.
    ("gc.", ""),  # It only makes the app faster.
    ("page.limit + 1", "changed constant: 1 -> 2"),  # It only reads a row more than it needs.
    ("poolclass=NullPool", "dropped keyword: poolclass"),  # Connections are only closed later.
    ("HTTPException(499", "changed constant: 'The"),  # The client is gone, so nobody reads it.
]

NOT_COPIED = (".git", ".venv", ".env", ".secret_key", ".*_cache", "__pycache__", "*.db*")
PYTEST = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"]
# The tests that start processes take the longest, so they come last.
FOLDERS = ["tests/api", "tests/rules", "tests/techniques", "tests/system", "tests/postgres"]

OPERATORS: list[type] = [ast.And, ast.Eq, ast.Lt, ast.Gt, ast.Is, ast.In, ast.Add]
REPLACEMENTS: list[type] = [ast.Or, ast.NotEq, ast.LtE, ast.GtE, ast.IsNot, ast.NotIn, ast.Sub]
SWAPS = dict(zip(OPERATORS + REPLACEMENTS, REPLACEMENTS + OPERATORS, strict=True))

Code = ast.stmt | ast.expr | ast.keyword
Edit = tuple[str, Code, Code | None]  # The kind of fault, the old code, and the new code if any.


def edits_of(node: ast.AST) -> Iterator[Edit]:  # noqa: PLR0912  # Each kind of code has a branch.
    """Yield the faults that this node can have, apart from those of the nodes in it."""
    for decorator in getattr(node, "decorator_list", []):
        yield "removed decorator", decorator, None
    for keyword in getattr(node, "keywords", []):
        yield "dropped keyword", keyword, None
    match node:
        case ast.Expr() | ast.Raise() | ast.Assign([ast.Attribute() | ast.Subscript()]):
            yield "removed statement", node, ast.Pass()
        case ast.Return(ast.expr() as result):
            yield "removed result", result, None
        case ast.AnnAssign(value=ast.expr() as value, simple=1):
            yield "dropped default", value, None
        case ast.If(test) | ast.While(test) | ast.IfExp(test) | ast.comprehension(ifs=[test]):
            if not isinstance(test, ast.UnaryOp | ast.Compare):  # They have their own cases.
                yield "negated condition", test, ast.UnaryOp(ast.Not(), test)
        case ast.UnaryOp(ast.Not(), operand):
            yield "negated condition", node, operand
        case ast.BoolOp(op, values):
            yield "swapped operator", node, ast.BoolOp(SWAPS[type(op)](), values)
        case ast.Compare(left, [op, *ops], right):
            yield "swapped operator", node, ast.Compare(left, [SWAPS[type(op)](), *ops], right)
        case ast.BinOp(left, ast.Add() | ast.Sub() as op, right):
            yield "swapped operator", node, ast.BinOp(left, SWAPS[type(op)](), right)
        case ast.BinOp(left, ast.BitOr(), right):
            yield from [("dropped operand", node, side) for side in (left, right)]
        case ast.Constant(bool() as value):
            yield "changed constant", node, ast.Constant(not value)
        case ast.Constant(int() | float() as number):
            yield from [("changed constant", node, ast.Constant(number + n)) for n in (1, -1)]
        case ast.Constant(str() as pattern) if "^" in pattern or "\\" in pattern:
            # A regular expression without its first or last character still matches a lot.
            yield "changed constant", node, ast.Constant(pattern[1:])
            yield "changed constant", node, ast.Constant(pattern[:-1])
        case ast.Constant(str() as text):
            yield "changed constant", node, ast.Constant("XX" + text)
        case ast.List(elements) | ast.Set(elements) | ast.Tuple(elements, ast.Load()):
            yield from [("dropped element", element, None) for element in elements]
        case ast.Subscript(ast.Name("Annotated"), ast.Tuple([_, _, _, *_] as parts)):
            yield from [("dropped element", part, None) for part in parts[1:]]  # Not the type.
        case ast.Dict(keys, values):
            for n in range(len(keys)):
                smaller = ast.Dict(keys[:n] + keys[n + 1 :], values[:n] + values[n + 1 :])
                yield "dropped element", node, smaller


def find_edits(node: ast.AST, in_annotation: bool = False) -> Iterator[Edit]:
    """Yield the edits of this node and of all nodes in it.

    Skip docstrings, assertions, log messages, and annotations outside Annotated and Literal.
    """
    match node:
        case ast.Assert() | ast.Expr(ast.Constant()) | ast.Call(ast.Attribute(ast.Name("logger"))):
            return
        case ast.Subscript(ast.Name("Annotated" | "Literal")):
            in_annotation = False
    if not in_annotation:
        yield from edits_of(node)
    for field, value in ast.iter_fields(node):
        children = value if isinstance(value, list) else [value]
        if field == "slice" and isinstance(value, ast.Tuple):
            children = value.elts  # The tuple in `dict[str, int]` must not lose an element.
        for child in children:
            if isinstance(child, ast.AST):
                yield from find_edits(child, in_annotation or field in ("annotation", "returns"))


class Replace(ast.NodeTransformer):
    def __init__(self, old: Code, new: Code | None) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST | None:
        return self.new if node is self.old else self.generic_visit(node)


class Fault(NamedTuple):
    file: Path
    place: str  # Such as "app/models.py:52".
    number: int  # Its position among the edits of the file.
    change: str

    def __str__(self) -> str:
        return f"{self.place} {self.change}"

    def put_into(self, source: str) -> str:
        tree = ast.parse(source)
        _, old, new = list(find_edits(tree))[self.number]
        Replace(old, new).visit(tree)
        return ast.unparse(tree)


def find_faults() -> Iterator[Fault]:
    for path in sorted({*ROOT.glob("app/**/*.py")} - {*ROOT.glob("app/migrations/**/*.py")}):
        source = path.read_text(encoding="utf-8")
        file = path.relative_to(ROOT)
        for number, (kind, old, new) in enumerate(find_edits(ast.parse(source))):
            line = source.splitlines()[old.lineno - 1]
            change = f"{kind}: {ast.unparse(old)} -> {ast.unparse(new) if new else 'nothing'}"
            if not any(part in line and change.startswith(start) for part, start in EQUIVALENT):
                yield Fault(file, f"{file.as_posix()}:{old.lineno}", number, change)


def run_tests(copy: Path, limit: float | None = None) -> str:
    """Run the tests on SQLite, and then on PostgreSQL if TEST_DATABASE_URL is set.

    Give up after `limit` seconds. Return "passed", "failed" or "took too long".
    """
    env = os.environ | {"MUTATE_COPY": str(copy)}
    url = env.pop("TEST_DATABASE_URL", None)
    result = run_pytest(copy, env, limit)
    if url and result == "passed":
        result = run_pytest(copy, env | {"TEST_DATABASE_URL": url}, limit)
    return result


def run_pytest(copy: Path, env: dict[str, str], limit: float | None) -> str:
    command = PYTEST + FOLDERS
    with (copy / "output.txt").open("wb") as out:
        run = subprocess.Popen(command, cwd=copy, env=env, stdout=out, stderr=out, process_group=0)
    try:
        return "failed" if run.wait(limit) else "passed"
    except subprocess.TimeoutExpired:
        return "took too long"
    finally:
        with suppress(subprocess.TimeoutExpired):
            run.send_signal(signal.SIGINT)  # Let the tests stop servers and drop databases.
            run.wait(10)
        # Kill the processes that are left. This needs Linux's /proc.
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):  # It has ended, or it is not ours.
                if f"MUTATE_COPY={copy}\0".encode() in environ.read_bytes():
                    os.kill(int(environ.parent.name), signal.SIGKILL)


def find_unnoticed(faults: list[Fault], copy: Path) -> Iterator[Fault]:
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*NOT_COPIED))
    for path in copy.glob("app/**/*.py"):  # Without comments, like a file with a fault.
        source = ast.unparse(ast.parse(path.read_text(encoding="utf-8")))
        path.write_text(source, encoding="utf-8")
    start = time.monotonic()
    if run_tests(copy) != "passed":
        output = (copy / "output.txt").read_text(encoding="utf-8")
        sys.exit(f"A test fails without a fault:\n{output}")
    limit = 3 * (time.monotonic() - start)
    # Python could run an old compiled file if the new source has the same size and time.
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    for number, fault in enumerate(faults, 1):
        source = (copy / fault.file).read_text(encoding="utf-8")
        (copy / fault.file).write_text(fault.put_into(source), encoding="utf-8")
        result = run_tests(copy, limit)
        (copy / fault.file).write_text(source, encoding="utf-8")
        print(f"{number}/{len(faults)} tests {result}: {fault}", flush=True)
        if result == "passed":
            yield fault


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.mutate")
    parser.add_argument("places", nargs="*", default=["app"], help="app/routers, app/models.py:52")
    parser.add_argument("--sample", type=int, default=200, help="how many faults to try")
    parser.add_argument("--seed", type=int, default=1, help="another seed gives another sample")
    options = parser.parse_args()
    faults = [fault for fault in find_faults() if fault.place.startswith(tuple(options.places))]
    random.Random(options.seed).shuffle(faults)
    sample = faults[: options.sample]
    if not sample:
        sys.exit("There are no such faults.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # Clean up, as after Ctrl+C.
    with TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        unnoticed = list(find_unnoticed(sample, Path(directory, "copy")))
    score = 100 - 100 * len(unnoticed) / len(sample)
    print("Not noticed:", *unnoticed, f"{score:.1f} % of {len(sample)} were noticed.", sep="\n")
    sys.exit(score < GOAL)


if __name__ == "__main__":
    main()
