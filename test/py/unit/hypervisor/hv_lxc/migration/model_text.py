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

"""The transition table as it is printed in the design document."""

import textwrap

from ganeti.hypervisor.hv_lxc.migration.protocol import TABLE
from ganeti.hypervisor.hv_lxc.migration.states import (
  IGNORE,
  Event,
  State,
  Step,
)

WIDTH = 76
BEGIN = ".. the table begins (devel/model-check --table)"
END = ".. the table ends"


def step_text(step: Step) -> str:
  """A step: acts, [the state that is written], acts; what takes long."""
  if step.refuse:
    return "refused"
  words = ["ask all"] if step.ask_all else []
  words += [act.name for act in step.before]
  if step.ask:
    words.append("ask")
  if step.to or step.note:
    words.append(f"[{step.to or 'id noted'}]")
  words += [act.name for act in step.after]
  if step.work:
    words.append(f"then {step.work.name}")
  return " ".join(words)


def event_text(event: Event) -> str:
  """One event: its steps, with the states in which they are taken."""
  groups: dict[str, list[str]] = {}
  for state in State:
    step = TABLE[state, event]
    text = "ignored" if step == IGNORE else step_text(step)
    groups.setdefault(text, []).append(state.value)
  lines = [event.name]
  most = max(groups, key=lambda text: len(groups[text]))
  for text, states in groups.items():
    if text != most:
      lines += _wrapped(f"{', '.join(states)}: {text}")
  where = "else" if len(groups) > 1 else "any state"
  lines += _wrapped(f"{where}: {most}")
  return "\n".join(lines)


def _wrapped(text: str) -> list[str]:
  return textwrap.wrap(
    text, WIDTH, initial_indent="  ", subsequent_indent="      "
  )


def table_text() -> str:
  """The whole table, as a literal block of reStructuredText."""
  text = "\n".join(event_text(event) for event in Event)
  return f"{BEGIN}\n\n::\n\n{textwrap.indent(text, '  ')}\n\n{END}\n"
