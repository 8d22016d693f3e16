from mmtx_cli.report.cost import costs


def test_what_a_run_cost() -> None:
    result = {
        "cost": {"parameters": 3_812_345, "trained_parameters": 120_000, "flops_per_sample": 2.5e9},
        "seconds": 83.0,
        "peak_memory_mb": 1234.5,
    }
    assert costs(result) == [
        ("duration", "1 min 23 s"),
        ("parameters", "3.81 M (120 k trained)"),
        ("FLOPs per sample", "2.5 G"),
        ("peak memory", "1.23 GB"),
    ]


def test_what_is_not_known_is_left_out() -> None:
    assert costs({}) == []
    assert costs({"cost": 3, "seconds": float("nan"), "peak_memory_mb": None}) == []
    assert costs({"cost": {"parameters": 0}, "seconds": 2.0}) == [("duration", "2 s")]
