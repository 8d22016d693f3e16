"""Files of tests can be given to pytest in any order."""

from pathlib import Path

HERE = Path(__file__).parent


def test_fixtures_of_folders_are_not_in_conftest_files():
    """Pytest 9.1 loses those, see ``pytest_plugins`` in conftest.py."""
    assert list(HERE.rglob("conftest.py")) == [HERE / "conftest.py"]
