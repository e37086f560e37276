"""The assets, one file each, from an org's CRM records to what came true of its scores, and the retention."""

from leadscore_assets.assets.active_model import active_model
from leadscore_assets.assets.conversion_records import conversion_records
from leadscore_assets.assets.evaluation import evaluation
from leadscore_assets.assets.lead_features import lead_features
from leadscore_assets.assets.lead_scores import lead_scores
from leadscore_assets.assets.live_performance import live_performance
from leadscore_assets.assets.retention import retention
from leadscore_assets.assets.trained_model import trained_model

TRAINING = (conversion_records, lead_features, trained_model, evaluation, active_model)
ALL = (*TRAINING, lead_scores, live_performance, retention)

__all__ = [
    "ALL",
    "TRAINING",
    "active_model",
    "conversion_records",
    "evaluation",
    "lead_features",
    "lead_scores",
    "live_performance",
    "retention",
    "trained_model",
]
