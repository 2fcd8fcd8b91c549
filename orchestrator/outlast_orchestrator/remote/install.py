"""Puts the agent on a cloud's machine over SSH, and starts it there."""

from __future__ import annotations

import hashlib
import json

from outlast.protocol.codec import to_json
from outlast_orchestrator.core.errors import (
    Capacity,
    Invalid,
    ProviderError,
    Scope,
    ScopeKind,
    Transient,
    call_scope,
)
from outlast_orchestrator.core.ports import AgentConfig
from outlast_orchestrator.core.types import Instance
from outlast_orchestrator.remote import steps
from outlast_orchestrator.remote.access import Access, Ways
from outlast_orchestrator.remote.boot import HOME
from outlast_orchestrator.remote.bundle import CODE, Bundles, BundleTrouble
from outlast_orchestrator.remote.deadman import FOLDER
from outlast_orchestrator.remote.ssh import Ran, Shell, SshTrouble, connected

SAID_CHARS = 400


class SshRemote:
    """Implements `core.ports.Remote`."""

    def __init__(self, cloud: str, key: bytes, bundles: Bundles, ways: Ways, authority: str = "") -> None:
        """`key` is the server's; `authority`: certificates in PEM that the API's one is signed by."""
        self._cloud = cloud
        self._key = key
        self._bundles = bundles
        self._ways = ways
        self._authority = authority

    def install(self, instance: Instance, config: AgentConfig) -> None:
        """Raises Transient; Invalid for an image that no agent runs on; Capacity for bad GPUs."""
        name = instance.id or instance.launch_id
        if not instance.address:
            raise self._later(f"{name} has no address yet")
        access = Access(self._key, instance.launch_id, instance.address, self._ways)
        try:
            with connected(access) as shell:
                self._install(shell, instance, config)
        except (SshTrouble, BundleTrouble) as error:
            raise self._later(f"{name}: {error}") from error

    def _install(self, shell: Shell, instance: Instance, config: AgentConfig) -> None:
        looked = self._run(shell, steps.LOOK, may=(steps.NOTHING_FITS,))
        if looked.code:
            raise self._unfit(instance, f"no Python of {', '.join(steps.PYTHONS)} with glibc")
        self._check_gpus(shell, instance)
        try:
            python, target = steps.target_of(looked.stdout)
        except ValueError as error:
            raise SshTrouble(f"could not {steps.LOOK.name}: it said {looked.stdout!r}") from error
        bundle = self._bundles.of(target)
        if self._run(shell, steps.has(bundle.name), may=(1,)).code:
            self._run(shell, steps.unpack(bundle.name), bundle.file.read_bytes())
        body = self._config(config, bundle.name)
        if self._authority:
            self._run(shell, steps.write(steps.AUTHORITY), self._authority.encode())
        self._run(shell, steps.write(steps.CONFIG), body)
        key = hashlib.sha256(body + bundle.name.encode()).hexdigest()
        if self._run(shell, steps.start(python, bundle.name, key), may=(steps.NO_SYSTEMD,)).code:
            raise self._unfit(instance, "no systemd")

    def _check_gpus(self, shell: Shell, instance: Instance) -> None:
        """Before anything is trained on them. Raises Capacity: the next machine may be a good one."""
        offer = instance.offer
        if not offer.gpu_count:
            return
        ran = self._run(shell, steps.gpus(offer.gpu_count), may=(steps.NO_DRIVER, steps.GPUS_ARE_BAD))
        if ran.code == steps.NO_DRIVER:
            raise self._unfit(instance, "no NVIDIA driver (nvidia-smi)")
        if ran.code:
            raise Capacity(f"{instance.id}: {ran.stderr.strip()}", Scope(ScopeKind.POOL, offer.pool))

    def _config(self, config: AgentConfig, bundle: str) -> bytes:
        home = f"{HOME}/{FOLDER}"
        values = {**to_json(config), "trainer_path": f"{home}/{bundle}/{CODE}"}
        if self._authority:
            values["ca_file"] = f"{home}/{steps.AUTHORITY}"
        return json.dumps(values, sort_keys=True).encode()

    def _run(self, shell: Shell, step: steps.Step, stdin: bytes = b"", may: tuple[int, ...] = ()) -> Ran:
        ran = shell.run(step.script, stdin, limit_s=step.limit_s)
        if ran.code and ran.code not in may:
            said = " ".join((ran.stderr.strip() or ran.stdout.strip() or "it said nothing").split())
            raise SshTrouble(f"could not {step.name} (exit code {ran.code}): {said[-SAID_CHARS:]}")
        return ran

    def _later(self, text: str) -> ProviderError:
        return Transient(text, call_scope(self._cloud, "install"))

    def _unfit(self, instance: Instance, lacks: str) -> ProviderError:
        text = f"{instance.id}: its image has {lacks}: name another one in providers.{self._cloud}"
        return Invalid(text, Scope(ScopeKind.REGION, f"{self._cloud}/{instance.offer.region}"))
