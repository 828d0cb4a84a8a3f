"""How an image boots: the kernel command line, GRUB's menu and the initramfs script, which are parts of its digest."""

from __future__ import annotations

ROOT_LABEL = "plateau-root"
DEPOT_LABEL = "PLATEAU_DEPOT"

KERNEL_CMDLINE = (
    f"root=LABEL={ROOT_LABEL} rw console=tty0 console=ttyS0 net.ifnames=0 quiet loglevel=3 mitigations=off nokaslr "
    "tsc=reliable no_timer_check random.trust_cpu=on cryptomgr.notests audit=0 nowatchdog apparmor=0 selinux=0 "
    "systemd.show_status=0"
)
"""For `-append` of a direct kernel boot, and what GRUB gives to the kernel."""

GRUB_CFG = f"""\
set timeout=0
linux /boot/plateau/vmlinuz {KERNEL_CMDLINE}
initrd /boot/plateau/initrd
boot
"""

GRUB_EARLY = f"""\
search.fs_label {ROOT_LABEL} root
set prefix=($root)/boot/grub
configfile /boot/grub/grub.cfg
"""

GRUB_MODULES = ("biosdisk", "part_msdos", "ext2", "search", "search_label", "configfile", "normal", "linux", "boot")

KERNEL_MODULES = ("virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod", "virtio_net", "ext4")
"""What it takes to reach the disk; those built into the kernel, and dependencies, are found by the builder.

The network cards too, as in an initramfs of Debian: there they exist before anything starts, and a rule of the firewall
or a service that names one finds it.
"""

OWN_KERNEL_MODULES = (*KERNEL_MODULES[:-1], "crc32c_generic", "crc32c_intel", *KERNEL_MODULES[-1:])
"""The same for a role's own kernel: it may have ext4 as a module, which asks for crc32c without naming it."""

INIT = """\
#!/bin/busybox sh
# Loads the disk's drivers, finds the root file system by its label and starts the system on it.
export PATH=/bin
mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
mount -t proc proc /proc
mount -t sysfs sys /sys
while read -r module; do insmod "/modules/$module"; done </modules/order
loadkmap </keyboard.bmap

root= mode=ro init=/sbin/init
for word in $(cat /proc/cmdline); do
  case "$word" in
    root=*) root=${word#root=} ;;
    ro|rw) mode=$word ;;
    init=*) init=${word#init=} ;;
  esac
done

tries=0
while :; do
  case "$root" in
    LABEL=*|UUID=*) device=$(findfs "$root" 2>/dev/null) ;;
    *) device=$root ;;
  esac
  [ -n "$device" ] && [ -b "$device" ] && break
  tries=$((tries + 1))
  if [ "$tries" -gt 600 ]; then echo "plateau: $root: no such disk"; exec sh; fi
  sleep 0.05
done
mount -t ext4 -o "$mode,noatime" "$device" /root || exec sh
for dir in dev proc sys; do mount -o move "/$dir" "/root/$dir"; done
exec switch_root /root "$init"
"""
