"""The stderr in front of the real one looks like it."""

from __future__ import annotations

import io

from flowguardian.ops.own_stderr import HeardStderr


def test_it_has_the_encoding_of_the_stream_behind():
    behind = io.TextIOWrapper(io.BytesIO(), encoding="cp949")
    assert HeardStderr(behind, lambda *_: None).encoding == "cp949"
