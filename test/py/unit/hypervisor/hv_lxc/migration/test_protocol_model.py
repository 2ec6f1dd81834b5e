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

"""The transition table in every world that it can lead to.

Two copies, two mounts, a lost guest, a situation without a way out: none
can be reached, with any kill, power cut, lost, repeated or late message and
call, up to the bounds given; devel/model-check goes further.
"""

import pytest
from ganeti.hypervisor.hv_lxc.migration.states import State
from unit.hypervisor.hv_lxc.migration import model_check
from unit.hypervisor.hv_lxc.migration.model import Node, Rules, World
from unit.hypervisor.hv_lxc.migration.model_guards import GUARDS

# Exhaustive search costs more processor time than another unit test may
# take; the largest of these takes about two seconds.
SEARCH = pytest.mark.timeout(120)

# Faults, commands after the first migration, migrations.
BOUNDS = [(0, 2, 2), (1, 1, 1), (2, 0, 1)]


@SEARCH
@pytest.mark.parametrize("bounds", BOUNDS, ids=str)
def test_nothing_forbidden_can_be_reached(
  bounds: tuple[int, int, int],
) -> None:
  faults, commands, ids = bounds
  rules = Rules()
  result = model_check.explore(
    rules, faults=faults, commands_after=commands, most_ids=ids
  )
  assert not result.problem, str(result)
  assert result.is_complete
  assert result.worlds > 1000
  stuck = model_check.no_way_out(rules, result)
  assert not stuck, stuck[0]


@SEARCH
def test_the_search_comes_to_every_state() -> None:
  result = model_check.explore(Rules(), faults=1, commands_after=1)
  states = {node.state for world in result.seen for node in world.nodes}
  assert states == set(State)


@SEARCH
@pytest.mark.parametrize("guard", GUARDS)
def test_every_guard_is_needed(guard: str) -> None:
  change, (faults, commands, ids) = GUARDS[guard]
  rules = change(Rules())
  result = model_check.explore(
    rules, faults=faults, commands_after=commands, most_ids=ids
  )
  if result.problem:
    # Shown with pytest -rP: how it comes to that.
    print(result)
    assert result.trace
  else:
    stuck = model_check.no_way_out(rules, result)
    print(*stuck)
    assert stuck, f"without this nothing goes wrong: {guard}"


HELD = Node(state=State.OWNER, tasks="held", mounted=True, images="ok")


@pytest.mark.parametrize(
  ("nodes", "changes", "problem"),
  [
    ((model_check.RUNNING, Node()), {}, ""),
    ((Node(mounted=True), HELD), {}, "mounted twice"),
    ((Node(mounted=True), Node()), {"third": True}, "mounted twice"),
    ((Node(tasks="frozen"), HELD), {}, "two copies"),
    ((Node(tasks="run"), Node()), {}, "tasks without their file system"),
    ((Node(), Node()), {}, "no copy runs and none can be restored"),
    ((Node(images="stale"), Node()), {}, "no copy runs"),
    ((Node(images="ok"), Node()), {}, ""),
    ((Node(), Node()), {"excused": True}, ""),
  ],
)
def test_what_is_forbidden(
  nodes: tuple[Node, Node], changes: dict[str, object], problem: str
) -> None:
  world = World(nodes=nodes)._replace(**changes)
  found = model_check.wrong(world)
  assert found.startswith(problem)
  assert bool(found) == bool(problem)


@pytest.mark.parametrize(
  ("nodes", "way"),
  [
    ((model_check.RUNNING, Node()), "none"),
    ((Node(), Node()), "start"),
    ((Node(state=State.GONE, mid=1), Node()), "start"),
    (
      (
        Node(state=State.HANDING, mid=1, images="ok"),
        Node(state=State.READY, mid=1, images="ok"),
      ),
      "none",
    ),
    (
      (
        Node(state=State.GONE, mid=1),
        Node(state=State.RESUMED, mid=1, tasks="run", mounted=True),
      ),
      "cleanup",
    ),
    (
      (Node(state=State.HANDING, mid=1, images="ok"), Node(up=False)),
      None,
    ),
  ],
)
def test_the_one_command(nodes: tuple[Node, Node], way: str | None) -> None:
  assert model_check.way_out(Rules(), World(nodes=nodes)) == way
