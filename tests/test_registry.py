from __future__ import annotations

from types import SimpleNamespace

import pytest

from harness import registry
from harness.errors import InputError
from harness.registry import Registry, UnknownNameError, load_plugin
from harness.task import TASKS


@pytest.fixture
def things():
    return Registry("thing", "reward_harness.things", "harness.absent")


def test_a_registered_object_is_found_and_two_of_a_name_are_refused(things):
    things.register("one")(int)
    assert things.get("one") is int
    things.register("one")(int)  # the same again is no conflict
    with pytest.raises(InputError, match="two things are called 'one'"):
        things.register("one")(str)


def test_a_namesake_from_another_module_is_not_taken_for_the_object_itself(things):
    def made_in(module):
        return type("Thing", (), {"__module__": module})

    things.register("one")(made_in("ours"))
    things.register("one")(made_in("ours"))  # its file ran twice
    with pytest.raises(InputError, match="two things are called 'one'"):
        things.register("one")(made_in("theirs"))


def test_an_object_that_wraps_a_function_is_known_by_the_function(things):
    things.register("one")(SimpleNamespace(__wrapped__=len))
    things.register("one")(SimpleNamespace(__wrapped__=len, version=2))
    with pytest.raises(InputError, match="two things are called 'one'"):
        things.register("one")(SimpleNamespace(__wrapped__=max))


def test_a_registry_without_a_package_has_what_was_registered():
    things = Registry("thing", "reward_harness.things")
    assert things.names() == []
    things.register("one")(int)
    assert things.names() == ["one"]


def test_an_unknown_name_suggests_the_nearest(things):
    things.register("alignment")(int)
    with pytest.raises(UnknownNameError, match="did you mean alignment"):
        things.get("alinement")
    with pytest.raises(UnknownNameError, match="known: alignment"):
        things.get("zzz")


def test_built_ins_are_listed_without_being_imported():
    assert {"alignment_resistance", "objective_interference"} <= set(TASKS.names())


def test_entry_points_of_other_distributions_carry_their_name_and_load_late(monkeypatch, things):
    loaded = []

    def point(name, dist):
        return SimpleNamespace(name=name, dist=SimpleNamespace(name=dist), load=lambda: loaded.append(name) or float)

    points = [point("flip", "acme-rm"), point("own", "reward-harness")]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == "reward_harness.things" else [])
    assert things.names() == ["acme-rm/flip"]
    assert loaded == []
    assert things.get("acme-rm/flip") is float
    assert loaded == ["flip"]


def test_a_plugin_that_does_not_run_is_one_clear_error(tmp_path):
    (tmp_path / "bad.py").write_text("1 / 0")
    with pytest.raises(InputError, match=r"bad\.py does not run: ZeroDivisionError"):
        load_plugin(tmp_path / "bad.py")
    with pytest.raises(InputError, match="expects a Python file"):
        load_plugin(tmp_path / "absent.py")


def test_a_folder_of_plugins_is_run_file_by_file(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.py").write_text(
            f"from harness.task import TASKS\n@TASKS.register('from_{name}')\nclass T: pass\n"
        )
    load_plugin(tmp_path)
    assert {"from_a", "from_b"} <= set(TASKS.names())
