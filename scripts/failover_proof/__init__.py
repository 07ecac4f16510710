"""Kills, freezes and moves the nodes of a cluster under load, and proves what holds (docs/failover.md)."""

from __future__ import annotations
