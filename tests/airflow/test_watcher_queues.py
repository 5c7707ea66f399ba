"""``trigger_queue`` selects the triggerers that run a watcher."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

base = pytest.importorskip("airflow.triggers.base")
BaseEventTrigger = getattr(base, "BaseEventTrigger", None)
HAS_QUEUES = BaseEventTrigger is not None and "queue" in inspect.signature(BaseEventTrigger.__init__).parameters
pytestmark = pytest.mark.skipif(BaseEventTrigger is None, reason="Airflow 2 has no asset watchers")


def watchers(**arguments: Any) -> list[Any]:
    """Return a watcher of each class."""
    from airflow_provider_hwstatus.triggers.watchers import CphRequestWatcher, DliBatchWatcher

    return [DliBatchWatcher(**arguments), CphRequestWatcher("r1", **arguments)]


@pytest.mark.skipif(not HAS_QUEUES, reason="needs Airflow 3.4")
def test_queue_is_passed_on() -> None:
    """Airflow stores the queue beside the arguments. As an argument, it would make Airflow see another watcher."""
    encode_trigger = pytest.importorskip("airflow.serialization.encoders", reason="before Airflow 3.2").encode_trigger

    for watcher, plain in zip(watchers(trigger_queue="hw"), watchers(), strict=True):
        encoded = encode_trigger(watcher)
        assert "hw" == encoded.pop("queue")
        assert encode_trigger(plain) == encoded


def test_dli_queue_is_not_the_trigger_queue() -> None:
    """Airflow 3.4 reads ``watcher.queue`` as the trigger queue; with a DLI queue in it, no triggerer would run it."""
    encode_trigger = pytest.importorskip("airflow.serialization.encoders", reason="before Airflow 3.2").encode_trigger

    from airflow_provider_hwstatus.triggers.watchers import DliBatchWatcher

    watcher = DliBatchWatcher(queue="etl-*")
    encoded = encode_trigger(watcher)
    assert "etl-*" == encoded["kwargs"]["queue"]
    assert (None, None) == (encoded.get("queue"), getattr(watcher, "queue", None))


@pytest.mark.skipif(HAS_QUEUES, reason="Airflow 3.4 has trigger queues")
def test_trigger_queue_is_refused_before_airflow_3_4() -> None:
    """Without the error, any triggerer would run the watcher."""
    with pytest.raises(ValueError, match=r"trigger_queue needs Airflow 3\.4"):
        watchers(trigger_queue="hw")
    assert watchers(trigger_queue=None)
