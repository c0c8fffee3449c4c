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
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from subprocess import STDOUT
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
GOAL = 95  # The percentage of the faults that the tests must notice.

# Faults that no test can notice, each with the reason. They are not tried. --list prints what to
# write here: ("app/x.py", "the line of code", "changed constant: 1 -> 2"): "The reason.",
EQUIVALENT: dict[tuple[str, str, str], str] = {}

NOT_COPIED = (".git", ".venv", ".env", ".*_cache", ".hypothesis", "__pycache__", "*.db*")
# The empty `addopts` turns off the options in pyproject.toml, such as coverage and xdist.
PYTEST = [sys.executable, "-m", "pytest", "-x", "-q", "-o", "addopts=", "-o", "junit_family=xunit1"]
PYTEST += ["-p", "no:randomly", "-p", "no:cacheprovider", "--basetemp=.tmp"]

SWAPS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.Lt: ast.LtE,
    ast.Gt: ast.GtE,
    ast.Is: ast.IsNot,
    ast.In: ast.NotIn,
}
SWAPS |= {new: old for old, new in SWAPS.items()}

Code = ast.stmt | ast.expr | ast.keyword
Edit = tuple[str, Code, Code | None]  # The kind of fault, the old code, and the new code if any.


def edit_statement(node: ast.AST) -> Iterator[Edit]:
    match node:
        case ast.Expr(value=value) if not isinstance(value, ast.Yield):
            yield "removed statement", node, ast.Pass()
        case ast.AugAssign() | ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield "removed statement", node, ast.Pass()
        case ast.Raise():
            yield "removed raise", node, ast.Pass()
        case ast.Return(value=ast.expr() as result):
            yield "removed result", result, None
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            for decorator in node.decorator_list:
                yield "removed decorator", decorator, None
            for statement in node.body:
                if isinstance(statement, ast.AnnAssign) and statement.value:
                    yield "dropped default", statement.value, None
        case ast.arguments(defaults=[first, *_]):  # Python forbids dropping only a later one.
            yield "dropped default", first, None


def edit_condition(node: ast.AST) -> Iterator[Edit]:
    match node:
        case ast.If() | ast.While() | ast.IfExp() | ast.comprehension():
            for test in node.ifs if isinstance(node, ast.comprehension) else [node.test]:
                if not isinstance(test, ast.UnaryOp | ast.Compare):  # The cases below negate these.
                    yield "negated condition", test, ast.UnaryOp(ast.Not(), test)
        case ast.UnaryOp(op=ast.Not()):
            yield "negated condition", node, node.operand
        case ast.BoolOp(op=ast.And()):
            yield "swapped operator", node, ast.BoolOp(ast.Or(), node.values)
        case ast.BoolOp(op=ast.Or()):
            yield "swapped operator", node, ast.BoolOp(ast.And(), node.values)
        case ast.Compare():
            for place, operator in enumerate(node.ops):
                operators = [*node.ops[:place], SWAPS[type(operator)](), *node.ops[place + 1 :]]
                new = ast.Compare(node.left, operators, node.comparators)
                yield "swapped operator", node, new


def edit_value(node: ast.AST) -> Iterator[Edit]:
    match node:
        case ast.BinOp(op=ast.BitOr()):
            yield "dropped operand", node, node.left
            yield "dropped operand", node, node.right
        case ast.BinOp(op=ast.Add()):
            yield "swapped operator", node, ast.BinOp(node.left, ast.Sub(), node.right)
        case ast.BinOp(op=ast.Sub()):
            yield "swapped operator", node, ast.BinOp(node.left, ast.Add(), node.right)
        case ast.Constant(value=bool() as value):
            yield "changed constant", node, ast.Constant(not value)
        case ast.Constant(value=int() | float() as number):
            yield "changed constant", node, ast.Constant(number + 1)
            yield "changed constant", node, ast.Constant(number - 1)
        case ast.Constant(value=str() as pattern) if re.search(r"[\\^]", pattern):
            # Tests notice a pattern that matches nothing, so let it match a little more.
            yield "changed constant", node, ast.Constant(pattern[1:])
            yield "changed constant", node, ast.Constant(pattern[:-1])
        case ast.Constant(value=str() as text):
            yield "changed constant", node, ast.Constant("XX" + text)


