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


"""Takes the files that the other node sends, and puts them below one place.

The peer is the source of a migration by proof, yet what it sends decides
nothing about where it is written: names are single components of harmless
characters (messages.py), every file is made new, links are not followed,
those that CRIU needs are made here, and there is a limit to the bytes.

"""

import errno
import itertools
import os
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path

from ..errors import Failed, Refused
from .closing import Closes
from .manifest import Manifest
from .messages import (
  Anew,
  Begin,
  Data,
  End,
  ImagesDone,
  Packed,
  ProtocolError,
  Transfer,
)
from .wire import CHUNK

AREAS = ("files", "images")
# Where CRIU looks for the images of the round before.
_PARENT = "parent"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_ZEROS = bytes(CHUNK)
# Written at once: what was just read is still in the processor's cache, and
# the kernel takes small pieces of memory for it. With 1 MiB the same write
# took four times the processor time (ext4, Linux 6.18).
_PIECE = 64 << 10


def clear(home: Path) -> None:
  """Removes what was received, or begun, before.

  @raise OSError: it cannot be removed

  """
  for area in AREAS:
    if (home / area).exists():
      shutil.rmtree(home / area)


def holds(home: Path) -> bool:
  """Whether anything is there that L{clear} would remove."""
  return any((home / area).exists() for area in AREAS)


@dataclass(slots=True)
class _Incoming:
  """A file of which not all has come yet."""

  begin: Begin
  position: int = 0
  crc: int = 0


