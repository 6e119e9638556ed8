"""The masked CRC32C that TensorFlow puts beside everything it writes.

Source: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details.
"""

from collections.abc import Iterable

import google_crc32c

_CHUNK_BYTES = 1 << 20


def masked(crc: int) -> int:
    """Rotates a CRC32C and adds a constant, so that a CRC over data with CRCs in it stays sound."""
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(parts: Iterable[memoryview | bytes]) -> int:
    """Returns the CRC32C of all parts one after another; at most 1 MiB is copied at a time."""
    crc = 0
    for part in parts:
        for start in range(0, len(part), _CHUNK_BYTES):
            # The C function takes bytes only.
            crc = google_crc32c.extend(crc, bytes(part[start : start + _CHUNK_BYTES]))
    return crc
