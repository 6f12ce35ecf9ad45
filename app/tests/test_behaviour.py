"""The switches of behaviour.json and the settings: what is read, and what is refused by name."""

import tempfile
import unittest
from pathlib import Path

from service.behaviour import Behaviour, FaultCounter
from service.settings import Release, Settings, read_release

APP = Path(__file__).resolve().parent.parent


class FileCase(unittest.TestCase):
    """A case with a file of its own."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = Path(folder.name) / "behaviour.json"


class BehaviourTest(FileCase):
    def load(self, text: str) -> Behaviour:
        self.file.write_text(text, encoding="utf-8")
        return Behaviour.load(self.file)

    def test_the_file_of_this_release_can_be_read(self) -> None:
        Behaviour.load(APP / "behaviour.json")

    def test_switches_are_read(self) -> None:
        self.assertEqual(self.load('{"fault_percent": 30, "latency_ms": 5}'), Behaviour(fault_percent=30, latency_ms=5))

    def test_a_misspelt_switch_is_refused_by_name(self) -> None:
        with self.assertRaisesRegex(ValueError, "unknown key 'fault_percents'"):
            self.load('{"fault_percents": 30}')

    def test_values_of_the_wrong_kind_are_refused_by_name(self) -> None:
        for text, key in (
            ('{"fault_percent": 101}', "fault_percent"),
            ('{"fault_percent": true}', "fault_percent"),
            ('{"latency_ms": "9"}', "latency_ms"),
            ('{"cpu_percent": 101}', "cpu_percent"),
            ('{"fault_after_seconds": -1}', "fault_after_seconds"),
            ('{"unhealthy_after_seconds": null}', "unhealthy_after_seconds"),
            ('{"die_every_seconds": 1.5}', "die_every_seconds"),
            ('{"wrong_greeting": "yes"}', "wrong_greeting"),
            ('{"crash_on_start": 1}', "crash_on_start"),
            ('{"fault_only_if_env": 1}', "fault_only_if_env"),
            ("{", "is not JSON"),
        ):
            with self.subTest(text), self.assertRaisesRegex(ValueError, key):
                self.load(text)

    def test_a_fault_shows_only_where_its_variable_is_set(self) -> None:
        bad = Behaviour(fault_percent=50, cpu_percent=90, die_every_seconds=9, wrong_greeting=True, fault_only_if_env="NEW_ENGINE")
        self.assertEqual(bad.in_environment({}), Behaviour())
        self.assertEqual(bad.in_environment({"NEW_ENGINE": ""}), Behaviour())
        self.assertEqual(bad.in_environment({"NEW_ENGINE": "on"}), bad)

    def test_what_comes_later_comes_at_its_second(self) -> None:
        late = Behaviour(fault_percent=50, fault_after_seconds=60, unhealthy_after_seconds=30)
        self.assertEqual([late.is_faulty_at(age) for age in (0, 59.9, 60)], [False, False, True])
        self.assertEqual([late.is_healthy_at(age) for age in (0, 29.9, 30)], [True, True, False])
        self.assertTrue(Behaviour().is_healthy_at(10**9))
        self.assertTrue(Behaviour(fault_percent=50).is_faulty_at(0))

    def test_faults_are_spread_evenly_and_exact(self) -> None:
        for percent in (0, 1, 30, 50, 100):
            counter = FaultCounter(percent)
            self.assertEqual(sum(counter.next_is_faulty() for _ in range(200)), 2 * percent)
        counter = FaultCounter(50)
        self.assertEqual([counter.next_is_faulty() for _ in range(4)], [False, True, False, True])


class SettingsTest(FileCase):
    def test_defaults_and_values(self) -> None:
        self.assertEqual(Settings.from_environment({}), Settings(8080, "/health"))
        self.assertEqual(Settings.from_environment({"PORT": "81", "HEALTH_PATH": "/up"}), Settings(81, "/up"))

    def test_unusable_settings_are_refused_by_name(self) -> None:
        for environment in ({"PORT": "eighty"}, {"PORT": "0"}, {"PORT": "65536"}, {"PORT": ""}, {"HEALTH_PATH": "up"}, {"HEALTH_PATH": "/a?b"}):
            name = next(iter(environment))
            with self.subTest(environment), self.assertRaisesRegex(ValueError, name):
                Settings.from_environment(environment)

    def test_the_release_is_what_the_image_says(self) -> None:
        self.assertEqual(read_release(self.file), Release("sample", "unreleased"))
        self.file.write_text('{"service": "shop", "commit": "abc"}', encoding="utf-8")
        self.assertEqual(read_release(self.file), Release("shop", "abc"))


if __name__ == "__main__":
    unittest.main()
