"""Requests computed together: the same numbers as alone, and a fault that stays with the text it belongs to."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.serving.stand_ins import SINGLE, WORDS, TokenSums, in_loop, served, source_of, tokenizer_in

from bertune.data.examples import Examples
from bertune.errors import BertuneError
from bertune.evaluation.labelled_rows import TextRows
from bertune.serving.refused_request import RefusedError
from bertune.serving.served_model import ServedModel
from bertune.serving.serving_limits import ServingLimits
from bertune.serving.serving_metrics import ModelMetrics, ServingMetrics

TEXT = st.lists(st.sampled_from(("good", "bad", "film", "else")), max_size=40).map(" ".join)


def probabilities(predictor: TokenSums, texts: list[str]) -> np.ndarray:
    from bertune.evaluation.predictions import predictions_by

    return predictions_by(predictor, TextRows(Examples.from_lists(texts))).probabilities


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=st.lists(st.lists(TEXT, min_size=1, max_size=6), min_size=1, max_size=12))
def test_each_request_gets_the_answers_of_its_own_texts(tmp_path: Path, requests: list[list[str]]) -> None:
    async def ask() -> None:
        async with served(tmp_path, seconds=0.0005) as server:
            model = server.state.model()
            answers = await asyncio.gather(*(model.predict(Examples.from_lists(texts)) for texts in requests))
            for texts, answer in zip(requests, answers, strict=True):
                assert np.allclose(answer.probabilities, probabilities(server.predictor, texts), atol=1e-6)

    in_loop(ask())


def test_what_comes_while_the_model_computes_is_computed_together(tmp_path: Path) -> None:
    async def ask() -> None:
        async with served(tmp_path, seconds=0.05) as server:
            model = server.state.model()
            await asyncio.gather(*(model.predict(Examples.from_lists(["good film"])) for _ in range(20)))
            assert len(server.predictor.batches) <= 3

    in_loop(ask())


@pytest.mark.parametrize("word", ["poison", "endless"])
def test_a_text_that_the_model_fails_on_fails_alone(tmp_path: Path, word: str) -> None:
    async def ask() -> None:
        async with served(tmp_path, seconds=0.02) as server:
            model = server.state.model()
            texts = ["good", f"bad {word}", "bad film", "film"] * 3
            answers = await asyncio.gather(
                *(model.predict(Examples.from_lists([text])) for text in texts), return_exceptions=True
            )
            assert any(len(batch) > 1 for batch in server.predictor.batches)
            for text, answer in zip(texts, answers, strict=True):
                if word in text:
                    assert isinstance(answer, RefusedError)
                    assert answer.kind == "poisoned"
                else:
                    assert np.allclose(answer.probabilities, probabilities(server.predictor, [text]), atol=1e-6)

    in_loop(ask())


def test_what_nobody_waits_for_is_not_computed(tmp_path: Path) -> None:
    async def ask() -> None:
        async with served(tmp_path, seconds=0.2) as server:
            model = server.state.model()
            first = asyncio.ensure_future(model.predict(Examples.from_lists(["good"])))
            await asyncio.sleep(0.05)
            given_up = asyncio.ensure_future(model.predict(Examples.from_lists(["bad film"] * 30)))
            await asyncio.sleep(0.05)
            given_up.cancel()
            await first
            await model.predict(Examples.from_lists(["film"]))
            assert sum(map(len, server.predictor.batches)) == 2
            assert 'dropped_sequences_total{model="mood"} 30.0' in server.state.metrics.text().decode()

    in_loop(ask())


def test_a_queue_that_is_full_or_too_slow_refuses_and_recovers(tmp_path: Path) -> None:
    limits = ServingLimits(max_queue=40, queue_deadline=0.2)

    async def ask() -> None:
        async with served(tmp_path, limits=limits, seconds=0.2) as server:
            model = server.state.model()
            # Many more than are computed at a time and may wait.
            waiting = [asyncio.ensure_future(model.predict(Examples.from_lists(["good"] * 8))) for _ in range(30)]
            answers = await asyncio.gather(*waiting, return_exceptions=True)
            refused = [answer for answer in answers if isinstance(answer, RefusedError)]
            assert refused
            assert len(refused) < len(answers)
            assert all(answer.kind == "overloaded" and answer.retry_after >= 1 for answer in refused)
            assert len(await model.predict(Examples.from_lists(["good"]))) == 1

    in_loop(ask())


def test_a_call_is_made_between_batches_in_the_thread_of_the_model(tmp_path: Path) -> None:
    async def ask() -> None:
        async with served(tmp_path, seconds=0.05) as server:
            model = server.state.model()
            order: list[str] = []

            async def predicted(text: str) -> None:
                await model.predict(Examples.from_lists([text]))
                order.append("predicted")

            def explain(predictor: TokenSums, word: str) -> int:
                order.append("called")
                return predictor.tokenizer.convert_tokens_to_ids([word])[0]

            first = asyncio.ensure_future(predicted("good"))
            await asyncio.sleep(0.01)
            call = asyncio.ensure_future(model.call(explain, "film"))
            second = asyncio.ensure_future(predicted("bad"))
            assert await call == WORDS.index("film")
            await asyncio.gather(first, second)
            assert order[-1] == "called" or order.index("called") > 0
            with pytest.raises(ZeroDivisionError):
                await model.call(lambda _predictor: 1 / 0)

    in_loop(ask())


def test_a_model_that_fails_at_its_first_text_is_not_served(tmp_path: Path) -> None:
    predictor = TokenSums(tokenizer_in(tmp_path), SINGLE)
    predictor.answer = lambda _ids: np.full(2, np.nan)
    model = ServedModel(source_of(predictor, tmp_path), ServingLimits(), ModelMetrics(ServingMetrics(), "mood"))
    with pytest.raises(BertuneError, match="cannot be served"):
        in_loop(model.start())
    model.stop()


def test_a_model_whose_thread_ends_is_not_ready_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    async def ask() -> None:
        async with served(tmp_path) as server:
            model = server.state.model()

            def end(_predictor: TokenSums) -> None:
                raise SystemExit

            answers = await asyncio.gather(model.call(end), model.call(lambda _predictor: 1), return_exceptions=True)
            assert all(isinstance(answer, RefusedError) for answer in answers)
            with pytest.raises(RefusedError):
                await model.predict(Examples.from_lists(["good"]))
            assert (await server.client.get("/readyz")).status_code == 503
            assert (await server.client.post("/predict", json={"inputs": "good"})).status_code == 503
            assert (await server.client.get("/healthz")).status_code == 200

    in_loop(ask())
