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

"""What is mounted, as the kernel tells it: proc_pid_mountinfo(5)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class MountEntry:
  """One line.

  @ivar number: identifies the mount
  @ivar devno: of the super block, as "MAJOR:MINOR"
  @ivar root: what of the file system is mounted
  @ivar options: of this mount
  @ivar super_options: of the file system

  """

  number: int
  devno: str
  root: str
  mount_point: str
  options: str
  fs_type: str
  source: str
  super_options: str


def parse(text: str, kind: str = "") -> Iterator[MountEntry]:
  """The mounts, in the order in which they were made.

  @param kind: what a file system type begins with; others are left out,
      which costs much less than reading them

  """
  marker = f" - {kind}"
  # Not splitlines(): it ends lines where the kernel does not, and a guest
  # names directories as it likes.
  for line in text.split("\n"):
    if marker not in line:
      continue
    left, separator, right = line.partition(" - ")
    if not separator or not right.startswith(kind):
      continue
    number, _, devno, root, mount_point, options, *_ = left.split(" ")
    fs_type, source, super_options = right.split(" ", 2)
    yield MountEntry(
      number=int(number),
      devno=devno,
      root=_unescape(root),
      mount_point=_unescape(mount_point),
      options=options,
      fs_type=fs_type,
      source=_unescape(source),
      super_options=super_options,
    )


def _unescape(text: str) -> str:
  if "\\" not in text:
    return text
  return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)
