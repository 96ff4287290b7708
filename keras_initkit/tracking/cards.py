"""Cards, sections and views of the MLflow UI as plain data. The format is MLflow's own and undocumented.

What is known of it, found in the UI of MLflow 3.17.2: a saved view is an experiment tag whose value is JSON with the
name, the time and the state of the runs page. The state is JSON again, deflated to stay below the 20 000 characters of
a tag. Keys that the UI does not know are ignored; a metric without a card gets one that the UI makes up.
"""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Card = Mapping[str, Any]


def bar(metric: str) -> Card:
    """Return a bar chart of a metric that has one value per run."""
    return {"type": "BAR", "metricKey": metric}


def line(metric: str, *, log: bool = False) -> Card:
    """Return a line chart of a metric over steps, on a logarithmic scale if asked for."""
    return {
        "type": "LINE",
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "scaleType": "log" if log else "linear",
        "xAxisKey": "step",
        "xAxisScaleType": "linear",
        "selectedXAxisMetricKey": "",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "range": {},
        "ignoreOutliers": False,
        "lineSmoothness": 0,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }


def scatter(x: str, y: str) -> Card:
    """Return a scatter plot of two metrics, one point per run or group."""
    return {"type": "SCATTER", "xaxis": {"key": x, "type": "METRIC"}, "yaxis": {"key": y, "type": "METRIC"}}


def parallel(params: Sequence[str], metrics: Sequence[str]) -> Card:
    """Return parallel coordinates over params and metrics; runs that lack one of them are not drawn."""
    return {"type": "PARALLEL", "selectedParams": list(params), "selectedMetrics": list(metrics), "showAllRuns": True}


def hidden(metric: str, *, curve: bool) -> Card:
    """Return a card that keeps the UI from making one up for the metric."""
    return {**(line(metric) if curve else bar(metric)), "isGenerated": True, "deleted": True}


@dataclass(frozen=True)
class Section:
    """A named row of cards."""

    name: str
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class View:
    """A saved view of the runs of an experiment.

    Attributes:
        id: the view in links; letters, digits, `-` and `_`.
        name: the view in the UI's list.
        sections: what is drawn, in this order.
        search: filter for runs in MLflow's grammar.
        group_by: params by which runs are grouped; groups show means, lines a band from minimum to maximum.
        columns: columns of the table, such as ``"metrics.`convergence/aulc`"``.
        order_by: column by which runs are sorted, ascending.
        hidden: cards that the UI shall not make up.
    """

    id: str
    name: str
    sections: tuple[Section, ...]
    search: str = ""
    group_by: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    order_by: str = "attributes.start_time"
    hidden: tuple[Card, ...] = field(default=())

    @property
    def tag(self) -> str:
        """Key of the experiment tag that holds the view."""
        return f"mlflow.sharedViewState.{self.id}"

    def value(self, created_ms: int) -> str:
        """Return the value of the tag, with the time of creation in milliseconds since 1970."""
        state = json.dumps(self.state(), separators=(",", ":"), ensure_ascii=False)
        packed = base64.b64encode(zlib.compress(state.encode(), 9)).decode()
        return json.dumps({"name": self.name, "createdAt": created_ms, "state": f"deflate;{packed}"})

    def state(self) -> dict[str, Any]:
        """Return the state of the runs page."""
        shown = [section for section in self.sections if section.cards]
        sections = [{"uuid": f"s{i}", "name": section.name} for i, section in enumerate(shown)]
        cards = [(f"s{i}", card) for i, section in enumerate(shown) for card in section.cards]
        cards += [("s0", card) for card in self.hidden]
        keys = [{"mode": "param", "groupByData": param} for param in self.group_by]
        return {
            "searchFilter": self.search,
            "orderByKey": self.order_by,
            "orderByAsc": True,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "modelVersionFilter": "All Runs",
            "datasetsFilter": [],
            "selectedColumns": list(self.columns),
            "runsHiddenMode": "SHOW_ALL",
            "viewMaximized": False,
            "runListHidden": False,
            "hideEmptyCharts": True,
            "chartsSearchFilter": "",
            "groupBy": {"aggregateFunction": "average", "groupByKeys": keys} if keys else None,
            "groupsExpanded": {},
            "useGroupedValuesInCharts": True,
            "isAccordionReordered": True,
            "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
            "compareRunSections": [
                {**section, "display": True, "isReordered": True, "deleted": False, "isGenerated": False}
                for section in sections
            ],
            "compareRunCharts": [
                {
                    "uuid": f"c{i}",
                    "metricSectionId": section,
                    "deleted": False,
                    "isGenerated": False,
                    "runsCountToCompare": 100,
                    **card,
                }
                for i, (section, card) in enumerate(cards)
            ],
        }
