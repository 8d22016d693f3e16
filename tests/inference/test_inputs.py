from mmtx_cli.inference.inputs import input_files
from tests.messages import mentions


def test_a_linked_folder_is_searched_once(tmp_path, capsys):
    top, other = tmp_path / "top", tmp_path / "other"
    top.mkdir()
    other.mkdir()
    for path in (top / "a.jpg", top / ".b.jpg", other / "c.png", other / "d.txt"):
        path.touch()
    (top / "linked").symlink_to(other)
    (other / "back").symlink_to(top)
    assert input_files(str(top)) == [str(top / "a.jpg"), str(top / "linked" / "c.png")]
    mentions(capsys.readouterr().err, f"inputs: {top}: 1 files", "(d.txt)")
    assert input_files(str(top / "linked")) == [
        str(top / "linked" / "back" / "a.jpg"),
        str(top / "linked" / "c.png"),
    ]
