"""How a panel of ours looks: data source, unit, legend, description; one place for every default."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import common as options
from grafana_foundation_sdk.builders import dashboard as board
from grafana_foundation_sdk.builders import heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heat
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCE = models.DataSourceRef(type_val="prometheus", uid="$datasource")


def query(expression: str, legend: str = "") -> prometheus.Dataquery:
    """One query; ``legend`` names its lines, from labels where it holds ``{{label}}``."""
    return prometheus.Dataquery().expr(expression).legend_format(legend or "__auto").datasource(SOURCE)


def figure(
    title: str, expression: str, unit: str, description: str, *, bad: float | None = None, low_is_bad: bool = False
) -> stat.Panel:
    """One number with its recent course behind it; red from ``bad`` on, or below it with ``low_is_bad``."""
    first, second = ("red", "green") if low_is_bad else ("green", "red")
    steps = [models.Threshold(value=None, color=first if bad is not None else "text")]
    if bad is not None:
        steps.append(models.Threshold(value=bad, color=second))
    limits = board.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .thresholds(limits)
        .graph_mode(looks.BigValueGraphMode.AREA)
        .color_mode(looks.BigValueColorMode.VALUE)
        .reduce_options(options.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value("no data")
        .height(4)
        .with_target(query(expression, title).ref_id("A"))
    )


def lines(
    title: str, unit: str, description: str, targets: Sequence[tuple[str, str]], *, span: int
) -> timeseries.Panel:
    """Lines over time, at most five of them; ``targets`` are expressions with their legends."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .line_width(2)
        .fill_opacity(8)
        .show_points(looks.VisibilityMode.NEVER)
        .legend(
            options.VizLegendOptions()
            .display_mode(looks.LegendDisplayMode.LIST)
            .placement(looks.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(options.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI).sort(looks.SortOrder.DESCENDING))
        .height(8)
        .span(span)
    )
    for name, (expression, legend) in zip("ABCDE", targets, strict=False):
        panel.with_target(query(expression, legend).ref_id(name))
    return panel


def heat_of(title: str, unit: str, description: str, expression: str, *, span: int) -> heatmap.Panel:
    """A histogram over time: where the mass lies, which no quantile shows."""
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .y_axis(heatmap.YAxisConfig().unit(unit))
        .unit(unit)
        .calculate(False)
        .color(heatmap.HeatmapColorOptions().mode(heat.HeatmapColorMode.SCHEME).scheme("Viridis").steps(64))
        .height(8)
        .span(span)
        .with_target(query(expression, "{{le}}").format(PromQueryFormat.HEATMAP).ref_id("A"))
    )


def labels_variable(name: str, label: str, asked: str) -> board.QueryVariable:
    """A filter at the top: several values or all, asked again whenever the time range changes."""
    return (
        board.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(asked)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(models.VariableOption(selected=True, text="All", value="$__all"))
    )
