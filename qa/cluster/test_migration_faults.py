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


"""A few faults put into live migrations; qa/migration-faults has all.

GANETI_LXC_SEED chooses others; the seed is printed, and with it
qa/migration-faults repeats the same faults.
"""

import os
import random

import pytest
from cluster.cluster import Cluster, wait_for
from cluster.migration_faults import cli, eyes
from cluster.migration_faults.acts import killing_noded
from cluster.migration_faults.campaign import Campaign, Verdict, migrate
from cluster.migration_faults.catalogue import all_faults
from cluster.migration_faults.injecting import (
  Context,
  Fault,
  Moment,
  Side,
  Where,
)

COUNT = 4
# Faults that all have been seen; those of other seeds are for the campaign.
_SEED = 1


@pytest.mark.criu
@pytest.mark.lab("looks at the nodes from the machine that they run on")
@pytest.mark.timeout(600)
def test_a_migration_survives_whatever_happens(cluster: Cluster) -> None:
  seed = int(os.environ.get("GANETI_LXC_SEED") or _SEED)
  print(f"again: qa/migration-faults --lab LAB --seed {seed} --count {COUNT}")
  campaign = Campaign(cluster, seed)
  campaign.begin()
  defects = []
  try:
    for number, fault in enumerate(all_faults(seed)[:COUNT], 1):
      verdict = campaign.run(fault)
      cli.show(number, verdict)
      defects += [f"{fault}: {defect}" for defect in verdict.defects]
      if verdict.outcome == "neither":
        break
    else:
      assert not campaign.check_disk()
  finally:
    campaign.end()
  assert not defects


def _kill_both(context: Context) -> str:
  """The target's first, so that Ganeti cannot have it give the guest back."""
  kills = (killing_noded(side, -1.0) for side in (Side.TARGET, Side.SOURCE))
  return ", ".join([kill(context) for kill in kills])


@pytest.mark.criu
@pytest.mark.lab("looks at the nodes from the machine that they run on")
def test_a_start_is_refused_before_ganeti_touches_a_disk(
  cluster: Cluster,
) -> None:
  """The job failed after the hand-over: Ganeti takes it for where it was.

  A start made DRBD's half there primary beside the one in use, and was
  refused only then.

  """
  instance = cluster.add(hv=("num_ttys=0",))
  source = instance.node
  moment = Moment(Where.TARGET, "owner")
  fault = Fault("kill both node daemons", moment, _kill_both)
  verdict = Verdict(str(fault))
  migrate(fault, instance, source, random.Random(_SEED), verdict)
  for node in cluster.nodes:
    eyes.close(node)
  assert verdict.hit
  assert instance.node == source
  wait_for(lambda: not instance.init_pid(), "the end on the source")
  said = instance.refused("startup")
  assert "hook" in said
  assert "WARNING" not in said
  assert "migrate --cleanup" in said
  instance.gnt("migrate", "--cleanup", "-f")
  assert instance.node != source
  # Where it was, Ganeti keeps a link to the disk until it is there again.
  instance.gnt("migrate", "-f")
  assert (instance.node, instance.status) == (source, "running")
