"""Settings of the tests: their own cluster, a fast password hasher, a known secret."""

from __future__ import annotations

import os

os.environ.setdefault("SECRET_KEY", "only-for-tests-0123456789-abcdefghijklmnop")

from clinical_records.databases import connection_settings
from clinical_records.env import envstr
from clinical_records.settings import *  # noqa: F403
from clinical_records.settings import STATEMENT_TIMEOUT_SECONDS, VAR_DIR

TEST_POSTGRES = VAR_DIR / "test-postgres"
DATABASES = {
    "default": connection_settings(
        envstr("DATABASE_URL"), home=TEST_POSTGRES, statement_timeout=STATEMENT_TIMEOUT_SECONDS
    )
}
DEMO_MODE = True
ALLOWED_HOSTS = ["*"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
WHITENOISE_AUTOREFRESH = True
