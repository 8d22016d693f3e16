from mmtx_cli.errors import count_faults, listed, print_faults, truncate, without_repeats
from tests.messages import mentions


def test_a_cut_list_counts_all(capsys):
    faults = [f"a.jsonl:{i}: no id {i}" for i in range(1, 31)]
    assert count_faults(truncate(faults)) == count_faults(faults) == 30
    assert print_faults("eval", truncate(faults)) == 2
    first, *lines = capsys.readouterr().err.splitlines()
    mentions(first, "mmtx eval: 30 ")
    assert [line.strip() for line in lines] == truncate(faults)


def test_repeated_faults_are_counted_each():
    faults = [f"a.jsonl:{i}: no split" for i in range(1, 31)] + ["a.jsonl:31: no id"]
    kept = without_repeats(faults)
    assert len(kept) == 22
    assert count_faults(kept) == 31


def test_a_list_of_names_is_cut():
    assert listed([3, 1]) == "3, 1"
    assert listed("abc", 2) == "a, b …"
