"""Recording steps: when, what is run, and what happens where it fails."""

from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from bertune.training import step_graphs
from bertune.training.step_graphs import StepGraphs, cuda_recorder


class Device:
    """Notes what runs, and how."""

    def __init__(self) -> None:
        self.log: list[tuple[str, tuple[int, ...]]] = []
        self.recording = False
        self.broken = False

    def step(self, *shape: int) -> None:
        if not self.recording:
            self.log.append(("run", shape))
        self.last = shape

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        self.recording = True
        try:
            step()
            if self.broken:
                raise RuntimeError("operation not permitted\nwhen stream is capturing")
        finally:
            self.recording = False
        shape = self.last
        self.log.append(("record", shape))
        return lambda: self.log.append(("replay", shape))


def test_each_shape_is_run_then_recorded_then_replayed() -> None:
    device = Device()
    graphs = StepGraphs(device.step, device.record)
    for tokens in (64, 128, 64, 64, 128):
        graphs.run(8, tokens)
    small, large = (8, 64), (8, 128)
    assert device.log == [
        *(("run", small), ("run", large)),
        *(("record", small), ("replay", small), ("replay", small)),
        *(("record", large), ("replay", large)),
    ]


def test_where_recording_fails_every_step_is_taken_all_the_same_and_the_reason_is_told() -> None:
    device = Device()
    graphs = StepGraphs(device.step, device.record)
    for tokens in (64, 64, 128):
        graphs.run(8, tokens)
    device.broken = True
    with pytest.warns(RuntimeWarning, match="without CUDA graphs: operation not permitted when stream is capturing"):
        graphs.run(8, 128)
    graphs.run(8, 128)
    graphs.run(8, 64)  # what was recorded before is still good
    taken = [(how, shape) for how, shape in device.log if how != "record"]
    assert taken == [
        *(("run", (8, 64)), ("replay", (8, 64)), ("run", (8, 128))),
        *(("run", (8, 128)), ("run", (8, 128)), ("replay", (8, 64))),
    ]


def test_without_a_recorder_every_step_runs_as_it_is() -> None:
    device = Device()
    graphs = StepGraphs(device.step, None)
    for _ in range(3):
        graphs.run(8, 64)
    assert device.log == [("run", (8, 64))] * 3


@pytest.mark.parametrize("breaks", [False, True])
def test_a_recording_that_breaks_off_leaves_stream_and_generator_as_they_were(
    breaks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[object] = []
    cuda = SimpleNamespace(
        graph_pool_handle=lambda: None,
        CUDAGraph=lambda: SimpleNamespace(replay=lambda: log.append("replay")),
        default_generators=[SimpleNamespace(clone_state=lambda: "state", graphsafe_set_state=log.append)],
        current_stream=lambda device: "stream",
        set_stream=log.append,
        device=lambda device: nullcontext(),
        graph=lambda graph, pool: nullcontext(),
    )
    monkeypatch.setattr(step_graphs.torch, "cuda", cuda)

    def step() -> None:
        if breaks:
            raise RuntimeError("operation not permitted when stream is capturing")

    record = cuda_recorder(torch.device("cuda", 0))
    with pytest.raises(RuntimeError, match="capturing") if breaks else nullcontext():
        record(step)()
    assert log == (["stream", "state"] if breaks else ["replay"])