class Intake(Closes):
  """Receives all files of one migration, from one connection.

  @param home: a directory that only root can enter; see L{clear}
  @param limit: how many bytes may come, holes included
  @ivar received: bytes of files so far
  @ivar complete: everything came, and is what was sent

  """

  def __init__(self, home: Path, *, limit: int):
    self._home = home
    self._limit = limit
    self._files: dict[int, _Incoming] = {}
    self._numbers = 0
    self._manifest = Manifest()
    self._areas: dict[str, int] = {}
    self._open: tuple[int, int] | None = None
    self.received = 0
    self.complete = False
    self._top = self._directory(None, str(home))

  def take(self, message: Transfer) -> None:
    """One message of the transfer.

    @raise ProtocolError: it does not fit those before
    @raise Refused: more would come than there is room for
    @raise Failed: it cannot be written, or is damaged

    """
    if self.complete:
      raise ProtocolError("A file came after all had come")
    try:
      self._take(message)
    except OSError as err:
      remedy = ""
      if err.errno in {errno.ENOSPC, errno.EDQUOT}:
        remedy = f"make room in the file system of {self._home}"
      raise Failed(
        f"What the source sends cannot be kept below {self._home}",
        evidence=str(err),
        remedy=remedy,
      ) from err

  def close(self) -> None:
    """Closes all files; what was received stays."""
    self._close_file()
    for fd in (*self._areas.values(), self._top):
      os.close(fd)
    self._areas = {}

  def _take(self, message: Transfer) -> None:
    match message:
      case Data():
        self._data(message.number, message.offset, message.data)
      case Packed():
        self._data(message.number, message.offset, _unpacked(message))
      case Begin():
        self._begin(message)
      case End():
        self._end(message)
      case Anew():
        self._anew(message)
      case ImagesDone():
        self._done(message)

  def _begin(self, begin: Begin) -> None:
    if begin.number != self._numbers:
      raise ProtocolError(f"File {begin.number} is not the next one")
    if begin.name == _PARENT:
      raise ProtocolError("Where the round before is, only this node says")
    mode = 0o700 if begin.is_program else 0o600
    self._close_file()
    flags = _WRITE | os.O_CREAT | os.O_EXCL
    fd = os.open(begin.name, flags, mode, dir_fd=self._area(begin.area))
    self._open = begin.number, fd
    # Whatever the umask is.
    os.fchmod(fd, mode)
    self._files[begin.number] = _Incoming(begin)
    self._numbers += 1

  def _data(self, number: int, offset: int, data: bytes | memoryview) -> None:
    incoming = self._known(number)
    gap = offset - incoming.position
    if gap < 0:
      raise ProtocolError(f"Part of {incoming.begin.name} came again")
    self._count(gap + len(data))
    fd = self._file(incoming)
    crc = _zeros(incoming.crc, gap)
    left = memoryview(data)
    while left:
      count = os.pwrite(fd, left[:_PIECE], offset)
      crc = zlib.crc32(left[:count], crc)
      offset += count
      left = left[count:]
    incoming.crc, incoming.position = crc, offset

  def _end(self, end: End) -> None:
    incoming = self._known(end.number)
    gap = end.size - incoming.position
    if gap < 0:
      raise ProtocolError(f"More of {incoming.begin.name} came than it has")
    self._count(gap)
    if gap:
      os.ftruncate(self._file(incoming), end.size)
    if _zeros(incoming.crc, gap) != end.crc:
      raise Failed(
        f"The file {incoming.begin.name} did not arrive as it was sent",
        evidence=f"another CRC-32 of its {end.size} bytes",
        remedy="try again, and check the memory of both nodes",
      )
    self._manifest.add(incoming.begin, end)
    del self._files[end.number]

  def _anew(self, anew: Anew) -> None:
    incoming = self._known(anew.number)
    os.ftruncate(self._file(incoming), 0)
    self.received -= incoming.position
    self._files[anew.number] = _Incoming(incoming.begin)

  def _done(self, done: ImagesDone) -> None:
    if self._files:
      names = ", ".join(i.begin.name for i in self._files.values())
      raise ProtocolError("Files are not complete", evidence=names)
    if done != self._manifest.total():
      raise ProtocolError("Other files came than the source has sent")
    self._close_file()
    self._link_rounds()
    self.complete = True

  def _link_rounds(self) -> None:
    """Each round is based upon the one before, the last images upon all."""
    prefix = "images/"
    numbers = [a.removeprefix(prefix) for a in self._areas if prefix in a]
    rounds = sorted(map(int, numbers))
    if rounds != list(range(1, len(rounds) + 1)):
      raise ProtocolError("A round is missing", evidence=str(rounds))
    for before, number in itertools.pairwise(rounds):
      area = self._area(f"{prefix}{number}")
      os.symlink(f"../{before}", _PARENT, dir_fd=area)
    if rounds:
      os.symlink(str(rounds[-1]), _PARENT, dir_fd=self._area("images"))

  def _known(self, number: int) -> _Incoming:
    found = self._files.get(number)
    if found is None:
      raise ProtocolError(f"File {number} was not begun, or is complete")
    return found

  def _count(self, size: int) -> None:
    self.received += size
    if self.received > self._limit:
      raise Refused(
        f"The source sends more than the {self._limit >> 20} MiB that there"
        f" is room for below {self._home}",
        remedy="make room in that file system",
      )

  def _file(self, incoming: _Incoming) -> int:
    """The file, opened; one at a time, as hundreds may grow at once."""
    begin = incoming.begin
    if self._open is None or self._open[0] != begin.number:
      self._close_file()
      fd = os.open(begin.name, _WRITE, dir_fd=self._area(begin.area))
      self._open = begin.number, fd
    return self._open[1]

  def _close_file(self) -> None:
    if self._open is not None:
      _, fd = self._open
      self._open = None
      os.close(fd)

  def _area(self, area: str) -> int:
    """The directory of an area, made if it is not there."""
    if area not in self._areas:
      above, _, name = area.rpartition("/")
      top = self._area(above) if above else self._top
      try:
        os.mkdir(name, 0o700, dir_fd=top)
        os.chmod(name, 0o700, dir_fd=top)
      except FileExistsError:
        pass
      self._areas[area] = self._directory(top, name)
    return self._areas[area]

  def _directory(self, top: int | None, name: str) -> int:
    return os.open(name, _DIRECTORY, dir_fd=top)


def _zeros(crc: int, count: int) -> int:
  """The checksum of what was before, and so many zeros."""
  while count:
    size = min(count, CHUNK)
    crc = zlib.crc32(memoryview(_ZEROS)[:size], crc)
    count -= size
  return crc


def _unpacked(message: Packed) -> bytes:
  """What was compressed, never more than was announced."""
  if message.size > CHUNK:
    raise ProtocolError(f"A portion cannot have {message.size} bytes")
  unpacker = zlib.decompressobj()
  try:
    data = unpacker.decompress(message.data, message.size + 1)
  except zlib.error as err:
    raise ProtocolError("Damaged compressed data", evidence=str(err)) from err
  if len(data) != message.size or not unpacker.eof or unpacker.unused_data:
    raise ProtocolError("Compressed data of another size than announced")
  return data
