"""Put faults into app/, one at a time, and see whether a test fails: `uv run python -m tests.mutate`.

A tool of our own: mutmut skips decorated functions, which here are all endpoints, and cosmic-ray knows operators but
neither keyword arguments nor decorators nor statements. A fault replaces one piece of a source file. There are none
in docstrings, texts for the log, assertions and plain annotations; what `Annotated` and `Literal` say can be wrong.

Whether a fault is in the sample depends on the seed and on the fault alone, so that a change elsewhere keeps it in.
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
from asyncio.subprocess import PIPE, STDOUT
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from difflib import unified_diff
from hashlib import sha256
from itertools import accumulate, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

ROOT = Path(__file__).parent.parent
GOAL = 95  # per cent
NOT_COPIED = (".git", ".venv", ".env", ".*_cache", ".hypothesis", "__pycache__", "*.db*")
# Coverage is off: its goal would not be met by a run that stops at the first failure.
PYTEST = ["-m", "pytest", "-x", "-q", "--no-cov", "-W", "ignore:Coverage", "--basetemp=.tmp"]
PYTEST += ["-p", "no:randomly", "-p", "no:cacheprovider", "--numprocesses=0"]

SWAPS = {"and": "or", "<": "<=", ">": ">=", "==": "!=", "is": "is not", "in": "not in", "+": "-"}
SWAPS |= {new: old for old, new in SWAPS.items()}
OPERATOR = re.compile(r"\b(?:is not|not in|and|or|is|in)\b|[<>=!]=|[<>+-]")
QUOTE = re.compile(r"""(\w*)('''|\"""|'|")""")
COMMA = re.compile(r"(\s*, ?)?")

# Faults that no test can notice, by file, source line and kind, each with the reason.
EQUIVALENT: dict[tuple[str, str, str], str] = {
    (
        "app/database.py",
        'pool = {"poolclass": QueuePool, "pool_size": POOL_SIZE, "max_overflow": 0, "pool_pre_ping": postgres}',
        "dropped element",
    ): "SQLAlchemy's own defaults, or bounded by the queue already; only PostgreSQL needs the ping.",
    (
        "app/database.py",
        "semaphore = Semaphore(size, fast_acquire=True)",
        "changed constant",
    ): "It only spares a turn of the event loop.",
    (
        "app/dependencies.py",
        "statement = statement.order_by(columns.id.desc() if newest else columns.id).limit(limit + 1)",
        "changed constant",
    ): "One more row is read, and left out with the first one.",
    ("app/main.py", "session.exec(select(1))", "changed constant"): "Any answer of the database will do.",
}

Placed = ast.stmt | ast.expr | ast.keyword | ast.arg
Span = tuple[int, int]
Edit = tuple[str, Span, str]  # The kind of a fault, the piece of source that it replaces, and by what.


@dataclass(frozen=True)
class Fault:
    file: str
    line: int
    kind: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.kind}"

    @property
    def diff(self) -> str:
        before, after = (text.splitlines(keepends=True) for text in (self.before, self.after))
        return "".join(unified_diff(before, after, self.file, self.file, n=1))

    @property
    def excuse(self) -> str | None:
        return EQUIVALENT.get((self.file, self.before.split("\n")[self.line - 1].strip(), self.kind))

    def rank(self, seed: int) -> bytes:
        changed = re.findall(r"^[+-].*", self.diff, re.MULTILINE)
        return sha256("\n".join([str(seed), self.kind, *changed]).encode()).digest()


def live_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes on which it depends what the app does."""
    match node:
        case ast.Assert() | ast.Expr(value=ast.Constant()) | ast.Call(func=ast.Name(id="TypeVar")):
            return
        case ast.Call(func=ast.Attribute(value=ast.Name(id="logger"))):
            return
    yield node
    if isinstance(node, ast.JoinedStr):  # Its parts know their places only from Python 3.12 on.
        return
    for field, value in ast.iter_fields(node):
        children = [child for child in (value if isinstance(value, list) else [value]) if isinstance(child, ast.AST)]
        if field in ("annotation", "returns"):
            parts = [part for child in children for part in ast.walk(child) if isinstance(part, ast.Subscript)]
            children = [part for part in parts if ast.unparse(part.value) in ("Annotated", "Literal")]
        elif field == "slice" and isinstance(value, ast.Tuple):
            children = [*value.elts]
        for child in children:
            yield from live_nodes(child)


class Source:
    def __init__(self, path: Path) -> None:
        self.file = str(path.relative_to(ROOT))
        self.text = path.read_text()
        self.lines = self.text.split("\n")
        self.starts = [*accumulate((len(line) + 1 for line in self.lines), initial=0)]

    def place(self, line: int, column: int) -> int:
        """Turn a place of `ast`, which counts bytes, into an index."""
        return self.starts[line - 1] + len(self.lines[line - 1].encode()[:column].decode())

    def span(self, first: Placed, last: Placed | None = None) -> Span:
        last = last or first
        end = self.place(last.end_lineno or 0, last.end_col_offset or 0)  # Never None in what was parsed.
        return self.place(first.lineno, first.col_offset), end

    def code(self, node: Placed) -> str:
        return self.text[slice(*self.span(node))]

    def faults(self) -> Iterator[Fault]:
        tree = ast.parse(self.text)
        seen = {ast.dump(tree)}
        for node in live_nodes(tree):
            for kind, (start, end), new in self.edits(node):
                after = self.text[:start] + new + self.text[end:]
                with suppress(SyntaxError):
                    dump = ast.dump(ast.parse(after))
                    if dump not in seen:
                        seen.add(dump)
                        yield Fault(self.file, self.text.count("\n", 0, start) + 1, kind, self.text, after)

    def edits(self, node: ast.AST) -> Iterator[Edit]:  # noqa: PLR0912, PLR0915  # A case for each kind.
        operands: list[ast.expr] = []
        tests: list[ast.expr] = []
        items: list[tuple[Placed, Placed]] = []
        defaults: list[tuple[Placed, ast.expr | None]] = []
        match node:
            case ast.Expr(value=value) if not isinstance(value, ast.Yield):
                yield "removed statement", self.span(node), "pass"
            case ast.AugAssign() | ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
                yield "removed statement", self.span(node), "pass"
            case ast.Raise():
                yield "removed raise", self.span(node), "pass"
            case ast.Return(value=ast.expr()):
                yield "removed result", self.span(node), "return None"
            case ast.If() | ast.While() | ast.IfExp():
                tests = [node.test]
            case ast.comprehension():
                tests = node.ifs
            case ast.UnaryOp(op=ast.Not()):
                yield "negated condition", self.span(node), f"({self.code(node.operand)})"
            case ast.BoolOp():
                operands = node.values
            case ast.Compare():
                operands = [node.left, *node.comparators]
            case ast.BinOp(op=ast.BitOr()):
                yield "dropped operand", self.span(node), self.code(node.left)
                yield "dropped operand", self.span(node), self.code(node.right)
            case ast.BinOp():
                operands = [node.left, node.right]
            case ast.Constant(value=bool()):
                yield "changed constant", self.span(node), str(not node.value)
            case ast.Constant(value=int() | float() as number):
                yield "changed constant", self.span(node), str(number + 1)
                yield "changed constant", self.span(node), str(number - 1)
            case ast.Constant(value=str() | bytes()) | ast.JoinedStr():
                yield from self.string_edits(*self.span(node))
            case ast.List() | ast.Tuple(ctx=ast.Load()):
                items = [(element, element) for element in node.elts]
                if isinstance(node, ast.Tuple) and len(items) == 2:
                    yield "dropped element", self.span(*node.elts), self.code(node.elts[1]) + ","
                    del items[0]
            case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[_, *metadata])):
                items = [(element, element) for element in metadata if len(metadata) > 1]
            case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Tuple(elts=elements)):
                items = [(element, element) for element in elements]
            case ast.Dict():
                items = [(key, value) for key, value in zip(node.keys, node.values, strict=True) if key]
            case ast.Call():
                items = [(keyword, keyword) for keyword in node.keywords]
            case ast.ClassDef():
                items = [(keyword, keyword) for keyword in node.keywords]
                defaults = [(line.annotation, line.value) for line in node.body if isinstance(line, ast.AnnAssign)]
            case ast.arguments():
                defaults = [*zip(reversed([*node.posonlyargs, *node.args]), reversed(node.defaults), strict=False)]
                defaults += zip(node.kwonlyargs, node.kw_defaults, strict=True)
        for test in tests:
            match test:
                case ast.UnaryOp(op=ast.Not()) | ast.Compare(ops=[ast.Eq() | ast.In() | ast.Is()]):
                    pass  # Negated already, without its `not` or by another operator.
                case ast.Compare(ops=[ast.NotEq() | ast.NotIn() | ast.IsNot()]):
                    pass
                case _:
                    yield "negated condition", self.span(test), f"not ({self.code(test)})"
        for left, right in pairwise(operands):
            if found := OPERATOR.search(self.text, self.span(left)[1], self.span(right)[0]):
                yield "changed operator", found.span(), SWAPS[found[0]]
        for first, last in items:
            start, end = self.span(first, last)
            comma = COMMA.match(self.text, end)
            kind = "dropped keyword" if isinstance(first, ast.keyword) else "dropped element"
            yield kind, (start, comma.end() if comma else end), ""
        for owner, default in defaults:
            if default:
                yield "dropped default", (self.span(owner)[1], self.span(default)[1]), ""
        for decorator in getattr(node, "decorator_list", []):
            start, end = self.span(decorator)
            yield "removed decorator", (self.text.rindex("@", 0, start), end), ""

    def string_edits(self, start: int, end: int) -> Iterator[Edit]:
        quote = QUOTE.match(self.text, start)
        assert quote
        if "r" in quote[1]:  # A pattern that lacks its end is harder to notice than one that matches nothing.
            yield "changed constant", (quote.end(), quote.end() + 1), ""
            yield "changed constant", (end - len(quote[2]) - 1, end - len(quote[2])), ""
        else:
            yield "changed constant", (quote.end(), quote.end()), "XX"


async def run_tests(copy: Path, *arguments: str, limit: float | None = None, **variables: str) -> str | None:
    """Run the tests of a copy until one fails, and return what failed, if anything did."""
    command = (sys.executable, *PYTEST, *arguments)
    process = await asyncio.create_subprocess_exec(
        *command, cwd=copy, env=os.environ | variables, stdout=PIPE, stderr=STDOUT, process_group=0
    )
    try:
        async with asyncio.timeout(limit):
            output = (await process.communicate())[0].decode()
    except TimeoutError:
        return "out of time"
    finally:
        with suppress(ProcessLookupError, TimeoutError):
            process.send_signal(signal.SIGINT)  # Lets pytest stop the servers that tests have started.
            async with asyncio.timeout(10):
                await process.wait()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
    return None if process.returncode == 0 else failed[0] if failed else "no test could run"


async def find_survivors(faults: list[Fault], jobs: int) -> list[Fault]:
    """Run the tests on each fault, the quick files first, in as many copies of the project as there are jobs."""
    survivors: list[Fault] = []
    with TemporaryDirectory() as directory:
        copies = [Path(directory) / str(number) for number in range(jobs)]
        shutil.copytree(ROOT, copies[0], ignore=shutil.ignore_patterns(*NOT_COPIED))
        if failed := await run_tests(copies[0], "--junitxml=report.xml"):
            sys.exit(f"Without any fault: {failed}")
        seconds: dict[str, float] = defaultdict(float)
        for case in ElementTree.parse(copies[0] / "report.xml").iter("testcase"):
            module = case.attrib["classname"] or case.attrib["name"]  # The latter where a whole module is skipped.
            seconds[module.replace(".", "/") + ".py"] += float(case.attrib["time"])
        files = sorted(seconds, key=lambda file: seconds[file])
        # Python would take what it compiled before for the new source, when both are of one size and one second.
        for compiled in (copies[0] / "app").rglob("__pycache__"):
            shutil.rmtree(compiled)
        for copy in copies[1:]:
            shutil.copytree(copies[0], copy)

        async def run(copy: Path, limit: float | None = None) -> str | None:
            return await run_tests(copy, *files, limit=limit, PYTHONDONTWRITEBYTECODE="1")

        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            trials = [group.create_task(run(copy)) for copy in copies]
        if failed := next(filter(None, (trial.result() for trial in trials)), None):
            sys.exit(f"Without any fault, but in this order or in {jobs} copies at once: {failed}")
        limit = 3 * (time.monotonic() - started) + 10
        todo = enumerate(faults, 1)

        async def work(copy: Path) -> None:
            for number, fault in todo:
                (copy / fault.file).write_text(fault.after)
                failed = await run(copy, limit)
                (copy / fault.file).write_text(fault.before)
                if failed is None:
                    survivors.append(fault)
                print(f"[{number}/{len(faults)}] {fault}: {failed or 'SURVIVED'}", flush=True)

        async with asyncio.TaskGroup() as group:
            for copy in copies:
                group.create_task(work(copy))
    return survivors


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutate", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("places", nargs="*", default=["app"], help="such as app/routers or app/models.py:52")
    parser.add_argument("--sample", type=int, default=200, help="how many faults to try (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--list", action="store_true", help="show the faults and run nothing")
    options = parser.parse_args()

    possible = [fault for path in sorted((ROOT / "app").rglob("*.py")) for fault in Source(path).faults()]
    wanted = [fault for fault in possible if any(str(fault).startswith(place) for place in options.places)]
    faults = sorted(wanted, key=lambda fault: fault.rank(options.seed))[: options.sample]
    if options.list:
        print("\n".join(f"{fault}\n{fault.diff}" for fault in faults))
        return
    survivors = asyncio.run(find_survivors(faults, options.jobs))
    excused = [fault for fault in survivors if fault.excuse]
    for fault in survivors:
        print(f"\n{fault} survived" + (f", for no test can notice it: {fault.excuse}" if fault.excuse else ""))
        print(fault.diff)
    counted = len(faults) - len(excused)
    score = 100 * (len(faults) - len(survivors)) / max(counted, 1)
    print(f"{len(possible)} faults possible, {counted} tried, {score:.1f} % noticed; {len(excused)} more equivalent")
    sys.exit(score < GOAL)


if __name__ == "__main__":
    main()
