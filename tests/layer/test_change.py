"""What each moment of a video changes from the one before."""

import torch

from mmtx_cli.layer.change import Change, differences


def test_differences_from_the_moment_before():
    x = torch.randn(2, 4, 3, 5)
    mask = torch.rand(2, 4, 3) < 0.7
    found = differences(x, mask)
    for i in range(2):
        for t in range(4):
            for n in range(3):
                real = t > 0 and mask[i, t, n] and mask[i, t - 1, n]
                expected = x[i, t, n] - x[i, t - 1, n] if real else torch.zeros(5)
                torch.testing.assert_close(found[i, t, n], expected)


def test_small_changes_count_as_much_as_large_ones():
    change = Change(6).eval()
    x = torch.randn(1, 2, 3, 6)
    mask = torch.ones(1, 2, 1, dtype=torch.bool)
    torch.testing.assert_close(change(x, mask), change(10 * x, mask), rtol=1e-3, atol=1e-3)


def test_the_amount_of_change_is_added():
    change = Change(6, amount=True).double().eval()
    x = torch.randn(1, 2, 3, 6, dtype=torch.float64)
    mask = torch.ones(1, 2, 1, dtype=torch.bool)
    shown = change.project(change.norm(differences(x, mask)))
    added, of_ten_times = change(x, mask) - shown, change(10 * x, mask) - change(9 * x, mask)
    torch.testing.assert_close(added, change.amount(differences(x, mask)))
    torch.testing.assert_close(of_ten_times, added, rtol=1e-2, atol=1e-3)  # the norm's epsilon
