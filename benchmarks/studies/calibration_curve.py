"""Rows of the curve: seeds, areas, controls, recovered gaps, many points, small cells.

Before: the pigeonhole bootstrap over documents and seeds, percentile intervals, controls and areas interpolated over
any distance, and no interval of a gap where one resample had none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from benchmarks.studies.calibration_rows import Row, share
from benchmarks.studies.curve_studies import Floats, cells, former, former_area, former_lead, percentile
from lmx_analysis.guided_curve import intervals, lines
from lmx_analysis.guided_curve.design import Cells, Design
from lmx_analysis.guided_curve.intervals import Estimate
from lmx_analysis.guided_curve.measure import Measurement, halves, heights, measure
from lmx_analysis.guided_stats.correlation import correlate
from lmx_analysis.stats import Interval, wilson
from lmx_analysis.stats import percentile as percentile_of

FORMER = 250
"""Resamples of the former method."""
DRAWS = 2000


def concave(place: float) -> float:
    """Return the accuracy of random consultation at a share: from 0.3 to 0.8, quickly at first."""
    return float(0.3 + 0.5 * (1 - (1 - place) ** 3))


@dataclass(frozen=True)
class Study:
    """Settings and their true accuracies: both ends, the points of a policy, and random runs."""

    documents: int
    points: Sequence[float]
    control: Sequence[float]
    lead: float = 0.0
    seeds: int = 1
    curve: Callable[[float], float] = concave

    @property
    def settings(self) -> list[tuple[str, str, float, float]]:
        """Line, role, share and true accuracy of each group."""
        inner = [("policy", "point", s, self.curve(s) + self.lead) for s in self.points]
        inner += [("random", "point", s, self.curve(s)) for s in self.control]
        ends = [("base", "base", 0.0, self.curve(0.0)), ("oracle", "oracle", 1.0, self.curve(1.0))]
        return [*ends, *inner]

    def draw(self, rng: np.random.Generator) -> list[Cells]:
        """Return the answers of one simulated study."""
        difficulty = rng.normal(size=self.documents)
        return [cells(rng, difficulty, place, right, self.seeds) for _, _, place, right in self.settings]

    def measured(self, groups: Sequence[Cells], documents: int | None = None) -> Measurement:
        """Return the study as `guided-curve` measures it."""
        design = Design(np.arange(documents or self.documents), len(groups), rate=True)
        names, roles = [each[0] for each in self.settings], [each[1] for each in self.settings]
        return measure(groups, names, roles, design, "share")


def leads(measured: Measurement) -> list[tuple[Estimate, Interval]]:
    """Return each point's lead over random where the control is near, with the interval for all of them together."""
    pairs = zip(measured.line("policy"), heights(measured, "policy"), strict=True)
    found = [each.knot.y - height.y for each, height in pairs if height is not None and height.near]
    critical = intervals.simultaneous(found, measured.design, DRAWS, 1)
    return [
        (intervals.of(each, measured.design), intervals.of(each, measured.design, critical).interval) for each in found
    ]


def outside(ends: tuple[float, float], value: float) -> bool:
    """Whether an interval is there and does not hold a value."""
    return ends[0] > value or ends[1] < value


def seeds(n: int) -> Iterator[Row]:
    """Two settings of which one is better by 0.11: how wide, how often right, how often found."""
    for count in (1, 2, 5):
        for effect in (0.0, 0.11):
            rng = np.random.default_rng(count)
            before, after, widths = np.zeros(n, bool), np.zeros(n, bool), np.zeros((n, 2))
            design = Design(np.arange(120), 2, rate=True)
            for study in range(n):
                difficulty = rng.normal(size=120)
                groups = [cells(rng, difficulty, 0.5, 0.45 + more, count) for more in (0.0, effect)]
                one, other = former(groups, FORMER, study)
                old = percentile(other.accuracy - one.accuracy)
                accuracies = [measure([g], ["x"], ["point"], design, "share").groups[0].knot.y for g in groups]
                new = intervals.of(accuracies[1] - accuracies[0], design)
                before[study], after[study] = outside(old, 0.0), new.interval.excludes(0.0)
                widths[study] = old[1] - old[0], new.high - new.low
            what = "false alarms" if effect == 0 else "power at +0.11"
            note = f"widths {widths[:, 0].mean():.3f} and {widths[:, 1].mean():.3f}"
            nominal = 0.05 if effect == 0 else None
            yield Row(
                "curve: seeds", f"{count} seeds, 120 documents: {what}", nominal, share(before), share(after), n, note
            )


