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

# start-again MONITOR LXCPATH NAME: starts a container that was restored
# and has rebooted itself, which LXC does not do; run by post-stop.sh.
#
# It stays in the group that LXC's process is in between two lives of a
# container, and its last words are those of that process, so that the
# instance counts as running all the time (cgroup.py, _between_groups).

home=${0%/*}
monitor=$1 lxcpath=$2 name=$3

# The container's command socket is free when the monitor has ended.
python3 -I -c '
import os, select, sys
try:
  fd = os.pidfd_open(int(sys.argv[1]))
except ProcessLookupError:
  sys.exit()
poller = select.poll()
poller.register(fd, select.POLLIN)
poller.poll(60000)
' "$monitor" "$lxcpath" "$name"

# What LXC does at the end of a container that it has started itself.
for env_file in "$home"/nic*.env; do
  [ -e "$env_file" ] || continue
  (
    . "$env_file"
    ip link del dev "$INTERFACE" 2>/dev/null
    exec sh "$home/nic-down" "$env_file"
  )
done

rm -f "$home/restored"
read -r log <"$home/log-name"
lxc-start -d -o "$log" -l DEBUG -P "$lxcpath" "$name" ||
  echo died >"$home/ended"
