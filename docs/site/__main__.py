"""Builds the documentation as a site: `make docs`.

Pages keep their places in the repository, so that every link means there what it means here; files that they link to
come along. `reference/` has a page for each public name of bertune, made from its docstring. The build fails on a
broken link, on a public name, parameter or method without documentation, and on a documented parameter that does not
exist.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import griffe
import tomli_w

import bertune

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "build" / "docs-source"
SITE = ROOT / "build" / "docs"
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s:]+)(#[^)\s]*)?\)")
PROJECT = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
NAMES = sorted(set(bertune.__all__) - {"__version__"})

Nav = list[dict[str, "str | Nav"]]


def stage() -> None:
    """Copies every page, and whatever pages link to, to where the site is built from."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    waiting = [ROOT / "README.md", *(ROOT / name for name in PROJECT), *sorted((ROOT / "docs").rglob("*.md"))]
    seen = set(waiting)
    while waiting:
        file = waiting.pop()
        target = SOURCE / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix != ".md":
            shutil.copy(file, target)
            continue
        text = file.read_text(encoding="utf-8")
        linked = {(file.parent / link[3]).resolve() for link in LINK.finditer(text)}
        fresh = {each for each in linked if each.is_file() and ROOT in each.parents} - seen
        seen |= fresh
        waiting += sorted(fresh)
        target.write_text(_without_folders(text, file), encoding="utf-8")


def _without_folders(text: str, page: Path) -> str:
    """Replaces links to folders by their text: a site has no listings."""
    return LINK.sub(lambda link: link[2] if (page.parent / link[3]).is_dir() else link[0], text)


def write_reference(package: griffe.Object | griffe.Alias) -> Nav:
    """Writes a page for each public name and an index of them; returns their part of the navigation."""
    folder = SOURCE / "reference"
    folder.mkdir()
    kinds: dict[str, list[str]] = {"Functions": [], "Classes": []}
    for name in NAMES:
        kinds["Classes" if package[name].is_class else "Functions"].append(name)
        (folder / f"{name}.md").write_text(f"---\ntitle: {name}\n---\n\n::: bertune.{name}\n", encoding="utf-8")
    lines = ["# Reference", "", "Every public name of `bertune`, from its docstring."]
    for title, names in kinds.items():
        lines += ["", f"## {title}", "", "| name | |", "|---|---|"]
        lines += [f"| [`{name}`]({name}.md) | {summary(package[name])} |" for name in names]
    (folder / "index.md").write_text("\n".join([*lines, ""]), encoding="utf-8")
    parts: Nav = [{"Reference": "reference/index.md"}]
    for title, names in kinds.items():
        pages: Nav = [{name: f"reference/{name}.md"} for name in names]
        parts.append({title: pages})
    return parts


def summary(documented: griffe.Object | griffe.Alias) -> str:
    """The first paragraph of a docstring, fit for a cell of a table."""
    text = documented.docstring.value if documented.docstring else ""
    return text.split("\n\n")[0].replace("\n", " ").replace("|", "\\|")


def faults_of(name: str, documented: griffe.Object | griffe.Alias) -> Iterator[str]:
    """Yields what is missing in the docstrings of a public name, of its parameters and of its public methods."""
    if documented.docstring is None:
        yield f"{name}: no docstring"
    else:
        parameters = {each.name.lstrip("*") for each in getattr(documented, "parameters", [])} - {"self", "cls"}
        parameters -= set(class_variables(documented))
        if documented.is_class and any("NamedTuple" in str(base) for base in documented.bases):
            parameters |= {member.name for member in documented.members.values() if member.is_attribute}
        described = described_in(documented, griffe.DocstringSectionKind.parameters)
        yield from (f"{name}: no parameter {each}" for each in sorted(described - parameters))
        if "." not in name:
            # What a base class says holds for those that are derived from it.
            for of_class in [documented, *documented.mro()] if documented.is_class else []:
                described |= described_in(of_class, *griffe.DocstringSectionKind)
            yield from (f"{name}: parameter {each} is not documented" for each in sorted(parameters - described))
    if documented.is_class:
        for member in documented.members.values():
            if member.is_function and not member.name.startswith("_") and not member.inherited:
                yield from faults_of(f"{name}.{member.name}", member)


def class_variables(documented: griffe.Object | griffe.Alias) -> Iterator[str]:
    """Yields what a class has for all of its objects, which griffe takes for parameters of a dataclass."""
    classes = [documented, *documented.mro()] if documented.is_class else []
    for of_class in classes:
        for name, member in of_class.members.items():
            if "ClassVar" in str(getattr(member, "annotation", "")):
                yield name


def described_in(documented: griffe.Object | griffe.Alias, *kinds: griffe.DocstringSectionKind) -> set[str]:
    """The names of parameters, or of attributes, that a docstring describes."""
    sections = documented.docstring.parse("google") if documented.docstring else []
    named = (griffe.DocstringSectionKind.parameters, griffe.DocstringSectionKind.attributes)
    return {
        each.name.lstrip("*")
        for section in sections
        if section.kind in kinds and section.kind in named
        for each in section.value
    }


def navigation() -> Nav:
    """The sections of docs/index.md with the pages that they link to."""
    index = ROOT / "docs" / "index.md"
    sections: Nav = []
    for part in re.split(r"^## ", index.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        links = [link for link in LINK.finditer(part) if link[3].endswith(".md")]
        pages: Nav = [{link[2]: (index.parent / link[3]).resolve().relative_to(ROOT).as_posix()} for link in links]
        sections.append({part.partition("\n")[0]: pages})
    return sections


def main() -> None:
    """Checks the docstrings, puts pages and configuration into build/, and lets Zensical build the site."""
    package = griffe.load("bertune", search_paths=[ROOT / "src"], resolve_aliases=True)
    faults = [fault for name in NAMES for fault in faults_of(name, package[name])]
    if faults:
        sys.exit("\n".join(faults))
    stage()
    config = tomllib.loads((ROOT / "docs" / "site" / "zensical.toml").read_text(encoding="utf-8"))
    nav: Nav = [
        {"bertune": "README.md"},
        {"Documentation": [{"All pages": "docs/index.md"}, *navigation()]},
        {"Reference": write_reference(package)},
        {"Project": [{name.removesuffix(".md").capitalize(): name} for name in PROJECT]},
    ]
    shutil.copy(Path(__file__).with_name("wide.css"), SOURCE)
    config["project"] |= {"docs_dir": SOURCE.name, "site_dir": SITE.name, "nav": nav}
    written = SITE.parent / "zensical.toml"  # paths in it begin where it lies
    written.write_text(tomli_w.dumps(config), encoding="utf-8")
    shutil.rmtree(SITE, ignore_errors=True)
    program = Path(sys.executable).with_name("zensical")
    command = [program, "build", "--clean", "--strict", "--config-file", written]
    sys.exit(subprocess.run(command, cwd=ROOT, check=False).returncode)


if __name__ == "__main__":
    main()
