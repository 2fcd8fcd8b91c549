"""Recognises which framework trains in a script, where it saves, and how it is told to go on. Pure."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from outlast_orchestrator.jobfile.draft import (
    DEFAULT_DIR,
    FROM_ENVIRONMENT,
    RESUME_FLAGS,
    Draft,
    Sources,
    at,
    in_a_loop,
    inside,
)
from outlast_orchestrator.jobfile.script import CHECKPOINT_DIR, RESUME_FROM, Call, Script

HF = ("transformers", "trl", "sentence_transformers", "setfit", "unsloth")
LIGHTNING = ("lightning", "pytorch_lightning")
DCP = ("torch.distributed.checkpoint",)


def recognise(scripts: Sequence[Script]) -> Draft:
    """`scripts`: the script first, then what it imports of its own folder."""
    sources, draft = Sources(scripts), Draft()
    rules = (_outlast, _hugging_face, _lightning, _torchtitan, _deepspeed, _accelerate, _dcp, _torch_save)
    if any(rule(sources, draft) for rule in rules):
        _outputs(sources, draft)
    else:
        draft.to_do.append(
            f"no framework was recognised: let it save into the folder {CHECKPOINT_DIR} and go on from "
            f"{RESUME_FROM}, or set checkpoint.dir and checkpoint.resume_args"
        )
    if sources.calls("init_process_group"):
        draft.to_do.append("it makes a process group: with several GPUs, start it with torchrun in run")
    return draft


def _outputs(sources: Sources, draft: Draft) -> None:
    """Where a finished model is left, if that is said in plain words."""
    for script, call in sources.calls("save_model", "save_pretrained"):
        place = script.place(call.argument(0, "output_dir"))
        if place is None or not place.whole or place.flag:
            continue
        folder = place.text.rstrip("/").removeprefix("./")
        if inside(folder) and folder not in (".", draft.dir, *draft.outputs):
            draft.outputs.append(folder)
            draft.found.append(f"{at(call)}: what it leaves is in {folder!r}")


def _is(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value == value


# From the one that says most to the one that says least


def _outlast(sources: Sources, draft: Draft) -> bool:
    where, package = sources.importing("outlast"), ("outlast",)
    if made := sources.of(package, "Checkpointer"):
        draft.framework = "outlast.Checkpointer"
        draft.found.append(f"{at(made[0][1])}: outlast.Checkpointer saves, restores and keeps its place")
        return True
    if not sources.of(package, "should_save") or sources.importing(*HF, *LIGHTNING):
        return False
    draft.framework = "a loop of its own with outlast"
    draft.found.append(f"{where}: a loop that imports outlast")
    sources.resume(draft, f"let it begin from the checkpoint that {RESUME_FROM} names")
    return True


def _hugging_face(sources: Sources, draft: Draft) -> bool:
    arguments = [
        (s, c)
        for s, c in sources.of(HF, "TrainingArguments", "Config")
        if c.last.endswith("TrainingArguments") or c.keyword("output_dir") is not None
    ]
    trainers, parsed = sources.of(HF, "Trainer"), sources.of(HF, "HfArgumentParser")
    if not trainers:
        return False
    draft.framework = "Hugging Face Trainer"
    draft.found.append(f"{at(trainers[0][1])}: makes a {trainers[0][1].last}")
    if peft := sources.importing("peft"):
        draft.framework += " with PEFT"
        draft.found.append(f"{peft}: imports peft: only the adapter is trained and saved")
    if arguments:
        _hf_arguments(*arguments[0], draft, asked=_callback(sources, draft))
    elif parsed:
        draft.arguments = f"--output_dir {draft.dir}"
        draft.found.append(f"{at(parsed[0][1])}: HfArgumentParser takes --output_dir, given in run")
    else:
        draft.unread(at(trainers[0][1]), "output_dir")
    _hf_resume(sources, draft, parsed=bool(parsed))
    return True


def _callback(sources: Sources, draft: Draft) -> bool:
    """Our callback looks at the agent's request itself: no signal is needed."""
    where = sources.importing("outlast.integrations")
    if where:
        draft.found.append(f"{where}: outlast's callback saves when the agent asks, and leaves on a notice")
    return bool(where)


def _hf_arguments(script: Script, call: Call, draft: Draft, *, asked: bool) -> None:
    where, node = at(call), call.argument(0, "output_dir")
    if node is None:
        draft.dir = "trainer_output"
        draft.found.append(f"{where}: no output_dir, so it is the Trainer's own 'trainer_output'")
    else:
        draft.take_place(script, node, where, "output_dir")
    if _is(call.keyword("save_strategy"), "no"):
        draft.to_do.append(
            f"{where}: save_strategy is 'no': there will be nothing to go on from; say 'steps'"
        )
    if _is(call.keyword("enable_jit_checkpoint"), True):
        draft.signal = "TERM"
        draft.found.append(f"{where}: enable_jit_checkpoint: SIGTERM makes it save and leave")
        return
    draft.signal = "none"
    if not asked:
        draft.to_do.append(
            f"{where}: to save when its machine is taken, give the Trainer the OutlastCallback of "
            "outlast.integrations.transformers, or enable_jit_checkpoint=True (transformers 5) and set "
            "checkpoint.signal to TERM"
        )


