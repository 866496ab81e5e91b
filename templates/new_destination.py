"""`./dev new-destination NAME`: copies `templates/destination` under another name and registers it."""

import re
import subprocess
import sys
from pathlib import Path

TEMPLATE = Path(__file__).with_name("destination")
REGISTRY = Path("stream/destinations/__init__.py")
LAST = '\n}\n"""What a destination\'s `type` may be."""'


def main(names: list[str]) -> int:
    """Make one destination in the checkout that is the working directory."""
    if len(names) != 1 or not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", names[0]):
        print("new-destination takes one NAME: small letters, digits and underscores, as in splio_sms", file=sys.stderr)
        return 2
    [name] = names
    folder, tests = Path("stream/destinations") / name, Path("tests/destinations") / name
    if folder.exists() or tests.exists():
        print(f"there is a {name} already: {folder} or {tests}", file=sys.stderr)
        return 1
    prefix = "".join(word.capitalize() for word in name.split("_"))
    for source in sorted(TEMPLATE.rglob("*.*")):
        within = source.relative_to(TEMPLATE)
        target = tests / within if within.parts[0] == "cases" else folder / within
        if "__pycache__" not in source.parts:
            _write(target, _renamed(source.read_text(encoding="utf-8"), name, prefix))
    _write(tests / "__init__.py", "")
    _register(name, prefix)
    for tidying in (("check", "--fix"), ("format",)):  # the order of imports depends on the name
        subprocess.run([sys.executable, "-m", "ruff", *tidying, "--quiet", folder], check=True)  # noqa: S603
    print(f"{folder}: settings.py, preset.yaml, client.py, sandbox.py, one reason to open each\n{tests}/cases")
    print(f"now: ./dev test tests/contract/test_destinations.py tests/destinations -k {name}")
    return 0


def _renamed(text: str, name: str, prefix: str) -> str:
    return text.replace("acme", name).replace("Acme", prefix).replace("ACME", name.upper())


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def _register(name: str, prefix: str) -> None:
    text = REGISTRY.read_text(encoding="utf-8")
    if text.count(LAST) != 1:
        raise SystemExit(f"{REGISTRY}: add the line of {name} to REGISTRY yourself")
    _write(REGISTRY, text.replace(LAST, f'\n    "{name}": Registration("{name}", "{prefix}"),{LAST}'))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
