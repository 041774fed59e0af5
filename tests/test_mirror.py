"""A file of tests has the place and the name of the module that it tests; its name may go on with what of it."""

from pathlib import Path

TESTS = Path(__file__).resolve().parent
SUBJECTS = {"end_to_end", "faults", "soak"}  # folders of what many modules together hold
ALONE = {
    "ci_files": "action.yml, the hook and the examples of CI",
    "docs": "the pages in docs/",
    "layers": "the tree of the package",
    "mirror": "this",
    "wheel": "the built package",
    "words": "the words of the package and the pages",
    "training/command": "`evalharness train`, on the small models of tests/training",
}


def names(file: Path) -> set[str]:
    """What a file of tests may be called after: modules and packages of its folder's counterpart."""
    folder = file.parent.relative_to(TESTS)
    tree = TESTS.parent / ("" if folder.parts[:1] in (("benchmarks",), ("fixtures",)) else "evalharness") / folder
    listed = {Path(name).name for name in ALONE if Path(name).parent == folder}
    return {path.stem for path in tree.glob("*") if path.suffix == ".py" or path.is_dir()} | listed


def test_files_of_tests_are_called_after_what_they_test() -> None:
    files = [path for path in TESTS.rglob("test_*.py") if path.parent.name not in SUBJECTS]
    assert not [str(f) for f in files if not any(f"{f.stem}_".startswith(f"test_{name}_") for name in names(f))]
    assert not [name for name in ALONE if not [*TESTS.joinpath(name).parent.glob(f"test_{Path(name).name}*.py")]]