def _hf_resume(sources: Sources, draft: Draft, *, parsed: bool) -> None:
    trains = sources.calls("train")
    given = [c for _, c in trains if c.argument(0, "resume_from_checkpoint") is not None]
    if not given:
        plain = [at(c) for _, c in trains if not c.node.args]
        draft.to_do.append(
            f"{plain[0] if plain else 'trainer.train()'}: it always begins at 0; write "
            f"train(resume_from_checkpoint={FROM_ENVIRONMENT})"
        )
    elif _is(given[0].argument(0, "resume_from_checkpoint"), True):
        draft.to_do.append(
            f"{at(given[0])}: resume_from_checkpoint=True fails while there is no checkpoint; write "
            f"{FROM_ENVIRONMENT} instead"
        )
    elif parsed and not sources.flag(*RESUME_FLAGS) and not sources.text(RESUME_FROM):
        draft.resume_args = "--resume_from_checkpoint {resume_from}"
        draft.found.append(f"{at(given[0])}: --resume_from_checkpoint takes the checkpoint to go on from")
    else:
        sources.resume(draft, f"{at(given[0])}: give it {FROM_ENVIRONMENT}")


def _lightning(sources: Sources, draft: Draft) -> bool:
    where = sources.importing(*LIGHTNING)
    made, by_words = sources.of(LIGHTNING, "Trainer"), sources.of(LIGHTNING, "LightningCLI")
    if not where or not (made or by_words):
        return False
    draft.framework, draft.signal, draft.dir = "Lightning", "none", "lightning_logs"
    draft.found.append(f"{where}: imports Lightning")
    saves = sources.of(LIGHTNING, "ModelCheckpoint", "OnExceptionCheckpoint")
    paths = [(s, c, "dirpath") for s, c in saves if c.keyword("dirpath") is not None]
    paths += [(s, c, "default_root_dir") for s, c in made if c.keyword("default_root_dir") is not None]
    if paths:
        script, call, name = paths[0]
        draft.take_place(script, call.keyword(name), at(call), name)
    else:
        draft.found.append("neither dirpath nor default_root_dir, so checkpoints are in 'lightning_logs'")
    if by_words:
        draft.resume_args = "--ckpt_path {resume_from}"
        draft.found.append(f"{at(by_words[0][1])}: LightningCLI takes --ckpt_path")
        draft.to_do.append("LightningCLI wants its subcommand in run, e.g. fit")
    else:
        sources.resume(draft, f"trainer.fit always begins at 0: give it ckpt_path={FROM_ENVIRONMENT}")
    on_exception = [
        c for _, c in saves if c.last != "ModelCheckpoint" or _is(c.keyword("save_on_exception"), True)
    ]
    if not _callback(sources, draft) and on_exception:
        draft.signal = "TERM"
        draft.found.append(f"{at(on_exception[0])}: it saves on SIGTERM, which Lightning makes an exception")
    return True


def _torchtitan(sources: Sources, draft: Draft) -> bool:
    where = sources.importing("torchtitan")
    if not where:
        return False
    draft.framework, draft.dir, draft.signal = "torchtitan", "outputs/checkpoint", "none"
    draft.found.append(f"{where}: torchtitan goes on from the newest step in its folder by itself")
    draft.to_do.append("if its dump_folder or checkpoint folder is another one, set checkpoint.dir to it")
    return True


def _deepspeed(sources: Sources, draft: Draft) -> bool:
    saves = sources.calls("save_checkpoint")
    if not sources.importing("deepspeed") or not saves:
        return False
    draft.framework, draft.signal = "DeepSpeed", "none"
    script, call = in_a_loop(saves)
    draft.take_place(script, call.argument(0, "save_dir"), at(call), "save_dir")
    sources.resume(draft, f"let it load_checkpoint the folder that {RESUME_FROM} names, if it is set")
    return True


def _accelerate(sources: Sources, draft: Draft) -> bool:
    saves = sources.calls("save_state")
    if not sources.importing("accelerate") or not saves:
        return False
    draft.framework, draft.signal = "Accelerate", "none"
    script, call = in_a_loop(saves)
    projects = sources.of(("accelerate",), "Accelerator", "ProjectConfiguration")
    named = [(s, c) for s, c in projects if c.keyword("project_dir") is not None]
    if (node := call.argument(0, "output_dir")) is not None:
        draft.take_folder_of(script, node, call, "output_dir")
    elif named and (place := named[0][0].place(named[0][1].keyword("project_dir"))) and place.whole:
        base = place.text.rstrip("/").removeprefix("./")
        folder = DEFAULT_DIR if base in ("", ".") else f"{base}/{DEFAULT_DIR}"
        draft.take_dir(folder, at(named[0][1]), "the folder of automatic names")
    else:
        draft.unread(at(call), "the folder of save_state")
    sources.resume(draft, f"let it load_state the folder that {RESUME_FROM} names, if it is set")
    return True


def _dcp(sources: Sources, draft: Draft) -> bool:
    saves = sources.of(DCP, "save", "async_save")
    if not saves:
        return False
    draft.framework, draft.signal = "torch.distributed.checkpoint", "none"
    script, call = in_a_loop(saves)
    draft.take_folder_of(script, call.keyword("checkpoint_id"), call, "checkpoint_id")
    sources.resume(draft, f"let it load from the folder that {RESUME_FROM} names, if it is set")
    return True


def _torch_save(sources: Sources, draft: Draft) -> bool:
    saves = [(s, c) for s, c in sources.calls("save") if c.name == "torch.save"]
    if not saves:
        return False
    draft.framework, draft.signal = "torch.save", "none"
    script, call = in_a_loop(saves)
    draft.take_folder_of(script, call.argument(1, "f"), call, "the file that torch.save writes")
    sources.resume(
        draft, f"let it load the file that {RESUME_FROM} names, if it is set, and go on at its step"
    )
    return True
