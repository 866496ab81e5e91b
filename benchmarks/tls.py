"""A and B over HTTPS, by HTTP/1.1 and by HTTP/2, and how many connections that takes."""

from dataclasses import asdict, replace
from statistics import median
from typing import Any

from benchmarks.bench import Asked, Bench
from benchmarks.results import Section, spread
from benchmarks.scenarios import PROTOCOLS, A, B
from benchmarks.subjects import CRMSTREAM
from benchmarks.throughput import run, shortfalls

CALLS = 100_000  # what the number of connections is about


def measure(bench: Bench, asked: Asked) -> Section:
    """Each scenario by each protocol that the vendor offers; which one was spoken is the vendor's to say."""
    rows: list[dict[str, str]] = []
    figures: list[dict[str, Any]] = []
    short: list[str] = []
    for scenario in (replace(plain, tls=protocol) for plain in (A, B) for protocol in PROTOCOLS):
        ceiling = bench.ceiling(scenario, asked.events)
        runs = [run(bench, CRMSTREAM, scenario, asked.events) for _ in range(asked.repeat)]
        rate = median(each.events_per_second for each in runs)
        opened = sum(each.arrived.connections for each in runs)
        calls = sum(each.arrived.count for each in runs)
        rows.append(
            {
                "scenario": scenario.name,
                "vendor offers": "HTTP/2, HTTP/1.1" if scenario.tls == "HTTP/2" else "HTTP/1.1",
                "spoken": "HTTP/2" if any(each.arrived.http2 for each in runs) else "HTTP/1.1",
                "events/s": spread([each.events_per_second for each in runs]),
                "CPU µs/event": spread([each.cpu_us_per_event for each in runs]),
                "connections for 100,000 calls": f"{opened * CALLS / calls:,.0f}",
                "peak MB": f"{max(each.peak_mb for each in runs):.0f}",
                "vendor alone, requests/s": f"{ceiling:,.0f} ({ceiling / rate:.1f} times)",
            }
        )
        figures.append({"scenario": asdict(scenario), "vendor_alone": ceiling, "runs": [asdict(each) for each in runs]})
        short += shortfalls(scenario, ceiling, runs)
    return Section(
        name="tls",
        title="A and B over HTTPS",
        rows=rows,
        remarks=[
            "TLS 1.3, with a certificate of an authority of our own (`http.ca_file`); `http2: true` for HTTP/2.",
        ],
        figures=figures,
        shortfalls=short,
    )
