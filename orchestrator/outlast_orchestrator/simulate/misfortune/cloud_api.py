"""Bad luck with the cloud's API: it refuses, keeps silent, forgets, tells old news, or acts late."""

from __future__ import annotations

from outlast_orchestrator.simulate.cloud import NAME, REGIONS
from outlast_orchestrator.simulate.misfortune.stage import Kind, Stage


class CloudWeather:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def kinds(self) -> list[Kind]:
        return [
            ("capacity refused", 1.5, self._dry),
            ("region down", 1.0, self._region_down),
            ("listing forgets", 1.0, self._forget),
            ("listing stale", 0.7, self._stale),
            ("cloud throttles", 0.7, self._throttle),
            ("launch reply lost", 1.0, self._lose_replies),
            ("launch late", 0.7, self._late_launches),
        ]

    def _dry(self) -> bool:
        stage = self._stage
        region = stage.dice.choice(REGIONS)
        key = stage.dice.choice((f"{NAME}/{region}/", f"{NAME}/{region}/{region}a/", f"{NAME}/"))
        stage.api.cloud.dry(key, stage.while_s())
        return stage.told("capacity refused", key)

    def _region_down(self) -> bool:
        stage = self._stage
        region, seconds = stage.dice.choice(REGIONS), stage.while_s()
        stage.api.trouble.region_down_until_s[region] = stage.clock.now_s + seconds
        return stage.told("region down", f"{region} for {seconds:.0f} s")

    def _forget(self) -> bool:
        machine = self._stage.any_machine()
        if machine is None:
            return False
        machine.forgotten = self._stage.dice.choice((1, 2))
        return self._stage.told("listing forgets", f"{machine.id}, {machine.forgotten} times")

    def _until(self) -> tuple[float, str]:
        seconds = self._stage.while_s()
        return self._stage.clock.now_s + seconds, f"for {seconds:.0f} s"

    def _stale(self) -> bool:
        self._stage.api.trouble.stale_until_s, text = self._until()
        return self._stage.told("listing stale", text)

    def _throttle(self) -> bool:
        self._stage.api.trouble.throttled_until_s, text = self._until()
        return self._stage.told("cloud throttles", text)

    def _lose_replies(self) -> bool:
        self._stage.api.trouble.replies_lost_until_s, text = self._until()
        return self._stage.told("launch reply lost", text)

    def _late_launches(self) -> bool:
        self._stage.api.trouble.late_until_s, text = self._until()
        return self._stage.told("launch late", text)
