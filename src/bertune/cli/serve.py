"""`bertune serve`."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from bertune.cli.options import ComputeOptions, OutputOptions
from bertune.cli.terminal import say
from bertune.errors import ConfigError

if TYPE_CHECKING:
    from bertune.serving.served_model import ServedModel
    from bertune.serving.serving_limits import ServingLimits

#: The variable with the key itself; a flag would show it to everybody who lists processes.
KEY_VARIABLE: Final = "BERTUNE_SERVE_API_KEY"
_SHORTEST_KEY: Final = 16
_LONGEST_KEY: Final = 4096


@dataclass(frozen=True, kw_only=True)
class ListenOptions:
    """Where the server listens, and to whom.

    Args:
        host: interface; 0.0.0.0 is all of them, for everybody who reaches this machine.
        port: 0 takes a free one, which is printed.
        api_key_file: file with a key that every request must show, as Authorization: Bearer KEY; the variable
            BERTUNE_SERVE_API_KEY may hold the key itself.
        max_connections: at a time; others get 503.
        hide_rows: show no rows of the data: on the page at / neither validation rows as examples to pick nor the
            training rows nearest to a text, and no reports of runs.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    api_key_file: Path | None = None
    max_connections: int = 1000
    hide_rows: bool = False


@dataclass(frozen=True, kw_only=True)
class RequestOptions:
    """What a request may ask for.

    Args:
        max_body_bytes: of a request; a larger one gets 413.
        max_texts: texts, or pairs, of a request; more get 413.
        max_characters: of one text; more get 422.
        request_timeout: seconds from the head of a request to its answer; 504 beyond.
    """

    max_body_bytes: int = 2_000_000
    max_texts: int = 32
    max_characters: int = 100_000
    request_timeout: float = 30.0


@dataclass(frozen=True, kw_only=True)
class QueueOptions:
    """How requests wait, and are computed together.

    Args:
        max_queue: texts that wait for one model; more get 429.
        queue_deadline: seconds that a request may be expected to wait for its turn; 429 beyond.
        max_batch_tokens: that are computed at a time.
        max_wait: milliseconds that a batch which others may still join waits for them.
        drain_timeout: seconds that what is in flight has after SIGTERM.
    """

    max_queue: int = 2048
    queue_deadline: float = 1.0
    max_batch_tokens: int = 2048
    max_wait: float = 2.0
    drain_timeout: float = 25.0


@dataclass(frozen=True, kw_only=True)
class ServedOutput(OutputOptions):
    """What is logged.

    Args:
        json: write the log as one JSON object a line; no text of a request stands in it.
        quiet: log no requests but those that fail by a fault of the server.
    """


@dataclass(frozen=True, kw_only=True)
class ServedCompute(ComputeOptions):
    """Where and how models answer.

    Args:
        precision: in which the layers of a run or model compute; bf16 is faster where the processor multiplies it
            natively.
        device: where to compute; auto takes the GPU where torch finds one.
        workers: processes that answer at the one address; they share the weights and divide the processors.
    """

    workers: int = 1


