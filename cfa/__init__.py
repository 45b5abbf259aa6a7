"""JUDGE: customer-facing alarms: rolling availability, evidence, scope, incident, page, SLA report."""
