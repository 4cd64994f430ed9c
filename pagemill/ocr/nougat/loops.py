"""Nougat's own rules for text that repeats itself, each applied to a page as if it were read alone."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

# nougat.model.StoppingCriteriaScores, which ends the decoding of a page
WINDOW = 15  # steps whose maxima make one variance
HISTORY = 200  # variances that are looked back upon
STILL = 0.015  # they vary less than this when the text repeats itself
LATEST_STOP = 4095

# nougat.model.NougatModel.inference, which cuts what was decoded
FEWEST_VARIANCES = 10
STILL_TO_THE_END = 0.045
KEPT_MARGIN_TOKENS = 120
LATEST_CUT = 4095
LAST_BIT = 0.9  # a loop that begins after this share of the text is not cut
START_TOKENS = 30  # a loop that begins before is one from the start

Floats = npt.NDArray[np.float64]


class StopRule:
    """`StoppingCriteriaScores` for pages of different ages, a row each: every page is stopped as it would be alone.

    The variances are taken by the same operation in the same order and type (float32) as there, so that
    no page is stopped a step earlier or later. The rule looks at the greatest score of each step alone.
    """

    def __init__(self) -> None:
        self.steps = torch.zeros(0, dtype=torch.long)
        self.maxima = torch.zeros(0, WINDOW)  # the newest at the right
        self.variances = torch.zeros(0, HISTORY)
        self.stop_at = torch.zeros(0, dtype=torch.long)  # 0: not expected to stop

    def join(self, maxima: torch.Tensor) -> None:
        """Take in pages after their first step.

        Args:
            maxima: float32 [pages], the greatest score of that step for each.
        """
        pages = len(maxima)
        first_maximum, first_variance = torch.zeros(pages, WINDOW), torch.zeros(pages, HISTORY)
        first_maximum[:, -1], first_variance[:, -1] = maxima, torch.nan
        self.steps = torch.cat([self.steps, torch.ones(pages, dtype=torch.long)])
        self.maxima = torch.cat([self.maxima, first_maximum])
        self.variances = torch.cat([self.variances, first_variance])
        self.stop_at = torch.cat([self.stop_at, torch.zeros(pages, dtype=torch.long)])

    def keep(self, rows: torch.Tensor) -> None:
        """Forget all pages but those of these rows."""
        self.steps, self.maxima = self.steps[rows], self.maxima[rows]
        self.variances, self.stop_at = self.variances[rows], self.stop_at[rows]

    def push(self, maxima: torch.Tensor) -> torch.Tensor:
        """Take in a further step of every page.

        Args:
            maxima: float32 [pages], the greatest score of the step for each.

        Returns:
            bool [pages]: whether decoding of the page stops with this step.
        """
        self.steps = self.steps + 1
        self.maxima = torch.cat([self.maxima[:, 1:], maxima[:, None]], 1)
        self.variances = torch.cat([self.variances[:, 1:], self._variance()[:, None]], 1)
        still = self._still()
        expected = self.stop_at > 0
        stopped = still & expected & (self.stop_at >= self.steps)
        planned = (self.steps.double() * 1.15 + 150 + HISTORY).clamp(max=LATEST_STOP).long()
        self.stop_at = torch.where(expected, self.stop_at, planned) * still
        return stopped

    def _variance(self) -> torch.Tensor:
        """Return for each page the variance of its last maxima over their number."""
        variance = torch.var(self.maxima, 1) / WINDOW
        for steps in set(self.steps[self.steps < WINDOW].tolist()):
            rows = self.steps == steps
            variance[rows] = torch.var(self.maxima[rows, -steps:], 1) / steps
        return variance

    def _still(self) -> torch.Tensor:
        """Say for each page whether its variances hardly vary any more."""
        still = self.steps >= HISTORY
        if still.any():
            still[still.clone()] = torch.var(self.variances[still], 1) < STILL
        return still


def loop_start(tokens: Sequence[int], maxima: Sequence[float], *, pad: int, eos: int) -> int | None:
    """Return `repeats` of `NougatModel.inference` for a page that was read alone.

    Args:
        tokens: What the decoder chose, step by step.
        maxima: The score of each of them, the greatest of its step.
        pad: The token that counts for nothing.
        eos: The token that ends a text.

    Returns:
        None for a text that does not end in a loop; else how many tokens of the sequence are kept (the
        start token is one), 0 where the loop is there from the start.
    """
    written = np.array(tokens) != pad
    count = int(written.sum())
    values = np.array(maxima, np.float32)[written]
    if count - WINDOW < FEWEST_VARIANCES or (eos in tokens and count + 1 < len(tokens)):
        return None
    still = np.flatnonzero(_still_to_the_end(_variances(values)))
    if len(still) < 2 or (np.diff(still) > 1).any():
        return None
    cut = int(min(max(still[0], 1) * 1.08 + KEPT_MARGIN_TOKENS, LATEST_CUT))
    if cut / count > LAST_BIT:
        return None
    return 0 if still[0] < START_TOKENS else cut


def _variances(values: npt.NDArray[np.float32]) -> Floats:
    """Return the variance of every window but the last over its size."""
    windows = np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(values, WINDOW)[:-1])
    with np.errstate(invalid="ignore", over="ignore"):
        variances: Floats = windows.var(axis=1).astype(np.float64) / WINDOW
    return variances


def _still_to_the_end(variances: Floats) -> npt.NDArray[np.bool_]:
    """Say from where on the variances hardly vary: one answer for each start from the second on.

    Nougat takes the variance of every suffix of ten values or more, which is quadratic. Running sums
    say as much; where they come too near to the threshold to be sure, its own sum decides.
    """
    backwards = variances[::-1]
    lengths = np.arange(FEWEST_VARIANCES, len(backwards))
    with np.errstate(invalid="ignore", over="ignore"):
        centred = backwards - backwards.mean()
        means = np.cumsum(centred)[lengths - 1] / lengths
        spread = np.cumsum(centred**2)[lengths - 1] / lengths - means**2
        certain = np.abs(spread - STILL_TO_THE_END) > 1e-9 * (1 + np.square(centred).max())
        still: npt.NDArray[np.bool_] = spread < STILL_TO_THE_END
        for place in np.flatnonzero(~certain):
            still[place] = np.var(backwards[: lengths[place]]) < STILL_TO_THE_END
    return still[::-1]
