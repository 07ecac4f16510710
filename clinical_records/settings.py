"""All settings, from the environment; README.md lists the variables. Production is the default, demo is asked for."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from clinical_records import demo_secret
from clinical_records.databases import connection_settings
from clinical_records.env import envbool, envint, envlist, envsecret, envstr

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = Path(envstr("CLINICAL_RECORDS_VAR") or BASE_DIR / "var").absolute()

DEMO_MODE = envbool("DEMO_MODE")
DEBUG = envbool("DEBUG")
SECRET_KEY = envsecret("SECRET_KEY") or (demo_secret.read_or_make(VAR_DIR / "secret_key") if DEMO_MODE else "")
if not SECRET_KEY:
    raise ImproperlyConfigured("Set SECRET_KEY or SECRET_KEY_FILE; or, only to try the server, DEMO_MODE=1.")
ALLOWED_HOSTS = envlist("ALLOWED_HOSTS", ("*",) if DEMO_MODE else ())
PUBLIC_BASE_URL = envstr("PUBLIC_BASE_URL").rstrip("/")
TRUST_PROXY = envbool("TRUST_PROXY")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "auditlog",
    "clinical_records",
    "accounts",
    "audit",
    "fhir",
]

# The API passes all but the first at once: docs/decisions/0001-middleware.md.
API_PREFIXES = ("/fhir/", "/auth/", "/health")
MIDDLEWARE = [
    "clinical_records.middleware.RequestContext",
    "clinical_records.middleware.PageSecurity",
    "clinical_records.middleware.PageStaticFiles",
    "clinical_records.middleware.PageSession",
    "clinical_records.middleware.PageLocale",
    "clinical_records.middleware.PageCommon",
    "clinical_records.middleware.PageCsrf",
    "clinical_records.middleware.PageAuthentication",
    "clinical_records.middleware.PageMessages",
    "clinical_records.middleware.PageFrameOptions",
    "clinical_records.middleware.PageAuditlog",
]
ROOT_URLCONF = "clinical_records.urls"
WSGI_APPLICATION = "clinical_records.wsgi.application"
APPEND_SLASH = False

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

STATEMENT_TIMEOUT_SECONDS = envint("STATEMENT_TIMEOUT_SECONDS", 30, minimum=1)
DATABASE_URL = envstr("DATABASE_URL")
EMBEDDED_POSTGRES = VAR_DIR / "postgres"  # used without a DATABASE_URL
LOCAL_CLUSTER = VAR_DIR / "cluster"  # `manage.py cluster`, for development
CLUSTER_PORT = envint("CLUSTER_PORT", 5440, minimum=1024, maximum=65000)
CLUSTER_WORKERS = envint("CLUSTER_WORKERS", 2, maximum=32)
DATABASES = {
    "default": connection_settings(DATABASE_URL, home=EMBEDDED_POSTGRES, statement_timeout=STATEMENT_TIMEOUT_SECONDS)
}
CITUS_SHARD_COUNT = envint("CITUS_SHARD_COUNT", 8, minimum=1)  # read by the migrations, once
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.BCryptSHA256PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "CommonPasswordValidator", "NumericPasswordValidator")
] + [{"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}}]

ACCESS_TOKEN_MINUTES = envint("ACCESS_TOKEN_MINUTES", 15, minimum=1)
REFRESH_TOKEN_HOURS = envint("REFRESH_TOKEN_HOURS", 24, minimum=1)
SIMPLE_JWT: dict[str, Any] = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=ACCESS_TOKEN_MINUTES),
    "REFRESH_TOKEN_LIFETIME": timedelta(hours=REFRESH_TOKEN_HOURS),
    "ROTATE_REFRESH_TOKENS": True,
    "ALGORITHM": "HS256",
    "SIGNING_KEY": SECRET_KEY,
    "UPDATE_LAST_LOGIN": False,
}
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "UNAUTHENTICATED_USER": None,
}

LANGUAGE_CODE = "es"
LANGUAGES = [("es", _("Spanish")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "clinical_records" / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = envstr("FACILITY_TIME_ZONE", "America/Bogota")

STATIC_URL = "/static/"
# Production serves what `collectstatic` gathered; the demo and development serve the files where they are.
STATIC_ROOT = None if DEBUG or DEMO_MODE else BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = DEBUG or DEMO_MODE

FHIR_BASE_PATH = "/fhir/R4"
FHIR_MAX_BODY_BYTES = envint("FHIR_MAX_BODY_BYTES", 20 * 1024 * 1024, minimum=1024)
FHIR_MAX_JSON_DEPTH = envint("FHIR_MAX_JSON_DEPTH", 64, minimum=8, maximum=500)
FHIR_MAX_BUNDLE_ENTRIES = envint("FHIR_MAX_BUNDLE_ENTRIES", 5000, minimum=1)
FHIR_DEFAULT_PAGE = envint("FHIR_DEFAULT_PAGE", 20, minimum=1)
FHIR_MAX_PAGE = envint("FHIR_MAX_PAGE", 1000, minimum=1)
FHIR_CURSOR_SECONDS = envint("FHIR_CURSOR_SECONDS", 24 * 3600, minimum=60)
DATA_UPLOAD_MAX_MEMORY_SIZE = FHIR_MAX_BODY_BYTES

SECURE = PUBLIC_BASE_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE
SESSION_COOKIE_HTTPONLY = True
CSRF_TRUSTED_ORIGINS = [PUBLIC_BASE_URL] if PUBLIC_BASE_URL else []
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = envint("HSTS_SECONDS", 31536000 if SECURE else 0)
X_FRAME_OPTIONS = "DENY"
if TRUST_PROXY:
    USE_X_FORWARDED_HOST = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

LOG_LEVEL = envstr("LOG_LEVEL", "INFO", choices=frozenset({"DEBUG", "INFO", "WARNING", "ERROR"}))
LOG_FORMAT = envstr("LOG_FORMAT", "plain" if DEMO_MODE else "json", choices=frozenset({"plain", "json"}))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {"()": "clinical_records.log.PlainFormatter"},
        "json": {"()": "clinical_records.log.JsonFormatter"},
    },
    "filters": {"no_refusals": {"()": "clinical_records.log.NoRefusals"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT, "filters": ["no_refusals"]},
    },
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "django": {"handlers": [], "level": LOG_LEVEL, "propagate": True},
        # Statements carry what patients told their doctor.
        "django.db.backends": {"level": "WARNING"},
    },
}
