"""`./dev check` asks osv.dev what is known against the versions that are pinned here.

Where it does not answer nothing is audited: that is said aloud, and fails nothing.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

FILES = [str(Path(__file__).with_name(name)) for name in ("runtime.txt", "dev.txt", "bench.txt")]
SERVICE = "https://api.osv.dev/v1/query"
SECONDS = 45


def main(service: str = SERVICE) -> int:
    """The exit code: 1 where something is known."""
    try:
        found = answers(service)
    except (subprocess.TimeoutExpired, ValueError) as error:
        return say(f"NOT AUDITED: {service} gives no answer that can be read ({error})", code=0)
    known = {each["name"] + " " + each["version"]: each["vulns"] for each in found if each.get("vulns")}
    for name, vulnerabilities in known.items():
        ids = ", ".join(each["id"] for each in vulnerabilities)
        versions = sorted({version for each in vulnerabilities for version in each["fix_versions"]})
        say(f"{name}: {ids}; fixed in {', '.join(versions) or 'no version yet'}", code=1)
    if known:
        return say("look each up at https://osv.dev/ID; `./dev lock -P NAME` takes a newer version", code=1)
    return say(f"nothing is known against the {len({each['name'] for each in found})} pinned packages", code=0)


def answers(service: str) -> list[dict[str, Any]]:
    """What is known of each package. Raises ValueError with pip-audit's last words where it could not be asked."""
    # osv, not the package index: one purpose, and pins with hashes need no index to be resolved
    told = ["--vulnerability-service", "osv", "--osv-url", service, "--timeout", "10", "--format", "json"]
    files = [word for file in FILES for word in ("--requirement", file)]
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip_audit",
            *told,
            *files,
            "--disable-pip",
            "--require-hashes",
            "--progress-spinner=off",
        ],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    try:
        dependencies: list[dict[str, Any]] = json.loads(ran.stdout)["dependencies"]
    except ValueError:
        last = ran.stderr.strip().rpartition("\n")[2] or f"exit code {ran.returncode}"
        raise ValueError(last.partition(":")[0]) from None
    return dependencies


def say(text: str, *, code: int) -> int:
    """A line for whoever typed the command."""
    print(f"audit: {text}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
