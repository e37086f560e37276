"""Examples of requests and answers, for the API's description. A test holds each against its type."""

from __future__ import annotations

from typing import Any

import msgspec

from leadscore.features import Contract
from leadscore.live_performance import LivePerformance
from serving.api.problems import CODES, STATUSES, Refusal, problem_of
from serving.api.schema import (
    ActivationsAnswer,
    BatchAnswer,
    BatchRequest,
    GradesAnswer,
    GradesRequest,
    HealthAnswer,
    ImportanceAnswer,
    InfoAnswer,
    InsufficientData,
    LeadAnswer,
    LeadsAnswer,
    OrgsAnswer,
    PredictAnswer,
    PredictRequest,
    ReadinessAnswer,
    RollbackAnswer,
    RollbackRequest,
    StatusAnswer,
    TrainAnswer,
    TrainRequest,
    TrainRunning,
    VersionsAnswer,
)

Example = dict[str, Any]

VERSION, EARLIER_VERSION = "20260601020000", "20260501020000"
RUN_ID = "9c2c8a3e-5d0f-4b7a-8a51-0d6f2b1c7e94"
REQUEST_ID = "0f8d6a1b2c3e4f50"
# the strongest of a lead's contributions, and how much weaker each further one is
_STRONGEST, _WEAKER = 0.2, 0.6
_PROBABILITY = 0.83

_METRICS = {
    "precision": 0.71,
    "recall": 0.38,
    "f1_score": 0.495,
    "roc_auc": 0.76,
    "accuracy": 0.79,
    "brier_score": 0.147,
    "log_loss": 0.462,
    "average_precision": 0.61,
    "confusion_matrix": {"true_negatives": 372, "false_positives": 21, "false_negatives": 84, "true_positives": 51},
    "expected_calibration_error": 0.031,
}
_REASON = "The probability that it ranks leads better than the active version is 0.94 (0.80 needed)."
_TOO_UNSURE = "The probability that it ranks leads better than the active version is 0.61 (0.80 needed)."
_DECISION = {
    "verdict": "activate",
    "reasons": [_REASON],
    "notes": [],
    "judged_at": "2026-06-01T02:03:09+00:00",
    "champion_version": EARLIER_VERSION,
    "withheld": [],
    "comparison": None,
}
_READINESS = {
    "org_id": "default",
    "as_of": "2026-06-01T00:00:00+00:00",
    "is_ready": False,
    "needs": [
        {
            "what": "records",
            "have": 40,
            "needed": 100,
            "expected_on": "2026-07-13",
            "message": "40 of 100 records with a known outcome",
        }
    ],
    "pace": {"days": 28, "records_per_week": 10.0, "converted_per_week": 3.0},
    "expected_on": "2026-07-13",
    "message": "40 of 100 records with a known outcome; 10.0 become known a week (last 28 days).",
    "has_active_model": False,
    "last_run": None,
}
_ENTRY = {
    "lead_id": "4711",
    "rank": 1,
    "grade": "A",
    "trend": "improving",
    "conversion_probability": _PROBABILITY,
    "confidence": 0.88,
    "recommended_action": "HIGH_PRIORITY",
    "conversion_probability_before": 0.71,
    "reasons": ["1 appointment booked: +20 points", "answered after 22 minutes: +12 points"],
    "moves": ["Appointments: +12 points"],
    "created_at": "2026-05-22T04:00:00Z",
    "is_beyond_landmarks": False,
    "model_version": VERSION,
    "model_scope": "own",
    "scored_since": "2026-06-01T04:00:00Z",
}
_CONVERTED = {
    "A": {"leads": 84, "promised": 0.52, "converted": {"value": 0.488, "low": 0.384, "high": 0.593}},
    "B": {"leads": 336, "promised": 0.19, "converted": {"value": 0.196, "low": 0.157, "high": 0.242}},
}
_OVERALL = {"leads": 420, "promised": 0.256, "converted": {"value": 0.255, "low": 0.215, "high": 0.299}}
_QUALITY = {
    "brier_score": {"value": 0.164, "low": 0.148, "high": 0.181},
    "roc_auc": {"value": 0.74, "low": 0.69, "high": 0.79},
    "base_rate_brier": 0.19,
}
_EVIDENCE = {"leads": 420, "log_e": -0.62, "fault": "too_high", "since": None}
_LIVE = {
    "org_id": "default",
    "as_of": "2026-06-01T05:00:00Z",
    "state": "fine",
    "in_words": "What was promised comes true: 25% of 420 leads converted (21% to 30% allowing for chance), 26% were"
    " promised.",
    "remedy": "",
    "judged_through": "2026-03-02",
    "judgeable_on": None,
    "alarmed_on": None,
    "evidence": _EVIDENCE,
    "overall": _OVERALL,
    "quality": _QUALITY,
    "by_grade": [{"name": grade, "outcomes": outcomes} for grade, outcomes in _CONVERTED.items()],
    "by_month": [{"name": "2026-02", "outcomes": _OVERALL}],
    "by_age": [{"name": "0 days", "outcomes": _OVERALL}],
    "capacity": {
        "by": "the best 40 new leads of each week",
        "named": _CONVERTED["A"],
        "others": _CONVERTED["B"],
    },
    "versions": [
        {
            "version": EARLIER_VERSION,
            "scope": "own",
            "role": "served",
            "first_said": "2026-02-01",
            "last_said": "2026-05-31",
            "rows": 1310,
            "outcomes": _OVERALL,
            "quality": _QUALITY,
            "evidence": _EVIDENCE,
            "holdout_brier": 0.159,
            "holdout_roc_auc": 0.76,
            "verdict": "activate",
            "gain": None,
        }
    ],
}
_GRADES = {
    "org_id": "default",
    "rule": "capacity",
    "weekly_capacity": 40,
    "cut_points": [0.52, 0.34, 0.17],
    "set_at": "2026-06-01T09:00:00Z",
    "set_by": "token 0a1b2c3d4e, api request 8d1f",
}


