"""Ends the reading of an answer that takes too long. Python imports this module first where its folder is on PYTHONPATH.

img2dataset bounds only the silence of a server: one that sends a byte each second would hold a connection, and so a shard, for ever.
HELIP_READ_SECONDS is how long the body of one answer may take.
"""

import http.client
import os
import time

_read = http.client.HTTPResponse.read


def _read_in_time(self, amt=None):
    if amt is not None:
        return _read(self, amt)
    parts, ends = [], time.monotonic() + float(os.environ["HELIP_READ_SECONDS"])
    while part := self.read1(1 << 16):
        parts.append(part)
        if time.monotonic() > ends:
            raise TimeoutError("timed out: the answer took too long")
    if self.length:  # the connection ended early
        raise http.client.IncompleteRead(b"".join(parts), self.length)
    return b"".join(parts)


if "HELIP_READ_SECONDS" in os.environ:
    http.client.HTTPResponse.read = _read_in_time  # type: ignore[method-assign]
