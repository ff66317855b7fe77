"""A docker for tests: the few commands that are asked of it, over containers in a JSON file beside it.

Rule: it prints what the real one prints for these commands, and writes down every call.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STATE = "STAND_IN_DOCKER"
"""Environment variable: the folder of `containers.json` and `calls.txt`."""


def container(
    image="postgres:16", status="running", health="healthy", env=(), labels=None, after="running",
    ports="0.0.0.0:5432->5432/tcp", output="", exit_code=0, looks=0,
):  # fmt: skip
    """A container; `after` is its status once started, `looks` how often it is then still starting."""
    return {
        "image": image, "status": status, "health": health, "env": list(env), "labels": labels or {},
        "after": after, "ports": ports, "output": output, "exit_code": exit_code, "looks": looks,
    }  # fmt: skip


def install(folder: Path, containers=None, broken="") -> dict[str, str]:
    """Put it on a PATH of its own and return the environment that finds it; `broken` is all it then says."""
    folder.mkdir()
    state = {"containers": containers or {}, "broken": broken}
    (folder / "containers.json").write_text(json.dumps(state), encoding="utf-8")
    call = f'"{sys.executable}" -m tests.stand_in_docker'
    if sys.platform == "win32":
        (folder / "docker.cmd").write_text(f"@{call} %*\r\n", encoding="utf-8")
    else:
        script = folder / "docker"
        script.write_text(f'#!/bin/sh\nexec {call} "$@"\n', encoding="utf-8")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    path = os.pathsep.join([str(folder), os.environ["PATH"]])
    return {"PATH": path, STATE: str(folder), "PYTHONPATH": str(ROOT)}


def calls(folder: Path) -> list[str]:
    """What was asked of it."""
    path = folder / "calls.txt"
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def main() -> int:
    """Answer one call."""
    folder = Path(os.environ[STATE])
    path = folder / "containers.json"
    state = json.loads(path.read_text(encoding="utf-8"))
    with (folder / "calls.txt").open("a", encoding="utf-8") as file:
        file.write(" ".join(sys.argv[1:]) + "\n")
    if state["broken"]:
        sys.stderr.write(state["broken"] + "\n")
        return 1
    code = COMMANDS[sys.argv[1]](state["containers"], sys.argv[2:])
    path.write_text(json.dumps(state), encoding="utf-8")
    return code


def inspect(containers, arguments) -> int:
    name = arguments[-1]
    found = containers.get(name)
    if found is None:
        sys.stderr.write(f"Error: No such container: {name}\n")
        return 1
    state = {"Status": found["status"], "ExitCode": found["exit_code"]}
    if found["health"]:
        log = [{"ExitCode": 1, "Output": found["output"]}]
        health = "starting" if found["looks"] else found["health"]
        state["Health"] = {"Status": health, "Log": log}
    found["looks"] = max(0, found["looks"] - 1)
    config = {"Image": found["image"], "Labels": found["labels"], "Env": found["env"]}
    sys.stdout.write(json.dumps([{"Name": f"/{name}", "State": state, "Config": config}]))
    return 0


def start(containers, arguments) -> int:
    containers[arguments[0]]["status"] = containers[arguments[0]]["after"]
    sys.stdout.write(arguments[0] + "\n")
    return 0


def ps(containers, arguments) -> int:
    for name, found in containers.items():
        line = {"Names": name, "Image": found["image"], "State": found["status"], "Ports": found["ports"]}
        sys.stdout.write(json.dumps(line) + "\n")
    return 0


COMMANDS = {"inspect": inspect, "start": start, "ps": ps}

if __name__ == "__main__":
    sys.exit(main())
