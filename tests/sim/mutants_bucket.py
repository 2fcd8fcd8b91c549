"""Mutants of the pointer and the bucket: verbs, commits, restores, pruning, keys."""

from __future__ import annotations

from tests.sim.mutants_edit import edit
from tests.sim.mutants_hunt import HARSH, POINTER, Mutant

CLOSURE = "closure"
CHAIN = "the chain of parents is linear"
ONE_WAY = "leaving is one-way"
CLAIM = "no claim over a living attempt"
REFERENCES = "only the parent's objects are named again"
RESUME = "resume from the head's chain"
BUCKET = (
    Mutant(
        "prune before the write is applied",
        (
            edit(
                "outlast.bucket.owner:PointerOwner._advance",
                "return self._build_advance(found, made)",
                "after, leaving = self._build_advance(found, made); self._left += leaving; "
                "self._delete_left(); return after, leaving",
            ),
        ),
        (CLOSURE,),
        POINTER,
    ),
    Mutant(
        "return to `kept`",
        (edit("outlast.bucket.commit:Commit.find_made", "manifest.parent != pointer.head or ", ""),),
        (ONE_WAY, CHAIN),
        POINTER,
    ),
    Mutant(
        "collect higher generations",
        (
            edit(
                "outlast.bucket.prune:_is_older",
                "generation_of(name) < generation",
                "generation_of(name) != generation",
            ),
        ),
        (CLOSURE,),
        POINTER,
        seed=9,
    ),
    Mutant(
        "reference outside the parent",
        (
            edit(
                "outlast.bucket.manifest:unfit",
                "if (entry.key, entry.size, entry.hash) not in named and not sibling:",
                "if False:",
            ),
        ),
        (REFERENCES, CLOSURE),
        POINTER,
    ),
    Mutant(
        "re-naming decided before the head moved",
        (
            edit(
                "outlast.bucket.commit:Commit.make",
                "unfit(draft.name, draft.files, self._head(head)",
                "unfit(draft.name, draft.files, self._head(draft.base)",
            ),
        ),
        (REFERENCES, CLOSURE),
        POINTER,
        seed=2,
    ),
    Mutant(
        "an equal generation counts as mine whatever the body",
        (edit("outlast.bucket.pointer:judge_own", " and found == sent", ""),),
        (CLOSURE, CHAIN),
        POINTER,
        seed=1,
    ),
    Mutant(
        "a lower generation stops a claimer",
        (
            edit(
                "outlast.bucket.pointer:judge_own",
                "if found.generation < me.generation:\n        if claimed:",
                "if found.generation < me.generation:\n        if True:",
            ),
        ),
        ("every job comes to its end",),
        HARSH,
    ),
    Mutant(
        "a closed generation instead of a closed writer",
        (
            edit(
                "outlast.bucket.pointer:_may_step_over",
                "if them in permission.closed:",
                "if them.generation in [one.generation for one in permission.closed]:",
            ),
        ),
        (CLAIM,),
        POINTER,
        seed=1,
    ),
    Mutant(
        "a permission without its (generation, writer)",
        (
            edit(
                "outlast.bucket.pointer:_may_step_over",
                "if permission.over_ended == them:",
                "if permission.over_ended is not None:",
            ),
        ),
        (CLAIM,),
        POINTER,
        seed=31,
    ),
    Mutant(
        "claim over whatever is there",
        (edit("outlast.bucket.pointer:_may_step_over", "if them in permission.closed:", "if True:"),),
        (CLAIM,),
        POINTER,
    ),
    Mutant(
        "claim over `ended`",
        (edit("outlast.bucket.pointer:_may_step_over", "if permission.over_ended == them:", "if True:"),),
        (CLAIM,),
        POINTER,
    ),
    Mutant(
        "404 means step 0",
        (
            edit(
                "outlast.bucket.pointer:_judge_first_claim",
                "if permission.durable_step is not None:",
                "if False:",
                "if past:",
                "if False:",
            ),
        ),
        (RESUME,),
        POINTER,
        seed=3,
    ),
    Mutant(
        "order by step",
        (
            edit(
                "outlast.bucket.verbs:build_advance",
                "if ref != head), head)",
                "if ref != head), head); head = max(kept, key=lambda ref: ref.step)",
            ),
        ),
        (CHAIN, RESUME),
        POINTER,
    ),
    Mutant(
        "pointer before data",
        (
            edit("outlast.save.upload:_Job.send", "except Exists:", "except BucketError:"),
            edit(
                "outlast.bucket.manifest:unfit", "elif present.get(entry.key) != entry.size:", "elif False:"
            ),
        ),
        (CLOSURE,),
        POINTER,
    ),
    Mutant(
        "the same key twice",
        (
            edit(
                "outlast.protocol.objects:checkpoint_name",
                'f"{step:09d}-g{generation}-{nonce}"',
                'f"{step:09d}-g1-0"',
            ),
        ),
        ("objects are never overwritten",),
        POINTER,
    ),
    Mutant(
        "pointer before manifest",
        (
            edit(
                "outlast.bucket.commit:Commit._create",
                "why = str(error)\n            continue",
                "why = str(error)",
            ),
        ),
        (CLOSURE,),
        POINTER,
        own=True,
    ),
    Mutant(
        "the parent is what the upload saw",
        (
            edit(
                "outlast.bucket.commit:Commit.make",
                "draft,\n                head,",
                "draft,\n                draft.base,",
            ),
        ),
        (CHAIN, REFERENCES),
        POINTER,
        own=True,
    ),
    Mutant(
        "pinned ones leave",
        (edit("outlast.bucket.retention:victims", "if ref.name not in pinned or ref == head", "if ref"),),
        (ONE_WAY,),
        POINTER,
        own=True,
    ),
    Mutant(
        "shared objects are deleted with the first that names them",
        (edit("outlast.bucket.prune:delete_checkpoint", "sorted(keys - named)", "sorted(keys)"),),
        (CLOSURE,),
        POINTER,
        own=True,
    ),
    Mutant(
        "garbage is what the pointer does not list, named or not",
        (edit("outlast.bucket.prune:collect", " or info.key in named", ""),),
        (CLOSURE,),
        POINTER,
        own=True,
        seed=3,
    ),
)
