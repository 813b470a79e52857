"""Send OpenLineage events without waiting for a receiver that hangs or is gone."""

from __future__ import annotations

import os
from typing import Any

from dagster_openlineage import OpenLineageEventLogStorage
from dagster_openlineage.adapter import OpenLineageAdapter
from dagster_openlineage.emitter import OpenLineageEmitter
from openlineage.client import OpenLineageClient
from openlineage.client.transport.http import ApiKeyTokenProvider, HttpConfig, HttpTransport

NO_RETRIES: dict[str, Any] = {"total": 0, "connect": 0, "read": 0}


class LineageEvents(OpenLineageEventLogStorage):
    """Dagster's events, which go to the receiver once, and wait ``timeout`` seconds at most.

    The storage of the package makes a client that takes five tries with growing pauses for each event.
    """

    def __init__(self, wrapped: Any, *, timeout: float, namespace: str, **settings: Any) -> None:
        url = os.environ.get("OPENLINEAGE_URL", "")
        config = HttpConfig(url=url, timeout=timeout, retry=NO_RETRIES)
        if key := os.environ.get("OPENLINEAGE_API_KEY"):
            config.auth = ApiKeyTokenProvider({"api_key": key})
        client = OpenLineageClient(transport=HttpTransport(config)) if url else None
        emitter = OpenLineageEmitter(timeout=timeout, client=client)
        adapter = OpenLineageAdapter(namespace=namespace, timeout=timeout, emitter=emitter)
        super().__init__(wrapped, timeout=timeout, namespace=namespace, adapter=adapter, **settings)
