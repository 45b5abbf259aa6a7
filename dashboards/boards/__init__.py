"""Grafana dashboards as typed values."""
