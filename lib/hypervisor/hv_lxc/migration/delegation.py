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


"""Keeps the boundary of what a guest may do to its own control groups.

systemd mounts the v2 tree with "nsdelegate": the limits of the group in
which a cgroup namespace begins are not for those inside of it (EPERM).  This
belongs to the one tree of the machine, and whoever mounts it somewhere else,
as CRIU does for itself, without such options takes it away from all, so that
a guest's root could write to its own memory.max.

Only the first cgroup namespace of the machine has that power
(apply_cgroup_root_flags in the kernel's kernel/cgroup/cgroup.c).  So CRIU is
started in another one.  That one begins with the topmost group, where all
paths are those of the first.

A node that is a container is in another namespace already.  The topmost group
of that one takes no process, as it hands controllers down (cgroups(7)), but LXC
has CRIU go there and gives up when it cannot (cgfsng_criu_escape in its
src/lxc/cgroups/cgfsng.c): seen on Debian 13, "Failed to escape to cgroup".
There LXC is shown the door of the group in which it is.

"""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from .. import hierarchies
from ..command import DEFAULT_TIMEOUT_S, Result
from ..errors import LxcError
from ..hierarchies import BOUNDARY, Hierarchies
from ..host import Host

# What a program is for a moment before it is itself, see L{_APART}.
PROGRAMS = ("sh", "unshare")

_log = logging.getLogger(__name__)

# What systemd mounts it with (mount-setup.c).
_OPTIONS = (BOUNDARY, "memory_recursiveprot")
# A namespace begins with the group of the process that makes it; afterwards
# the process goes back to its own.  LXC's process for the guest keeps the view
# that it was given; as a slave that view loses what the node unmounts.
_APART = """\
top=$1; shift
own=$(sed -n s/^0:://p /proc/self/cgroup)
if echo 0 >"$top/cgroup.procs"; then
  exec unshare --cgroup sh -c 'echo 0 >"$0/cgroup.procs"; exec "$@"' \
    "$top$own" "$@"
fi
exec unshare --mount --propagation slave sh -c '
  mount --bind "$0/cgroup.procs" "$1/cgroup.procs"; shift; exec "$@"' \
  "$top$own" "$top" "$@"
"""


@contextlib.contextmanager
def kept(host: Host) -> Iterator[Host]:
  """Hands out a node whose programs cannot take the options away.

  What another CRIU has taken, one that an administrator runs for example, is
  put back.

  """
  trees = hierarchies.find(host)
  try:
    yield _apart(host, trees)
  finally:
    put_back(host, hierarchies.find(host))


def _apart(host: Host, trees: Hierarchies) -> Host:
  """The node, for programs in a cgroup namespace of their own."""
  if not trees.pure_v2 or trees.unified is None:
    return host
  before = ["sh", "-c", _APART, "apart", trees.unified.base]

  def run(
    argv: Sequence[str],
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    env: Mapping[str, str] | None = None,
  ) -> Result:
    result = host.run([*before, *argv], timeout_s=timeout_s, env=env)
    return replace(result, argv=tuple(argv))

  return replace(host, run=run)


def put_back(host: Host, trees: Hierarchies) -> None:
  """Sets the boundary where nothing but v2 is mounted and it is missing."""
  if not trees.pure_v2 or trees.unified is None:
    return
  base = str(trees.unified.base)
  if hierarchies.has_boundary(host):
    return
  try:
    result = host.run(["mount", "-o", f"remount,{','.join(_OPTIONS)}", base])
  except LxcError as err:
    _log.error("%s", err)
    return
  if result.failed:
    _log.error("Guests may raise their own limits: %s", result.evidence())
