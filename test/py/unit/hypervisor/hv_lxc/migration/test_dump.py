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

import pathlib
import re
from collections.abc import Callable

import pytest
from ganeti.hypervisor.hv_lxc import stopping
from ganeti.hypervisor.hv_lxc.errors import Failed, Incomplete, Refused
from ganeti.hypervisor.hv_lxc.migration import dump
from unit.hypervisor.hv_lxc.fakes import INIT, NAME
from unit.hypervisor.hv_lxc.migration.fake_criu import FakeCriu, dumped

FROZEN = "(00.1) freezing cgroup x\n(00.4) Dumping finished successfully\n"


@pytest.fixture(params=[1, 2], ids=["v1", "v2"])
def node(
  request: pytest.FixtureRequest,
  tmp_path: pathlib.Path,
) -> FakeCriu:
  made = FakeCriu(tmp_path, request.param)
  made.start()
  return made


def run(
  node: FakeCriu, hold: Callable[[], None] = lambda: None
) -> dump.DumpTimes:
  dump.save_files(node.host, NAME)
  return dump.dump(node.host, NAME, hold=hold)


def runs_as_before(node: FakeCriu) -> bool:
  return node.node.running() and not node.node.paths().moving.exists()


def asked_for_rules(node: FakeCriu) -> bool:
  calls = [list(call) for call in node.node.run.calls]
  return any(call[0] == "nsenter" and "iptables" in call for call in calls)


def test_everything_is_there_when_it_is_held(node: FakeCriu) -> None:
  seen: list[str] = []

  def hold() -> None:
    assert node.node.running()
    for directory in (node.work.images, node.work.files):
      seen.extend(entry.name for entry in directory.iterdir())

  run(node, hold)
  assert {"inventory.img", "config", "record.json", "nic0.env"} <= set(seen)
  assert not node.node.running()
  assert not asked_for_rules(node)


def test_what_took_how_long_is_told_for_the_log(node: FakeCriu) -> None:
  said = str(run(node))
  assert re.fullmatch(r"dump \d+, hold \d+, end \d+, frozen \d+", said)


def test_the_monitors_hook_is_told_that_the_guest_goes_elsewhere(
  node: FakeCriu,
) -> None:
  run(node)
  assert node.node.paths().moving.exists()
  stopping.clean_up(node.host, node.node.storage, NAME)
  assert node.node.left() == {}


def test_guest_is_frozen_beside_criu(node: FakeCriu) -> None:
  run(node)
  file = pathlib.Path(node.env["GANETI_LXC_FREEZER"])
  expected = {1: "freezer.state", 2: "cgroup.freeze"}[node.node.version]
  assert file.name == expected
  assert file.parent.name == "payload"


def test_refused_hold_lets_it_run_on(node: FakeCriu) -> None:
  def hold() -> None:
    raise Refused("the other node does not answer")

  with pytest.raises(Refused, match="does not answer"):
    run(node, hold)
  assert runs_as_before(node)
  assert asked_for_rules(node)


def test_failure_is_told_from_criu_s_log(node: FakeCriu) -> None:
  def fail(node: FakeCriu, argv: list[str]) -> int:
    node.say(
      argv,
      "(00.1) Dumping task (pid: 7 comm: getty)\n"
      "(00.2) Error (criu/tty.c:2399): tty: Unable to find a master for /1\n",
    )
    return 1

  node.dumping = fail
  with pytest.raises(Failed, match=r"getty \(process 7\): tty: Unable") as err:
    run(node)
  assert "num_ttys" in str(err.value)
  assert runs_as_before(node)


def test_failure_without_a_log(node: FakeCriu) -> None:
  node.dumping = lambda node, argv: -9
  with pytest.raises(Failed, match="was killed by signal 9"):
    run(node)
  assert runs_as_before(node)


def test_criu_killed_after_it_has_ended_the_guest(node: FakeCriu) -> None:
  def killed(node: FakeCriu, argv: list[str]) -> int:
    dumped(node, argv)
    return -9

  node.dumping = killed
  run(node)
  assert not node.node.running()


def test_criu_killed_before_it_ends_the_guest(
  node: FakeCriu, monkeypatch: pytest.MonkeyPatch
) -> None:
  def killed(node: FakeCriu, argv: list[str]) -> int:
    node.ask("post-dump")
    return -9

  monkeypatch.setattr(dump, "_GONE_S", 0.01)
  node.dumping = killed
  with pytest.raises(Failed, match="runs on"):
    run(node)
  assert runs_as_before(node)


def test_frozen_guest_runs_on_after_its_rules_are_gone(
  node: FakeCriu, monkeypatch: pytest.MonkeyPatch
) -> None:
  order: list[str] = []
  monkeypatch.setattr(
    dump.netlock, "release", lambda *_: order.append("release")
  )
  monkeypatch.setattr(dump.freezer, "is_frozen", lambda *_: True)
  monkeypatch.setattr(dump.freezer, "thaw", lambda *_: order.append("thaw"))
  dump.resume(node.host, NAME)
  assert order == ["release", "thaw"]