def areas(n: int) -> Iterator[Row]:
    """Policy and random on one curve, measured at other shares: area less that of random."""
    shapes = {
        "low shares, few controls": ((0.1, 0.2, 0.3), (0.06, 0.33, 0.6)),
        "three points, nine controls": ((0.35, 0.5, 0.65), tuple(i / 10 for i in range(1, 10))),
        "four points, five controls": ((0.2, 0.35, 0.5, 0.65), (0.1, 0.28, 0.46, 0.64, 0.82)),
        "two low points, high controls": ((0.1, 0.16), (0.13, 0.5, 0.9)),
    }
    for name, (points, control) in shapes.items():
        for documents in (100, 200, 400) if len(points) > 2 else (400,):
            study = Study(documents, points, control)
            rng = np.random.default_rng(documents)
            before, after, given = np.zeros(n, bool), np.zeros(n, bool), np.zeros(n, bool)
            for number in range(n):
                groups = study.draw(rng)
                old = former(groups, FORMER, number)
                middle = 2 + len(points)
                areas_of = [former_area(part, old[0], old[1]) for part in (old[2:middle], old[middle:])]
                before[number] = outside(percentile(areas_of[0] - areas_of[1]), 0.0)
                found = area_lead(study.measured(groups))
                given[number] = found is not None
                after[number] = found is not None and found.interval.excludes(0.0)
            note = f"compared in {share(given):.2f} of studies"
            yield Row(
                "curve: areas, both lines on one curve", f"{name}, {documents} documents", 0.05, share(before),
                share(after), n, note,
            )  # fmt: skip


def area_lead(measured: Measurement) -> Estimate | None:
    """Return the area of the policy less that of random, None where they have no common range."""
    one, other = ([each.knot for each in measured.line(name)] for name in ("policy", "random"))
    ranges = lines.common(lines.measured(one), lines.measured(other))
    if not ranges:
        return None
    gap = measured.ends["oracle"].knot.y - measured.ends["base"].knot.y
    return intervals.ratio(lines.area_between(one, other, ranges), gap, measured.design)


def controls(n: int) -> Iterator[Row]:
    """How often the interval of a point's lead over random holds the true lead, 0.1, where there is an interval."""
    shapes = {
        "dense: eight controls": ((0.25,), (0.05, 0.12, 0.2, 0.3, 0.4, 0.5, 0.65, 0.85)),
        "four controls 0.1 to 0.15 apart": ((0.22,), (0.1, 0.2, 0.32, 0.45)),
        "one control 0.02 away": ((0.22,), (0.2,)),
        "one control 0.35 away": ((0.15,), (0.5,)),
        "one control 0.3 away, 0.2 from the base": ((0.2,), (0.5,)),
    }
    for name, (points, control) in shapes.items():
        for documents in (100, 400):
            study = Study(documents, points, control, lead=0.1)
            rng = np.random.default_rng(documents)
            before, held, given = np.zeros(n, bool), np.zeros(n, bool), np.zeros(n, bool)
            for number in range(n):
                groups = study.draw(rng)
                old = former(groups, FORMER, number)
                before[number] = not outside(percentile(former_lead(old[2], [*old[:2], *old[3:]])), 0.1)
                found = leads(study.measured(groups))
                given[number] = bool(found)
                held[number] = bool(found) and not found[0][0].interval.excludes(0.1)
            enough = given.sum() >= n / 20
            yield Row(
                "curve: coverage of a lead of 0.1 over random", f"{name}, {documents} documents", 0.95, share(before),
                share(held[given]) if enough else None, int(given.sum()) if enough else n,
                f"an interval in {share(given):.2f} of studies",
            )  # fmt: skip


