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

"""What the lab builds once is kept until its recipe changes."""

import pathlib
import shutil
import threading
from io import StringIO
from queue import Queue

import pytest
from ganeti_lab import kept, plan, state
from ganeti_lab.kept import Kept
from ganeti_lab.progress import Progress

PROGRESS = Progress(StringIO())


@pytest.fixture(autouse=True)
def cache(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> pathlib.Path:
  """An empty cache; trees are removed without a program."""
  monkeypatch.setattr(plan, "CACHE_ROOT", tmp_path / "cache")
  monkeypatch.setattr(plan, "STATE_ROOT", tmp_path / "state")
  monkeypatch.setattr(kept, "remove_tree", shutil.rmtree)
  return tmp_path / "cache"


def build(recipe: str) -> pathlib.Path:
  return Kept("image", recipe).ensure(
    "an image", lambda path: (path / "made").write_text(recipe), PROGRESS
  )


def not_again(path: pathlib.Path) -> None:
  raise AssertionError(f"{path} is built again")


def test_it_is_built_once(cache: pathlib.Path) -> None:
  path = build("a")
  assert path.parent == cache
  assert (path / "made").read_text() == "a"
  assert Kept("image", "a").ensure("an image", not_again, PROGRESS) == path


def test_another_recipe_takes_its_place(cache: pathlib.Path) -> None:
  first = build("a")
  other = Kept("other", "a").ensure("another", lambda _: None, PROGRESS)
  second = build("b")
  assert first != second
  assert set(cache.iterdir()) == {second, other}


def test_an_older_one_stays_while_a_lab_stands_on_it(
  cache: pathlib.Path,
) -> None:
  first = build("a")
  state.State(
    name="x", release="trixie", node_count=2, driver=True, image=str(first)
  ).save()
  second = build("b")
  assert set(cache.iterdir()) == {first, second}


def test_what_a_crash_left_half_built_is_not_taken(
  cache: pathlib.Path,
) -> None:
  def crash(path: pathlib.Path) -> None:
    (path / "half").touch()
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    Kept("image", "a").ensure("an image", crash, PROGRESS)
  path = build("a")
  assert [entry.name for entry in path.iterdir()] == ["made"]
  assert list(cache.iterdir()) == [path]


def test_a_purge_waits_for_whoever_builds(cache: pathlib.Path) -> None:
  said: Queue[str] = Queue()
  progress = Progress(StringIO())
  progress.say = said.put  # type: ignore[method-assign]
  purging = threading.Thread(target=kept.purge, args=[progress])

  def build_meanwhile(path: pathlib.Path) -> None:
    purging.start()
    assert "waiting" in said.get(timeout=10)
    (path / "made").touch()

  Kept("image", "a").ensure("an image", build_meanwhile, PROGRESS)
  purging.join(10)
  assert not cache.exists()
