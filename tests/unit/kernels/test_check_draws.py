"""The numbers by which compiled kernels are checked."""

import numpy as np
import torch

from bertune.kernels.check_draws import value_of


def test_memory_that_nobody_wrote_is_no_number_and_warns_of_nothing() -> None:
    signalling = torch.tensor([0x7FA00000, 0], dtype=torch.int32).view(torch.float32)
    np.testing.assert_array_equal(value_of(signalling), [np.nan, 0])
