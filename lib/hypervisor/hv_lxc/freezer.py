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


"""Pausing a guest: the v1 freezer and cgroup.freeze of v2.

LXC pauses the payload group, and so does this; on a hybrid node both use
the v1 freezer (cgfsng_freeze).

"""

from . import cgtree
from .errors import Failed
from .hierarchies import Hierarchies, Hierarchy
from .host import wait_until

_FREEZE_S = 10.0


def freeze(trees: Hierarchies, name: str, timeout_s: float = _FREEZE_S) -> None:
  """Stops the guest's processes where they are; LXC's own runs on.

  @raise Failed: they did not all stop in time; they run on

  """
  tree = _freezer(trees, name)
  group = tree.payload(name)
  _order(tree, group, frozen=True)
  if not wait_until(lambda: settled(tree, group), timeout_s):
    _order(tree, group, frozen=False)
    raise Failed(
      f"Instance {name} cannot be paused",
      evidence=f"not all of its processes stopped within {timeout_s:.0f} s",
      remedy="one may wait for a device or a file server: end that wait",
    )


def order(trees: Hierarchies, name: str) -> None:
  """Has the guest's processes stop, and does not wait for them.

  One that is being traced, by CRIU say, stops when it is let go.

  @raise Failed: there is no freezer, or the instance does not run

  """
  tree = _freezer(trees, name)
  _order(tree, tree.payload(name), frozen=True)


def thaw(trees: Hierarchies, name: str) -> None:
  """Lets the guest's processes run again."""
  tree = _freezer(trees, name)
  _order(tree, tree.payload(name), frozen=False)


def is_old(trees: Hierarchies) -> bool:
  """Whether it is that of v1, in which ptrace(2) waits for what was stopped.

  The wait is for a change of state that a frozen process cannot make
  (JOBCTL_TRAPPING, ptrace_attach in kernel/ptrace.c).

  """
  tree = trees.controller("freezer")
  return tree is not None and tree.version == 1


def is_frozen(trees: Hierarchies, name: str) -> bool:
  """Whether the guest was told to stop where it is, by whomever."""
  tree = trees.controller("freezer")
  if tree is None:
    return False
  if tree.version == 1:
    state = cgtree.read(tree.payload(name) + "/freezer.state")
    return state is not None and not state.startswith("THAWED")
  return cgtree.read(tree.payload(name) + "/cgroup.freeze") == "1\n"


def _freezer(trees: Hierarchies, name: str) -> Hierarchy:
  tree = trees.controller("freezer")
  if tree is None:
    raise Failed(
      f"Instance {name} cannot be paused",
      evidence="no control group mount of this node has a freezer",
      remedy="see what ganeti-lxc-doctor says of the node",
    )
  return tree


def _order(tree: Hierarchy, group: str, *, frozen: bool) -> None:
  if tree.version == 1:
    path, value = "/freezer.state", "FROZEN" if frozen else "THAWED"
  else:
    path, value = "/cgroup.freeze", "1" if frozen else "0"
  try:
    cgtree.write(group + path, value)
  except FileNotFoundError as err:
    raise Failed(
      "The instance does not run",
      evidence=f"{group} does not exist",
      remedy="start it with gnt-instance startup",
    ) from err


def settled(tree: Hierarchy, group: str) -> bool:
  """Whether all processes of a group have stopped."""
  if tree.version == 1:
    return (cgtree.read(group + "/freezer.state") or "").startswith("FROZEN")
  text = cgtree.read(group + "/cgroup.events") or ""
  return cgtree.keyed(text, "frozen") == 1
