"""The guide names what the server has."""

import re
from pathlib import Path

from tests.unit.serving.stand_ins import SINGLE, in_loop, served

from bertune.cli.app import make_app
from bertune.cli.unknown_options import flags_of
from bertune.serving.route_descriptions import described_routes

GUIDE = (Path(__file__).parents[3] / "docs" / "guides" / "serving.md").read_text(encoding="utf-8")


def test_every_flag_of_the_verb_is_in_the_guide() -> None:
    usual = {"--help", "--help-all", "--config", "--version", "--device"}
    assert [flag for flag in sorted(flags_of(make_app(), "serve") - usual) if flag not in GUIDE] == []


def test_every_route_is_in_the_guide_and_in_the_application(tmp_path: Path) -> None:
    async def ask() -> None:
        async with served(tmp_path) as server:
            for route in described_routes(SINGLE):
                assert route.path.replace("{name}", "NAME") in GUIDE
                path = route.path.replace("{name}", "mood")
                answer = await server.client.request(route.method, path, json=route.example)
                assert answer.status_code == 200, path

    in_loop(ask())


def test_every_metric_of_the_guide_is_measured(tmp_path: Path) -> None:
    async def ask() -> None:
        async with served(tmp_path) as server:
            await server.client.post("/predict", json={"inputs": []})
            text = (await server.client.get("/metrics")).text
            named = set(re.findall(r"bertune_[a-z_]+", GUIDE))
            assert {name for name in named if name not in text} == set()
            measured = set(re.findall(r"^# HELP (bertune_\w+)", text, flags=re.MULTILINE))
            assert {name for name in measured if name not in named} == set()

    in_loop(ask())
