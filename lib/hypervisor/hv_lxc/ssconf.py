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

"""What Ganeti writes on every node about the cluster (its ssconf files).

Ganeti's own reader of lines KEY=VALUE gives up where a value holds a "=" of
its own (ssconf.py, _GetDictOfSsconfMap), as that of extra_config may.

"""

from .host import Host, read_optional


def text(host: Host, key: str) -> str | None:
  """The contents; None where this node was not told.

  @raise OSError: the file is there and cannot be read

  """
  return read_optional(host.layout.ssconf(key))


def words(host: Host, key: str) -> list[str]:
  """What a file lists; [] where this node was not told."""
  return (text(host, key) or "").split()


def pairs(host: Host, key: str) -> list[tuple[str, str]]:
  """The lines of a file, each "NAME VALUE" or "NAME=VALUE"."""
  lines = (text(host, key) or "").splitlines()
  parts = (line.replace("=", " ", 1).partition(" ") for line in lines)
  return [(name, value.strip()) for name, _, value in parts]


def hvparams(host: Host) -> dict[str, str] | None:
  """The cluster's LXC parameters; None where this node was not told them.

  @raise OSError: the file is there and cannot be read

  """
  found = text(host, "hvparams_lxc")
  if found is None:
    return None
  parts = (line.partition("=") for line in found.splitlines())
  return {name: value for name, _, value in parts}
