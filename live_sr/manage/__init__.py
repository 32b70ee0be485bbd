"""`live-sr models`, `engines` and `doctor`: manages what is installed."""

from live_sr.manage.model_add import add_models, check_new_name, remove_model
from live_sr.manage.model_check import check_models
from live_sr.manage.model_download import parse_model_source
from live_sr.manage.model_list import list_models, show_model

__all__ = [
    "add_models",
    "check_models",
    "check_new_name",
    "list_models",
    "parse_model_source",
    "remove_model",
    "show_model",
]
