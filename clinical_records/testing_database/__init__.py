"""Django's PostgreSQL backend with test databases on all nodes of a Citus cluster (the ENGINE of test_settings)."""
