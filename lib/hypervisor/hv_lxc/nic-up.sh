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

# LXC's lxc.net.N.script.up: nic-up ENVFILE [veth INTERFACE]
#
# LXC runs it on the host when it has made the veth pair, at a start and at
# each reboot of the guest; a failure makes the start fail.  ENVFILE (see
# render_env in nics.py) exports the environment of Ganeti's script.

set -u

env_file=$1
. "$env_file"

fail() {
  text="nic-up: NIC $INTERFACE_INDEX of $INSTANCE ($INTERFACE): $1"
  printf '%s\n' "$text" >&2
  printf '%s\n' "$text" >>"$hook_log"
  printf '%s\n' "$text" >"$env_file.error"
  exit 1
}

# The alias tells whose interface it is, to teardown() and to the reader of
# "ip link".  The kernel takes at most 255 bytes.
set_alias() {
  alias=ganeti-lxc:$INTERFACE_UUID:$INSTANCE
  [ "${#alias}" -le 255 ] || alias=ganeti-lxc:$INTERFACE_UUID:
  printf '%s' "$alias" >"/sys/class/net/$INTERFACE/ifalias" ||
    ip link set dev "$INTERFACE" alias "$alias"
}

# LXC runs this in the cgroup of the instance's monitor, where a daemon that
# a script starts for all instances (kvm-ifup-os: dnsmasq) would make the
# instance appear to be running, and would be killed together with it.
leave_cgroup() {
  while read -r _ mounted kind _; do
    case $kind in
      cgroup | cgroup2) ;;
      *) continue ;;
    esac
    group=$mounted/ganeti-lxc-scripts
    if [ ! -d "$group" ]; then
      mkdir -p "$group"
      # cgroup v1 takes no process into a cpuset that is still empty.
      for file in cpuset.cpus cpuset.mems; do
        if [ "$kind" = cgroup ] && [ -e "$group/$file" ]; then
          cat "$mounted/$file" >"$group/$file"
        fi
      done
    fi
    printf '%s' "$$" >"$group/cgroup.procs"
  done </proc/mounts
}

# The VLANs of the NIC: one that it is in untagged, or none, and those that it
# sees with their tags. Written N or .N, :N:N, or .N:N (gnt-instance(8)).
read_vlan() {
  access=${VLAN%%:*}
  access=${access#.}
  trunks=
  case $VLAN in
    *:*) trunks=$(printf '%s' "${VLAN#*:}" | tr : ' ') ;;
  esac
}

# A port comes into the default VLAN of its bridge (default_pvid), and
# net-common leaves it there: a guest would get what is flooded in it, and
# send into it what has no tag.
leave_other_vlans() {
  for vlan in $(vlans_of_port); do
    case " $access $trunks " in
      *" $vlan "*) ;;
      *) bridge vlan del dev "$INTERFACE" vid "$vlan" master ;;
    esac
  done
}

# "bridge vlan show" has a heading, and the port's name in front of the first.
vlans_of_port() {
  bridge vlan show dev "$INTERFACE" |
    awk -v port="$INTERFACE" 'NR > 1 { print $1 == port ? $2 : $1 }'
}

in_all_vlans() {
  found=" $(vlans_of_port | tr '\n' ' ')"
  for vlan in $access $trunks; do
    case $found in
      *" $vlan "*) ;;
      *) return 1 ;;
    esac
  done
}

# With "tag" alone a port is an access port, also when it has "trunks": what
# it is to be with both is said by "vlan_mode" (ovs-vswitchd.conf.db(5)), which
# net-common does not set; nor does it look at what came of the rest.
set_ovs_vlan() {
  if [ -z "$trunks" ]; then
    set -- "tag=$access" vlan_mode=access "trunks=[]"
  elif [ -z "$access" ]; then
    set -- vlan_mode=trunk "trunks=$(echo $trunks | tr ' ' ,)"
  else
    set -- "tag=$access" vlan_mode=native-untagged \
      "trunks=$(echo $trunks | tr ' ' ,)"
  fi
  ovs-vsctl --timeout=10 set port "$INTERFACE" "$@"
}

# net-common goes on after a command that failed and kvm-ifup exits with
# status 0 even so: the outcome has to be looked at. A NIC whose VLAN was
# not set would put the guest into somebody else's network.
is_configured() {
  read_vlan
  case $MODE in
    bridged)
      problem="is not a port of bridge $LINK"
      [ -e "/sys/class/net/$LINK/brif/$INTERFACE" ] || return 1
      [ -n "$VLAN" ] || return 0
      problem="has VLAN $VLAN, but bridge $LINK has VLAN filtering disabled"
      is_filtering || return 1
      problem="is not in VLAN $VLAN of bridge $LINK"
      leave_other_vlans && in_all_vlans
      ;;
    openvswitch)
      problem="is not a port of Open vSwitch bridge $LINK"
      [ "$(ovs-vsctl --timeout=10 port-to-br "$INTERFACE")" = "$LINK" ] ||
        return 1
      problem="is not in VLAN $VLAN of Open vSwitch bridge $LINK"
      [ -z "$VLAN" ] || set_ovs_vlan
      ;;
    routed)
      problem="has no route in table ${LINK:-main}"
      case ${IP-} in
        *:*) family=-6 ;;
        *) family=-4 ;;
      esac
      [ -n "$(ip $family route show table "${LINK:-main}" \
        dev "$INTERFACE")" ]
      ;;
  esac
}

is_filtering() {
  file=/sys/class/net/$LINK/bridge/vlan_filtering
  [ -e "$file" ] && read -r filtering <"$file" && [ "$filtering" -eq 1 ]
}

if [ -e "$env_file.error" ]; then
  rm -f "$env_file.error"
fi
if ! { true >>"$hook_log"; } 2>/dev/null; then
  hook_log=/dev/null
fi

set_alias >>"$hook_log" 2>&1

is_foreign=false
case $INTERFACE in
  gnt.com.*) is_foreign=true ;;
esac
if [ -x "$hook_override" ]; then
  is_foreign=true
fi
if $is_foreign; then
  leave_cgroup >>"$hook_log" 2>&1
fi

# Not a pipe: whatever the script leaves running (dnsmasq) would hold it.
timeout "$hook_timeout" "$hook_ifup" "$INTERFACE" \
  >>"$hook_log" 2>&1 </dev/null
status=$?
if [ "$status" -eq 124 ]; then
  fail "$hook_ifup did not end within $hook_timeout s"
elif [ "$status" -ne 0 ]; then
  fail "$hook_ifup exited with status $status: $(tail -n 1 "$hook_log")"
fi

# What other scripts than net-common's do is not known.
if ! $is_foreign && ! is_configured 2>>"$hook_log"; then
  fail "after $hook_ifup it $problem: $(tail -n 1 "$hook_log")"
fi
