"""Files packed as senders pack them."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pyarrow as pa


def packed(path: Path, content: bytes, suffix: str) -> Path:
    """Write a file, packed as the suffix says."""
    path = path.with_name(path.name + suffix)
    match suffix:
        case ".gz":
            path.write_bytes(gzip.compress(content))
        case ".zst":
            path.write_bytes(pa.compress(content, codec="zstd", asbytes=True))
        case ".zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("inside.csv", content)
        case _:
            path.write_bytes(content)
    return path
