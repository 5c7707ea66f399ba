"""Which triggerers run a watcher."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

base = pytest.importorskip("airflow.triggers.base")
BaseEventTrigger = getattr(base, "BaseEventTrigger", None)
HAS_QUEUES = BaseEventTrigger is not None and "queue" in inspect.signature(BaseEventTrigger.__init__).parameters
pytestmark = pytest.mark.skipif(BaseEventTrigger is None, reason="Airflow 2 has no asset watchers")


def watchers(**arguments: Any) -> list[Any]:
    """Return a watcher of each kind."""
    from airflow_provider_hwstatus.triggers.watchers import CphRequestWatcher, DliBatchWatcher

    return [DliBatchWatcher(**arguments), CphRequestWatcher("r1", **arguments)]


@pytest.mark.skipif(not HAS_QUEUES, reason="before Airflow 3.4")
def test_queue_is_passed_on() -> None:
    """Airflow stores it beside the arguments, among which it would make another watcher of the same one."""
    from airflow.serialization.encoders import encode_trigger

    for watcher, plain in zip(watchers(trigger_queue="hw"), watchers(), strict=True):
        encoded = encode_trigger(watcher)
        assert "hw" == encoded.pop("queue")
        assert encode_trigger(plain) == encoded


def test_queue_of_dli_is_none_of_airflows() -> None:
    """Airflow 3.4 takes what a watcher calls ``queue`` for the triggerers that may run it: none would."""
    from airflow.serialization.encoders import encode_trigger

    from airflow_provider_hwstatus.triggers.watchers import DliBatchWatcher

    watcher = DliBatchWatcher(queue="etl-*")
    encoded = encode_trigger(watcher)
    assert "etl-*" == encoded["kwargs"]["queue"]
    assert (None, None) == (encoded.get("queue"), getattr(watcher, "queue", None))


@pytest.mark.skipif(HAS_QUEUES, reason="Airflow 3.4 has them")
def test_queue_that_airflow_does_not_have_is_refused() -> None:
    """The watcher would run anywhere, and nothing would say so."""
    with pytest.raises(ValueError, match=r"trigger_queue needs Airflow 3\.4"):
        watchers(trigger_queue="hw")
    assert watchers(trigger_queue=None)
