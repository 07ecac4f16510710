"""`make bench`: what a request costs, beside a bare psycopg loop that sends the same SQL (docs/performance.md)."""

from __future__ import annotations
