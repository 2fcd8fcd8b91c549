"""What people's requests may hold: the edge, where JSON becomes checked values."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from outlast_orchestrator.jobfile.schema import check_name

JOB_ID_BYTES = 8
JOB_ID = r"^[0-9a-f]{16}$"
DIGEST = r"^[0-9a-f]{64}$"
Name = Annotated[str, AfterValidator(check_name)]  # it is printed, and a part of paths
Line = Annotated[str, Field(max_length=200)]
CodeKey = Annotated[str, Field(pattern=r"^(code/[0-9a-f]{64})?$")]


class Ask(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PlanAsk(Ask):
    name: Name
    spec: dict[str, Any]


class SubmitAsk(Ask):
    """`id` is the one that the plan gave: sent twice, after a lost reply, it is still one job."""

    id: Annotated[str, Field(pattern=JOB_ID)]
    name: Name
    spec: dict[str, Any]
    code: CodeKey = ""
    by: Line = ""


class UpdateAsk(Ask):
    spec: dict[str, Any]
    code: CodeKey = ""
    by: Line = ""


class WishAsk(Ask):
    by: Line = ""


class RestartAsk(Ask):
    by: Line = ""
    now: bool = False
    start_from: Line = ""  # a step, or a checkpoint's name; "": the head


class TerminateAsk(Ask):
    ids: list[Annotated[str, Field(min_length=1, max_length=300)]] = Field(max_length=1000)
    by: Line = ""


class SecretAsk(Ask):
    value: Annotated[str, Field(repr=False)]
