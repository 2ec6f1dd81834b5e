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

"""Instances that came to their end by their own will.

Ganeti calls them user-down (or, where the cluster does not allow that,
ERROR_down): a guest that was not asked to stop and halted.  A crash, a
kill or a reboot of the node is something else; such an instance just does
not run.

"""

import logging
import os

from . import record
from .host import Host, read_optional
from .record import Phase

_log = logging.getLogger(__name__)

# Written by post-stop.sh.
_HALTED = "halted"


def by_itself(host: Host, name: str) -> bool:
  """Whether an instance that does not run has halted by itself.

  A note that cannot be read is none: an error here would make the whole
  node look dead, as all of its instances are listed at once.

  """
  paths = host.layout.instance(name)
  try:
    note = read_optional(paths.ended) or ""
  except OSError as err:
    _log.warning("How instance %s ended cannot be read: %s", name, err)
    return False
  if note.strip() != _HALTED:
    return False
  noted = record.load_or_none(host, paths)
  return noted is not None and noted.phase is Phase.RUNNING


def names(host: Host) -> list[str]:
  """The instances with a note of their end, sorted."""
  try:
    with os.scandir(host.layout.data_dir) as entries:
      found = [e.name for e in entries if os.access(f"{e.path}/ended", os.F_OK)]
  except OSError as err:
    if not isinstance(err, FileNotFoundError):
      _log.warning("Instances that ended cannot be listed: %s", err)
    return []
  return sorted(found)
