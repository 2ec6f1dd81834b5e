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

"""What the tests of verify share: nodes, questions, ways to hide a thing."""

from collections.abc import Callable

from ganeti.hypervisor.hv_lxc import verify
from unit.hypervisor.hv_lxc import fake_node
from unit.hypervisor.hv_lxc.fake_node import FakeNode

Change = Callable[[FakeNode], None]
LAYOUTS = {
  "v1": fake_node.debian_12_v1,
  "hybrid": fake_node.debian_12_hybrid,
  "v2": fake_node.debian_13_v2,
}


def problems(node: FakeNode, extra_cgroups: tuple[str, ...] = ()) -> list[str]:
  found = verify.problems(
    node.host,
    extra_cgroups,
    search_path=str(node.path("bin")),
    root=node.root,
  )
  for problem in found:
    assert problem.remedy
    assert "\n" not in str(problem)
  return [str(problem) for problem in found]


def all_advice(node: FakeNode, cpu_mask: str = "") -> list[str]:
  return verify.advice(
    node.host,
    search_path=str(node.path("bin")),
    root=node.root,
    cpu_mask=cpu_mask,
  )


def advice(node: FakeNode, cpu_mask: str = "") -> list[str]:
  """What is said beside what every node with version 1 has to hear."""
  return [
    line
    for line in all_advice(node, cpu_mask)
    if not line.startswith("A guest's root can raise ")
  ]


def without(path: str) -> Change:
  return lambda node: node.remove(path)


def without_line(path: str, word: str) -> Change:
  return lambda node: node.drop_line(path, word)


def with_text(path: str, text: str) -> Change:
  return lambda node: node.write(path, text)


def replaced(path: str, old: str, new: str) -> Change:
  return lambda node: node.replace(path, old, new)


def lxc_says(text: str) -> Change:
  def change(node: FakeNode) -> None:
    node.lxc_version = text

  return change


def each(*changes: Change) -> Change:
  def change(node: FakeNode) -> None:
    for one in changes:
      one(node)

  return change
