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

"""Ganeti's tables of hypervisor parameters, filled from C{paramvalues}.

The rows are those of C{hv_base.BaseHypervisor.PARAMETERS}, all without
checks: what Ganeti says about a failed check names neither the part of a
value that is wrong nor what would be right.  C{params.parse} does.

"""

from collections.abc import Mapping
from typing import Any

from ganeti import constants

from . import paramvalues

_NO_CHECK = (False, None, None, None, None)

# (required, check on the master, its message, check on the node, message)
# Each has a default: Ganeti's unit tests ask that of every hypervisor.
PARAMETERS: dict[str, tuple[bool, None, None, None, None]] = dict.fromkeys(
  sorted(paramvalues.defaults()), _NO_CHECK
)


def supply_defaults() -> None:
  """Makes this process know the defaults.

  C{Cluster.UpgradeConfig} then fills every configuration that is loaded
  with them, so even C{gnt-instance migrate} finds a migration_mode; they
  are stored with the next change of the configuration.

  """
  constants.HVC_DEFAULTS[constants.HT_LXC].update(paramvalues.defaults())


def filled(hvparams: Mapping[str, Any]) -> dict[str, Any]:
  """The parameters, with those that another release did not store.

  C{CheckParameterSyntax} and C{ValidateParameters} of Ganeti fail on a
  parameter that is in L{PARAMETERS} and not among the values.

  """
  return {**paramvalues.defaults(), **hvparams}


def unreserved(hvparams: Mapping[str, Any]) -> dict[str, Any]:
  """The parameters that Ganeti's own checks are to see.

  They refuse every name that is not in L{PARAMETERS}; reserved names are
  for C{params.parse} to judge.

  """
  return {
    name: value
    for name, value in hvparams.items()
    if name not in paramvalues.RESERVED
  }