def test_rules_that_cannot_be_taken_away(
  node: FakeCriu, monkeypatch: pytest.MonkeyPatch
) -> None:
  def release(*_: object) -> None:
    raise Failed("cut off")

  monkeypatch.setattr(dump.netlock, "release", release)
  node.dumping = lambda node, argv: 1
  with pytest.raises(Incomplete, match="cut off; the checkpoint failed since"):
    run(node)


def test_resume_of_a_guest_that_has_ended(node: FakeCriu) -> None:
  node.node.depopulate()
  node.node.paths().moving.write_text("")
  dump.resume(node.host, NAME)
  assert not node.node.paths().moving.exists()
  assert not asked_for_rules(node)


def test_not_running_is_refused(node: FakeCriu) -> None:
  node.node.depopulate()
  with pytest.raises(Refused, match="does not run"):
    run(node)
  assert node.events == []


def test_paused_is_refused(
  node: FakeCriu, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(dump.freezer, "is_frozen", lambda *_: True)
  with pytest.raises(Refused, match="is paused"):
    run(node)


def test_link_in_place_of_the_console_is_not_followed(node: FakeCriu) -> None:
  console = node.node.top / f"proc/{INIT}/root/dev/console"
  console.parent.mkdir(parents=True)
  console.symlink_to("/dev/null")
  run(node)
  assert not (node.work.images / "tty.info").exists()


def test_images_of_an_earlier_attempt_are_gone(node: FakeCriu) -> None:
  node.work.images.mkdir(parents=True)
  (node.work.images / "pages-9.img").write_text("old")
  run(node)
  assert not (node.work.images / "pages-9.img").exists()


def test_time_without_the_guest_is_measured(node: FakeCriu) -> None:
  def play(node: FakeCriu, argv: list[str]) -> int:
    node.say(argv, FROZEN)
    return dumped(node, argv)

  node.dumping = play
  times = run(node)
  assert 0.2 < times.frozen <= 0.31


def pre_dump(
  node: FakeCriu, number: int = 1, parent: pathlib.Path | None = None
) -> pathlib.Path:
  run = dump.current_run(node.host, NAME)
  images = node.work.images / str(number)
  dump.pre_dump(node.host, NAME, images, run=run, parent=parent)
  return images


def test_pre_dump_that_fails(node: FakeCriu) -> None:
  node.dumping = lambda node, argv: 1
  with pytest.raises(Failed, match="could not be checkpointed, it runs on"):
    pre_dump(node)
  assert runs_as_before(node)


def test_guest_that_ends_during_a_pre_dump(node: FakeCriu) -> None:
  def end(node: FakeCriu, _argv: list[str]) -> int:
    node.node.depopulate()
    return 1

  node.dumping = end
  with pytest.raises(Failed, match="could not be checkpointed, it has ended"):
    pre_dump(node)


def test_guest_that_stays_frozen_after_a_pre_dump_runs_on(
  node: FakeCriu, monkeypatch: pytest.MonkeyPatch
) -> None:
  """CRIU was killed in the moment in which it had stopped the guest."""
  frozen = [False]

  def killed(_node: FakeCriu, _argv: list[str]) -> int:
    frozen[0] = True
    return -9

  monkeypatch.setattr(dump.freezer, "is_frozen", lambda *_: frozen[0])
  monkeypatch.setattr(
    dump.freezer, "thaw", lambda *_: frozen.__setitem__(0, False)
  )
  node.dumping = killed
  with pytest.raises(Failed, match="was killed by signal 9"):
    pre_dump(node)
  assert frozen == [False]


def test_each_dump_is_based_on_the_one_before(node: FakeCriu) -> None:
  told: list[list[str]] = []

  def play(node: FakeCriu, argv: list[str]) -> int:
    told.append(argv)
    return 0 if argv[1] == "pre-dump" else dumped(node, argv)

  node.dumping = play
  first = pre_dump(node)
  second = pre_dump(node, 2, first)
  dump.dump(node.host, NAME, hold=lambda: None, parent=second)
  assert [argv[1] for argv in told] == ["pre-dump", "pre-dump", "dump"]
  assert all("--track-mem" in argv for argv in told)
  parents = [argv[argv.index("--prev-images-dir") + 1] for argv in told[1:]]
  assert "--prev-images-dir" not in told[0]
  assert parents == ["../1", "2"]
  assert not [argv for argv in told[:2] if "--action-script" in argv]


def test_rebooted_guest_has_nothing_to_do_with_its_pre_dumps(
  node: FakeCriu,
) -> None:
  before = dump.Run(init=INIT, started="1")
  (node.node.top / f"proc/{INIT}/stat").write_text(
    f"{INIT} (a) b) S {' '.join(str(n) for n in range(4, 50))}"
  )
  assert dump.current_run(node.host, NAME) == dump.Run(INIT, "22")
  with pytest.raises(Failed, match="was rebooted"):
    dump.pre_dump(node.host, NAME, node.work.images / "2", run=before)
  with pytest.raises(Failed, match="was rebooted"):
    dump.dump(node.host, NAME, hold=lambda: None, run=before)
  assert node.events == []
  assert runs_as_before(node)


def test_files_that_cannot_be_copied(
  node: FakeCriu, monkeypatch: pytest.MonkeyPatch
) -> None:
  def full(*_: object) -> None:
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(dump.instance_files, "save", full)
  with pytest.raises(Failed, match="No space left"):
    dump.save_files(node.host, NAME)
