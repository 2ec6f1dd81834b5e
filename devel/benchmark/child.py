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

"""The driver called as ganeti-noded does: in a child made for one request.

What was imported before the fork costs nothing in the child, what is imported
late costs every time; so it has to be measured like this.

"""

import contextlib
import json
import os
import resource
import time
from collections.abc import Callable, Iterator
from typing import Any

_SELF, _CHILDREN = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN


class Spans:
  """Where the time goes; that of a part does not count for the whole."""

  def __init__(self) -> None:
    self.times: dict[str, float] = {}
    self._inner = [0.0]

  @contextlib.contextmanager
  def span(self, name: str) -> Iterator[None]:
    """Adds the time of a block to a part, in milliseconds."""
    self._inner.append(0.0)
    begun = time.perf_counter()
    try:
      yield
    finally:
      spent = (time.perf_counter() - begun) * 1e3
      own = spent - self._inner.pop()
      self._inner[-1] += spent
      self.times[name] = self.times.get(name, 0.0) + own

  def wrap(self, owner: Any, attribute: str, name: str) -> None:
    """Measures every call of a function from now on."""
    function = getattr(owner, attribute)

    def measured(*args: Any, **kwargs: Any) -> Any:
      with self.span(name):
        return function(*args, **kwargs)

    setattr(owner, attribute, measured)


def in_child(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
  """Runs a function in a child and returns what it returned.

  @raise RuntimeError: it raised; with its message

  """
  reader, writer = os.pipe()
  pid = os.fork()
  if not pid:
    _answer(writer, work)
  os.close(writer)
  try:
    with os.fdopen(reader, "rb") as stream:
      text = stream.read()
  finally:
    os.waitpid(pid, 0)
  answer: dict[str, Any] = json.loads(text or b'{"error": "it was killed"}')
  if "error" in answer:
    raise RuntimeError(answer["error"])
  return answer


def _answer(writer: int, work: Callable[[], dict[str, Any]]) -> None:
  try:
    answer = work()
  except BaseException as err:  # noqa: BLE001
    answer = {"error": repr(err)}
  os.write(writer, json.dumps(answer).encode())
  os._exit(0)


def timed(function: Callable[[], Any]) -> dict[str, float]:
  """How long a function takes, and how much CPU time, in milliseconds.

  CPU time is that of this process and of the programs that it waits for.

  """
  used, begun = _cpu_s(), time.perf_counter()
  function()
  spent = time.perf_counter() - begun
  return {"ms": spent * 1e3, "cpu_ms": (_cpu_s() - used) * 1e3}


def _cpu_s() -> float:
  both = map(resource.getrusage, (_SELF, _CHILDREN))
  return sum(usage.ru_utime + usage.ru_stime for usage in both)
