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

"""How errors leave the driver."""

import functools
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from ganeti import errors

from .doctor import counters
from .errors import Failed, Incomplete, LxcError, Refused
from .this_node import local_host

_F = TypeVar("_F", bound=Callable[..., Any])


def as_hypervisor_error(method: _F) -> _F:
  """Whatever goes wrong leaves the driver as a HypervisorError.

  Ganeti's backend handles no other kind properly: it would leave the
  links of the instance's disks, or make a whole node look dead.

  """

  @functools.wraps(method)
  def wrapper(*args: Any, **kwargs: Any) -> Any:
    try:
      return method(*args, **kwargs)
    except errors.HypervisorError:
      raise
    except LxcError as err:
      logging.warning("LXC: %s", err)
      _count(_family(err))
      raise errors.HypervisorError(str(err)) from err
    except Exception as err:
      logging.exception("LXC: unexpected")
      _count("unexpected")
      raise errors.HypervisorError(
        f"{method.__name__} failed: {err!r} (see the node daemon's log)"
      ) from err

  return wrapper  # type: ignore[return-value]


def _family(err: LxcError) -> str:
  """What it left behind, in a word."""
  families = (Refused, Failed, Incomplete)
  kinds = (kind for kind in families if isinstance(err, kind))
  return next(kinds, LxcError).__name__.lower()


def _count(outcome: str) -> None:
  """Notes an error for ganeti-lxc-metrics; others than root do not."""
  counters.increase(local_host(), counters.ERRORS, outcome)
