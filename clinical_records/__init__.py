"""Clinical Records: the Django project, which wires the apps together and holds no clinical logic."""

from __future__ import annotations

__version__ = "0.1.0"
