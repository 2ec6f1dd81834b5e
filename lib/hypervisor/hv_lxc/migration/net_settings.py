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

"""What a guest has set for its network as a whole, below /proc/sys/net.

CRIU saves what is there for each interface and in net/ipv4/conf and
net/ipv6/conf (criu/net.c), and nothing else: a guest that may have 4096
connections wait, or that forwards with a certain table of connections, has the
kernel's defaults after a restore.

While CRIU makes sockets again, their addresses need not be there: one to which
a daemon is bound may have been taken away since, as a lease is, and each of
IPv6 is "tentative" until the guest is connected, and no socket can be bound to
it (EADDRNOTAVAIL; CRIU mends that for sockets that listen, but not in
soccr/soccr.c for those that are connected).  Nor may new sockets be of IPv6
only by themselves: CRIU says so of those that are, and not of the others, which
would not hear IPv4 any more, and could not be connected by it (EINVAL).

"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..host import Host, read_optional, write_file
from . import netns

_NOTE = "ganeti-net-settings.json"
_TOP = Path("/proc/sys/net")
# Those are CRIU's, or of an interface.
_NOT_BELOW = frozenset({"conf", "neigh"})
# While sockets are made; what it was comes behind.
_MEANWHILE = {
  "ipv4/ip_nonlocal_bind": "1",
  "ipv6/ip_nonlocal_bind": "1",
  "ipv6/bindv6only": "0",
}
# It is the node's, and cannot be taken back; and one that is in "conf".
_NOT = frozenset({"netfilter/nf_hooks_lwtunnel", "ipv4/ip_forward"})
# A list of all ports (ip_local_reserved_ports) is read at once or not at all.
_LARGEST = 512 << 10
_USUAL = 4096
_READ_AND_WRITE = 0o600
_MOST = 2000


def save(host: Host, init: int, images: Path) -> None:
  """Notes the guest's settings among CRIU's images.

  @param init: the guest's process 1
  @raise OSError: its network cannot be entered

  """
  write_file(images / _NOTE, json.dumps(netns.inside(host, init, _all)))


def restore(host: Host, init: int, images: Path) -> None:
  """Sets what was noted, and has sockets be bound to any address.

  Before sockets are made: how many connections may wait for one that listens
  (net/core/somaxconn) is looked up when it begins to.  What this kernel does
  not have, or refuses, is left out.

  @raise OSError: its network cannot be entered

  """
  wanted = {**_noted(images), **_MEANWHILE}

  def set_differing() -> None:
    now = _all()
    refused = _set({k: v for k, v in wanted.items() if now.get(k, v) != v})
    # One may wait for another: the range of ports, and the first of them that
    # is not privileged.
    _set({k: wanted[k] for k in refused})

  netns.inside(host, init, set_differing)


def complete(host: Host, init: int, images: Path) -> None:
  """What was otherwise while sockets were made is as it was noted.

  @raise OSError: its network cannot be entered

  """
  noted = _noted(images)
  values = {name: noted.get(name, "0") for name in _MEANWHILE}
  netns.inside(host, init, lambda: _set(values))


def _noted(images: Path) -> dict[str, str]:
  # An older driver's images have none.
  found = json.loads(read_optional(images / _NOTE) or "{}")
  return {str(name): str(value) for name, value in found.items()}


def _all() -> dict[str, str]:
  """Settings of the thread's network that can be changed, by their path."""
  found: dict[str, str] = {}
  for name in _files(_TOP):
    if name in _NOT:
      continue
    if len(found) >= _MOST:
      break
    with contextlib.suppress(OSError, UnicodeDecodeError):
      found[name] = _read(_TOP / name)
  return found


def _files(top: Path) -> Iterator[str]:
  for path, below, names in os.walk(top):
    below[:] = [name for name in below if name not in _NOT_BELOW]
    for name in names:
      file = Path(path, name)
      # Those that the kernel counts up, and "flush", are no settings.
      with contextlib.suppress(OSError):
        if file.stat().st_mode & _READ_AND_WRITE == _READ_AND_WRITE:
          yield str(file.relative_to(top))


def _read(file: Path) -> str:
  fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
  try:
    found = os.read(fd, _USUAL)
    if len(found) == _USUAL:
      # Another read(2) would find the end.
      found = os.pread(fd, _LARGEST, 0)
    return found.decode("ascii").rstrip("\n")
  finally:
    os.close(fd)


def _set(values: Mapping[str, str]) -> list[str]:
  """Which were refused: by a kernel without IPv6, or as too large here."""
  refused: list[str] = []
  for name, value in values.items():
    try:
      _write(_TOP / name, value.encode("ascii"))
    except OSError:
      refused.append(name)
  return refused


def _write(file: Path, left: bytes) -> None:
  fd = os.open(file, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
  try:
    # Of a long list of ports the kernel takes a page at a time.
    while left:
      left = left[os.write(fd, left) :]
  finally:
    os.close(fd)
