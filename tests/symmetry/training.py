"""Networks trained in plain NumPy, float64, by back-propagation over their links: what really happens to features."""

from dataclasses import dataclass

import numpy as np

from keras_initkit.symmetry.network import Copy, Mix, Network, Space, Values

ACTIVATIONS = {
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2, True),
    "softplus": (lambda z: np.logaddexp(0, z), lambda z: 1 / (1 + np.exp(-z)), False),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda z: np.exp(-np.abs(z)) / (1 + np.exp(-np.abs(z))) ** 2, False),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0, False),
    "linear": (lambda z: z, np.ones_like, True),
}


class Builder:
    """Writes networks down; variables may be used at several links."""

    def __init__(self):
        self.spaces, self.links, self.functions, self.variables = [], [], {}, {}

    def space(self, size, **flags):
        self.spaces.append(Space(size, **flags))
        return len(self.spaces) - 1

    def mix(self, source, target, weights, variable=None, **flags):
        weights = np.asarray(weights, float)
        self._add(Mix(source, target, weights if weights.ndim == 3 else weights[:, :, None], **flags), variable)

    def shift(self, space, values, variable=None, **flags):
        self._add(Values(space, np.asarray(values, float)[None], "shift", **flags), variable)

    def copy(self, source, target, index=None, activation="linear", odd=None, **flags):
        function, slope, is_odd = ACTIVATIONS[activation]
        if activation != "linear":
            flags["response"] = lambda c: (function(c), np.abs(slope(c)))
        index = np.arange(self.spaces[source].size) if index is None else np.asarray(index)
        self.functions[len(self.links)] = (function, slope)
        self._add(Copy(source, target, index, odd=is_odd if odd is None else odd, **flags), None)

    def link(self, link):
        self._add(link, None)

    def _add(self, link, variable):
        self.variables[len(self.links)] = len(self.links) if variable is None else variable
        self.links.append(link)

    def activate(self, source, activation, **flags):
        target = self.space(self.spaces[source].size, **flags)
        self.copy(source, target, activation=activation)
        return target

    def dense(self, source, weights, bias=None, activation="linear", variable=None, **flags):
        weights = np.asarray(weights, float)
        target = self.space(weights.shape[1], signed=True, **flags)
        names = (None, None) if variable is None else (f"{variable} kernel", f"{variable} bias")
        self.mix(source, target, weights, names[0])
        if bias is not None:
            self.shift(target, bias, names[1])
        return target if activation == "linear" else self.activate(target, activation)

    @property
    def network(self):
        return Network(self.spaces, self.links)


@dataclass
class History:
    """Values and gradients of all features, and the weights, at every step."""

    values: list
    gradients: list
    weights: list


def train(built, rng, steps=10, optimizer="sgd", rate=0.1, batch=6, times=1, slots=None):
    """Train on random data; what enters a given space is data, what leaves an observed one meets random targets."""
    spaces, links = built.spaces, list(built.links)
    inputs = {n: rng.standard_normal((batch, times, s.size)) for n, s in enumerate(spaces) if s.given}
    targets = {n: rng.standard_normal((batch, times, s.size)) for n, s in enumerate(spaces) if s.observed}
    names = {built.variables[n] for n, link in enumerate(links) if isinstance(link, (Mix, Values))}
    weights = {}
    for n, link in enumerate(links):
        if isinstance(link, Mix):
            weights[built.variables[n]] = link.weights.copy()
        elif isinstance(link, Values):
            weights[built.variables[n]] = link.rows.copy()
    frozen = {built.variables[n] for n, link in enumerate(links) if getattr(link, "trainable", True) is False}
    absent = {
        built.variables[n]: ~link.present[:, :, None]
        for n, link in enumerate(links)
        if isinstance(link, Mix) and link.present is not None
    }
    slots = slots or {name: (np.zeros_like(w), np.zeros_like(w)) for name, w in weights.items()}
    history = History([], [], [])
    for step in range(steps):
        values, seen = _forward(built, links, weights, inputs, batch, times)
        adjoint = [np.zeros_like(v) for v in values]
        for n, target in targets.items():
            adjoint[n] += (values[n] - target) / (batch * times)
        moves = _backward(built, links, weights, values, seen, adjoint, times)
        history.values.append([v.copy() for v in values])
        history.gradients.append(adjoint)
        history.weights.append({name: w.copy() for name, w in weights.items()})
        for name in names - frozen:
            gradient = moves[name]
            if name in absent:
                gradient = np.where(absent[name], 0, gradient)
            _step(weights[name], gradient, slots[name], optimizer, rate, step + 1)
    return history