def requests(contract: Contract) -> dict[type, Example]:
    """Return an example of each body that is sent, with the features of `contract`."""
    features = contract.example
    return {
        PredictRequest: {"org_id": "default", "lead_id": "lead-1", "features": features},
        BatchRequest: {"org_id": "default", "batch": [{"lead_id": "lead-1", "features": features}]},
        RollbackRequest: {"org_id": "default", "version": EARLIER_VERSION, "reason": "the new version ranks worse"},
        TrainRequest: {"org_id": "default"},
        GradesRequest: {"org_id": "default", "rule": "capacity", "weekly_capacity": 40},
    }


def answers(contract: Contract) -> dict[type, Example]:
    """Return an example of each answer, with the features of `contract`."""
    explained = _explained(contract)
    score = {
        "prediction": 1,
        "conversion_probability": _PROBABILITY,
        "confidence": 0.88,
        "model_version": VERSION,
        "model_scope": "own",
        "recommended_action": "HIGH_PRIORITY",
        **explained,
        "org_id": "default",
        "lead_id": "lead-1",
    }
    fault = {"pointer": "/features/has_property", "code": "missing", "detail": "required; expected 0 or 1"}
    return {
        PredictAnswer: score,
        BatchAnswer: {
            "predictions": [
                score | {"feature_contributions": []},
                {
                    "error": f"{fault['pointer']}: {fault['detail']}",
                    "index": 1,
                    "lead_id": "lead-2",
                    "code": "invalid_features",
                    "errors": [fault],
                },
            ],
            "count": 2,
            "failed": 1,
            "model_version": VERSION,
            "model_scope": "own",
        },
        LeadAnswer: {
            **_ENTRY,
            **explained,
            "org_id": "default",
            "scored_as_of": "2026-06-01T04:00:00Z",
            "history": [
                {
                    "said_at": "2026-05-29T04:00:00Z",
                    "because": "landmark",
                    "landmark_days": 7,
                    "age_days": 7.0,
                    "conversion_probability": 0.71,
                    "grade": "B",
                    "trend": "steady",
                    "model_version": EARLIER_VERSION,
                    "model_scope": "own",
                }
            ],
        },
        ImportanceAnswer: {
            "features": [
                {"feature": name, "importance": _contribution(place), "rank": place + 1}
                for place, name in enumerate(contract.names)
            ],
            "model_version": VERSION,
            "org_id": "default",
        },
        InfoAnswer: _info(contract),
        **_OTHER_ANSWERS,
    }


