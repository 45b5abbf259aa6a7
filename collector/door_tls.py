"""The collector's own certificate, and whose certificates it believes (shell)."""

import ssl

from collector.config import CollectorConfig


def tls_of(config: CollectorConfig) -> ssl.SSLContext | None:
    """The listener's TLS, or None for plain HTTP; raises OSError or :class:`ssl.SSLError` for files that cannot be used.

    With ``client_ca_file`` nobody gets as far as HTTP without a certificate from it.
    """
    if config.tls_certificate_file is None or config.tls_key_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(config.tls_certificate_file, config.tls_key_file)
    context.set_alpn_protocols(["http/1.1"])
    if config.client_ca_file is not None:
        context.load_verify_locations(config.client_ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
