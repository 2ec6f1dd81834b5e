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

"""The manners of init programs."""

import re

import pytest
from ganeti.hypervisor.hv_lxc import extrakeys, guests
from ganeti.hypervisor.hv_lxc.model import InitKind


def test_every_kind_has_manners() -> None:
  assert set(guests.MANNERS) == set(InitKind)


@pytest.mark.parametrize(
  ("program", "kind"),
  [
    ("systemd", InitKind.SYSTEMD),
    ("init", InitKind.SYSVINIT),
    ("busybox", InitKind.BUSYBOX),
    ("busybox.static", InitKind.BUSYBOX),
    ("openrc-init", InitKind.OPENRC),
    ("", InitKind.OTHER),
    ("systemd-journald", InitKind.OTHER),
    ("systemd (deleted)", InitKind.OTHER),
  ],
)
def test_kinds(program: str, kind: InitKind) -> None:
  assert guests.kind_of(program) is kind


@pytest.mark.parametrize("kind", InitKind)
def test_signals_are_those_that_lxc_can_read(kind: InitKind) -> None:
  (value,) = (
    r.value for r in extrakeys.IN_PARAMETER if r.name == "lxc.signal.*"
  )
  manners = guests.MANNERS[kind]
  for signal in (manners.halt_signal, manners.reboot_signal):
    assert not signal or re.fullmatch(value, signal)


def test_halt_and_reboot_are_never_the_same() -> None:
  for manners in guests.MANNERS.values():
    assert (
      not manners.halt_signal or manners.halt_signal != manners.reboot_signal
    )
