"""Damaged golden checkpoints: each damage is detected, or is in bytes that restoring an encoder does not read."""

import random
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
import torch
from tests.golden.tf_checkpoints_folder import unpack
from torch import Tensor

from bertune.checkpoints.restore import restore
from bertune.errors import CheckpointError
from bertune.models.bert import BertConfig
from bertune.models.encoder import Encoder

FLIPS, TRUNCATIONS, MOST_BYTES = 1000, 100, 64_000_000


class Victim:
    """A checkpoint to damage, and what it holds while it is sound."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.folder = unpack(kind, folder)
        self.files = sorted([*self.folder.rglob("*.index"), *self.folder.rglob("*.data-*")])
        self.sound = {path: path.read_bytes() for path in self.files}
        self.encoder = Encoder.from_config(BertConfig.from_json_file(self.folder / "bert_config.json"))
        self.names, self.expected = self.restored()

    def restored(self) -> tuple[list[str], list[Tensor]]:
        receipt = restore(self.encoder, self.folder).assert_consumed()
        return receipt.lines(), [parameter.detach().clone() for parameter in self.encoder.parameters()]

    def outcome(self, path: Path, content: bytes) -> str:
        path.write_bytes(content)
        try:
            names, values = self.restored()
        except CheckpointError as error:
            # A message without the file would count as neither.
            return "detected" if str(path.parent) in error.message else "unnamed"
        finally:
            path.write_bytes(self.sound[path])
        assert names == self.names
        assert all(torch.equal(one, other) for one, other in zip(values, self.expected, strict=True))
        return "changes nothing"


# How many of the flips hit bytes that nobody reads: padding of the footer; optimizer's slots and heads.
@pytest.mark.parametrize(
    ("kind", "most_harmless"),
    [
        ("functional", 5),
        pytest.param("tf1", 400, marks=pytest.mark.slow),
        pytest.param("classifier", 400, marks=pytest.mark.slow),
        pytest.param("hub", 150, marks=pytest.mark.slow),
    ],
)
def test_every_flipped_bit_is_detected_or_changes_nothing(kind: str, most_harmless: int, tmp_path: Path) -> None:
    victim, draw = Victim(kind, tmp_path), random.Random(7)
    counts: Counter[str] = Counter()
    for number in range(FLIPS):
        path = victim.files[number % 2]
        content = bytearray(victim.sound[path])
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        counts[victim.outcome(path, bytes(content))] += 1
    print(kind, dict(counts))
    assert counts.total() == FLIPS
    assert counts["changes nothing"] <= most_harmless


@pytest.mark.parametrize("kind", ["functional", "classifier", "tf1", "hub"])
def test_every_truncation_is_detected(kind: str, tmp_path: Path) -> None:
    victim, draw = Victim(kind, tmp_path), random.Random(8)
    counts: Counter[str] = Counter()
    for number in range(TRUNCATIONS):
        path = victim.files[number % 2]
        kept = draw.randrange(len(victim.sound[path]))
        counts[victim.outcome(path, victim.sound[path][:kept])] += 1
    print(kind, dict(counts))
    assert counts == {"detected": TRUNCATIONS}


def test_damage_allocates_little(tmp_path: Path) -> None:
    victim, draw = Victim("hub", tmp_path), random.Random(9)
    most = 0
    for number in range(60):
        path = victim.files[number % 2]
        content = bytearray(victim.sound[path])
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        tracemalloc.start()
        victim.outcome(path, bytes(content))
        most = max(most, tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert most < MOST_BYTES
