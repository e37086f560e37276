"""Flask apps to compare ours with, on the server that ours has: `empty`, and `naive`, the usual service.

Settings come from the environment; `naive` reads the estimator whose file NAIVE_MODEL names.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from flask import Flask, Response, request

from leadscore.features import CONTRACT
from leadscore.settings import read_settings
from serving.server.supervisor import serve

PATH = "/predict"
JSON_TYPE = "application/json"


def empty(*_: Any, **__: Any) -> Flask:
    """Return an app that reads the body and answers always the same: what Flask and the server cost, and no more."""
    app = Flask(__name__, static_folder=None)

    @app.post(PATH)
    def constant() -> Response:
        request.get_data()
        return Response(b'{"status":"ok"}', content_type=JSON_TYPE)

    # answered where ours is: in the loop that read it, not in a thread
    constant.is_quick = True  # type: ignore[attr-defined]  # a mark that the server looks for
    return app


def naive(*_: Any, **__: Any) -> Flask:
    """Return the usual service: scikit-learn's prediction and probability, and shap's reasons, for each request."""
    import joblib  # noqa: PLC0415  # the empty app must not hold what only this one needs
    import shap  # noqa: PLC0415  # likewise

    app = Flask(__name__, static_folder=None)
    model = joblib.load(os.environ["NAIVE_MODEL"])
    explainer = shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")

    @app.post(PATH)
    def predict() -> dict[str, Any]:
        features = request.get_json()["features"]
        row = np.array([[features[name] for name in CONTRACT.names]], dtype=np.float64)
        [prediction], [probability] = model.predict(row).tolist(), model.predict_proba(row)[:, 1].tolist()
        [reasons] = explainer.shap_values(row, check_additivity=False)[:, :, 1].tolist()
        return {
            "prediction": prediction,
            "conversion_probability": probability,
            "feature_contributions": dict(zip(CONTRACT.names, reasons, strict=True)),
        }

    # one request at a time in each process: in threads they would only get into each other's way
    predict.is_quick = True  # type: ignore[attr-defined]  # a mark that the server looks for
    return app


def main(name: str) -> None:
    """Serve one of the apps until told to stop."""
    with tempfile.TemporaryDirectory(prefix="leadscore-") as folder:
        serve(f"benchmarks.serving.harness.reference_apps:{name}", read_settings(), Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
