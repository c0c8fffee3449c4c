"""Put faults into app/, one at a time, and show which of them no test notices.

If no test notices a fault, a test is missing or the code is not needed. We have our own tool
because mutmut skips functions with decorators, which all endpoints are, and cosmic-ray doesn't
change keyword arguments, decorators or whole statements.
"""

import argparse
import ast
import asyncio
import os
import re
import shutil
import signal
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
GOAL = 96  # The percentage of the faults that the tests must notice.

# Faults that no test can notice: what the line contains, and how the change begins.
EQUIVALENT = [
    ("return False", "removed result"),  # None is false, too.
    ("return None", "removed result"),
    ("MIGRATION_LOCK = ", "changed constant"),  # Any number will do.
    ("LOCK_MILLISECONDS = ", "changed constant"),  # A moment more or less.
    ("MIGRATION_LOCK_SECONDS = ", "changed constant"),
    ('hash_password("\\0")', "changed constant"),  # Any text that can't be a password.
    ("Responses = dict[", "dropped operand"),  # A type, which Python doesn't check.
    ("gc.", ""),  # It only makes the app faster.
]

NOT_COPIED = [".git", ".venv", ".env", ".secret_key", ".*_cache", ".hypothesis", "__pycache__"]
NOT_COPIED += ["*.db*", ".coverage*"]
PYTEST = [sys.executable, "-m", "pytest", "-x", "-q", "--basetemp=.tmp"]
PYTEST += ["-p", "no:randomly", "-p", "no:cacheprovider"]

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
        case ast.Expr(ast.Call() | ast.Await()) | ast.Assign([ast.Attribute() | ast.Subscript()]):
            yield "removed statement", node, ast.Pass()
        case ast.AugAssign() | ast.Raise():
            yield "removed statement", node, ast.Pass()
        case ast.Return(ast.expr() as result):
            yield "removed result", result, None
        case ast.ClassDef():
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and line.value:
                    yield "dropped default", line.value, None
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
            yield "dropped operand", node, left
            yield "dropped operand", node, right
        case ast.Constant(bool() as value):
            yield "changed constant", node, ast.Constant(not value)
        case ast.Constant(int() | float() as number):
            yield "changed constant", node, ast.Constant(number + 1)
            yield "changed constant", node, ast.Constant(number - 1)
        case ast.Constant(str() as pattern) if "^" in pattern or "\\" in pattern:
            # A regular expression without its first or last character still matches a lot.
            yield "changed constant", node, ast.Constant(pattern[1:])
            yield "changed constant", node, ast.Constant(pattern[:-1])
        case ast.Constant(str() as text):
            yield "changed constant", node, ast.Constant("XX" + text)
        case ast.List(elements) | ast.Set(elements) | ast.Tuple(elements, ast.Load()):
            yield from [("dropped element", element, None) for element in elements]
        case ast.Subscript(ast.Name("Literal"), ast.Tuple(elements)):
            yield from [("dropped element", element, None) for element in elements]
        case ast.Subscript(ast.Name("Annotated"), ast.Tuple([_, *elements])):
            if len(elements) > 1:  # Annotated needs one.
                yield from [("dropped element", element, None) for element in elements]
        case ast.Dict(keys, values):
            for n in range(len(keys)):
                smaller = ast.Dict(keys[:n] + keys[n + 1 :], values[:n] + values[n + 1 :])
                yield "dropped element", node, smaller


def find_edits(node: ast.AST, in_annotation: bool = False) -> Iterator[Edit]:
    """Yield the edits of this node and of all nodes in it.

    Skip docstrings, assertions, log messages, and annotations outside Annotated and Literal.
    """
    match node:
        case ast.Assert() | ast.Expr(ast.Constant()):
            return
        case ast.Call(ast.Attribute(ast.Name("logger"))):
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


@dataclass(frozen=True)
class Fault:
    file: str
    line: int
    number: int  # Its position among the edits of the file.
    code: str  # The line in the file.
    change: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.change}"

    def is_in(self, place: str) -> bool:
        return place == f"{self.file}:{self.line}" or Path(self.file).is_relative_to(place)

    def rank(self, seed: int) -> str:
        """Return a random key, which stays the same when you change other code."""
        return sha256(f"{seed} {self.file} {self.code} {self.change}".encode()).hexdigest()

    def put_into(self, source: str) -> str:
        tree = ast.parse(source)
        _, old, new = list(find_edits(tree))[self.number]
        Replace(old, new).visit(tree)
        return ast.unparse(tree)


