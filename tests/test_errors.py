from mmtx_cli.errors import at_most, complain, count, listed, without_repeats
from tests.messages import mentions


def test_a_cut_list_counts_all(capsys):
    faults = [f"a.jsonl:{i}: no id {i}" for i in range(1, 31)]
    assert count(at_most(faults)) == count(faults) == 30
    assert complain("eval", at_most(faults)) == 2
    first, *lines = capsys.readouterr().err.splitlines()
    mentions(first, "mmtx eval: 30 ")
    assert [line.strip() for line in lines] == at_most(faults)


def test_repeated_faults_are_counted_each():
    faults = [f"a.jsonl:{i}: no split" for i in range(1, 31)] + ["a.jsonl:31: no id"]
    kept = without_repeats(faults)
    assert len(kept) == 22
    assert count(kept) == 31


def test_a_list_of_names_is_cut():
    assert listed([3, 1]) == "3, 1"
    assert listed("abc", 2) == "a, b …"
