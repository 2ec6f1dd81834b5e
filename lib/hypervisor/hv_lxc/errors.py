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

"""What can go wrong, in three families.

Whoever called needs to know just one thing about a failure: what it left
behind.  L{Refused}: nothing was changed.  L{Failed}: what had been changed
was undone.  L{Incomplete}: something is left, and the text says what;
L{Untidy} if that is in nobody's way.

Only the text of an error crosses Ganeti's wire, so it has to stand alone:
what happened, the evidence, what to do, on one line.

"""

import errno
import re

# C0 and C1 controls, and the line separators that a terminal or a log
# would act upon; a guest can put them in anything that it prints.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_MAX_EVIDENCE = 800


class LxcError(Exception):
  """Base of everything that this package raises.

  @param what: what happened, naming the instance or the object
  @param evidence: what was seen (a message, a status), or ""
  @param remedy: what the administrator can do, or ""

  """

  def __init__(self, what: str, *, evidence: str = "", remedy: str = ""):
    super().__init__(what, evidence, remedy)
    self.what = what
    self.evidence = evidence
    self.remedy = remedy

  def __str__(self) -> str:
    text = one_line(self.what)
    if self.evidence:
      text += f": {one_line(self.evidence)}"
    if self.remedy:
      text += f" ({one_line(self.remedy)})"
    return text


class Refused(LxcError):
  """The request cannot be carried out; nothing was changed."""


class Failed(LxcError):
  """It was tried and did not work; what had been done was undone."""


class Incomplete(LxcError):
  """It did not work and something is left behind; the text names it."""


class Untidy(Incomplete):
  """What is left of an instance that was stopped holds no disk of it.

  Files, an interface: no process, no mount, nothing that is attached.  Its
  disks can be used elsewhere.

  """


def failed_by_system(what: str, err: OSError) -> Failed:
  """What the kernel refused, told with the file it is about."""
  remedy = "see that this is what it should be, or move it away"
  if err.errno in (errno.ENOSPC, errno.EDQUOT):
    remedy = "make room on its file system"
  about = f"{err.filename}: " if err.filename else ""
  return Failed(what, evidence=f"{about}{err.strerror}", remedy=remedy)


def one_line(text: str) -> str:
  """The text as one printable line, cut to a length a log can bear.

  Half of a surrogate pair, which os.fsdecode makes of a byte that is no
  UTF-8, can neither be printed nor be sent to another node.

  """
  whole = text.encode("utf-8", "backslashreplace").decode("utf-8")
  line = _UNPRINTABLE.sub(" ", whole).strip()
  if len(line) > _MAX_EVIDENCE:
    line = line[:_MAX_EVIDENCE] + "..."
  return line
