"""Settings of the tests: their own cluster, a fast password hasher, a known secret."""

from __future__ import annotations

import os

os.environ.setdefault("SECRET_KEY", "only-for-tests-0123456789-abcdefghijklmnop")

from clinical_records.databases import connection_settings
from clinical_records.settings import *  # noqa: F403
from clinical_records.settings import DATABASE_URL, STATEMENT_TIMEOUT_SECONDS, VAR_DIR

EMBEDDED_POSTGRES = VAR_DIR / "test-postgres"
DATABASES = {
    "default": connection_settings(DATABASE_URL, home=EMBEDDED_POSTGRES, statement_timeout=STATEMENT_TIMEOUT_SECONDS)
}
# Runs at the same time on one machine do not meet; what killed runs leave is dropped by conftest.py.
TEST_DATABASE_PREFIX = f"test_{DATABASES['default']['NAME']}_"
DATABASES["default"]["TEST"] = {"NAME": f"{TEST_DATABASE_PREFIX}{os.getpid()}"}
DATABASES["default"]["ENGINE"] = "clinical_records.testing_database"
CITUS_SHARD_COUNT = 2  # the fewest that lie on two workers: emptying a table costs per shard
DEMO_MODE = True
ALLOWED_HOSTS = ["*"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STATIC_ROOT = None
WHITENOISE_USE_FINDERS = True
