#!/bin/sh
# The first process of a machine: its own root over the host's, its own /dev, and then systemd.
# usage: machine.sh FOLDER ADDRESS USER_DATA    inside namespaces of its own, a terminal as standard input
set -eu
folder=$1 address=$2 user_data=$3
mount --make-rprivate /
mount -t tmpfs -o size=600m,mode=0755 tmpfs "$folder"
mkdir "$folder/up" "$folder/work" "$folder/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/up,workdir=$folder/work" "$folder/root"
root=$folder/root

mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys" # it belongs to the host's kernel
mount -t sysfs -o ro sysfs "$root/sys"
for place in run tmp; do mount -t tmpfs -o mode=0755 tmpfs "$root/$place"; done
chmod 1777 "$root/tmp"
mount -t tmpfs -o mode=0755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    : > "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
for number in 0 1 2; do ln -s "/proc/self/fd/$number" "$root/dev/$(echo stdin stdout stderr | cut -d' ' -f$((number + 1)))"; done
ln -s /proc/self/fd "$root/dev/fd"
: > "$root/dev/console"
mount --bind "$(tty)" "$root/dev/console"
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
    mount -t tmpfs -o mode=0755 tmpfs "$root/sys/fs/cgroup"
    mkdir "$root/sys/fs/cgroup/systemd"
    mount -t cgroup -o none,name=systemd,xattr cgroup "$root/sys/fs/cgroup/systemd"
fi

# What an image of a cloud has: sshd with keys of its own, a driver that knows one GPU, and something that
# runs the user data.
: > "$root/etc/fstab"
: > "$root/etc/machine-id"
echo outlast-machine > "$root/etc/hostname"
{
    printf '127.0.0.1 localhost\n%s outlast-machine\n' "$address"
    echo 169.254.169.254 metadata.google.internal # as Google's images have it; nobody asks it elsewhere
} > "$root/etc/hosts"
units=$root/etc/systemd/system
rm -rf "$units"/*.wants "$units"/*.requires
mkdir -p "$units/multi-user.target.wants"
for unit in systemd-sysctl systemd-modules-load systemd-binfmt systemd-remount-fs systemd-udevd systemd-logind \
    systemd-udev-trigger systemd-tmpfiles-setup-dev systemd-sysusers console-getty systemd-random-seed; do
    ln -sf /dev/null "$units/$unit.service"
done
ln -s /lib/systemd/system/ssh.service "$units/multi-user.target.wants/ssh.service"
ln -sf /lib/systemd/system/ssh.service "$units/sshd.service"
rm -f "$root"/etc/ssh/ssh_host_*
ssh-keygen -q -t ed25519 -N '' -f "$root/etc/ssh/ssh_host_ed25519_key"
printf '#!/bin/sh\necho GPU-00000000-0000-0000-0000-000000000000\n' > "$root/usr/local/bin/nvidia-smi"
chmod 755 "$root/usr/local/bin/nvidia-smi"
cp "$user_data" "$root/var/lib/user-data"
cat > "$units/user-data.service" <<'END'
[Unit]
After=ssh.service
[Service]
Type=oneshot
ExecStart=/bin/sh /var/lib/user-data
StandardOutput=journal+console
[Install]
WantedBy=multi-user.target
END
ln -s "$units/user-data.service" "$units/multi-user.target.wants/user-data.service"
mkdir -p "$root/home"
mount -t tmpfs -o mode=0755 tmpfs "$root/home"

cd "$root"
exec chroot "$root" /usr/bin/env -i container=outlast-test PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=multi-user.target
