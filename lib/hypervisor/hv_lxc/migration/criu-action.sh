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

# CRIU's --action-script, see held.py.
#
#   GANETI_LXC_STAGES   the stages that are to be asked for
#   GANETI_LXC_ASK      FIFO: a line with the stage is written
#   GANETI_LXC_ANSWER   FIFO: "STAGE go" is read, or anything else
#   GANETI_LXC_FREEZER  the control file of a group that is frozen meanwhile
#   GANETI_LXC_FREEZE, GANETI_LXC_THAW  what is written to it
#   GANETI_LXC_JOURNAL  decides when the process that answers has died
#
# Status 0 lets CRIU go on.
#
# CRIU's hold on a guest's processes ends when CRIU is killed, and a read(2)
# from a socket in repair mode fails (tcp_recvmsg_locked, EPERM): programs
# would give up their connections. So they are frozen as well, and stay so
# until dump.py has ended repair mode.

set -u

stage=${CRTOOLS_SCRIPT_ACTION-}
case " ${GANETI_LXC_STAGES-} " in
  *" $stage "*) ;;
  *) exit 0 ;;
esac

write_freezer() {
  [ -n "${GANETI_LXC_FREEZER-}" ] || return 0
  printf '%s' "$1" >"$GANETI_LXC_FREEZER"
}

has_criu_died() {
  read -r _ _ state _ <"/proc/$PPID/stat" || return 0
  [ "$state" = Z ] || [ "$state" = X ]
}

end() {
  if ! has_criu_died 2>/dev/null; then
    write_freezer "${GANETI_LXC_THAW-}"
  fi
  exit "$1"
}

# The state that was written down last, one key a line (journal.py).
is_journaled() {
  grep -q "^ \"state\": \"$1\",\$" "$GANETI_LXC_JOURNAL" 2>/dev/null
}

# There is no answer, or it is no. What the journal says has been decided is so:
# a guest whose images are on the other node must not run on, and one that was
# given to this node must.
go_by_journal() {
  case $stage in
    post-dump)
      if is_journaled dumped; then
        # Its tasks stay frozen, its sockets say nothing.
        kill -KILL "$PPID"
        exit 1
      fi ;;
    post-restore)
      if is_journaled resumed || is_journaled resuming; then
        end 0
      fi ;;
  esac
  end 1
}

# To open one end of a FIFO waits for the other one, for ever if that process
# has died; to open both does not wait.  The end that is not ours is given up
# before anything is written or read.
exec 3<>"$GANETI_LXC_ANSWER" 4<"$GANETI_LXC_ANSWER" 3>&- || exit 1
exec 5<>"$GANETI_LXC_ASK" 6>"$GANETI_LXC_ASK" 5>&- || exit 1

# If nobody reads any more, the signal would end this script in between.
trap '' PIPE
write_freezer "${GANETI_LXC_FREEZE-}"
echo "$stage" >&6 || go_by_journal
while read -r asked verdict <&4; do
  [ "$asked" = "$stage" ] || continue
  [ "$verdict" = go ] && end 0
  # What went wrong may have done so after it had been written down.
  [ "$stage" = post-dump ] && go_by_journal
  end 1
done
go_by_journal
