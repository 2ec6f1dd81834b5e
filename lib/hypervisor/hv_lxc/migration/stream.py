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


"""Sends files, also while they are written, to the other node.

CRIU appends to C{pages-N.img} while it dumps (page-xfer.c splices at the
file's end); these are sent as they grow, and all its other files once it
has finished.  Nothing is read twice: the checksum is made on the way; a file
that shrank or was replaced is sent anew.

"""

import os
import re
import stat
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import Failed
from .channel import Channel
from .manifest import Manifest
from .messages import (
  Anew,
  Begin,
  Data,
  End,
  ImagesDone,
  Message,
  Packed,
)
from .pace import Pace, Packing
from .wire import CHUNK

_GROWING = re.compile(r"pages-[0-9]+\.img")
# CRIU's and our logs, and temporary names of whoever replaces a file.
_NOT_SENT = re.compile(r"\..*|.*\.log")
_PARENT = "parent"
# Zeros are left out in blocks of this size; each gap costs a message.
_BLOCK = 32 << 10
_ZEROS = bytes(_BLOCK)
# Small messages are put together up to this size.
_BATCH = 64 << 10
# How often files that grow are looked at while nothing new is found.
_LOOK_S = 0.005
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

# Bytes of files sent, and all that are known of so far.
Progress = Callable[[int, int], None]


@dataclass(slots=True)
class _Outgoing:
  """A file that was begun.

  @ivar inode: which it was when we began
  @ivar sent: up to where it was sent, and is in the checksum

  """

  begin: Begin
  inode: int
  sent: int = 0
  known: int = 0
  crc: int = 0


