from mmtx_cli.data.list_files import files_below


def test_links_are_followed_once(tmp_path):
    top, other = tmp_path / "top", tmp_path / "other"
    (top / "a" / ".hidden").mkdir(parents=True)
    other.mkdir()
    for path in (top / "a" / "1", top / "a" / ".2", top / "a" / ".hidden" / "3", other / "4"):
        path.touch()
    (top / "linked").symlink_to(other)
    (top / "again").symlink_to(other)
    (top / "a" / "loop").symlink_to(top)
    (other / "loop").symlink_to(top)
    found = [path.relative_to(top).as_posix() for path in files_below(top)]
    assert found == ["a/1", "again/4"]
    assert [path.name for path in files_below(top / "linked")] == ["4", "1"]