def find_faults() -> Iterator[Fault]:
    for path in sorted({*ROOT.glob("app/**/*.py")} - {*ROOT.glob("app/migrations/**/*.py")}):
        source = path.read_text("utf-8")
        for number, (kind, old, new) in enumerate(find_edits(ast.parse(source))):
            code = source.splitlines()[old.lineno - 1].strip()
            change = f"{kind}: {ast.unparse(old)} -> {ast.unparse(new) if new else 'nothing'}"
            if not any(part in code and change.startswith(start) for part, start in EQUIVALENT):
                yield Fault(str(path.relative_to(ROOT)), old.lineno, number, code, change)


async def run_tests(copy: Path, *options: str, limit: float | None = None) -> str:
    """Run the tests for at most `limit` seconds. Return "passed", "failed" or "took too long"."""
    env = os.environ | {"MUTATE_COPY": str(copy)}
    with (copy / "output.txt").open("w", encoding="utf-8") as out:
        process = await asyncio.create_subprocess_exec(
            *PYTEST, *options, cwd=copy, env=env, stdout=out, stderr=out, process_group=0
        )
    try:
        return "failed" if await asyncio.wait_for(process.wait(), limit) else "passed"
    except TimeoutError:
        return "took too long"
    finally:
        with suppress(ProcessLookupError, TimeoutError):
            process.send_signal(signal.SIGINT)  # Let the tests stop servers and drop databases.
            await asyncio.wait_for(process.wait(), 10)
        kill_processes(copy)


def kill_processes(copy: Path) -> None:
    """Kill all that the tests started, even in other process groups; this needs Linux's /proc."""
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # It has ended, or it is not ours.
            if f"MUTATE_COPY={copy}\0".encode() in environ.read_bytes():
                os.kill(int(environ.parent.name), signal.SIGKILL)


async def find_unnoticed(faults: list[Fault], copies: list[Path]) -> list[Fault]:
    for copy in copies:
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*NOT_COPIED))
        for path in copy.glob("app/**/*.py"):  # The first run proves that this is harmless.
            path.write_text(ast.unparse(ast.parse(path.read_text("utf-8"))), "utf-8")
    runs = [run_tests(copy, "--junitxml=report.xml") for copy in copies]
    for copy, result in zip(copies, await asyncio.gather(*runs), strict=True):
        if result != "passed":
            sys.exit(f"A test fails without a fault:\n{(copy / 'output.txt').read_text('utf-8')}")
    seconds: dict[str, float] = defaultdict(float)
    for case in ElementTree.parse(copies[0] / "report.xml").iter("testcase"):
        seconds[case.attrib["classname"].replace(".", "/") + ".py"] += float(case.attrib["time"])
    limit = 3 * sum(seconds.values()) + 30  # pytest needs time to start.
    is_slow = re.compile("/(system|postgres)/").search
    test_files = sorted(seconds, key=lambda name: (bool(is_slow(name)), seconds[name]))
    # Python could run an old compiled file if the new source has the same size and time.
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    todo = enumerate(faults, 1)
    unnoticed = []

    async def try_faults(copy: Path) -> None:
        for number, fault in todo:  # Each copy takes the next fault from one list.
            path = copy / fault.file
            source = path.read_text("utf-8")
            path.write_text(fault.put_into(source), "utf-8")
            result = await run_tests(copy, *test_files, limit=limit)
            path.write_text(source, "utf-8")
            print(f"{number}/{len(faults)} tests {result}: {fault}", flush=True)
            if result == "passed":
                unnoticed.append(fault)

    await asyncio.gather(*map(try_faults, copies))
    return unnoticed


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.mutate")
    parser.add_argument("places", nargs="*", default=["app"], help="app/routers, app/models.py:52")
    parser.add_argument("--sample", type=int, default=200, help="how many faults to try")
    parser.add_argument("--seed", type=int, default=1, help="another seed gives another sample")
    parser.add_argument("--jobs", type=int, default=2, help="how many faults to try at once")
    options = parser.parse_args()
    faults = [fault for fault in find_faults() if any(map(fault.is_in, options.places))]
    sample = sorted(faults, key=lambda fault: fault.rank(options.seed))[: options.sample]
    if not sample:
        sys.exit("There are no such faults.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # Clean up, as after Ctrl+C.
    with TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        copies = [Path(directory, str(number)) for number in range(options.jobs)]
        unnoticed = asyncio.run(find_unnoticed(sample, copies))
    score = 100 - 100 * len(unnoticed) / len(sample)
    print("Not noticed:", *unnoticed, f"{score:.1f} % of {len(sample)} were noticed.", sep="\n")
    sys.exit(score < GOAL)


if __name__ == "__main__":
    main()