def problem(code: str) -> Example:
    """Return the answer that refuses a request with `code`."""
    refusal = Refusal(STATUSES[code], code, CODES[code])
    refused: Example = msgspec.to_builtins(problem_of(refusal, REQUEST_ID))
    return refused


def _explained(contract: Contract) -> Example:
    """Return a base value and contributions that sum to the probability of the examples."""
    contributions = [
        {"feature": name, "value": value, "contribution": _contribution(place)}
        for place, (name, value) in enumerate(contract.example.items())
    ]
    total = sum(_contribution(place) for place in range(len(contributions)))
    return {"feature_contributions": contributions, "base_value": round(_PROBABILITY - total, 4)}


def _contribution(place: int) -> float:
    return round(_STRONGEST * _WEAKER**place, 4)


def _info(contract: Contract) -> Example:
    return {
        "org_id": "default",
        "version": VERSION,
        "activated_at": "2026-06-01T02:03:11+00:00",
        "metrics": _METRICS,
        "feature_names": list(contract.names),
        "training_data_size": 2731,
        "is_active": True,
        "activated_by": f"run {RUN_ID}",
        "activation_reason": _REASON,
        "created_at": "2026-06-01T02:02:47+00:00",
        "run_id": RUN_ID,
        "report_url": f"http://127.0.0.1:5000/api/v1/model/report?version={VERSION}",
        "run_url": f"http://127.0.0.1:3000/runs/{RUN_ID}",
        "run_state": "kept",
        "records_fingerprint": "5f3c…",
        "sql_sha256": "9a41…",
        "contract_fingerprint": contract.fingerprint,
        "window": {
            "as_of": "2026-06-01T00:00:00Z",
            "training_window_days": 183,
            "conversion_window_days": 90,
            "conversion_statuses": ["WON"],
            "landmark_days": [0, 1, 3, 7, 14, 30, 60],
        },
        "libraries": {"numpy": "2.4.1", "scikit-learn": "1.9.0"},
        "code_version": "1c9b04c5e0d2f1aa",
        "decision": _DECISION,
    }


