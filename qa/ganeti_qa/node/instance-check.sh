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

# The suite asks before and after a test whether an instance runs.  Ganeti
# does not answer here: the kernel's control groups of every node do, and the
# processes in them.  Beside this program lies a file with the nodes' names.
#
# INSTANCE_NAME     which
# INSTANCE_RUNNING  not empty: it has to run, on one node; else on none

set --
for node in $(cat "${0%/*}/nodes"); do
  if ssh -n -oBatchMode=yes -lroot "$node" find /sys/fs/cgroup \
    -path "'*/ganeti-lxc/$INSTANCE_NAME/*'" -name cgroup.procs \
    -exec cat "'{}'" + | grep -q .; then
    set -- "$@" "$node"
  fi
done

if [ -n "$INSTANCE_RUNNING" ] && [ $# -ne 1 ]; then
  echo "$INSTANCE_NAME has processes on $# nodes ($*), not on one"
  exit 1
elif [ -z "$INSTANCE_RUNNING" ] && [ $# -ne 0 ]; then
  echo "$INSTANCE_NAME still has processes on $*"
  exit 1
fi
