"""Names and texts use the words of the field: no household metaphors, no bare participles as names."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORDS = re.compile(  # but math.floor
    r"(?<!\.)\b(seats?|desks?|houses?|household|lanes?|lots?|rooms?|floors?|whoever|thereof|whereof|kin|"
    r"foretells?|foretold|bookkeeping|clerks?|errands?|heed|amiss|erstwhile|hitherto)\b",
    re.IGNORECASE,
)
PARTICIPLES = set(
    "found asked made given taken held kept told said seen known shown drawn written chosen wanted named left done "
    "gone put sought got".split()
)
KEYS = {  # names that files have as keys, by module; `left` is of Jinja's signature
    "analysis/baseline_file": {"asked"},
    "experiments/cost": {"written"},
    "metrics/base": {"held", "seen"},
    "records/comparison": {"asked"},
    "report/engine_check": {"given"},
    "report/repair": {"chosen"},
    "report/sweep": {"chosen", "made"},
    "results/measurements": {"seen"},
    "sandbox": {"left"},
    "stats/gate_forecast": {"found"},
    "training/memory": {"held"},
}


def names(tree: ast.Module) -> set[str]:
    """All names that a module binds."""
    stored = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    arguments = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    return (
        stored | arguments | {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    )


def test_no_word_is_used_that_the_field_does_not_use() -> None:
    files = [path for folder in ("evalharness", "reports", "docs") for path in (ROOT / folder).rglob("*.*")]
    texts = [path for path in (*files, *ROOT.glob("*.md")) if path.suffix in (".py", ".md", ".jinja")]
    assert not [f"{path}: {match[0]}" for path in texts for match in WORDS.finditer(path.read_text("utf-8"))]


def test_no_name_is_a_bare_participle() -> None:
    package = ROOT / "evalharness"
    bound = {
        str(path.relative_to(package).with_suffix("")): names(ast.parse(path.read_text("utf-8"))) & PARTICIPLES
        for path in package.rglob("*.py")
    }
    assert {module: each for module, each in bound.items() if each} == KEYS
