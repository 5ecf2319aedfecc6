"""What a curve consists of: options, points, lines, and all of it together."""

from __future__ import annotations

from dataclasses import dataclass, field

from lmx_analysis.guided_curve.groups import Group
from lmx_analysis.guided_curve.intervals import Estimate
from lmx_analysis.guided_curve.lines import Range
from lmx_files.errors import unknown
from lmx_files.runs.folders import Run

AXES = ("share", "tokens")
SEEDS = ("nested", "crossed")


@dataclass(frozen=True)
class Options:
    """What to draw.

    Attributes:
        task: a task or group; None if there is only one. metric: None for the task's first main metric.
        by: settings that make separate lines, beside the policy.
        filter: of lm_eval's filters. cluster: field of a document that names groups that are not independent.
        resamples, seed: of the draws behind simultaneous intervals, and of the halves of `split`.
        axis: ``share`` of the oracle's tokens, or its ``tokens`` for each problem; what points are compared at.
        seeds: ``nested`` in documents, as the streams of sampling are; ``crossed`` for seeds of training.
        split: choose the best setting on one half of the documents and report it on the other.

    Raises:
        UserError: axis or seeds is unknown.
    """

    task: str | None = None
    metric: str | None = None
    by: tuple[str, ...] = ()
    filter: str | None = None
    cluster: str | None = None
    resamples: int = 10_000
    seed: int = 1234
    axis: str = "share"
    seeds: str = "nested"
    split: bool = False

    def __post_init__(self) -> None:
        if self.axis not in AXES:
            raise unknown("--axis", self.axis, AXES)
        if self.seeds not in SEEDS:
            raise unknown("--seeds", self.seeds, SEEDS)


@dataclass
class Point:
    """One group of runs on the curve.

    Attributes:
        line: the line that it belongs to. label: the settings that tell it from others of its policy.
        tokens: of the oracle, for each problem.
        gap: recovered gap; None where an end is missing or nothing of both ends differs.
        control: accuracy of random consultation at the same place of the axis, interpolated between places `between`.
        difference: accuracy less that, paired. Both None without a control around it, and without intervals where the
            control is too far away. together: the difference's interval that holds for all points at once.
        setting: of a random run that would hit the same share, e.g. ``k=10 prob=0.03``; empty if there is none.
    """

    line: str
    label: str
    group: Group
    share: Estimate
    accuracy: Estimate
    tokens: Estimate
    gap: Estimate | None = None
    control: Estimate | None = None
    difference: Estimate | None = None
    together: Estimate | None = None
    between: Range | None = None
    setting: str = ""


@dataclass
class Line:
    """The points of one policy in the order of their places on the axis.

    Attributes:
        area: under the recovered gap through all points and both ends; None where an end is missing.
        area_over_control: that of the line less that of random, over the places `common` where both were measured;
            None where they have none. Its interval holds for all lines at once.
    """

    name: str
    points: list[Point]
    area: Estimate | None = None
    area_over_control: Estimate | None = None
    common: list[Range] = field(default_factory=list)


@dataclass(frozen=True)
class Chosen:
    """The setting that was best on one half of the documents, and its lead over random on both halves.

    Attributes:
        documents: of the half that it was chosen on, and of the half that it is reported on.
        of: the number of settings to choose from.
    """

    line: str
    label: str
    of: int
    documents: tuple[int, int]
    chosen_on: Estimate
    reported_on: Estimate


@dataclass
class Curve:
    """Everything that is drawn and written; `simultaneous` is how many differences their joint intervals hold for."""

    tasks: list[str]
    metric: str
    options: Options
    runs: list[Run]
    documents: int
    clusters: int
    higher: bool | None = None
    ends: dict[str, Point] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    simultaneous: int = 0
    chosen: Chosen | None = None

    @property
    def points(self) -> list[Point]:
        """All points: the base, those of each line, the oracle."""
        inner = [point for line in self.lines for point in line.points]
        return [*(self.ends[n] for n in ("base",) if n in self.ends), *inner] + [
            self.ends[n] for n in ("oracle",) if n in self.ends
        ]
