"""A worker's server, inside the test's process."""

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.serving.stand_ins import in_loop, served

from bertune.errors import BertuneError, DataError, ResourceError
from bertune.serving.http_server import listening_socket
from bertune.serving.mapped_models import MappedModel
from bertune.serving.open_model import Computing
from bertune.serving.refused_request import RefusedError
from bertune.serving.serving_limits import ServingLimits
from bertune.serving.worker import WorkerOrder, WorkerServer, told_as

ORDER = WorkerOrder(
    models=(MappedModel(name="mood", folder="runs/mood", run=None, mapped="kept/0", is_export=False),),
    computing=Computing(precision="bf16"),
    limits=ServingLimits(max_queue=7),
    api_key=None,
    show_rows=False,
    as_json=True,
    quiet=True,
    listening=3,
    metrics="kept/metrics",
    connections="kept/connections",
    folder="kept",
)


def test_an_order_is_read_as_it_was_given() -> None:
    assert WorkerOrder.of(ORDER.to_dict()) == ORDER
    other = replace(ORDER, models=(*ORDER.models, replace(ORDER.models[0], name="other", run="runs/mood")))
    assert WorkerOrder.of(other.to_dict()) == other != ORDER


def test_a_worker_whose_model_has_failed_ends(tmp_path: Path) -> None:
    def fail(_predictor) -> None:
        raise SystemExit

    async def ask() -> None:
        async with served(tmp_path) as inside:
            server = WorkerServer(inside.app, ServingLimits(drain_timeout=5), backlog=1)
            server.capture_signals = contextlib.nullcontext
            with listening_socket("127.0.0.1", 0) as taken:
                serving = asyncio.ensure_future(server.serve(sockets=[taken]))
                while not server.started:
                    await asyncio.sleep(0.01)
                assert not server.has_failed
                with pytest.raises(RefusedError):
                    await inside.state.model().call(fail)
                await asyncio.wait_for(serving, 10)
            assert server.has_failed
            assert '"a model has stopped working"' in inside.logged()

    in_loop(ask())


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (DataError("bad", hint="mend"), DataError, "bad"),
        (MemoryError(), ResourceError, "not enough memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:1] can't allocate memory"), ResourceError, "not enough memory"),
        (KeyError("x"), BertuneError, "unexpected KeyError: 'x'"),
    ],
)
def test_what_ends_a_worker_is_told_as_an_error_of_a_kind(error: Exception, kind: type, words: str) -> None:
    told = told_as(error)
    assert type(told) is kind
    assert words in told.message
