"""mlflow's and BentoML's serving of an estimator; runs in `.venv-bench`, and imports nothing of the project.

`python peers.py MODEL_JOBLIB FOLDER` saves the estimator for mlflow. BentoML serves `Leads` of this file; the
environment variable PEER_MODEL names the estimator's file. Their answers are probabilities without reasons.
"""

from __future__ import annotations

import os
import sys

import bentoml
import joblib
import numpy as np


@bentoml.service(workers=2)
class Leads:
    """The estimator as a BentoML service."""

    def __init__(self) -> None:
        self.model = joblib.load(os.environ["PEER_MODEL"])

    @bentoml.api  # type: ignore[untyped-decorator]  # BentoML is in an environment of its own
    def predict(self, inputs: list[list[float]]) -> list[list[float]]:
        """Return the probabilities of both classes for each row."""
        probabilities: list[list[float]] = self.model.predict_proba(np.array(inputs)).tolist()
        return probabilities


def save_for_mlflow(model_file: str, folder: str) -> None:
    """Write the estimator as an mlflow model that answers with probabilities."""
    import mlflow.sklearn  # noqa: PLC0415  # BentoML's workers need it not

    mlflow.sklearn.save_model(
        joblib.load(model_file),
        folder,
        pyfunc_predict_fn="predict_proba",
        serialization_format="cloudpickle",
        # named, or else mlflow serves it once to find out
        pip_requirements=["scikit-learn"],
    )


if __name__ == "__main__":
    save_for_mlflow(*sys.argv[1:])
