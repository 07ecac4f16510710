"""How gunicorn serves Clinical Records: `gunicorn -c deploy/gunicorn.conf.py clinical_records.wsgi`."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

bind = f"{os.environ.get('BIND_ADDRESS', '127.0.0.1')}:{os.environ.get('PORT', '8000')}"
worker_class = "gthread"
workers = int(os.environ.get("WEB_WORKERS", "2"))
threads = int(os.environ.get("WEB_THREADS", "4"))
# The definitions are compiled once, before the workers are forked, and shared by them.
preload_app = True
keepalive = 65
timeout = 60  # longer than a statement may take: STATEMENT_TIMEOUT_SECONDS
graceful_timeout = 20
max_requests = 0
# The heartbeat file of a worker belongs in memory: on a slow disk a write of it can block the worker.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() and os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()
# Query strings of searches name patients: accesses are in the audit table, not in a log.
accesslog = None
errorlog = "-"
loglevel = os.environ.get("GUNICORN_LOG_LEVEL", "warning")
limit_request_line = 8190
forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1")
control_socket_disable = True
