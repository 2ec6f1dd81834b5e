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

# Sourced by devel/check: the packages, the Python environment and the
# Ganeti trees that the tests need, all but the packages kept in a cache.
#
# shellcheck shell=bash

# Ganeti version -> the Debian release that has it.
declare -A GANETI_SUITE=([3.0]=bookworm [3.1]=trixie)
GANETI_VERSIONS=(3.0 3.1)

# What Ganeti's modules and ours import, and what building needs.
PACKAGES=(
  autoconf automake build-essential ca-certificates debhelper
  debian-archive-keyring dpkg-dev lintian make rpm
  python3 python3-bitarray python3-openssl python3-paramiko python3-psutil
  python3-pycurl python3-pyparsing python3-simplejson python3-venv
)

KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

say() {
  printf '%s\n' "== $*" >&2
}

die() {
  printf '%s\n' "devel/check: $*" >&2
  exit 1
}

# One directory for each set of what is in it. Root's is used by everybody
# where root filled it.
choose_cache() {
  local key shared=/var/cache/ganeti-lxc-check
  key=$(cache_key)
  if [[ -n ${GANETI_LXC_CACHE:-} ]]; then
    CACHE=$GANETI_LXC_CACHE/$key
  elif ((EUID == 0)) || [[ -f $shared/$key/ready ]]; then
    CACHE=$shared/$key
  else
    CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/ganeti-lxc-check/$key
  fi
}

cache_key() {
  cat "$ROOT/devel/requirements.txt" /etc/debian_version - \
    <<<"${GANETI_SUITE[*]}" | sha256sum | cut -c 1-12
}

missing_packages() {
  local package
  for package in "${PACKAGES[@]}"; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null |
      grep -q -x installed || printf '%s\n' "$package"
  done
}

install_packages() {
  local -a missing
  mapfile -t missing < <(missing_packages)
  ((${#missing[@]})) || return 0
  ((EUID == 0)) ||
    die "packages are missing; run: apt-get install ${missing[*]}"
  say "installing ${missing[*]}"
  apt-get update -q >"$CACHE/apt.log" 2>&1 &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q \
      --no-install-recommends "${missing[@]}" >>"$CACHE/apt.log" 2>&1 ||
    die "apt-get failed: $(tail -n 1 "$CACHE/apt.log") (log:" \
      "$CACHE/apt.log)"
}

# The system's Python with its packages, and pytest and so on from PyPI.
make_venv() {
  say "making the Python environment"
  rm -rf "$VENV"
  /usr/bin/python3 -m venv --system-site-packages "$VENV" &&
    "$VENV/bin/python" -m pip install -q --disable-pip-version-check \
      -r "$ROOT/devel/requirements.txt" >"$CACHE/pip.log" 2>&1 ||
    die "no Python environment: $(tail -n 1 "$CACHE/pip.log") (log:" \
      "$CACHE/pip.log)"
}

# The mirror this machine takes Debian from.
debian_mirror() {
  apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' \
    'Created-By: Packages' 2>/dev/null |
    awk '$1 == "Debian" && $2 == "Debian" {print $3; found = 1; exit}
         END {if (!found) print "http://deb.debian.org/debian/"}'
}

# An apt of its own for one release: reads the machine's apt settings (a
# proxy, say), writes nothing of them, and accepts Debian's signature only.
private_apt() {
  local suite=$1
  shift
  local dir=$CACHE/apt-$suite
  mkdir -p "$dir"/{etc/preferences.d,state/lists,cache/archives}
  printf 'deb [signed-by=%s] %s %s main\n' \
    "$KEYRING" "$(debian_mirror)" "$suite" >"$dir/etc/sources.list"
  "$1" -q -o Dir::Etc="$dir/etc" -o Dir::State="$dir/state" \
    -o Dir::State::status=/dev/null -o Dir::Cache="$dir/cache" \
    -o APT::Sandbox::User="$(id -un)" "${@:2}"
}

# fetch_ganeti VERSION: Ganeti's Python modules, as Debian ships them.
fetch_ganeti() {
  local version=$1 suite=${GANETI_SUITE[$1]}
  local log=$CACHE/ganeti-$version.log work=$CACHE/ganeti-$version.new
  say "fetching Ganeti $version of Debian $suite"
  rm -rf "$work" "$CACHE/ganeti-$version"
  mkdir -p "$work"
  (
    set -e
    cd "$work"
    private_apt "$suite" apt-get update
    private_apt "$suite" apt-get download "ganeti-$version"
    dpkg-deb -x ganeti-"$version"_*.deb .
    mv "usr/share/ganeti/$version" "$CACHE/ganeti-$version"
  ) >"$log" 2>&1 ||
    die "no Ganeti $version: $(tail -n 1 "$log") (log: $log)"
  rm -rf "$work" "$CACHE/apt-$suite"
}

# overlay VERSION: a "ganeti" package of symbolic links, Debian's modules
# and our driver, as "make install" would leave it.
overlay() {
  local version=$1 tree=$ROOT/build/ganeti-$1/ganeti name
  local debian=$CACHE/ganeti-$version/ganeti
  mkdir -p "$tree/hypervisor" "$tree/storage"
  for name in "$debian"/*; do
    case ${name##*/} in
      hypervisor | storage | __pycache__) ;;
      *) ln -sfn "$name" "$tree/" ;;
    esac
  done
  find "$tree/storage" -xtype l -delete
  ln -sfn "$debian"/hypervisor/[!_]* "$debian/hypervisor/__init__.py" \
    "$ROOT/lib/hypervisor/hv_lxc" "$tree/hypervisor/"
  ln -sfn "$debian"/storage/*.py "$ROOT"/lib/storage/*.py "$tree/storage/"
}

# prepare: fills the cache unless that has been done, sets CACHE, VENV and
# PYTHON, and links the Ganeti trees to the driver.
prepare() {
  choose_cache
  VENV=$CACHE/venv
  PYTHON=$VENV/bin/python
  mkdir -p "$CACHE" 2>/dev/null ||
    die "cannot make $CACHE; name another directory in GANETI_LXC_CACHE"
  install_packages
  [[ -f $CACHE/ready ]] || fill_cache || exit 1
  local version
  for version in "${GANETI_VERSIONS[@]}"; do
    overlay "$version"
  done
}

# One at a time; whoever waited finds it done.
fill_cache() {
  (
    flock 9
    [[ ! -f $CACHE/ready ]] || exit 0
    make_venv
    for version in "${GANETI_VERSIONS[@]}"; do
      fetch_ganeti "$version"
    done
    touch "$CACHE/ready"
  ) 9>"$CACHE/lock"
}