def gaps(n: int) -> Iterator[Row]:
    """The recovered gap of a setting half-way between both ends, however near they are to each other."""
    for gap, documents in ((0.3, 100), (0.15, 100), (0.1, 100), (0.05, 100), (0.02, 60)):
        half = lambda place, gap=gap: 0.4 + gap * place  # noqa: E731
        study = Study(documents, (0.5,), (), curve=half)
        rng = np.random.default_rng(documents)
        removed, before, after, given = (np.zeros(n, bool) for _ in range(4))
        for number in range(n):
            groups = study.draw(rng)
            base, oracle, point = former(groups, FORMER, number)
            distance = oracle.accuracy - base.accuracy
            with np.errstate(divide="ignore", invalid="ignore"):
                recovered = np.where(np.abs(distance) > 1e-12, (point.accuracy - base.accuracy) / distance, np.nan)
            ends = percentile(distance)
            old = percentile(recovered) if outside(ends, 0.0) else (np.nan, np.nan)
            removed[number] = np.isnan(old[0])
            before[number] = not removed[number] and not outside(old, 0.5)
            measured = study.measured(groups)
            low, high = (measured.ends[name].knot.y for name in ("base", "oracle"))
            found = intervals.ratio(measured.line("policy")[0].knot.y - low, high - low, measured.design)
            given[number] = found.interval.known
            after[number] = not found.interval.excludes(0.5)
        name = f"oracle less base {gap:g}, {documents} documents"
        group = "curve: recovered gap, truth 0.5"
        yield Row(group, f"{name}: no interval", 0.0, share(removed), 1 - share(given), n)
        kept = share(before[~removed]) if (~removed).sum() >= n / 20 else None
        yield Row(group, f"{name}: coverage", 0.95, kept, share(after), n, "before: of those that had an interval")


def many(n: int) -> Iterator[Row]:
    """Twelve points that are as good as random, and one that is better."""
    control = (0.05, 0.12, 0.2, 0.3, 0.4, 0.5, 0.62, 0.75, 0.88)
    points = tuple(np.linspace(0.08, 0.8, 12))
    study = Study(150, points, control)
    rng = np.random.default_rng(12)
    before, after, best = np.zeros(n, bool), np.zeros(n, bool), np.zeros((n, 2))
    for number in range(n):
        groups = study.draw(rng)
        old = former(groups, FORMER, number)
        reference = [*old[:2], *old[14:]]
        drawn = [former_lead(each, reference) for each in old[2:14]]
        before[number] = any(outside(percentile(each), 0.0) for each in drawn)
        after[number] = any(interval.excludes(0.0) for _, interval in leads(study.measured(groups)))
        best[number] = max(each[0] for each in drawn), split_lead(study, groups, number)
    name = "12 points without effect, 150 documents"
    note = f"the best looks {best[:, 0].mean():+.3f} better; by --split {np.nanmean(best[:, 1]):+.3f}"
    yield Row("curve: many points", f"{name}: any interval excludes 0", 0.05, share(before), share(after), n, note)
    for lead, nominal in ((0.0, 0.05), (0.12, None)):
        single = Study(150, (0.25,), control, lead=lead)
        rng = np.random.default_rng(13)
        before, after = np.zeros(n, bool), np.zeros(n, bool)
        for number in range(n):
            groups = single.draw(rng)
            old = former(groups, FORMER, number)
            before[number] = outside(percentile(former_lead(old[2], [*old[:2], *old[3:]])), 0.0)
            after[number] = any(each.interval.excludes(0.0) for each, _ in leads(single.measured(groups)))
        what = "false alarms" if nominal else f"power at +{lead}"
        yield Row("curve: many points", f"one point, dense control: {what}", nominal, share(before), share(after), n)


def split_lead(study: Study, groups: Sequence[Cells], seed: int) -> float:
    """Return the lead, on one half of the documents, of the point that has the greatest on the other half."""
    found = []
    for mask in halves(np.arange(study.documents), seed):
        measured = study.measured([each.of(mask) for each in groups], int(mask.sum()))
        pairs = zip(measured.line("policy"), heights(measured, "policy"), strict=True)
        found.append({each.number: each.knot.y.value - at.y.value for each, at in pairs if at and at.near})
    best = max(found[0], key=lambda key: found[0][key])
    return found[1].get(best, float("nan"))