def _forward(built, links, weights, inputs, batch, times):
    spaces = built.spaces
    values = [
        inputs[n].copy() if s.given else np.full((batch, times, s.size), float(s.product)) for n, s in enumerate(spaces)
    ]
    seen = {}
    for t in range(times):
        for n, link in enumerate(links):
            if isinstance(link, Values) and link.role == "shift":
                values[link.space][:, t] += weights[built.variables[n]][0]
            elif isinstance(link, Mix):
                w = weights[built.variables[n]]
                for tap in range(w.shape[2]):
                    past = t - tap - link.recurrent
                    if past >= 0:
                        values[link.target][:, t] += values[link.source][:, past] @ w[:, :, tap]
            elif isinstance(link, Copy):
                brought = _copied(link, built.functions[n][0](values[link.source][:, t]), spaces[link.target])
                seen[n, t] = brought
                if spaces[link.target].product:
                    values[link.target][:, t] *= brought
                else:
                    values[link.target][:, t] += brought
    return values, seen


def _copied(link, values, target):
    brought = np.full((len(values), target.size), float(target.product))
    if link.folded:  # a function of all parts that tells their places apart, here a sum with fixed factors
        place = np.zeros(len(link.index)) if link.place is None else link.place
        brought[:] = 0
        for k, i in enumerate(link.index):
            brought[:, i] += (1 + place[k]) * values[:, k]
        return brought
    kept = link.index >= 0
    factor = 1.0 if link.place is None else 1.0 + 0.5 * link.place[kept]
    brought[:, kept] = factor * values[:, link.index[kept]]
    return brought


def _backward(built, links, weights, values, seen, adjoint, times):
    moves = {built.variables[n]: 0.0 for n in range(len(links))}
    for t in reversed(range(times)):
        for n in reversed(range(len(links))):
            link, name = links[n], built.variables[n]
            if isinstance(link, Values) and link.role == "shift":
                moves[name] = moves[name] + adjoint[link.space][:, t].sum(axis=0)[None]
            elif isinstance(link, Mix):
                w = weights[name]
                gradient = np.zeros_like(w)
                for tap in range(w.shape[2]):
                    past = t - tap - link.recurrent
                    if past >= 0:
                        gradient[:, :, tap] = values[link.source][:, past].T @ adjoint[link.target][:, t]
                        adjoint[link.source][:, past] += adjoint[link.target][:, t] @ w[:, :, tap].T
                moves[name] = moves[name] + gradient
            elif isinstance(link, Copy):
                back = adjoint[link.target][:, t]
                if built.spaces[link.target].product:
                    for m, other in enumerate(links):
                        if isinstance(other, Copy) and other.target == link.target and m != n:
                            back = back * seen[m, t]
                arriving = np.zeros_like(values[link.source][:, t])
                if link.folded:
                    place = np.zeros(len(link.index)) if link.place is None else link.place
                    arriving += back[:, link.index] * (1 + place)
                else:
                    kept = np.flatnonzero(link.index >= 0)
                    factor = 1.0 if link.place is None else 1.0 + 0.5 * link.place[kept]
                    np.add.at(arriving, (slice(None), link.index[kept]), back[:, kept] * factor)
                adjoint[link.source][:, t] += arriving * built.functions[n][1](values[link.source][:, t])
    return moves


def _step(w, gradient, slots, optimizer, rate, count):
    first, second = slots
    if optimizer == "sgd":
        w -= rate * gradient
    elif optimizer == "momentum":
        first *= 0.9
        first -= rate * gradient
        w += first
    elif optimizer == "decay":
        w -= rate * (gradient + 0.1 * w)
    else:
        first *= 0.9
        first += 0.1 * gradient
        second *= 0.999
        second += 0.001 * gradient**2
        w -= (
            rate * (first / (1 - 0.9**count)) / (np.sqrt(second / (1 - 0.999**count)) + 1e-3)
        )  # a smaller number would make rounding as large as gradients


def joint_trajectories(history, space):
    """Return what every feature of a space has shown: values and gradients at all steps, `(features, numbers)`."""
    parts = [
        np.concatenate([v[space].reshape(-1, v[space].shape[-1]), g[space].reshape(-1, g[space].shape[-1])])
        for v, g in zip(history.values, history.gradients, strict=True)
    ]
    return np.concatenate(parts).T


def observed_classes(history, space, *, mirrored):
    """Return labels of features that showed the same at all steps, with `mirrored` up to one sign."""
    shown = joint_trajectories(history, space)
    size = max(np.abs(shown).max(), 1e-3)
    labels = np.arange(len(shown))
    for i in range(len(shown)):
        for j in range(i):
            apart = np.abs(shown[i] - shown[j]).max()
            if mirrored:
                apart = min(apart, np.abs(shown[i] + shown[j]).max())
            if apart < 1e-9 * size:
                labels[i] = labels[j]
                break
    return labels


def same_partition(one, other):
    """Return whether two labellings have the same classes."""
    return np.array_equal(one[:, None] == one[None], other[:, None] == other[None])
