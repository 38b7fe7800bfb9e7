"""Scan, LSTM, GRU and RNN as ONNX specifies them: one row, one step at a time, in float64.

Those of onnx 1.23 leave out directions and axes of a Scan; sequence lengths, clips, activations and
coupled gates of the others. A clip is not on what goes into an LSTM's last function, as in onnxruntime.
"""

from __future__ import annotations

import numpy as np
from onnx.reference.op_run import OpRun


class Scan(OpRun):
    op_domain = ""

    def need_context(self):
        return True

    def _run(self, *args, context=None, num_scan_inputs=None, attributes=None, bindings=None, **given):
        names, results = self.body.input_names, self.body.output_names
        count = len(args) - num_scan_inputs
        states, tapes = list(args[:count]), args[count:]
        axes_in, ways_in = (
            given.get(f"scan_input_{each}") or [0] * len(tapes) for each in ("axes", "directions")
        )
        written = [[] for _ in results[count:]]
        axes_out, ways_out = (
            given.get(f"scan_output_{each}") or [0] * len(written) for each in ("axes", "directions")
        )
        steps = tapes[0].shape[axes_in[0]]
        for step in range(steps):
            slices = [
                np.take(tape, steps - 1 - step if way else step, axis)
                for tape, axis, way in zip(tapes, axes_in, ways_in, strict=True)
            ]
            feeds = dict(context or {}) | dict(zip(names, [*states, *slices], strict=True))
            made = self._run_body(feeds, bindings=bindings)
            states = list(made[:count])
            for pile, one in zip(written, made[count:], strict=True):
                pile.append(one)
        stacked = [
            np.stack(pile[::-1] if way else pile, axis)
            for pile, axis, way in zip(written, axes_out, ways_out, strict=True)
        ]
        return (*states, *stacked)


def function(name, alphas, betas):
    """An activation; those with an alpha or a beta take the next given, or their default."""

    def elu(x, a):
        return x if x > 0 else a * (np.exp(x) - 1)

    simple = {
        "Relu": lambda x: max(x, 0),
        "Tanh": np.tanh,
        "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "Softsign": lambda x: x / (1 + abs(x)),
        "Softplus": lambda x: np.log(1 + np.exp(x)),
    }
    one = {
        "LeakyRelu": (lambda x, a: x if x > 0 else a * x, 0.01),
        "ThresholdedRelu": (lambda x, a: x if x >= a else 0.0, 1.0),
        "Elu": (elu, 1.0),
    }
    two = {
        "Affine": (lambda x, a, b: a * x + b, 1.0, 0.0),
        "ScaledTanh": (lambda x, a, b: a * np.tanh(b * x), 1.0, 1.0),
        "HardSigmoid": (lambda x, a, b: min(max(a * x + b, 0), 1), 0.2, 0.5),
    }
    if name in simple:
        return np.vectorize(simple[name], otypes=[float])
    alpha = next(alphas, (one | two)[name][1])
    if name in one:
        return np.vectorize(lambda x: one[name][0](x, alpha), otypes=[float])
    beta = next(betas, two[name][2])
    return np.vectorize(lambda x: two[name][0](x, alpha, beta), otypes=[float])


class Recurrent(OpRun):
    """The sequences of a batch, one after the other. Subclasses say what one step of one row does."""

    op_domain = ""
    defaults: list[str] = []
    cells = 1

    def step(self, x, states, w, r, b, p, acts, given):
        raise NotImplementedError

    def _run(self, x, w, r, b=None, lengths=None, h0=None, c0=None, p=None, **given):
        if given.get("layout"):
            x, h0, c0 = (None if each is None else np.swapaxes(each, 0, 1) for each in (x, h0, c0))
        steps, rows = x.shape[:2]
        ways, size = r.shape[0], r.shape[2]
        b = np.zeros((ways, 2 * r.shape[1])) if b is None else b
        lengths = [steps] * rows if lengths is None else lengths
        begin = [np.zeros((ways, rows, size)) if each is None else each for each in (h0, c0)[: self.cells]]
        y = np.zeros((steps, ways, rows, size))
        last = np.array(begin, float)
        alphas, betas = (map(float, given.get(f"activation_{each}") or ()) for each in ("alpha", "beta"))
        names = given.get("activations") or self.defaults * ways
        every = [function(name, alphas, betas) for name in names]
        for way in range(ways):
            acts = every[way * len(self.defaults) : (way + 1) * len(self.defaults)]
            mine = [w[way], r[way], b[way], None if p is None else p[way], acts, given]
            backwards = given.get("direction") == "reverse" or way == 1
            for row in range(rows):
                states = [each[way, row] for each in begin]
                for t in sorted(range(lengths[row]), reverse=backwards):
                    states = self.step(x[t, row], states, *mine)
                    y[t, way, row] = states[0]
                last[:, way, row] = states
        if given.get("layout"):
            y, last = y.transpose(2, 0, 1, 3), last.swapaxes(1, 2)
        return tuple(each.astype(x.dtype) for each in (y, *last))[: len(self.onnx_node.output)]


def clipped(given, z):
    return np.clip(z, -given["clip"], given["clip"]) if given.get("clip") else z


class LSTM(Recurrent):
    defaults = ["Sigmoid", "Tanh", "Tanh"]
    cells = 2

    def step(self, x, states, w, r, b, p, acts, given):
        (h, c), (f, g, last), n = states, acts, len(states[0])
        zi, zo, zf, zc = np.split(w @ x + r @ h + b[: 4 * n] + b[4 * n :], 4)
        pi, po, pf = np.split(np.zeros(3 * n) if p is None else p, 3)
        i = f(clipped(given, zi + pi * c))
        forget = 1 - i if given.get("input_forget") else f(clipped(given, zf + pf * c))
        c = forget * c + i * g(clipped(given, zc))
        return [f(clipped(given, zo + po * c)) * last(c), c]


class GRU(Recurrent):
    defaults = ["Sigmoid", "Tanh"]

    def step(self, x, states, w, r, b, p, acts, given):
        (h,), (f, g), n = states, acts, len(states[0])
        wz, wr, wh = np.split(w @ x + b[: 3 * n], 3)
        (rz, rr, rh), (bz, br, bh) = np.split(r, 3), np.split(b[3 * n :], 3)
        z, reset = f(clipped(given, wz + rz @ h + bz)), f(clipped(given, wr + rr @ h + br))
        linear = given.get("linear_before_reset")
        new = g(clipped(given, wh + (reset * (rh @ h + bh) if linear else rh @ (reset * h) + bh)))
        return [(1 - z) * new + z * h]


class RNN(Recurrent):
    defaults = ["Tanh"]

    def step(self, x, states, w, r, b, p, acts, given):
        n = len(states[0])
        return [acts[0](clipped(given, w @ x + r @ states[0] + b[:n] + b[n:]))]


RECURRENT = [GRU, LSTM, RNN, Scan]
