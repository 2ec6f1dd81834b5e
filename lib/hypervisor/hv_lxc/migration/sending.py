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

"""The source's side of the stream: files and images, until the target has all.

Images are sent in a thread of their own while CRIU writes them.

"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import Failed
from . import instance_files
from .channel import Channel
from .messages import Ready, Room
from .stream import Progress, Sender

# The target answers the first file at once, and verifies digests that it
# computed on the way.
_ANSWER_S = 120.0
# A connection that takes nothing for so long is given up.
_LAST_SEND_S = 5.0


class Sending:
  """What one migration sends.

  @param bandwidth_mib: MiB/s; 0 for as fast as it goes
  @param progress: see stream.py

  """

  def __init__(
    self, channel: Channel, *, bandwidth_mib: int, progress: Progress
  ):
    self._channel = channel
    self._sender = Sender(
      channel, bandwidth_mib=bandwidth_mib, progress=progress
    )

  @property
  def sent(self) -> int:
    """Bytes of files so far."""
    return self._sender.sent

  def begin(self, files: Path) -> int:
    """Sends the instance's files, which are the first.

    @return: bytes that the target has room for in all
    @raise LxcError: the connection, or the target takes nothing

    """
    self._sender.send_directory("files", files)
    answer = self._channel.receive(_ANSWER_S)
    if not isinstance(answer, Room):
      raise self._refused(answer)
    return answer.size

  @contextlib.contextmanager
  def following(
    self, area: str, directory: Path
  ) -> Iterator[Callable[[], None]]:
    """Sends what is written to a directory, which is made empty, meanwhile.

    @return: to be called when all is written; returns when all is sent

    """
    instance_files.empty(directory)
    follower = _Follower(self._channel, self._sender, area, directory)
    follower.start()
    try:
      yield follower.complete
    finally:
      follower.end()

  def finish(self) -> None:
    """Returns when the target has all, and found it to be what was sent.

    @raise LxcError: the connection, or the target does not take it

    """
    self._sender.finish()
    answer = self._channel.receive(_ANSWER_S)
    if not isinstance(answer, Ready):
      raise self._refused(answer)

  def _refused(self, answer: object) -> Failed:
    return Failed(
      f"Node {self._channel.peer} did not take the images",
      evidence=f"{answer!r:.200}",
    )


class _Follower:
  def __init__(
    self, channel: Channel, sender: Sender, area: str, directory: Path
  ):
    self._channel = channel
    self._sender = sender
    self._area = area
    self._directory = directory
    self._complete = threading.Event()
    self._error: Exception | None = None
    self._thread = threading.Thread(target=self._run, daemon=True)

  def start(self) -> None:
    self._thread.start()

  def complete(self) -> None:
    self._complete.set()
    self._thread.join()
    if self._error is not None:
      raise self._error

  def end(self) -> None:
    """Nothing is to be sent any more."""
    self._complete.set()
    self._thread.join(_LAST_SEND_S)
    if self._thread.is_alive():
      self._channel.cancel()
      self._thread.join()

  def _run(self) -> None:
    try:
      self._sender.follow(self._area, self._directory, self._complete)
    except Exception as err:  # noqa: BLE001 - raised by complete()
      self._error = err
