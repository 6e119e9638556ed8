"""The check that all processes of a run have the same weights, bit for bit."""

import hashlib
from collections.abc import Mapping, Sequence

from torch import Tensor

from bertune.errors import BertuneError


def digest_of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Returns a SHA-256 of tensors with their names."""
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).numpy().data.cast("B"))
    return digest.hexdigest()


def refuse_differences(digests: Sequence[str], when: str) -> None:
    """Refuses to go on where the weights of a process are not those of the first.

    Args:
        digests: of the weights of each process, by rank.
        when: for the message.

    Raises:
        BertuneError: names the process.
    """
    for rank, digest in enumerate(digests):
        if digest != digests[0]:
            raise BertuneError(
                f"the weights of process {rank} (from 0) differ from those of process 0 {when}",
                hint="all machines need the same processors, GPUs and versions; if they have, its memory is faulty",
            )
