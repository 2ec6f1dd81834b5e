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

# lxc.hook.post-stop: run by LXC's monitor on the host when the container
# is gone.  Notes how it came to its end.  The kernel ends the init of a PID
# namespace with SIGINT for reboot(2) with HALT or POWER_OFF, and with SIGHUP
# for RESTART (reboot(2)), and an init without CAP_SYS_BOOT just exits; any
# other signal is a crash, which liblxc logs as below (__lxc_start in start.c,
# LXC 5 to 7).
#
# The monitor of a restored container neither logs that nor starts the
# container again when it reboots (do_restore in criu.c); it has not waited
# for init yet, though, so that the kernel still tells how that ended.

home=${0%/*}
sighup=1

# Prints the wait status of init (proc_pid_stat(5), exit_code).
init_status() {
  for pid in $(cat "/proc/$PPID/task/$PPID/children"); do
    stat=$(cat "/proc/$pid/stat") || continue
    case ${stat##*) } in
      Z*) echo "${stat##* }" && return ;;
    esac
  done
}

# Nor does it run lxc.net.N.script.down: __lxc_start does, after a container
# that it has started.
nics_down() {
  for env_file in "$home"/nic*.env; do
    [ ! -e "$env_file" ] || sh "$home/nic-down" "$env_file"
  done
}

# Goes to another node, see migration/dump.py.
[ ! -e "$home/moving" ] || exit 0
[ "$LXC_TARGET" = stop ] || exit 0

if [ -e "$home/restored" ]; then
  nics_down
  status=$(init_status)
  if [ "$status" = "$sighup" ]; then
    setsid sh "$home/start-again" "$PPID" "${home%/*}" "$LXC_NAME" \
      </dev/null >/dev/null 2>&1 &
    exit 0
  fi
  # Killed by another signal than that of a halt: the low seven bits.
  if [ -z "$status" ] || [ $((status & 127)) -gt 2 ]; then
    echo died >"$home/ended"
  else
    echo halted >"$home/ended"
  fi
  exit 0
fi

# The log as LXC has it open: whoever keeps logs may have renamed the file.
open_log() {
  for fd in "/proc/$PPID/fd"/*; do
    case $(readlink "$fd" 2>/dev/null) in
      "$1"*) echo "$fd" && return ;;
    esac
  done
  echo "$1"
}

# Where the last lines are lost, for want of room, nobody knows how it ended.
# The last one that LXC writes before it runs this is about this script
# (run_script_argv in conf.c).
is_whole() {
  printf '%s\n' "$last" | grep -F 'Executing script "' | tail -n 1 |
    grep -Fq "Executing script \"$home/post-stop\""
}

read -r log <"$home/log-name" || exit 0
last=$(tail -n 100 -- "$(open_log "$log")" 2>/dev/null) ||
  last=$(tail -n 100 -- "$log")
if printf '%s\n' "$last" |
  grep -Eq "\\) - Container .*(init exited|violated its seccomp)"; then
  echo died >"$home/ended"
elif is_whole; then
  echo halted >"$home/ended"
else
  echo unknown >"$home/ended"
fi
exit 0
