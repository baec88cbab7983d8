# Starts systemd as the first process of a machine of its own: in namespaces, on a scratch layer over a Debian that
# stays as it is. To be run by unshare --mount --pid --uts --ipc --net --cgroup --fork.
# $1: the Debian; $2: an empty folder for the layer; $3: `boot`, or a script to run in a chroot where no systemd is.
set -e
mount --make-rprivate /
mount -t tmpfs layer "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
cd "$2/root"
mount -t proc proc proc
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
  touch "dev/$device"
  mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/shm dev/pts old
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
if [ "$3" = boot ]; then
  mount -t sysfs -o ro sysfs sys
  mount -t cgroup2 cgroup2 sys/fs/cgroup
  echo box >etc/hostname
  tr -d - </proc/sys/kernel/random/uuid >etc/machine-id
fi
# Not merely a chroot: what systemd shuts its services into begins at the root of the mounts.
pivot_root . old
cd /
umount -l old
rmdir old
if [ "$3" = boot ]; then
  exec /usr/bin/env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd
fi
exec /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive sh -euc "$3"
