"""MERGE: three vantages (canaries, customers, servers), one ledger.

Other rooms import only the contract: ``observation``, ``interval``, ``series`` and ``wire``.
"""
