"""A trainer that saves only when its last save is the head: so two runs do the same things in the same order.

It imports nothing of ours, and checks what it resumes from byte for byte. `python -I -S` runs it.
"""

import hashlib
import json
import os
import time

ENV = os.environ
ROOT = ENV["OUTLAST_CHECKPOINT_DIR"]
ROOM = ENV["ROOM"]  # the test's: `track` tells what happened, `finish` asks for the end
SAVES = int(ENV["SAVES"])
SAVE_EVERY = 10
VOCABULARY = b"the same in every checkpoint " * 100
HEAD_LIMIT_S = float(ENV.get("HEAD_LIMIT_S", "30"))
STEP_S = 0.01


def tell(*words: object) -> None:
    with open(f"{ROOM}/track", "a") as file:
        file.write(" ".join(map(str, (ENV["OUTLAST_GENERATION"], *words))) + "\n")


def body(step: int) -> bytes:
    return hashlib.sha256(str(step).encode()).digest() * int(ENV.get("SIZE", "300"))


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def save(step: int, request: str = "") -> None:
    name = f"step-{step:09d}"
    temp = f"{ROOT}/.saving-{name}-{os.getpid()}"
    os.mkdir(temp)
    files = {"step": str(step).encode(), "model": body(step), "vocabulary": VOCABULARY}
    marked = [{"path": path, "size": len(data)} for path, data in sorted(files.items())]
    marker = {"files": marked, "format": 1, "request": request, "step": step}
    for path, data in {**files, "outlast.json": json.dumps(marker).encode()}.items():
        with open(f"{temp}/{path}", "wb") as file:
            file.write(data)
    os.rename(temp, f"{ROOT}/{name}")


def save_somehow(step: int, request: str = "") -> None:
    """A disk that refuses costs the save, not the training."""
    try:
        save(step, request)
    except OSError as error:
        tell("not-saved", step, error.errno)


def progress(step: int) -> None:
    with open(ENV["OUTLAST_PROGRESS"], "a") as file:
        file.write(json.dumps({"step": step, "polls": True}) + "\n")


def head() -> int:
    try:
        found = json.loads(read(ENV["POINTER"]))["head"]
    except OSError:
        return 0
    return int(found["step"]) if found else 0


def await_head(step: int) -> None:
    end_s = time.monotonic() + HEAD_LIMIT_S
    while head() < step:
        if time.monotonic() > end_s:
            tell("late", step)
            raise SystemExit(9)
        time.sleep(STEP_S)


def begin() -> int:
    tell("pid", os.getpid())
    start = ENV.get("OUTLAST_RESUME_FROM")
    if start is None:
        tell("began")
        return 0
    step = int(read(f"{start}/step"))
    whole = read(f"{start}/model") == body(step) and read(f"{start}/vocabulary") == VOCABULARY
    tell("resumed", step, "whole" if whole else "TORN")
    return step


def answered(step: int, done: set[str]) -> None:
    """Saves when it is asked to, and leaves when that was the final one."""
    try:
        request = json.loads(read(ENV["OUTLAST_SAVE_REQUEST"]))
    except OSError:
        return
    if request["id"] in done:
        return
    done.add(request["id"])
    save_somehow(step, request["id"])
    answer = {"id": request["id"], "step": step, "path": "", "leaving": request["final"]}
    with open(ENV["OUTLAST_SAVE_ANSWER"] + ".new", "w") as file:
        json.dump(answer, file)
    os.rename(ENV["OUTLAST_SAVE_ANSWER"] + ".new", ENV["OUTLAST_SAVE_ANSWER"])
    if request["final"]:
        tell("left", step)
        raise SystemExit(0)


def main() -> None:
    step = begin()
    progress(step)
    for _ in range(SAVES):
        step = (step // SAVE_EVERY + 1) * SAVE_EVERY
        save(step)
        progress(step)
        await_head(step)
    done: set[str] = set()
    while ENV["LAST"] != "done" and not os.path.exists(f"{ROOM}/finish"):
        step += 1
        if ENV["LAST"] == "train":  # on and on, saving in its own rhythm
            tell("step", step)
            if step % SAVE_EVERY == 0:
                save_somehow(step)
        progress(step)
        answered(step, done)
        time.sleep(STEP_S)
    with open("curve.txt", "a") as file:
        file.write(f"{step}\n")
    with open(ENV["OUTLAST_DONE"], "w") as file:
        file.write("{}")
    tell("done", step)


if __name__ == "__main__":
    main()
