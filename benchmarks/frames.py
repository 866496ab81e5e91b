"""As much of HTTP/2's frames (RFC 9113) as the stand-in and the bare client need.

Compression is kept without state, so that equal heads are equal bytes and are read once. The other side's windows are
not counted: one that gives less room than the calls in flight need would end the connection, and the run fails.
"""

import struct
from collections.abc import Iterator, Mapping

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7, 0x8
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20

HEADER_TABLE_SIZE, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 0x1, 0x3, 0x4
STREAMS = 1_000  # at once on a connection; vendors allow about 100
WINDOW = 1 << 30  # bytes that may come without being asked for: more than a run sends


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame (section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


OPENING = frame(
    SETTINGS,
    0,
    0,
    struct.pack(">HIHIHI", HEADER_TABLE_SIZE, 0, MAX_CONCURRENT_STREAMS, STREAMS, INITIAL_WINDOW_SIZE, WINDOW),
) + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", WINDOW))
"""What either side begins with: no table, wide windows."""


def frames(data: bytes) -> Iterator[tuple[int, int, int, bytes, int]]:
    """Each complete frame in *data*: kind, flags, stream, payload, and where it ends."""
    start = 0
    while len(data) - start >= 9:
        high, low, kind, flags, stream = struct.unpack_from(">BHBBI", data, start)
        end = start + 9 + (high << 16 | low)
        if end > len(data):
            return
        yield kind, flags, stream, data[start + 9 : end], end
        start = end


def block(head: Mapping[str, str]) -> bytes:
    """Header fields, compressed without use of a table."""
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    return encoder.encode(head.items())
