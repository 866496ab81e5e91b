"""What the benchmarks judge by: the stand-in's own log, in whichever protocol it is asked, and what is made of it."""

from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import trustme

from benchmarks.arrivals import Arrived, Log, faults
from benchmarks.bare import BODY, PATH
from benchmarks.kills import judged
from benchmarks.processes import run, running_vendor
from benchmarks.results import Section
from benchmarks.subjects import Task, other

LOG = Log(contacts=["a", "b", "c"], numbers=[0, 1, 2], arrived=[1.0, 1.1, 1.2], answered=[1.5, 1.6, 1.7])


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `Bench.certificates` is one."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    return folder


@pytest.mark.parametrize("protocol", ["plain", "HTTP/1.1 with TLS", "HTTP/2"])
def test_the_vendor_counts_what_the_bare_client_sends(protocol: str, certificates: Path, tmp_path: Path) -> None:
    """Each request once, over as many connections as the protocol needs."""
    tls, http2 = None if protocol == "plain" else certificates, protocol == "HTTP/2"
    options = [*(("--tls", tls) if tls else ()), *(("--http2",) if http2 else ())]
    with running_vendor(1, 0, tls=tls, http2=http2) as vendor:
        run("benchmarks.bare", vendor.port, 500, 8, *options, folder=tmp_path, timeout=60)
        assert 500 == vendor.count()

    assert (500, 8, 0) == (vendor.arrived.count, vendor.arrived.in_flight, vendor.arrived.refused)
    assert ((1, 1) if http2 else (8, 0)) == (vendor.arrived.connections, vendor.arrived.http2)


def test_a_refused_contact_is_not_among_the_arrivals(tmp_path: Path) -> None:
    """Its calls are counted apart: the rate is that of the others."""
    with running_vendor(0, 0, refuse="contact.00000@example.com", log=tmp_path / "log.json") as vendor:
        assert 500 == httpx.put(vendor.url + PATH, content=BODY, trust_env=False).status_code
        assert 0 == vendor.count()

    assert (0, 1) == (vendor.arrived.count, vendor.arrived.refused)
    assert [] == vendor.log.numbers


def test_a_run_in_which_something_is_missing_or_late_does_not_count() -> None:
    """The judge finds each fault by itself."""
    whole = LOG.judged(in_flight=2, refused=0, connections=1, http2=0, cpu_seconds=0.1)

    def found(ordered: bool = True, **changes: int) -> int:
        changed: Arrived = replace(whole, **changes)
        return len([*faults(changed, count=3, in_flight=2, ordered=ordered)])

    assert 0 == found()
    assert [1, 1, 1, 1, 1] == [
        found(distinct=2, count=2),
        found(count=4),
        found(out_of_order=1),
        found(overlapping=1),
        found(in_flight=3),
    ]
    assert 0 == found(ordered=False, out_of_order=1, overlapping=1)


def test_repeats_are_judged_beside_what_was_in_flight_and_just_delivered() -> None:
    """Killed at 2.0: 0 was delivered long before, 1 just before, 2 was in flight; 1 and 2 come again, 3 is new."""
    log = Log(
        contacts=["a", "b", "c", "b", "c", "d"],
        numbers=[0, 1, 2, 1, 2, 3],
        arrived=[1.0, 1.8, 1.9, 12.5, 12.6, 12.7],
        answered=[1.1, 1.9, 2.1, 12.6, 12.7, 12.8],
    )

    [kill] = judged(log, kills=[2.0], restarts=[2.5])

    assert (3, 1, 1, 2, 10.0) == (kill.arrived, kill.in_flight, kill.in_interval, kill.repeats, kill.seconds)
    assert 2 == kill.bound


def test_what_never_was_answered_was_in_flight() -> None:
    """A log says null for no answer."""
    log = Log.loads(b'{"contacts": ["a"], "numbers": [0], "arrived": [1.0], "answered": [null]}')

    [kill] = judged(log, kills=[2.0], restarts=[2.5])

    assert (1, 0) == (kill.in_flight, kill.repeats)


def test_another_program_is_one_command_line(tmp_path: Path) -> None:
    """What it is to do is filled in; a name that there is not is an error at once."""
    task = Task("broker:9092", "events", "group 1", "http://vendor", 64, tmp_path)

    program = other("pipe", "/opt/bin/pipe --set 'from {bootstrap}' --group {group} {topic} {url} {in_flight}")

    words = ["/opt/bin/pipe", "--set", "from broker:9092", "--group", "group 1", "events", "http://vendor", "64"]
    assert words == program.command(task)
    assert ("pipe", False, False) == (program.name, program.ordered, program.ends)
    with pytest.raises(KeyError):
        other("pipe", "pipe {brokers}")


def test_a_section_is_a_table() -> None:
    """Its columns are those of its first row; what makes it invalid stands with the remarks."""
    section = Section("A", "A: fast", [{"x": "1", "y": "2"}, {"x": "3"}], ["a remark"], [], ["not valid"])

    text = "## A: fast\n\n| x | y |\n| --- | --- |\n| 1 | 2 |\n| 3 |  |\n\n- a remark\n- not valid"
    assert text == str(section)
