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

"""Modules that are imported when something of them is first needed.

Every job and every gnt-* command imports all drivers and asks for little
more than the syntax of parameters.  What is for nodes took more than two
thirds of the time that our import took (devel/bench --only imports).  The
node daemon has all of them imported at once (driver.py).

"""

import importlib
from types import ModuleType

_known: "list[Late]" = []


class Late:
  """Stands for a module of this package.

  @ivar _name: relative to this package
  @raise ImportError: at the first use, what importing it raises

  """

  def __init__(self, name: str) -> None:
    self._name = name
    _known.append(self)

  def load(self) -> ModuleType:
    """The module itself."""
    return importlib.import_module(f".{self._name}", __package__)

  def __getattr__(self, attribute: str) -> object:
    return getattr(self.load(), attribute)


def load_all() -> None:
  """Imports all of them now.

  @raise ImportError: what importing one of them raises

  """
  for module in _known:
    module.load()
