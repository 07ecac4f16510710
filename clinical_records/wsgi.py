"""The WSGI application; it serves only where the system checks find nothing wrong."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clinical_records.settings")
application = get_wsgi_application()

from clinical_records.checks import refuse_to_serve_if_wrong  # noqa: E402  needs the apps loaded
from fhir.preparation import prepare  # noqa: E402  needs the apps loaded

refuse_to_serve_if_wrong()
prepare()
