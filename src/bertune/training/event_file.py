"""TensorBoard's event files, written without TensorBoard: scalars in protocol buffers, framed as TFRecords.

Source: tensorflow/core/util/event.proto and tensorflow/core/framework/summary.proto for the numbers of the fields.
"""

import os
import socket
import struct
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from bertune.data.formats.record_file import frame_record
from bertune.system.atomic import errors_naming
from bertune.system.protobuf_wire import FIXED32, FIXED64, VARINT, delimited, varint

_VERSION = b"brain.Event:2"


class EventFile:
    """Writes scalars into one event file; each is on disk when `add` returns, so a killed run leaves a readable file.

    Args:
        folder: made if it does not exist; TensorBoard's `--logdir`, or a folder in it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        started = time.time()
        # The name by which TensorBoard finds event files, and tells those of several processes apart.
        name = f"events.out.tfevents.{int(started)}.{socket.gethostname()}.{os.getpid()}"
        self._path = folder / name
        self._stream = self._path.open("wb", buffering=0)
        self._write(started, delimited(3, _VERSION))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with errors_naming(self._path):
            try:
                os.fsync(self._stream.fileno())
            finally:
                self._stream.close()

    def add(self, step: int, values: dict[str, float]) -> None:
        """Writes scalars by their tags.

        Args:
            step: where they stand on the horizontal axis.
            values: tag to value, for instance `train/loss`.
        """
        summary = b"".join(
            delimited(1, delimited(1, tag.encode()) + _key(2, FIXED32) + struct.pack("<f", value))
            for tag, value in values.items()
        )
        self._write(time.time(), _key(2, VARINT) + varint(step) + delimited(5, summary))

    def _write(self, when: float, rest: bytes) -> None:
        with errors_naming(self._path):
            self._stream.write(frame_record(_key(1, FIXED64) + struct.pack("<d", when) + rest))


def _key(number: int, kind: int) -> bytes:
    return varint(number << 3 | kind)
