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

"""What LXC sets at a start and not at a restore: limits and devices.

(LXC 5, 6 and 7.0: do_restore in criu.c calls neither setup_limits nor
devices_activate.)  Both are read from the instance's own configuration, in
LXC's words.  The device rules are put on the group above the guest's own,
before that one exists: no moment is left without them, and v1 takes a rule
for all devices only where there is no group below (devcgroup_update_access
in the kernel's security/device_cgroup.c).

"""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from .. import cgtree, devices
from ..devices import DeviceRule
from ..errors import Failed
from ..hierarchies import Hierarchies, Hierarchy
from ..host import read_optional
from ..layout import InstancePaths
from . import device_program

Line = tuple[str, str]

_log = logging.getLogger(__name__)
_PREFIXES = ("lxc.cgroup.", "lxc.cgroup2.")
_NOT_LIMITS = ("dir", "relative", "devices.")


# CRIU makes the nodes of the guest's /dev from within its group
# (tmpfs_restore in filesystems.c has tar do it); LXC has made them at the
# start before there were rules.
_MAKING = tuple(DeviceRule(kind, None, None, "m") for kind in "cb")


def allow_devices(
  trees: Hierarchies, name: str, config: Sequence[Line]
) -> None:
  """Confines the group of an instance to the devices of its configuration.

  Nodes may be made of any device, until L{forbid_making}.

  @raise Failed: the kernel refuses

  """
  orders = _device_orders(config)
  tree = trees.controller("devices")
  if not orders or tree is None:
    return
  group = Path(tree.group(name))
  with _as_failed(name, group):
    group.mkdir(mode=0o755, parents=True, exist_ok=True)
    if tree.version == 1:
      more = [("devices.allow", str(rule)) for rule in _not_in(orders)]
      for file, value in (*orders, *more):
        cgtree.write(f"{group}/{file}", value)
    else:
      device_program.attach(group, (*_rules(orders), *_not_in(orders)))


def forbid_making(
  trees: Hierarchies, name: str, config: Sequence[Line]
) -> None:
  """Has the guest make only the nodes that its configuration lets it make.

  @raise Failed: the kernel refuses

  """
  orders = _device_orders(config)
  tree = trees.controller("devices")
  if not orders or tree is None or not _not_in(orders):
    return
  group = Path(tree.group(name))
  with _as_failed(name, group):
    if tree.version == 1:
      for rule in _not_in(orders):
        cgtree.write(f"{group}/devices.deny", str(rule))
    else:
      # What both programs allow is allowed.
      device_program.attach(group, _rules(orders))


def _device_orders(config: Sequence[Line]) -> list[Line]:
  settings = _settings(config)
  return [(k, v) for k, v in settings if k.startswith("devices.")]


def _rules(orders: Sequence[Line]) -> tuple[DeviceRule, ...]:
  allowed = [value for key, value in orders if key == "devices.allow"]
  return devices.parse(",".join(allowed))


def _not_in(orders: Sequence[Line]) -> list[DeviceRule]:
  """What has to be allowed for a restore, and is not by these."""
  return devices.not_covered(_MAKING, _rules(orders))


@contextlib.contextmanager
def _as_failed(name: str, group: Path) -> Iterator[None]:
  try:
    yield
  except OSError as err:
    raise Failed(
      f"The devices of instance {name} cannot be confined",
      evidence=f"{group}: {err.strerror}",
    ) from err


def set_limits(
  trees: Hierarchies,
  name: str,
  config: Sequence[Line],
  paths: InstancePaths,
) -> None:
  """Sets the limits of the guest's group, as they were last.

  @raise Failed: the kernel refuses

  """
  later = _later(read_optional(paths.start_host_data) or "")
  pending = [
    (key, value)
    for key, value in _settings(config)
    if not key.startswith(_NOT_LIMITS) and key not in later
  ]
  pending += later.items()
  # Memory, and memory and swap, go in one order or in the other, depending
  # on what is set now: what did not work is tried again after the rest.
  failures: list[str] = []
  for _ in range(2):
    failures = []
    pending = _set_all(trees, name, pending, failures)
  if pending:
    raise Failed(
      f"The limits of instance {name} cannot be set",
      evidence="; ".join(failures) or ", ".join(k for k, _ in pending),
    )


def _set_all(
  trees: Hierarchies, name: str, wanted: Sequence[Line], failures: list[str]
) -> list[Line]:
  """Sets what can be set; the rest is returned, and told why."""
  rest = []
  for file, value in wanted:
    tree = _tree(trees, file)
    try:
      cgtree.write(f"{tree.payload(name)}/{file}", value)
    except OSError as err:
      failures.append(f"{file}={value}: {err.strerror}")
      rest.append((file, value))
  return rest


def _tree(trees: Hierarchies, file: str) -> Hierarchy:
  controller = file.partition(".")[0]
  tree = trees.controller(controller)
  if tree is None:
    raise Failed(
      f"This node cannot set {file}",
      evidence=f"no control group mount has the {controller} controller",
    )
  return tree


def _settings(config: Sequence[Line]) -> list[Line]:
  return [
    (key.removeprefix(prefix), value)
    for key, value in config
    for prefix in _PREFIXES
    if key.startswith(prefix)
  ]


def _later(instructions: str) -> dict[str, str]:
  """Limits that were set while the instance ran (lxcfiles.keep_memory)."""
  found = {}
  for line in instructions.splitlines():
    words = line.split()
    if len(words) == 3 and words[0] in ("try", "write"):  # noqa: PLR2004
      found[Path(words[1]).name] = words[2]
  return found