class Sender:
  """Sends to one connection; one thread at a time.

  @param bandwidth_mib: MiB/s; 0 for as fast as it goes
  @param progress: called after each portion

  """

  def __init__(
    self,
    channel: Channel,
    *,
    bandwidth_mib: int = 0,
    progress: Progress = lambda _sent, _known: None,
  ):
    self._channel = channel
    self._progress = progress
    self._pace = Pace(bandwidth_mib)
    self._packing = Packing(self._pace.rate)
    self._manifest = Manifest()
    self._numbers = 0
    self._batch: list[Message] = []
    self._batched = 0
    self._buffer = bytearray(CHUNK)
    self.sent = 0
    self.known = 0
    self.on_wire = 0

  def send_directory(self, area: str, directory: Path) -> None:
    """Sends the files of a directory, which nobody changes any more.

    @param area: "files", "images", or one directory below, "images/1"
    @raise LxcError: the connection (see channel.py), or a file

    """
    complete = threading.Event()
    complete.set()
    self.follow(area, directory, complete)

  def follow(
    self, area: str, directory: Path, complete: threading.Event
  ) -> None:
    """Sends the files of a directory that CRIU still writes.

    @param complete: set when nothing will be written any more
    @raise LxcError: as L{send_directory}

    """
    growing: dict[str, _Outgoing] = {}
    fd = _open_directory(directory)
    try:
      is_last = False
      while not is_last:
        is_last = complete.is_set()
        if not self._send_new(fd, area, growing) and not is_last:
          self._channel.heed()
          complete.wait(_LOOK_S)
      for outgoing in growing.values():
        self._end(outgoing)
      self._send_rest(fd, area)
      self._flush()
    except OSError as err:
      raise Failed(
        f"Cannot read what is to be sent from {directory}",
        evidence=str(err),
      ) from err
    finally:
      os.close(fd)

  def finish(self) -> ImagesDone:
    """Says that all was sent, and returns what was said.

    @raise LxcError: the connection

    """
    total = self._manifest.total()
    self._put(total)
    self._flush()
    return total

  def _send_new(
    self, fd: int, area: str, growing: dict[str, _Outgoing]
  ) -> bool:
    """Sends what files that grow have more than before; whether any had."""
    any_new = False
    for name, info in _files(fd):
      if _GROWING.fullmatch(name):
        if name not in growing:
          growing[name] = self._begin(area, name, info)
        any_new |= self._advance(fd, growing[name], info)
    return any_new

  def _send_rest(self, fd: int, area: str) -> None:
    for name, info in _files(fd):
      if not _GROWING.fullmatch(name):
        outgoing = self._begin(area, name, info)
        self._advance(fd, outgoing, info)
        self._end(outgoing)

  def _begin(self, area: str, name: str, info: os.stat_result) -> _Outgoing:
    is_program = bool(info.st_mode & stat.S_IXUSR)
    begin = Begin(self._numbers, area, name, is_program)
    self._numbers += 1
    self._put(begin)
    return _Outgoing(begin, info.st_ino)

  def _end(self, outgoing: _Outgoing) -> None:
    end = End(outgoing.begin.number, outgoing.sent, outgoing.crc)
    self._manifest.add(outgoing.begin, end)
    self._put(end)

  def _advance(
    self, fd: int, outgoing: _Outgoing, info: os.stat_result
  ) -> bool:
    """Sends a file from where we are to its present end."""
    if info.st_ino != outgoing.inode or info.st_size < outgoing.sent:
      self._start_anew(outgoing, info)
    if info.st_size == outgoing.sent:
      return False
    self.known += info.st_size - outgoing.known
    outgoing.known = info.st_size
    file = os.open(outgoing.begin.name, _OPEN, dir_fd=fd)
    try:
      while outgoing.sent < info.st_size and self._send_chunk(file, outgoing):
        pass
    finally:
      os.close(file)
    return True

  def _start_anew(self, outgoing: _Outgoing, info: os.stat_result) -> None:
    self._put(Anew(outgoing.begin.number))
    self.sent -= outgoing.sent
    self.known -= outgoing.known
    outgoing.inode = info.st_ino
    outgoing.sent = outgoing.known = 0
    outgoing.crc = 0

  def _send_chunk(self, file: int, outgoing: _Outgoing) -> bool:
    """Sends one portion; False at the file's end."""
    buffer = self._buffer
    size = os.preadv(file, [buffer], outgoing.sent)
    if not size:
      return False
    portion = memoryview(buffer)[:size]
    outgoing.crc = zlib.crc32(portion, outgoing.crc)
    for begin, end in _spans(buffer, size):
      self._put_data(
        outgoing.begin.number, outgoing.sent + begin, portion[begin:end]
      )
    outgoing.sent += size
    self.sent += size
    self._progress(self.sent, self.known)
    return True

  def _put_data(self, number: int, offset: int, data: memoryview) -> None:
    packed = b""
    if wanted := self._packing.wanted(len(data)):
      begun = time.monotonic()
      packed = zlib.compress(data[:wanted], 1)
      spent = time.monotonic() - begun
      self._packing.packed(wanted, len(packed), spent)
    if wanted == len(data) > len(packed):
      self._put(Packed(number, offset, len(data), packed))
    else:
      self._put(Data(number, offset, data))

  def _put(self, message: Message) -> None:
    """Sends, or keeps for a moment what is small."""
    size = 0
    if isinstance(message, Data | Packed):
      size = len(message.data)
    if 0 < size < _BLOCK and isinstance(message, Data):
      # The buffer is filled again before the batch goes out.
      data = bytes(message.data)
      message = Data(message.number, message.offset, data)
    self._batch.append(message)
    self._batched += size + _BATCH // 256
    if self._batched >= _BATCH or size >= _BLOCK:
      self._flush()

  def _flush(self) -> None:
    batch, size = self._batch, self._batched
    self._batch, self._batched = [], 0
    if not batch:
      return
    self._channel.heed()
    begun = time.monotonic()
    self._channel.send(*batch)
    self.on_wire += size
    if pause := self._pace.spend(size, begun):
      self._channel.pause(pause)
    if size >= _BLOCK:
      self._packing.sent(size, time.monotonic() - begun)


def _files(fd: int) -> Iterator[tuple[str, os.stat_result]]:
  """Regular files of a directory, in order; no link is followed.

  CRIU's to the round before is not sent: intake.py makes its own.

  """
  with os.scandir(fd) as entries:
    found = sorted(e.name for e in entries if not _NOT_SENT.fullmatch(e.name))
  for name in found:
    info = os.stat(name, dir_fd=fd, follow_symlinks=False)
    if stat.S_ISREG(info.st_mode) or (
      stat.S_ISLNK(info.st_mode) and name != _PARENT
    ):
      yield name, info


def _spans(buffer: bytearray, size: int) -> Iterator[tuple[int, int]]:
  """Where the parts begin and end that are not all zeros."""
  begin = None
  for at in range(0, size, _BLOCK):
    # Compares in place, and stops at the first byte that differs.
    is_zero = at + _BLOCK <= size and buffer.startswith(_ZEROS, at)
    if is_zero and begin is not None:
      yield begin, at
      begin = None
    elif not is_zero and begin is None:
      begin = at
  if begin is not None:
    yield begin, size


def _open_directory(path: Path) -> int:
  try:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
  except OSError as err:
    raise Failed(
      f"There is nothing to send in {path}", evidence=str(err)
    ) from err
