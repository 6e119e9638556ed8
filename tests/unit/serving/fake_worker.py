"""A worker without a model, that does what a plan in a folder says; run by `WorkerProcess`.

A plan is a list of lives by the number of the worker: `serve`, `raise`, `die`, `die later`, `hang`, `lose`.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path

from bertune.serving.supervision import Supervision


def main() -> None:
    number = sys.argv[2]
    supervision = Supervision()
    order = supervision.read()
    folder = Path(order["folder"])
    lives = folder / f"lives-{number}"
    with lives.open("a") as file:
        file.write(f"{os.getpid()}\n")
    plan = json.loads((folder / "plan.json").read_text()).get(number, ["serve"])
    life = plan[min(len(lives.read_text().split()), len(plan)) - 1]
    if life == "raise":
        supervision.tell(raised={"kind": "DataError", "message": "the rows are bad", "hint": "mend them"})
        os._exit(3)
    if life == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    stop, go = threading.Event(), threading.Event()
    supervision.heed(order["kept"], lambda word: {"go": go, "stop": stop}[word].set())
    if life == "slow":
        threading.Event().wait()
    supervision.tell(ready={"number": number})
    go.wait()
    (folder / f"went-{number}-{os.getpid()}").touch()
    if life == "die later":
        os._exit(7)
    stop.wait()
    if life == "hang":
        threading.Event().wait()
    os._exit(9 if life == "lose" else 0)
