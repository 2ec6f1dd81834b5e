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

"""Disk images for the tests of ganeti.storage.kpartx, and their leak check."""

import fcntl
import os
import pathlib
from collections.abc import Callable, Iterator

import pytest
from ganeti.storage import loop_device
from ganeti.storage.waiting import wait_until
from integration import disks

PRIVATE_LOOPS = 100_000
# linux/loop.h
LOOP_CTL_ADD = 0x4C80
LOOP_CTL_REMOVE = 0x4C81

ImageFn = Callable[[str], pathlib.Path]


@pytest.fixture(scope="session")
def made_images(tmp_path_factory: pytest.TempPathFactory) -> ImageFn:
  directory = tmp_path_factory.mktemp("images")
  made: dict[str, pathlib.Path] = {}

  def get(name: str) -> pathlib.Path:
    if name not in made:
      made[name] = disks.make(disks.BY_NAME[name], directory)
    return made[name]

  return get


@pytest.fixture
def image(made_images: ImageFn, tmp_path: pathlib.Path) -> ImageFn:
  """Returns a function which makes a copy of a declared disk by its name."""

  def get(name: str) -> pathlib.Path:
    made = made_images(name)
    target = tmp_path / made.name
    disks.run("cp", "--sparse=always", str(made), str(target))
    return target

  return get


def loops_on(directory: pathlib.Path) -> list[str]:
  """Returns the loop devices whose file lies below a directory."""
  found = []
  for attribute in pathlib.Path("/sys/block").glob("loop*/loop/backing_file"):
    try:
      backing = attribute.read_text()
    except OSError:
      continue
    if backing.startswith(f"{directory}/"):
      found.append(attribute.parts[3])
  return found


def nodes_of(loops: set[str]) -> list[str]:
  """Returns the partitions that loop devices still have."""
  return [
    partition.parent.name
    for loop in sorted(loops)
    for partition in pathlib.Path("/sys/block", loop).glob("loop*/partition")
  ]


def mounts_below(directory: pathlib.Path) -> list[str]:
  lines = pathlib.Path("/proc/self/mounts").read_text().splitlines()
  points = [line.split()[1] for line in lines]
  return [point for point in points if point.startswith(f"{directory}/")]


@pytest.fixture
def private_loop() -> Iterator[int]:
  """A loop device of a number high enough that nobody else gets it."""
  number = PRIVATE_LOOPS + os.getpid()
  with loop_device.opened("/dev/loop-control", os.O_RDWR) as control:
    fcntl.ioctl(control, LOOP_CTL_ADD, number)
    yield number
    fcntl.ioctl(control, LOOP_CTL_REMOVE, number)


def loops_left(directory: pathlib.Path) -> list[str]:
  """As L{loops_on}, after waiting for those which are on their way out.

  Whoever looks through all loop devices holds each open for a moment, and
  losetup --detach does not wait for that.
  """
  wait_until(lambda: not loops_on(directory), 2.0)
  return loops_on(directory)


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: pathlib.Path) -> Iterator[None]:
  yield
  mounts = mounts_below(tmp_path)
  loops = loops_left(tmp_path)
  nodes = nodes_of(set(loops))
  for point in reversed(mounts):
    disks.run("umount", point)
  for loop in loops:
    if nodes_of({loop}):
      disks.run("partx", "-d", f"/dev/{loop}")
    disks.run("losetup", "--detach", f"/dev/{loop}")
  assert (mounts, loops, nodes) == ([], [], [])
