"""Admission: how much a partition may be asked a second."""
