"""`./dev check` compares the licence of every package that runs with us with `licences.txt` and those we accept.

`python requirements/licences.py write` writes that file, as `./dev lock` does. A package for another system keeps its
line.
"""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

LIST = Path(__file__).with_name("licences.txt")
PINS = Path(__file__).with_name("runtime.txt")
ACCEPTED = {  # none asks anything of what only uses the package
    *("Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "PSF-2.0"),
    *("EPL-2.0", "MPL-2.0"),  # of changes to the package itself only
}
MEANT = {  # what packages write that do not use the names of SPDX
    "Apache 2": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
READ = {
    "colorama": "BSD-3-Clause",
    "pyreqwest": "Apache-2.0",
}  # in its LICENSE: metadata that says nothing, or is not here


def main(write: bool) -> int:
    """The exit code: 1 where a licence is not accepted, not known, or not in the list."""
    before = dict(line.split(maxsplit=1) for line in LIST.read_text("utf-8").splitlines()) if LIST.exists() else {}
    found = {name: licence_of(name) or before.get(name, "") for name in pinned()}
    wrong = [
        f"{name} is under {licence or 'no licence that it names'}"
        for name, licence in found.items()
        if not fine(licence)
    ]
    if write:
        LIST.write_text("".join(f"{name:<20} {licence}\n" for name, licence in found.items()), "utf-8")
    elif found != before:
        wrong.append(f"{LIST.name} is not up to date: `./dev lock` writes it")
    for each in wrong:
        print(f"licences: {each}", file=sys.stderr)
    return 1 if wrong else 0


def pinned() -> Iterator[str]:
    """The name of each package that runs with us, on any system."""
    yield from re.findall(r"^([a-z0-9][a-z0-9._-]*)==", PINS.read_text("utf-8"), re.MULTILINE)


def licence_of(name: str) -> str:
    """Its SPDX expression, as far as the installed package says; empty where it is not installed or says nothing."""
    try:
        said = metadata(name)
    except PackageNotFoundError:
        return READ.get(name, "")
    classes = [
        each.rpartition(" :: ")[2] for each in said.get_all("Classifier") or () if each.startswith("License :: ")
    ]
    short = (said.get_all("License") or [""])[0]
    text = (said.get_all("License-Expression") or [""])[0] or (short if 0 < len(short) < 50 else " AND ".join(classes))
    return READ.get(name) or MEANT.get(text, text)


def fine(expression: str) -> bool:
    """Whether an SPDX expression leaves us a licence that is accepted."""
    while (inner := re.sub(r"\(([^()]*)\)", lambda m: "MIT" if fine(m[1]) else "refused", expression)) != expression:
        expression = inner
    return any(all(name.strip() in ACCEPTED for name in one.split(" AND ")) for one in expression.split(" OR "))


if __name__ == "__main__":
    sys.exit(main(write="write" in sys.argv[1:]))
