#!/bin/sh
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

# LXC's lxc.net.N.script.down: nic-down ENVFILE [veth INTERFACE]
#
# Undoes what Ganeti's net-common did and what does not vanish together with
# the interface.  May be run any number of times; never fails.

set -u

# The monitor of a restored container has no input open. What a program opens
# first is number 0 then, which ovs-vsctl takes for none: it aborts.
exec </dev/null

[ -r "$1" ] || exit 0
. "$1"

if ! { true >>"$hook_log"; } 2>/dev/null; then
  hook_log=/dev/null
fi

# Routes and the sysctl settings are gone with the interface, rules are not.
delete_rules() {
  for family in -4 -6; do
    while ip $family rule del dev "$INTERFACE" 2>/dev/null; do
      :
    done
  done
}

flush_routes() {
  [ -e "/sys/class/net/$INTERFACE" ] || return 0
  for family in -4 -6; do
    ip $family route flush table "${LINK:-main}" dev "$INTERFACE" 2>/dev/null
  done
}

case $MODE:$INTERFACE in
  *:gnt.com.*) ;;
  openvswitch:*)
    ovs-vsctl --timeout=10 --if-exists del-port "$INTERFACE"
    ;;
  routed:*)
    delete_rules
    flush_routes
    ;;
esac >>"$hook_log" 2>&1

exit 0
