#!/bin/sh
#
#

# Copyright (C) 2026 the Ganeti project
# All rights reserved.
#
# Redistribution and use in source and binary forms, with or without
# modification, are permitted provided that the following conditions are
# met:
#
# 1. Redistributions of source code must retain the above copyright notice,
# this list of conditions and the following disclaimer.
#
# 2. Redistributions in binary form must reproduce the above copyright
# notice, this list of conditions and the following disclaimer in the
# documentation and/or other materials provided with the distribution.
#
# THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS
# IS" AND ANY EXPRESS OR IMPLIED WARRANTIES, INCLUDING, BUT NOT LIMITED
# TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR
# PURPOSE ARE DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR
# CONTRIBUTORS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL,
# EXEMPLARY, OR CONSEQUENTIAL DAMAGES (INCLUDING, BUT NOT LIMITED TO,
# PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES; LOSS OF USE, DATA, OR
# PROFITS; OR BUSINESS INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF
# LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY, OR TORT (INCLUDING
# NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE OF THIS
# SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.

# lxc.hook.start-host: run by LXC's monitor on the host, at every start
# and at every reboot by the guest itself, when the container is set up and
# its init does not run yet.  The guest's /dev is still the tmpfs that LXC
# made, so nothing below it is the guest's doing.
#
# Instructions, one a line, from the file "start-host.conf" beside this one:
#   ptys N                        raise devpts' limit (see below)
#   node KIND MAJ MIN MODE PATH   make a device node below /dev
#   link TARGET PATH              make a symbolic link below /dev
#   try FILE VALUE                write to a file; that it fails is expected
#   write FILE VALUE              write to a file
#   hold FREEZER VALUE            freeze the guest at its first instruction
#
# ptys: lxc.pty.max=1 makes liblxc take the console's pty from the host's
# devpts, which is the only kind of console that a checkpoint can restore
# (lxc_terminal_create, LXC 5 to 7); the guest needs more than one, though.

# AppArmor: the distributions' profile of lxc-start, which this script has too,
# lets it mount devpts but not remount it, and lets what it starts do without
# the profile. mount(8) of Debian 12 needs that; that of Debian 13 remounts by
# fspick(2), of which AppArmor is not told.

home=${0%/*}
dev=/proc/$LXC_PID/root/dev
max_log=1048576
umask 0
set -e

fail() {
  echo "start-host: $*" >&2
  exit 1
}

# unconfined COMMAND...: becomes COMMAND, without the profile if there is one.
unconfined() {
  { printf 'exec unconfined' >/proc/self/attr/apparmor/exec; } 2>/dev/null ||
    true
  exec "$@"
}

# A guest that reboots itself goes on in the same lxc-start, which writes some
# 40 KiB at each boot, and the log is otherwise looked at only when Ganeti
# starts the guest (lxclog.py). LXC appends (log.c, O_APPEND), so the file can
# be emptied under it; what post-stop looks for in it is written after this.
# Room that is lacking for the copy is no reason to keep the rest.
shorten_log() {
  read -r log <"$home/log-name" || return 0
  size=$(stat -c %s -- "$log") && [ "$size" -gt "$max_log" ] || return 0
  (umask 077 && tail -c "$max_log" -- "$log" >"$log.1") || true
  : >"$log"
}

{ shorten_log; } 2>/dev/null || true

while read -r word a b c d e; do
  case $word in
    ptys)
      (unconfined mount -N "$LXC_PID" -i -n -t devpts -o \
        "remount,gid=5,mode=620,ptmxmode=666,max=$a" devpts /dev/pts) ||
        fail "cannot raise the number of ptys"
      ;;
    node)
      case $e in */*) mkdir -p -m 755 "$dev/${e%/*}" ;; esac
      [ -e "$dev/$e" ] || mknod -m "$d" "$dev/$e" "$a" "$b" "$c" ||
        fail "cannot make /dev/$e"
      ;;
    link)
      ln -sfn "$a" "$dev/$b"
      ;;
    try)
      { echo "$b" >"$a"; } 2>/dev/null || true
      ;;
    write)
      { echo "$b" >"$a"; } || fail "cannot write $b to $a"
      ;;
    hold)
      # Only once: not again when the guest reboots itself.
      [ -e "$home/hold" ] || continue
      rm -f "$home/hold"
      rm -f "$home/held"
      mkfifo "$home/held"
      setsid python3 -I "$home/hold.py" "$LXC_PID" "$a" "$b" \
        >"$home/held" 2>"$home/hold.err" </dev/null &
      read -r answer <"$home/held" || answer=
      rm -f "$home/held"
      [ "$answer" = ready ] || fail "cannot hold the guest"
      ;;
  esac
done <"$home/start-host.conf"
exit 0