def edit_collection(node: ast.AST) -> Iterator[Edit]:
    match node:
        case ast.Call() | ast.ClassDef():
            for keyword in node.keywords:
                yield "dropped keyword", keyword, None
        case ast.Dict():
            for place in range(len(node.keys)):
                keys = node.keys[:place] + node.keys[place + 1 :]
                values = node.values[:place] + node.values[place + 1 :]
                yield "dropped element", node, ast.Dict(keys, values)
        case (
            ast.List(elts=elements)
            | ast.Set(elts=elements)
            | ast.Tuple(elts=elements, ctx=ast.Load())
            | ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Tuple(elts=elements))
            | ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[_, *elements]))
        ) if not (isinstance(node, ast.Subscript) and len(elements) == 1):  # Python needs one.
            for element in elements:
                yield "dropped element", element, None


def edits(node: ast.AST, in_annotation: bool = False) -> Iterator[Edit]:
    """Yield each fault that can be put into this node or into one below it.

    Leave out docstrings, assertions, log messages, and annotations except for what is inside
    Annotated and Literal.
    """
    match node:
        case ast.Assert() | ast.Expr(value=ast.Constant()):
            return
        case ast.Call(func=ast.Name(id="TypeVar") | ast.Attribute(value=ast.Name(id="logger"))):
            return
        case ast.Subscript(value=ast.Name(id="Annotated" | "Literal")):
            in_annotation = False
    if not in_annotation:
        for edit in (edit_statement, edit_condition, edit_value, edit_collection):
            yield from edit(node)
    for field, value in ast.iter_fields(node):
        children = value if isinstance(value, list) else [value]
        if field == "slice" and isinstance(value, ast.Tuple):
            children = value.elts  # Don't treat the brackets of `dict[str, int]` as a tuple.
        for child in children:
            if isinstance(child, ast.AST):
                yield from edits(child, in_annotation or field in ("annotation", "returns"))


class Replace(ast.NodeTransformer):
    def __init__(self, old: Code, new: Code | None) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST | None:
        return self.new if node is self.old else self.generic_visit(node)


@dataclass(frozen=True)
class Fault:
    file: str
    line: int
    number: int  # Its place in the list of all faults in the file.
    code: str  # The line of code that has it.
    change: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.change}"

    def is_in(self, place: str) -> bool:
        """Tell whether the fault is in this directory, file, or line of a file."""
        return place == f"{self.file}:{self.line}" or Path(self.file).is_relative_to(place)

    def rank(self, seed: int) -> bytes:
        """Return a random key that stays the same when other code changes."""
        return sha256(f"{seed} {self.file} {self.code} {self.change}".encode()).digest()

    def put_into(self, source: str) -> str:
        tree = ast.parse(source)
        _, old, new = list(edits(tree))[self.number]
        mutant = Replace(old, new).visit(tree)
        assert mutant  # The whole file is never removed.
        return ast.unparse(mutant)


def find_faults() -> Iterator[Fault]:
    for path in sorted(ROOT.glob("app/**/*.py")):
        file, source = str(path.relative_to(ROOT)), path.read_text()
        if file.startswith("app/migrations/"):
            continue
        for number, (kind, old, new) in enumerate(edits(ast.parse(source))):
            code = source.splitlines()[old.lineno - 1].strip()
            change = f"{kind}: {ast.unparse(old)} -> {ast.unparse(new) if new else 'nothing'}"
            yield Fault(file, old.lineno, number, code, change)


def copy_project(copy: Path) -> Path:
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*NOT_COPIED))
    for path in copy.glob("app/**/*.py"):  # Faults are written in this form too.
        path.write_text(ast.unparse(ast.parse(path.read_text())))
    return copy


