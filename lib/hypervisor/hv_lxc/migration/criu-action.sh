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
#
# Status 0 lets CRIU go on.

set -u

stage=${CRTOOLS_SCRIPT_ACTION-}
case " ${GANETI_LXC_STAGES-} " in
  *" $stage "*) ;;
  *) exit 0 ;;
esac

# To open one end of a FIFO waits for the other one, for ever if that process
# has died; to open both does not wait.  The end that is not ours is given up
# before anything is written or read.
exec 3<>"$GANETI_LXC_ANSWER" 4<"$GANETI_LXC_ANSWER" 3>&- || exit 1
exec 5<>"$GANETI_LXC_ASK" 6>"$GANETI_LXC_ASK" 5>&- || exit 1

echo "$stage" >&6 || exit 1
while read -r asked verdict <&4; do
  [ "$asked" = "$stage" ] || continue
  [ "$verdict" = go ] && exit 0
  exit 1
done
exit 1
