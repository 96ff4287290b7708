"""What a record of measurements shows: tables, sentences and figures."""

from typing import TYPE_CHECKING, Any

from keras_initkit._checks import check_choice
from keras_initkit.callbacks.symmetry_events import SymmetryEvent
from keras_initkit.callbacks.symmetry_record import SymmetryRecord
from keras_initkit.callbacks.unit_pictures import UnitPictures

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class RecordViews:
    """Tables, sentences and figures of the record that a `SymmetryMonitor` keeps; empty before it has measured."""

    _record: SymmetryRecord | None = None

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One dict per measured epoch and layer."""
        return self._record.rows if self._record else []

    @property
    def verdicts(self) -> dict[str, str]:
        """The latest verdict of every layer, by its path."""
        return {layer: state.verdict for layer, state in self._record.states.items()} if self._record else {}

    @property
    def events(self) -> list[SymmetryEvent]:
        """What happened to the layers between the measurements."""
        return self._record.events if self._record else []

    def to_dataframe(self) -> "pd.DataFrame":
        """Return `rows` as a pandas DataFrame, one row per measured epoch and layer."""
        import pandas as pd

        return pd.DataFrame(self.rows)

    def summary(self) -> str:
        """Return the story of every layer in one line each.

        For example `hidden_1: locked at epoch 0 (32 of 32 units), unlocked at epoch 3, healthy at epoch 5; apart since
        epoch 3`. Of layers that were locked it says whether they are bit-equal, or equal up to rounding with a gap
        that grows.
        """
        from keras_initkit.callbacks.symmetry_summary import summarise

        return summarise(self._record) if self._record else "Nothing was measured yet."

    def plot(self, kind: str = "statistics") -> "Figure":
        """Draw the layers over the epochs.

        Args:
            kind: `"statistics"` for the share of distinct units and the rms cosine of every layer, or `"timeline"` for
                the verdict of every layer as a colour, with the events marked. Defaults to `"statistics"`.

        Returns:
            A matplotlib Figure.

        Raises:
            ValueError: if nothing was measured yet, or for an unknown kind.
        """
        from keras_initkit.callbacks.symmetry_figures import symmetry_figure
        from keras_initkit.callbacks.timeline_figure import timeline_figure

        check_choice("kind", kind, ("statistics", "timeline"))
        unit = self._record.unit if self._record else "epoch"
        if kind == "timeline":
            return timeline_figure(self.rows, self.events, unit)
        return symmetry_figure(self.rows, unit)

    def heatmap(self, layer: str, epoch: float | None = None, *, order: str = "class") -> "Figure":
        """Draw the cosines of all pairs of units of a layer, at the first or the latest measurement.

        Args:
            layer: path of the layer, a key of `verdicts`.
            epoch: 0 for before training, or the latest measured epoch; the weights between are not kept. Defaults to
                `None`: the latest.
            order: `"class"` lets equal units stand together, framed, or `"index"`. Defaults to `"class"`.

        Returns:
            A matplotlib Figure; of layers with more than 256 units it shows the first ones.

        Raises:
            ValueError: if that layer or epoch is not available, or for an unknown order.
        """
        from keras_initkit.callbacks.symmetry_figures import heatmap_figure

        check_choice("order", order, ("class", "index"))
        pictures, unit = self.pictures(), self._record.unit if self._record else "epoch"
        epoch = pictures.latest if epoch is None else epoch
        cosines = pictures.cosines(layer, epoch)
        title = f"{layer}, {'before training' if epoch == 0 else f'after {unit} {epoch:g}'}"
        if len(cosines) < pictures.units(layer, epoch):
            title += f"\nfirst {len(cosines)} of {pictures.units(layer, epoch)} units"
        return heatmap_figure(cosines, title, pictures.classes(layer, epoch) if order == "class" else None)

    def pictures(self) -> UnitPictures:
        """Return the cosine matrices that were kept, for reports."""
        return self._record.pictures if self._record else UnitPictures()