async def run_tests(copy: Path, *options: str, limit: float | None = None) -> str | None:
    """Return the first test that fails, or None if all pass. Stop after `limit` seconds."""
    env = os.environ | {"MUTATE_COPY": str(copy)}
    with (copy / "output.txt").open("w+") as output:
        process = await asyncio.create_subprocess_exec(
            *PYTEST, *options, cwd=copy, env=env, stdout=output, stderr=STDOUT, process_group=0
        )
        try:
            await asyncio.wait_for(process.wait(), limit)
        except TimeoutError:
            return "the time limit"
        finally:
            with suppress(ProcessLookupError, TimeoutError):
                process.send_signal(signal.SIGINT)  # The tests can still drop their databases.
                await asyncio.wait_for(process.wait(), 10)
            kill_processes(copy)
        output.seek(0)
        failed = re.search(r"^(?:FAILED|ERROR) (\S+)", output.read(), re.MULTILINE)
    if process.returncode == 0:
        return None
    return failed[1] if failed else f"pytest, which exited with {process.returncode}"


def kill_processes(copy: Path) -> None:
    """Kill what the tests started, also servers that are in a process group of their own."""
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # The process has ended, or is not ours.
            if f"MUTATE_COPY={copy}\0".encode() in environ.read_bytes():
                os.kill(int(environ.parent.name), signal.SIGKILL)


def sort_files(report: Path) -> list[str]:
    """List the test files, the quickest first, but those in tests/system/ last."""
    seconds: dict[str, float] = defaultdict(float)
    for case in ElementTree.parse(report).iter("testcase"):
        seconds[case.attrib["file"]] += float(case.attrib["time"])
    return sorted(seconds, key=lambda file: (file.startswith("tests/system/"), seconds[file]))


async def find_unnoticed(faults: list[Fault], jobs: int) -> list[Fault]:
    unnoticed: list[Fault] = []
    todo = enumerate(faults, 1)  # Each job takes its next fault from here.
    with TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        copies = [copy_project(Path(directory, str(job))) for job in range(jobs)]
        start = time.monotonic()
        runs = [run_tests(copy, "--junitxml=report.xml") for copy in copies]
        if failed := [name for name in await asyncio.gather(*runs) if name]:
            sys.exit(f"The tests must pass before you add faults, but this fails: {failed[0]}")
        limit = 3 * (time.monotonic() - start) + 10
        files = sort_files(copies[0] / "report.xml")
        # Otherwise Python could run an old compiled file if its time and size are those of the new.
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"

        async def try_faults(copy: Path) -> None:
            for number, fault in todo:
                path = copy / fault.file
                source = path.read_text()
                path.write_text(fault.put_into(source))
                noticed_by = await run_tests(copy, *files, limit=limit)
                path.write_text(source)
                if not noticed_by:
                    unnoticed.append(fault)
                result = f"noticed by {noticed_by}" if noticed_by else "NOT NOTICED"
                print(f"[{number}/{len(faults)}] {fault}\n    {result}", flush=True)

        await asyncio.gather(*[try_faults(copy) for copy in copies])
    return unnoticed


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.mutate")
    parser.add_argument("places", nargs="*", default=["app"], help="app/routers, app/models.py:52")
    parser.add_argument("--sample", type=int, default=200, help="how many faults (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another sample")
    parser.add_argument("--jobs", type=int, default=2, help="copies at once (%(default)s)")
    parser.add_argument("--list", action="store_true", help="only list the faults")
    options = parser.parse_args()

    possible = [fault for fault in find_faults() if any(map(fault.is_in, options.places))]
    wanted = [
        fault for fault in possible if (fault.file, fault.code, fault.change) not in EQUIVALENT
    ]
    faults = sorted(wanted, key=lambda fault: fault.rank(options.seed))[: options.sample]
    if options.list or not faults:
        sys.exit("\n".join(map(str, faults)))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # Clean up, as after Ctrl+C.
    unnoticed = asyncio.run(find_unnoticed(faults, options.jobs))
    print()
    score = 100 * (1 - len(unnoticed) / len(faults))
    print("Not noticed:", *unnoticed, sep="\n  ")
    print(f"{len(possible)} faults possible, {len(faults)} tried, {score:.1f} % noticed")
    sys.exit(score < GOAL)


if __name__ == "__main__":
    main()
