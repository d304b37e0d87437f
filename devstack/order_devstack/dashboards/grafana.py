"""From what a dashboard shows to Grafana's JSON.

The panels of a section stand three in a row, numbers six; so a screen has at most twelve.
"""

import json
from collections.abc import Iterable, Sequence

from grafana_foundation_sdk.builders import common, heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as grafana
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from order_devstack.dashboards.content import Dashboard, Look, Panel, Query, Variable

TAG = "order-platform"
COLUMNS = 24
_HEIGHT = {Look.NUMBER: 4}
_PICTURE_HEIGHT = 8
_WIDTH = {Look.NUMBER: 4}
_PICTURE_WIDTH = 8
_SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
_GREEN, _RED = "green", "red"

AnyPanel = timeseries.Panel | stat.Panel | heatmap.Panel


def address(dashboard: Dashboard) -> str:
    """Its uid: part of the links to it, so that it never changes."""
    return f"{TAG}-{dashboard.name}"


def text(dashboard: Dashboard, all_of_them: Sequence[Dashboard]) -> str:
    """The file that Grafana reads."""
    built = json.loads(json.dumps(_built(dashboard, all_of_them), cls=JSONEncoder))
    for link in built["links"]:
        del link["placement"]  # the SDK's default hides them in a menu
    for variable in built["templating"]["list"]:
        for of_intervals in ("auto", "auto_count", "auto_min"):  # Grafana's schema knows them of no other kind
            del variable[of_intervals]
    return json.dumps(built, sort_keys=True, indent=1) + "\n"


def _built(dashboard: Dashboard, all_of_them: Sequence[Dashboard]) -> models.Dashboard:
    builder = (
        grafana.Dashboard(dashboard.title)
        .uid(address(dashboard))
        .description(dashboard.meaning)
        .tags([TAG])
        .readonly()
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(grafana.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )
    for variable in dashboard.variables:
        builder.with_variable(_variable(variable, dashboard.variables))
    for other in all_of_them:
        if other is not dashboard:
            builder.link(_link(other))
    top, number = 0, 1
    for section in dashboard.sections:
        builder.with_row(grafana.Row(section.title).id(number).grid_pos(models.GridPos(h=1, w=COLUMNS, x=0, y=top)))
        top, number = top + 1, number + 1
        for row in _rows(section.panels):
            left = 0
            for panel in row:
                width, height = _size(panel)
                place = models.GridPos(h=height, w=width, x=left, y=top)
                builder.with_panel(_panel(panel).id(number).grid_pos(place))
                left, number = left + width, number + 1
            top += _size(row[0])[1]
    return builder.build()


def _size(panel: Panel) -> tuple[int, int]:
    return _WIDTH.get(panel.look, _PICTURE_WIDTH), _HEIGHT.get(panel.look, _PICTURE_HEIGHT)


def _rows(panels: Iterable[Panel]) -> list[list[Panel]]:
    """As many as fit beside each other, of one height."""
    rows: list[list[Panel]] = []
    for panel in panels:
        full = not rows or sum(_size(each)[0] for each in rows[-1]) + _size(panel)[0] > COLUMNS
        if full or _size(rows[-1][0])[1] != _size(panel)[1]:
            rows.append([])
        rows[-1].append(panel)
    return rows


def _variable(variable: Variable, all_of_them: Sequence[Variable]) -> grafana.QueryVariable:
    before = all_of_them[: all_of_them.index(variable)]
    chosen = ", ".join(f'{each.name}=~"${each.name}"' for each in before)
    return (
        grafana.QueryVariable(variable.name)
        .label(variable.label)
        .query(f"label_values({variable.metric}{{{chosen}}}, {variable.name})")
        .datasource(_SOURCE)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .current(models.VariableOption(text="All", value="$__all"))
        .all_value(".*")  # series without the label too: few set-ups have `cluster`
    )


def _link(other: Dashboard) -> grafana.DashboardLink:
    return (
        grafana.DashboardLink(other.title)
        .type(models.DashboardLinkType.LINK)
        .url(f"/d/{address(other)}")
        .keep_time(True)
        .include_vars(True)
    )


def _panel(panel: Panel) -> AnyPanel:
    builder = _of_look(panel)
    builder.title(panel.title).description(_described(panel)).unit(panel.unit.value).datasource(_SOURCE)
    for number, query in enumerate(panel.queries):
        builder.with_target(_target(query, chr(ord("A") + number), panel.look))
    return builder


def _described(panel: Panel) -> str:
    # The chart puts its value monitoring.alerts.runbookURL in the place of this path.
    return f"{panel.meaning} Runbook: docs/runbooks/{panel.runbook}.md" if panel.runbook else panel.meaning


def _target(query: Query, name: str, look: Look) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expression).ref_id(name).datasource(_SOURCE)
    if look is Look.NUMBER:
        return target.instant()
    if look is Look.HEATMAP:
        return target.range().format(PromQueryFormat.HEATMAP).legend_format("{{le}}")
    return target.range().legend_format(query.legend or "__auto")


def _of_look(panel: Panel) -> AnyPanel:
    match panel.look:
        case Look.NUMBER:
            reduced = common.ReduceDataOptions().calcs(["lastNotNull"])
            return (
                stat.Panel()
                .reduce_options(reduced)
                .graph_mode(shapes.BigValueGraphMode.NONE)
                .color_mode(shapes.BigValueColorMode.VALUE)
                .thresholds(_thresholds(panel))
                .no_value("-")
            )
        case Look.HEATMAP:
            return heatmap.Panel().color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges"))
        case _:
            stacked = panel.look is Look.STACKED
            lines = (
                timeseries.Panel()
                .min(0)
                .line_width(1)
                .fill_opacity(40 if stacked else 5)
                .show_points(shapes.VisibilityMode.NEVER)
                .legend(
                    common.VizLegendOptions()
                    .display_mode(shapes.LegendDisplayMode.LIST)
                    .placement(shapes.LegendPlacement.BOTTOM)
                    .show_legend(True)
                )
                .tooltip(
                    common.VizTooltipOptions().mode(shapes.TooltipDisplayMode.MULTI).sort(shapes.SortOrder.DESCENDING)
                )
            )
            return lines.stacking(common.StackingConfig().mode(shapes.StackingMode.NORMAL)) if stacked else lines


def _thresholds(panel: Panel) -> grafana.ThresholdsConfig:
    steps = [models.Threshold(value=None, color=_GREEN)]
    if panel.worry_above is not None:
        steps.append(models.Threshold(value=panel.worry_above, color=_RED))
    if panel.worry_below is not None:
        steps = [models.Threshold(value=None, color=_RED), models.Threshold(value=panel.worry_below, color=_GREEN)]
    return grafana.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)