_OTHER_ANSWERS: dict[type, Example] = {
    VersionsAnswer: {
        "versions": [
            {
                "version": VERSION,
                "is_active": True,
                "created_at": "2026-06-01T02:02:47+00:00",
                "metrics": _METRICS,
                "decision": _DECISION,
                "training_data_size": 2731,
                "run_id": RUN_ID,
                "records_fingerprint": "5f3c…",
                "sql_sha256": "9a41…",
                "code_version": "1c9b04c5e0d2f1aa",
                "problem": None,
            }
        ],
        "next_cursor": VERSION,
        "org_id": "default",
    },
    ActivationsAnswer: {
        "activations": [
            {
                "at": "2026-06-01T02:03:11+00:00",
                "previous": EARLIER_VERSION,
                "version": VERSION,
                "by": f"run {RUN_ID}",
                "reason": _REASON,
            }
        ],
        "next_cursor": None,
        "org_id": "default",
    },
    RollbackAnswer: {
        "status": "success",
        "org_id": "default",
        "version": EARLIER_VERSION,
        "message": f"Successfully rolled back to version {EARLIER_VERSION}",
    },
    LeadsAnswer: {
        "leads": [_ENTRY],
        "next_cursor": "WzAuODMsIjIwMjYtMDUtMjJUMDQ6MDA6MDBaIiwiNDcxMSJd",
        "scored_as_of": "2026-06-01T04:00:00Z",
        "scored_leads": 214,
        "model_version": VERSION,
        "org_id": "default",
    },
    GradesAnswer: _GRADES,
    LivePerformance: _LIVE,
    TrainAnswer: {
        "status": "success",
        "org_id": "default",
        "version": VERSION,
        "activated": True,
        "metrics": _METRICS,
        "training_data_size": 2731,
        "verdict": "activate",
        "reasons": [_REASON],
        "withheld": [],
        "run_id": RUN_ID,
    },
    OrgsAnswer: {
        "orgs": [
            {
                "org_id": "default",
                "state": "active",
                "state_since": "2026-03-01T02:03:11Z",
                "problem": None,
                "model": {
                    "version": EARLIER_VERSION,
                    "scope": "own",
                    "activated_at": "2026-05-01T02:03:11Z",
                    "trained_at": "2026-05-01T02:02:47Z",
                    "age_days": 31.29,
                },
                "last_verdict": {
                    "verdict": "hold",
                    "version": VERSION,
                    "reasons": [_TOO_UNSURE],
                    "judged_at": "2026-06-01T02:03:09Z",
                    "held_since": "2026-06-01T02:03:09Z",
                },
                "last_run_at": "2026-06-01T02:02:41Z",
                "readiness": {
                    "is_ready": True,
                    "records": 2731,
                    "records_needed": 100,
                    "expected_on": "2026-06-01",
                    "message": "2731 records with a known outcome (100 needed). This is enough for a training.",
                    "as_of": "2026-06-01T02:02:40Z",
                },
                "scoring": {
                    "scored_as_of": "2026-06-01T04:00:00Z",
                    "open_leads": 216,
                    "scored_leads": 214,
                    "leads_by_grade": {"A": 21, "B": 54, "C": 83, "D": 56},
                    "improving_leads": 17,
                    "declining_leads": 23,
                },
                "came_true": {
                    "state": "fine",
                    "leads": 420,
                    "promised": 0.256,
                    "converted": 0.255,
                    "alarmed_on": None,
                    "judgeable_on": None,
                    "is_listed": False,
                },
                "last_training": {"status": "held", "ended_at": "2026-06-01T02:03:10Z"},
                "warnings": ["held"],
            }
        ],
        "next_cursor": "default",
        "total": 1000,
        "refreshed_at": "2026-06-01T09:00:00Z",
    },
    TrainRunning: {"status": "running", "org_id": "default", "run_id": RUN_ID},
    ReadinessAnswer: _READINESS,
    HealthAnswer: {
        "status": "healthy",
        "problems": [],
        "timestamp": "2026-06-01T09:00:00+00:00",
        "model_version": VERSION,
        "model_scope": "own",
        "database": "up",
        "dagster": "up",
        "code_server": "up",
        "daemon": "up",
        "registry": "up",
        "models_loaded": 4,
    },
    StatusAnswer: {"status": "live"},
    InsufficientData: {
        "type": "/docs#insufficient_data",
        "title": "Unprocessable Content",
        "status": "insufficient_data",
        "detail": f"The org is not ready for a training. As of 2026-06-01: {_READINESS['message']}",
        "instance": f"urn:request:{REQUEST_ID}",
        "code": "insufficient_data",
        "request_id": REQUEST_ID,
        "error": f"The org is not ready for a training. As of 2026-06-01: {_READINESS['message']}",
        "errors": [],
        "message": f"The org is not ready for a training. As of 2026-06-01: {_READINESS['message']}",
        "org_id": "default",
        "readiness": _READINESS,
    },
}
