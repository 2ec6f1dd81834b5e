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

# What devel/check has found, and where the time went. Sourced by devel/check,
# which sets ROOT, RELEASE and KINDS.

PASSED=0 FAILED=0 SKIPPED=0 NEED_VM=0 NOT_BEGUN=0
# Where the time went: seconds at the last line of the report, and tests.
COUNTED=0
REPORT=() SLOWEST=()

# count KIND PASSED FAILED SKIPPED NEED_VM [NOT_BEGUN]
count() {
  local line="$1${RELEASE:+, $RELEASE}: $2 passed, $3 failed" late=${6:-0}
  (($4 == 0)) || line+=", $4 skipped"
  (($5 == 0)) || line+=", $5 need a VM"
  ((late == 0)) || line+=", $late not begun, no time"
  line+=" ($((SECONDS - COUNTED)) s)"
  COUNTED=$SECONDS
  REPORT+=("$line")
  PASSED=$((PASSED + $2)) FAILED=$((FAILED + $3))
  SKIPPED=$((SKIPPED + $4)) NEED_VM=$((NEED_VM + $5))
  NOT_BEGUN=$((NOT_BEGUN + late))
}

# pytest_counts KIND OUTPUT STATUS: what pytest printed and how it ended. The
# counts come from the line that the tests' plugin prints last; without it the
# run has failed.
pytest_counts() {
  local kind=$1 output=$2 status=$3 counts
  counts=$(sed -n 's/^ganeti-lxc-counts: //p' "$output" | tail -n 1)
  mapfile -t -O "${#SLOWEST[@]}" SLOWEST < <(
    grep -aE '^ *[0-9.]+s (setup|call|teardown) ' "$output")
  local passed=0 failed=0 skipped=0 vm=0 late=0
  read -r passed failed skipped vm late <<<"${counts:-0 1 0 0 0}"
  if ((status != 0 && failed == 0)); then
    printf '%s\n' "$kind: pytest ended with status $status"
    failed=1
  fi
  count "$kind" "$passed" "$failed" "$skipped" "$vm" "$late"
}

summary() {
  printf '\n'
  printf '%s\n' "${REPORT[@]}"
  [[ $NEED_VM = 0 || " ${KINDS[*]} " = *" vm-guests "* ]] ||
    printf '%s\n' "$NEED_VM need a VM: devel/check vm runs them all"
  ((${#SLOWEST[@]} == 0)) || {
    printf 'The longest:\n'
    printf '%s\n' "${SLOWEST[@]}" | sort -rn | head -n 15
  }
  ((NOT_BEGUN == 0)) ||
    printf '%s\n' "$NOT_BEGUN not begun, no time: devel/check KIND has no limit"
  local line="$PASSED passed, $FAILED failed"
  ((SKIPPED + NOT_BEGUN == 0)) ||
    line+=", $((SKIPPED + NOT_BEGUN)) skipped"
  printf '%s\n' "$line"
}

# The commit, and whether anything but such records differs from it.
what_is_checked() {
  local changed
  changed=$(git -C "$ROOT" status --porcelain --untracked-files=no \
    -- . ':!qa/results')
  printf '%s%s' "$(git -C "$ROOT" rev-parse --short HEAD)" \
    "${changed:+-dirty}"
}

# What each kind gave when it last ran, for those who cannot run it; the runs of
# one table may lie days apart. record KIND SINCE FROM: it began when the script
# had run for SINCE seconds and REPORT had FROM lines.
record() {
  local file=$ROOT/qa/results/checks.txt key="${RELEASE:-trixie} $1"
  local machine line
  machine="$(. /etc/os-release && printf '%s' "$PRETTY_NAME"), kernel"
  machine+=" $(uname -r), $(nproc) processors"
  {
    awk -v key="$key" 'BEGIN {RS = ""; ORS = "\n\n"}
      index($0, key "\n") != 1' "$file" 2>/dev/null
    printf '%s\n' "$key"
    date -u '+  date: %F %H:%M UTC'
    printf '  commit: %s\n' "$(what_is_checked)"
    printf '  machine: %s\n' "$machine"
    printf '  time: %s min\n' $(((SECONDS - $2 + 30) / 60))
    for line in "${REPORT[@]:$3}"; do
      printf '  %s\n' "$line"
    done
  } >"$file.new"
  mv "$file.new" "$file"
}
