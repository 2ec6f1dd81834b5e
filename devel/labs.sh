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

# The labs of devel/check, which sources this: each is brought up once, and all
# are taken down at the end.
#
# shellcheck shell=bash

# The nodes must not inherit the lock.
lab() {
  /usr/bin/python3 "$ROOT/qa/lab" --name "$GANETI_LAB" "$@" 8>&-
}

# lab_up OPTION...: the lab named GANETI_LAB, which several kinds use; started
# once.
lab_up() {
  case " ${LABS[*]} " in
    *" $GANETI_LAB "*) [[ " ${LABS_UP[*]} " = *" $GANETI_LAB "* ]]; return ;;
  esac
  ((EUID == 0)) || { say "the lab needs root"; return 1; }
  [[ -f $ROOT/qa/lab ]] || { say "qa/lab is missing"; return 1; }
  lab_lock
  LABS+=("$GANETI_LAB")
  trap labs_down EXIT
  say "starting the lab $GANETI_LAB"
  # One that was kept has an older driver, and what tests left on it.
  lab down >/dev/null &&
    lab up --nodes 2 ${RELEASE:+--release "$RELEASE"} "$@" &&
    LABS_UP+=("$GANETI_LAB")
}

lab_lock() {
  ((${#LABS[@]} == 0)) || return 0
  exec 8>"$CACHE/$LAB_LOCK"
  flock -n 8 || { say "waiting for another check on this lab"; flock 8; }
}

labs_down() {
  local name status=0
  for name in "${LABS[@]}"; do
    local -x GANETI_LAB=$name
    if $KEEP; then
      say "the lab is still up; take it down with: qa/lab --name $name down"
    else
      say "taking the lab $name down"
      lab down || status=1
    fi
  done
  return $status
}

on_node() {
  lab exec node1 -- env -C "$NODE_SOURCE" \
    GANETI_TREE=/usr/share/ganeti/default "$@" "${PYTEST_ARGUMENTS[@]}"
}