def small_cells(n: int) -> Iterator[Row]:
    """The accuracy of one setting on few documents: coverage of the truth."""
    group = "curve: coverage of an accuracy"
    for documents, chance in ((6, 0.505), (10, 0.695), (20, 0.835), (40, 0.92), (60, 0.945), (100, 0.5)):
        hits = stats.binom.pmf(np.arange(documents + 1), documents, chance)
        held = np.zeros((documents + 1, 2), bool)
        for right in range(documents + 1):
            low, high = stats.binom.ppf((0.025, 0.975), documents, right / documents) / documents
            held[right, 0] = low <= chance <= high and 0 < right < documents
            held[right, 1] = not wilson(right, documents).excludes(chance)
            held[right, 0] |= right in (0, documents) and bool(held[right, 1])  # it was Wilson's there
        before, after = hits @ held
        name = f"one seed, {documents} documents, chance {chance:g}"
        yield Row(group, name, 0.95, float(before), float(after), 10**6, "exact")
    for documents, chance in ((10, 0.7), (20, 0.8), (40, 0.9), (100, 0.95)):
        rng = np.random.default_rng(documents)
        design = Design(np.arange(documents), 1, rate=True)
        before, after = np.zeros(n, bool), np.zeros(n, bool)
        for number in range(n):
            each = cells(rng, rng.normal(size=documents), 0.5, chance, 2)
            old = former([each], FORMER, number)[0].accuracy
            before[number] = not percentile_of(old).excludes(chance)
            estimate = measure([each], ["x"], ["point"], design, "share").groups[0].knot.y
            after[number] = not intervals.of_accuracy(estimate, each, design).interval.excludes(chance)
        yield Row(group, f"two seeds, {documents} documents, chance {chance:g}", 0.95, share(before), share(after), n)


def correlations(n: int) -> Iterator[Row]:
    """A statistic of consultations that has nothing to do with correctness, with few wrong documents and with many."""
    for errors in (3, 6, 12, 30):
        rng = np.random.default_rng(errors)
        hits = np.zeros((n, 3), bool)
        for number in range(n):
            counts = rng.integers(1, 9, size=60)
            documents = np.repeat(np.arange(60), counts)
            right = np.repeat((np.arange(60) >= errors).astype(float), counts)
            x = np.repeat(rng.normal(size=60), counts) + rng.normal(size=right.size)
            found = correlate({"x": x.tolist()}, right.tolist(), documents.tolist(), 199, number)[0]
            hits[number] = (
                former_p(x, right, documents, number) < 0.05,
                found.p < 0.05 + 1e-9,
                found.low > 0 or found.high < 0,
            )
        name = f"{errors} of 60 documents wrong"
        group = "guided-stats: false alarms of a correlation"
        yield Row(group, name, 0.05, share(hits[:, 0]), share(hits[:, 1]), n, f"interval {share(hits[:, 2]):.3f}")


def former_p(x: Floats, y: Floats, documents: Floats, seed: int) -> float:
    """Return the former p: twice the smaller share of bootstrap correlations on one side of 0."""
    n = int(documents.max()) + 1
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=199)[:, documents].astype(float)
    size = weights.sum(axis=1)
    mx, my = weights @ x / size, weights @ y / size
    r = weights @ (x * y) / size - mx * my  # its sign is that of the correlation
    defined = r[(weights @ (y * y) / size - my**2) > 1e-9]
    if len(defined) < 0.95 * len(r):
        return 1.0
    return float(2 * (1 + min((defined <= 0).sum(), (defined >= 0).sum())) / (1 + len(defined)))


def rows(quick: bool) -> Iterator[Row]:
    """Yield all rows."""
    n = 100 if quick else 1000
    for part in (seeds, areas, controls, gaps, many, small_cells, correlations):
        yield from part(n)
