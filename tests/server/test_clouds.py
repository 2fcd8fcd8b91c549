"""The registry: a cloud that can't be used as it is set up is refused in one line that says what to do."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.contracts.rows import instance

from outlast_orchestrator.clouds import Cloud, Place, open_cloud
from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.remote.access import PLACE
from outlast_orchestrator.remote.keyed import Keyed
from outlast_orchestrator.settings import Settings

REGION = {"us-east-1": {"subnets": {"us-east-1a": "subnet-1"}, "security_groups": ["sg-1"]}}
AWS = {"regions": REGION}
AZURE = {
    "subscription": "00000000-0000-0000-0000-000000000001",
    "resource_group": "outlast",
    "regions": {"eastus": {"subnet": "/subscriptions/1/resourceGroups/net/…", "zones": ["1", "2"]}},
}
GCP = {"project": "mine", "regions": {"europe-west4": {"zones": ["europe-west4-a"]}}}


def place(home: Path, api_url: str = "https://outlast.example:8443", **more: Any) -> Place:
    settings = Settings(home=home, **{"storage": "s3://bucket", "storage_keys": "machine", **more})
    return Place(settings, "owner", api_url, b"k" * 32)


def opened(home: Path, **more: Any) -> Cloud:
    return open_cloud("aws", AWS, place(home, **more))


def test_a_machine_boots_with_switch_and_way_in_and_no_secret_is_saved(tmp_path: Path) -> None:
    cloud = opened(tmp_path, limits={"install_limit_s": 1234})
    text = cloud.user_data(instance().request)
    assert text.startswith("#!/bin/sh\n")
    assert PLACE in text
    assert "PRIVATE KEY" not in text
    assert "no agent was installed within 1234 s" in text
    assert cloud.user_data(instance().request) == text
    assert isinstance(cloud.provider, Keyed)


def test_a_cloud_knows_its_own_times(tmp_path: Path) -> None:
    aws = opened(tmp_path).limits
    assert (aws.notice_s, aws.first_hour_free, aws.token_life_s) == (120.0, True, 600.0)
    azure = open_cloud("azure", AZURE, place(tmp_path)).limits
    assert (azure.notice_s, azure.first_hour_free, azure.launch_lag_s) == (30.0, False, 300.0)


@pytest.mark.parametrize(
    ("name", "options", "more", "words"),
    [
        ("azur", {}, {}, "providers.azur: no such cloud; there is: aws, azure, gcp, local"),
        ("aws", {"regoins": {}}, {}, "providers.aws.regoins: no such key; did you mean regions?"),
        (
            "aws",
            {"regions": {"r1": {"subnet": {}}}},
            {},
            "providers.aws.regions.r1.subnet: no such key; did you",
        ),
        ("aws", {"regions": {"r1": {"subnets": {}}}}, {}, "providers.aws: "),
        ("aws", {**AWS, "ssh": {"prot": 22}}, {}, "providers.aws.ssh.prot: no such key; did you mean port?"),
        ("aws", {"x": 1}, {}, "providers.aws.x: no such key; there are endpoint_url, instance_types, "),
        ("aws", {"regions": []}, {}, "providers.aws: "),
        ("local", {"zonse": {}}, {}, "providers.local.zonse: no such key; did you mean zones?"),
        ("aws", {**AWS, "ssh": {"port": "x"}}, {}, "providers.aws.ssh: "),
        ("aws", AWS, {"api_url": "http://127.0.0.1:8000"}, "can't reach http://127.0.0.1:8000: set api_url"),
        ("aws", AWS, {"api_url": "http://localhost:1"}, "set api_url to an https address"),
        ("azure", {}, {}, "providers.azure: "),
        ("azure", {**AZURE, "regions": {"r1": {"subnet": 7}}}, {}, "providers.azure: "),
        (
            "azure",
            {**AZURE, "regions": {"r1": {"subnets": ""}}},
            {},
            "providers.azure.regions.r1.subnets: no such key; did you mean subnet?",
        ),
        ("azure", AZURE, {"storage": ""}, "can't reach the bucket, a folder of this one: set storage"),
        ("gcp", GCP, {"api_url": "http://[::1]:1"}, "set api_url"),
        ("aws", AWS, {"api_url": "https://0.0.0.0:8443"}, "can't reach https://0.0.0.0:8443: set api_url"),
        ("aws", AWS, {"storage": ""}, "can't reach the bucket, a folder of this one: set storage"),
        ("aws", AWS, {"storage_keys": None}, "storage_keys: say how machines reach the bucket"),
        ("aws", AWS, {"ca_file": Path("/nowhere.pem")}, "ca_file: /nowhere.pem can't be read"),
    ],
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path, name: str, options: dict[str, Any], more: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError) as found:
        open_cloud(name, options, place(tmp_path, **more))
    assert words in str(found.value)
    assert "\n" not in str(found.value)
    if "ca_file" not in words:
        assert str(found.value).startswith(f"{tmp_path}/controller.yaml: ")


@pytest.mark.parametrize(
    ("name", "options", "missing"),
    [
        ("aws", AWS, "boto3"),
        ("aws", AWS, "paramiko"),
        ("azure", AZURE, "azure.identity"),
        ("azure", AZURE, "azure.mgmt.network"),
    ],
)
def test_a_package_that_is_missing_is_named(
    tmp_path: Path, name: str, options: dict[str, Any], missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = ("outlast_orchestrator.remote", f"outlast_orchestrator.providers.{name}")
    for module in [m for m in sys.modules if m.startswith(ours)]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, missing, None)
    words = f"{missing} is missing: pip install 'outlast[{name}]'"
    with pytest.raises(UserError, match=re.escape(words)):
        open_cloud(name, options, place(tmp_path))


def test_who_uses_no_cloud_account_needs_none_of_their_packages() -> None:
    """Asked in a process of its own: here they are loaded already."""
    hidden = ("azure", "boto3", "google.cloud", "paramiko", "cryptography")
    program = (
        f"import sys\nfor name in {hidden}: sys.modules[name] = None\nimport outlast_orchestrator.server"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
