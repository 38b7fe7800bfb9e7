"""Writes a scikit-learn classifier as MLServer loads it; run by MLServer's own Python, whose pickles it reads.

python sklearn_model.py WEIGHTS.npz MODEL.joblib
"""

from __future__ import annotations

import sys

import joblib
import numpy as np
from sklearn.linear_model import LogisticRegression

if __name__ == "__main__":
    weights, path = sys.argv[1:]
    with np.load(weights) as given:
        model = LogisticRegression()
        model.classes_ = given["classes"]
        model.coef_, model.intercept_ = given["coef"], given["intercept"]
        model.n_features_in_ = given["coef"].shape[1]
    joblib.dump(model, path)
