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

"""The text format of Prometheus.

Names follow its conventions: a prefix, base units, "_total" for counters.
See "Exposition formats" and "Metric and label naming" in its documentation.

"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

PREFIX = "ganeti_lxc_"


class Kind(enum.StrEnum):
  """How Prometheus treats a metric."""

  COUNTER = "counter"
  GAUGE = "gauge"


@dataclass(frozen=True, slots=True)
class Sample:
  """One value with its labels."""

  value: float
  labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Metric:
  """A metric with all its samples; C{name} without the prefix."""

  name: str
  kind: Kind
  explanation: str
  samples: tuple[Sample, ...]


def to_text(metrics: Iterable[Metric]) -> str:
  """All metrics that have samples."""
  lines: list[str] = []
  for metric in metrics:
    if not metric.samples:
      continue
    name = PREFIX + metric.name
    lines.append(f"# HELP {name} {metric.explanation}")
    lines.append(f"# TYPE {name} {metric.kind}")
    lines += [
      f"{name}{_labels(sample.labels)} {_number(sample.value)}"
      for sample in metric.samples
    ]
  return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
  if not labels:
    return ""
  pairs = (f'{name}="{_escaped(value)}"' for name, value in labels.items())
  return "{" + ",".join(pairs) + "}"


def _escaped(text: str) -> str:
  text = text.replace("\\", "\\\\").replace('"', '\\"')
  return text.replace("\n", "\\n")


def _number(value: float) -> str:
  return str(int(value)) if value == int(value) else repr(value)
