"""Tokens: in no command line, in no environment of a trainer, in no file that others may read."""

from __future__ import annotations

import hashlib
import json
import stat
import subprocess
from pathlib import Path

from tests.e2e.stage import PYTHON, Stage, one_line
from tests.e2e.trainers import COUNT, COUNTER

LIMIT_S = 30.0


def _holders(folder: Path, tokens: list[bytes]) -> set[Path]:
    """Every file under the folder that holds one of the tokens in clear."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return {path for path in files if any(token in _body(path) for token in tokens)}


def _body(path: Path) -> bytes:
    """Nothing, if its job has removed it meanwhile."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def test_tokens_are_seen_nowhere(shared: Stage) -> None:
    env = {"STEPS": "100000", "TRACK": str(shared.folder / "secret.track")}
    job = shared.submit("secret", {"counter.py": COUNTER}, run=COUNT, env=env)
    shared.until_saved(job)
    configs = list(shared.home.rglob("agent.json"))
    assert configs
    admin = (shared.home / "token").read_text().strip().encode()
    tokens = [admin, (shared.home / "node.key").read_text().strip().encode()]
    tokens += [json.loads(path.read_bytes())["token"].encode() for path in configs]
    assert all(len(token) >= 32 for token in tokens)
    everyone = shared.processes()
    assert any("counter.py" in command for command in everyone.values())
    for pid in everyone:
        shown = (Path("/proc") / str(pid) / "cmdline").read_bytes()
        shown += (Path("/proc") / str(pid) / "environ").read_bytes()
        assert not any(token in shown for token in tokens), shown
    holders = _holders(shared.folder, tokens)
    assert {path.name for path in holders} <= {"token", "node.key", "agent.json"}
    assert len(holders) == 2 + len(configs)
    for path in holders:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(shared.home.stat().st_mode) == 0o700
    shared.outlast("cancel", "secret")
    shared.until_state(job, "CANCELLED")


SHOWS = """
import hashlib, os, time
from pathlib import Path
value = os.environ["HF_TOKEN"]
print("logging in with", value, flush=True)
Path("seen.txt").write_text(hashlib.sha256(value.encode()).hexdigest())
save = Path(os.environ["OUTLAST_CHECKPOINT_DIR"])
(save / ".new").write_text("1")
(save / ".new").rename(save / "step_1.bin")
while not Path(os.environ["GO"]).exists():
    time.sleep(0.1)
"""


def test_a_secret_reaches_the_trainer_and_nobody_else(shared: Stage) -> None:
    value, go = "hf_0123456789abcdef", shared.folder / "secret.go"
    file = shared.job_file("hidden", {"shows.py": SHOWS}, run=f"{PYTHON} shows.py", secrets=["HF_TOKEN"])
    refused = shared.outlast("submit", file, "-y", code=2).err
    one_line(refused, "there is no secret HF_TOKEN on the server; `outlast secret set HF_TOKEN` makes one")
    shared.outlast("secret", "set", "HF_TOKEN", piped=value)
    job = shared.submit(
        "hidden",
        {"shows.py": SHOWS},
        run=f"{PYTHON} shows.py",
        secrets=["HF_TOKEN"],
        env={"GO": str(go)},
        outputs=["seen.txt"],
    )
    shared.until_saved(job)
    for pid, command in shared.processes().items():
        assert value not in command
        shown = (Path("/proc") / str(pid) / "environ").read_bytes()
        assert (value.encode() in shown) == ("shows.py" in command), command
    go.touch()
    shared.until_state(job, "SUCCEEDED")
    shared.outlast("outputs", "get", "hidden", shared.desk / "hidden-got")
    told = (shared.desk / "hidden-got" / "seen.txt").read_text()
    assert told == hashlib.sha256(value.encode()).hexdigest()
    logs = shared.outlast("logs", "hidden").out
    assert f"logging in with {'*' * len(value)}" in logs
    holders = _holders(shared.folder, [value.encode()])
    # What the trainer printed itself lies on its machine, for this user alone, and ends with it.
    assert {path.name for path in holders} <= {"HF_TOKEN", "output.log"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in holders)


def test_a_wrong_token_is_refused_in_one_line(shared: Stage) -> None:
    url = shared.server_url()
    ran = shared.outlast("ps", code=4, OUTLAST_URL=url, OUTLAST_TOKEN="0" * 43)
    one_line(ran.err, url, "token")


def test_a_nodes_token_opens_nothing_but_its_own_reports(shared: Stage, tmp_path: Path) -> None:
    env = {"STEPS": "100000", "TRACK": str(tmp_path / "track")}
    job = shared.submit("own-token", {"counter.py": COUNTER}, run=COUNT, env=env)
    shared.until_saved(job)
    (config,) = [
        found
        for found in (json.loads(path.read_bytes()) for path in shared.home.rglob("agent.json"))
        if found["job"] == job
    ]
    ran = shared.outlast("ps", code=4, OUTLAST_URL=config["api_url"], OUTLAST_TOKEN=config["token"])
    one_line(ran.err, "token")
    shared.outlast("cancel", "own-token")
    shared.until_state(job, "CANCELLED")


def test_an_agent_with_a_wrong_token_says_so_and_gets_nothing_to_do(shared: Stage, tmp_path: Path) -> None:
    url = shared.server_url()
    config = tmp_path / "node" / "agent.json"
    config.parent.mkdir()
    body = {"api_url": url, "token": "wrong", "job": "j", "owner": "o", "instance": "l-1"}
    config.write_text(json.dumps({**body, "storage": f"file://{tmp_path}/bucket"}))
    command = [PYTHON, "-I", "-m", "outlast", "--config", str(config)]
    config.chmod(0o644)
    refused = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert refused.returncode == 2
    one_line(refused.stderr, str(config), "chmod 600")
    config.chmod(0o600)
    agent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        log = config.parent / "logs" / "output.log"
        shared.until("it says why", lambda: log.exists() and "401" in log.read_text())
    finally:
        agent.terminate()
        printed, _ = agent.communicate(timeout=LIMIT_S)
    (line,) = [line for line in log.read_text().splitlines() if "401" in line]
    assert line.startswith("[outlast] reports do not get through: ")
    assert "token" in line
    assert printed == ""
