"""The recipe of the container: it installs what an export needs, and its steps make a server."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml
from tests.end_to_end.world import Run

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, each with its words on one line."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def test_the_group_of_the_container_asks_for_what_the_package_asks_for() -> None:
    values = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = values["project"]["optional-dependencies"]
    known = {*values["project"]["dependencies"], *extras["serve"], *extras["onnx"]}
    runtime = set(values["dependency-groups"]["runtime"])
    assert runtime <= known
    assert set(extras["serve"]) <= runtime
    assert not any(name.startswith(("torch", "transformers", "safetensors")) for name in runtime)


def test_probes_and_ports_are_those_of_the_server() -> None:
    deployment = next(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    probes = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")}
    assert probes == {"startup": "/readyz", "readiness": "/readyz", "liveness": "/healthz"}
    assert container["ports"][0]["containerPort"] == 8000
    assert ("EXPOSE", "8000") in instructions()
    users = [words for kind, words in instructions() if kind == "USER"]
    assert users == ["10001"]
    assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > 30


def answer(address: str, body: object = None) -> tuple[int, object]:
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(address, data), timeout=10) as reply:
            return reply.status, json.loads(reply.read()) if body is not None else None
    except urllib.error.HTTPError as error:
        return error.code, None
    except OSError:
        return 0, None


@pytest.mark.slow
def test_the_steps_of_the_recipe_make_a_server_without_torch(run: Run, trained: Path, tmp_path: Path) -> None:
    exported = tmp_path / "models" / "questions"
    assert run("export", str(trained), str(exported), "--format", "onnx").returncode == 0
    environment, install = tmp_path / "environment", tmp_path / "install"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    install.mkdir()
    (install / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    variables = {**os.environ, "PATH": f"{environment / 'bin'}:{os.environ['PATH']}"}
    build, make = [words for kind, words in instructions() if kind == "RUN"]
    make, _, user = make.rpartition("&&")
    assert user.split()[0] == "useradd"  # of the container alone
    for step, where in ((build.replace("/wheel", str(install / "wheel")), ROOT), (make, install)):
        done = subprocess.run(["/bin/sh", "-ec", step], cwd=where, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    listed = subprocess.run(
        [str(environment / "bin" / "python"), "-m", "pip", "list", "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    names = {entry["name"].lower() for entry in json.loads(listed.stdout)}
    assert "bertune" in names
    assert not names & {"torch", "transformers", "safetensors", "tensorflow", "scipy", "matplotlib", "pyarrow"}

    (start,) = [json.loads(words) for kind, words in instructions() if kind == "ENTRYPOINT"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = [str(environment / "bin" / start[0]), *start[1:], str(exported), "--port", str(port)]
    start[start.index("0.0.0.0")] = "127.0.0.1"
    with (tmp_path / "log").open("w") as log, subprocess.Popen(start, stderr=log, cwd=tmp_path) as server:
        address = f"http://127.0.0.1:{port}"
        try:
            until = time.monotonic() + 60
            while answer(f"{address}/readyz")[0] != 200:
                assert server.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < until
                time.sleep(0.2)
            status, labels = answer(f"{address}/predict", {"inputs": "good film"})
            assert (status, isinstance(labels, list)) == (200, True)
            assert answer(f"{address}/healthz")[0] == 200
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(30) == 0, (tmp_path / "log").read_text()
