"""What is said about locked and dead layers, with the change that releases them."""

from keras_initkit.inspection.verdicts import LayerState

_RANDOM = 'kernel_initializer="he_normal" (or another random one)'


def locked_message(states: list[LayerState], epoch: int) -> str:
    """Return the warning for layers that are locked or dead: which, why, and what to change."""
    when = "before training" if epoch == 0 else f"after epoch {epoch}"
    lines = [f"{len(states)} hidden layer(s) cannot learn as they are, measured {when}:"]
    lines += [f"  {_finding(state)}" for state in states]
    return "\n".join(lines)


def _finding(state: LayerState) -> str:
    layer, units = state.units.layer, state.units.kernel.shape[1]
    if state.verdict == "dead":
        why = "their weights are zero and no gradient reaches them"
        if state.observed:
            why = (
                "no gradient moved them since the measurement before, and their weights are zero or the same as those "
                "of another unit"
            )
        return f"{layer}: {state.dead} of {units} units are dead: {why}. Give this layer {_RANDOM}."
    distinct = state.similarity.distinct if state.similarity else units
    sign, equal = (", up to sign", "equal up to sign") if state.opposite else ("", "equal")
    return (
        f"{layer}: {state.locked} of {units} units are locked ({distinct} distinct): they have the same incoming and "
        f"outgoing weights as another unit{sign}, get the same gradients, and stay {equal}. Give this layer {_RANDOM}."
    )
