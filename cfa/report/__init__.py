"""The SLA report: a week's (or a month's) figures from the ledger, for people and for machines."""
