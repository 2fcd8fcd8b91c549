"""What a cloud machine runs when it boots: the dead-man switch first, then a way in for the controller. Pure.

A plain shell script, run by root, is what every image understands: cloud-init runs it on AWS and Azure,
Google's guest agent as `startup-script`, there with every boot. So each step is safe to repeat.
"""

from __future__ import annotations

from outlast_orchestrator.remote.access import LOGIN, PLACE
from outlast_orchestrator.remote.deadman import FOLDER, Deadman, user_data

HOME = f"/home/{LOGIN}"
POWER_OFF = "systemctl poweroff || poweroff -f"
BYTES_MAX = 16 * 1024  # of AWS, the narrowest
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html
KEY_BYTES_MAX = 512  # of the host key, which is filled in for the call


def switch_of(max_life_s: float, install_limit_s: float, hung_after_s: float) -> Deadman:
    """The dead-man switch of a cloud machine: run by root, watching the agent's folder."""
    return Deadman(max_life_s, install_limit_s, hung_after_s, folder=f"{HOME}/{FOLDER}", power_off=POWER_OFF)


_SCRIPT = """\
#!/bin/sh
# Outlast prepares this machine. Its log is where the image keeps that of the boot.
umask 077
mkdir -p /var/lib/outlast

# 1. The dead-man switch: whatever fails below, this machine ends.
cat > /var/lib/outlast/deadman <<'OUTLAST-END'
{switch}OUTLAST-END
cat > /etc/systemd/system/outlast-deadman.service <<'OUTLAST-END'
[Unit]
Description=Outlast's dead-man switch

[Service]
ExecStart=/bin/sh /var/lib/outlast/deadman
Restart=always
RestartSec=5

[Install]
WantedBy=multi-user.target
OUTLAST-END
systemctl daemon-reload
systemctl enable --now outlast-deadman

# 2. Whom the controller talks to: the key that it made, and no other.
rm -f /etc/ssh/ssh_host_*
cat > /etc/ssh/ssh_host_ed25519_key <<'OUTLAST-END'
{place}
OUTLAST-END

# 3. Who runs the agent and the training, and that the controller may log in as him.
id {login} >/dev/null 2>&1 || useradd --create-home --shell /bin/bash {login}
mkdir -p /etc/sudoers.d {home}/.ssh
printf '%s ALL=(ALL) NOPASSWD:ALL\\n' {login} > /etc/sudoers.d/90-outlast
chmod 440 /etc/sudoers.d/90-outlast
printf '%s\\n' '{login_key}' > {home}/.ssh/authorized_keys
chown -R {login}: {home}/.ssh
getent group docker >/dev/null && usermod -aG docker {login}

# Units are called ssh on Debian and Ubuntu, sshd elsewhere.
systemctl restart ssh || systemctl restart sshd
"""


def boot_script(switch: Deadman, login_key: str) -> str:
    """`login_key`: a line of `authorized_keys`. Equal settings give equal texts, as a repeated launch token
    demands.

    Raises ValueError where it would not fit into a cloud's user data.
    """
    text = _SCRIPT.format(switch=user_data(switch), place=PLACE, login=LOGIN, home=HOME, login_key=login_key)
    if len(text.encode()) > BYTES_MAX - KEY_BYTES_MAX:
        raise ValueError(f"the boot script has {len(text.encode())} bytes; {BYTES_MAX} are allowed")
    return text
