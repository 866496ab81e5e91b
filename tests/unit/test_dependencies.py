"""What `./dev check` says of the packages that are pinned: what is known against them, and their licences."""

import json
import re
import runpy
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[2] / "requirements"
KNOWN = {"id": "PYSEC-2026-1", "affected": [{"ranges": [], "package": {"name": "h11", "ecosystem": "PyPI"}}]}


@contextmanager
def service(status: int, vulnerable: str = "") -> Iterator[str]:
    """A stand-in for osv.dev, which knows something of one package. (https://google.github.io/osv.dev/post-v1-query/)"""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            body = json.dumps({"vulns": [KNOWN]} if asked["package"]["name"] == vulnerable else {}).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "status,vulnerable,code,said",
    [
        (200, "h11", 1, r"audit: h11 \S+: PYSEC-2026-1; fixed in no version yet"),
        (503, "", 0, r"audit: NOT AUDITED: "),
    ],
)
def test_the_audit_fails_for_what_is_known_and_says_when_nobody_answers(
    status: int, vulnerable: str, code: int, said: str
) -> None:
    """Each pinned package is asked for; silence is no approval, and no failure either."""
    with service(status, vulnerable) as address:
        ran = subprocess.run(
            [sys.executable, str(REQUIREMENTS / "audit.py"), address], capture_output=True, text=True, timeout=60
        )

    assert code == ran.returncode, ran.stderr
    assert re.match(said, ran.stderr)


@pytest.mark.parametrize(
    "expression,accepted",
    [
        ("MIT", True),
        ("EPL-2.0 OR GPL-2.0-or-later", True),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", True),
        ("MPL-2.0 AND (GPL-3.0-only OR AGPL-3.0-only)", False),
        ("MIT AND GPL-3.0-only", False),
        ("Proprietary", False),
        ("", False),
    ],
)
def test_a_licence_is_accepted_where_it_leaves_us_a_choice(expression: str, accepted: bool) -> None:
    """By SPDX expressions."""
    assert accepted is runpy.run_path(str(REQUIREMENTS / "licences.py"))["fine"](expression)


def test_the_list_of_licences_is_up_to_date() -> None:
    """Every package that runs with us, and nothing that we do not accept."""
    assert 0 == runpy.run_path(str(REQUIREMENTS / "licences.py"))["main"](write=False)