def serve(
    *runs: str,
    listen: Annotated[ListenOptions, Parameter(name="*")] = ListenOptions(),
    requests: Annotated[RequestOptions, Parameter(name="*")] = RequestOptions(),
    queue: Annotated[QueueOptions, Parameter(name="*")] = QueueOptions(),
    compute: Annotated[ServedCompute, Parameter(name="*")] = ServedCompute(),
    output: Annotated[ServedOutput, Parameter(name="*")] = ServedOutput(),
) -> None:
    """Serve fine-tuned models over HTTP, on this machine alone unless told otherwise.

    POST /predict takes {"inputs": "text"}, or a pair ["text", "second text"], or a list of such lists, and answers with
    every label and its score. TensorFlow Serving's and the Open Inference Protocol's routes are there too; /docs lists
    all, /metrics is for Prometheus. The page at / is for trying a model by hand. SIGTERM ends the server after what is
    in flight is answered.

    An export to ONNX is served without torch.

    Args:
        runs: runs, models or exports to ONNX; NAME=FOLDER gives one a name, which otherwise is that of its folder. The
            first answers where a request names none.
        listen: where, and to whom.
        requests: what a request may ask for.
        queue: how requests wait.
        compute: where and how runs and models answer.
        output: what is logged.
    """
    _check_extra()
    from bertune.serving.application import ServingSettings
    from bertune.serving.event_log import EventLog
    from bertune.serving.http_server import address_of, allow_connections, listening_socket
    from bertune.serving.open_model import Computing, named_folders, open_model
    from bertune.serving.served_run import serve_models

    if not runs:
        raise ConfigError("nothing to serve is named", hint="bertune serve RUN")
    limits = _limits(listen, requests, queue)
    if compute.workers != 1:
        from bertune.serving.served_by_workers import SharedServing, check_workers, serve_by_workers

        check_workers(compute.workers)
    allow_connections(limits)
    api_key = _api_key(listen.api_key_file)
    folders = named_folders(runs)
    computing = Computing(precision=compute.precision, device=compute.device)
    with listening_socket(listen.host, listen.port) as listening:
        address = address_of(listening)
        log = EventLog(as_json=output.json, quiet=output.quiet)

        def warn() -> None:
            if listen.host not in ("127.0.0.1", "localhost", "::1") and api_key is None:
                say(f"warning: whoever reaches {address} may ask: no --api-key-file is set, and there is no encryption")

        if compute.workers > 1:
            serving = SharedServing(
                folders=folders,
                computing=computing,
                limits=limits,
                api_key=api_key,
                show_rows=not listen.hide_rows,
                as_json=output.json,
                quiet=output.quiet,
            )
            warn()
            serve_by_workers(
                serving, listening, compute.workers, log, on_ready=lambda: log.event("listening", address=address)
            )
            return
        sources = [open_model(name, folder, computing) for name, folder in folders.items()]

        def tell(models: "list[ServedModel]") -> None:
            for model in models:
                log.event("serving", model=model.name, computed_by=model.computed_by, folder=str(model.folder))
            log.event("listening", address=address)

        warn()
        settings = ServingSettings(limits=limits, log=log, api_key=api_key, show_rows=not listen.hide_rows)
        serve_models(sources, listening, settings, on_ready=tell)


def _check_extra() -> None:
    try:
        import httptools  # noqa: F401
        import prometheus_client  # noqa: F401
        import pydantic  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"bertune serve needs {error.name}", hint='pip install "bertune[serve]"') from error


def _limits(listen: ListenOptions, requests: RequestOptions, queue: QueueOptions) -> "ServingLimits":
    """Checks the numbers of the flags.

    Raises:
        ConfigError: one is below what can work.
    """
    from bertune.serving.serving_limits import ServingLimits

    if not 0 <= listen.port <= 65_535:
        raise ConfigError(f"--port must be from 0 to 65,535, not {listen.port}")
    values = {
        "max_body_bytes": requests.max_body_bytes,
        "max_texts": requests.max_texts,
        "max_characters": requests.max_characters,
        "request_timeout": requests.request_timeout,
        "max_queue": queue.max_queue,
        "queue_deadline": queue.queue_deadline,
        "max_batch_tokens": queue.max_batch_tokens,
        "max_connections": listen.max_connections,
        "drain_timeout": queue.drain_timeout,
    }
    for name, value in values.items():
        if not value > 0:
            raise ConfigError(f"--{name.replace('_', '-')} must be above 0, not {value}")
    if not queue.max_wait >= 0:
        raise ConfigError(f"--max-wait must be at least 0 milliseconds, not {queue.max_wait}")
    return ServingLimits(
        max_body_bytes=requests.max_body_bytes,
        max_texts=requests.max_texts,
        max_characters=requests.max_characters,
        request_timeout=requests.request_timeout,
        max_queue=queue.max_queue,
        queue_deadline=queue.queue_deadline,
        max_batch_tokens=queue.max_batch_tokens,
        max_wait=queue.max_wait / 1000,
        max_connections=listen.max_connections,
        drain_timeout=queue.drain_timeout,
    )


def _api_key(file: Path | None) -> bytes | None:
    """Reads the key.

    Raises:
        ConfigError: it stands in two places, or is no key.
    """
    from bertune.system.bounded_file import read_bounded

    given = os.environ.get(KEY_VARIABLE)
    if given is not None and file is not None:
        raise ConfigError(f"--api-key-file and {KEY_VARIABLE} are both set", hint="leave one of them out")
    if given is None and file is None:
        return None
    where = KEY_VARIABLE if file is None else str(file)
    key = (given or "").encode() if file is None else read_bounded(file, _LONGEST_KEY, error=ConfigError)
    key = key.strip()
    if len(key) < _SHORTEST_KEY or not key.isascii() or any(not 32 < byte < 127 for byte in key):
        raise ConfigError(
            f"{where}: a key has at least {_SHORTEST_KEY} printable characters without spaces",
            hint="make one: openssl rand -hex 32",
        )
    return key
