"""Steps recorded as CUDA graphs, one for each shape, and replayed: one launch in the place of hundreds."""

import warnings
from collections.abc import Callable, Hashable
from contextlib import ExitStack
from typing import Any

import torch

Replay = Callable[[], None]
Record = Callable[[Callable[[], None]], Replay]


class StepGraphs:
    """Runs a step as it is the first time that a shape comes, records it the second time, and replays it from then on.

    The first run makes what may not be made while recording: libraries' handles, workspaces and the optimizer's state.
    A shape that comes once is not worth a recording. Where recording fails, a
    warning says why and every step runs as it is from then on.

    Args:
        step: does all its work on the device, on tensors that stay where they are.
        record: records what it is given, without running it, and returns what replays it; None records nothing.
    """

    def __init__(self, step: Callable[..., None], record: Record | None) -> None:
        self._step = step
        self._record = record
        self._seen: set[Hashable] = set()
        self._replays: dict[Hashable, Replay] = {}

    def run(self, *shape: int) -> None:
        """Takes a step of a shape."""
        if shape in self._seen and shape not in self._replays and self._record is not None:
            try:
                self._replays[shape] = self._record(lambda: self._step(*shape))
            except Exception as error:  # nothing has run yet, so the step can be taken as it is
                self._record = None
                reason = " ".join(str(error).split())[:200] or type(error).__name__
                warnings.warn(f"training goes on without CUDA graphs: {reason}", RuntimeWarning, stacklevel=2)
        self._seen.add(shape)
        if shape in self._replays:
            self._replays[shape]()
        else:
            self._step(*shape)


def cuda_recorder(device: torch.device) -> Record:
    """Returns what records CUDA graphs that share their memory, as they never run side by side."""
    pool = torch.cuda.graph_pool_handle()

    def record(step: Callable[[], None]) -> Replay:
        graph: Any = torch.cuda.CUDAGraph()
        generator = torch.cuda.default_generators[device.index or 0]
        # A recording that breaks off may leave the generator waiting for its end, and work going to its own stream.
        untouched, stream = generator.clone_state(), torch.cuda.current_stream(device)
        with ExitStack() as put_back:
            put_back.callback(generator.graphsafe_set_state, untouched)
            put_back.callback(torch.cuda.set_stream, stream)
            with torch.cuda.device(device), torch.cuda.graph(graph, pool=pool):
                step()
            put_back.pop_all()  # it was recorded to its end
        replay: Replay = graph.replay
        return replay

    return record
