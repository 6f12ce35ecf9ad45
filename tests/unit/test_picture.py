"""The README's picture is that of the real stages."""

from __future__ import annotations

from scripts import picture


def test_the_picture_is_that_of_the_template() -> None:
    assert picture.main(["--check"]) == 0


def test_a_stage_more_or_renamed_is_another_picture() -> None:
    declared = [("Source", [("Source", "CodeStarSourceConnection")]), ("Gamma", [("Fleet", "CodeDeploy")])]
    assert picture.draw(declared) != picture.draw([*declared, ("Wave1", [("Fleet", "CodeDeploy")])])
    assert "Wave1" in picture.draw([*declared, ("Wave1", [("Fleet", "CodeDeploy")])])
