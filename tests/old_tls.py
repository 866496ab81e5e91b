"""Encryption that was abolished, for tests that it stays so: OpenSSL has to be asked twice."""

import ssl
import warnings


def agreeing_to(version: ssl.TLSVersion, context: ssl.SSLContext) -> None:
    """Let *context* speak this old version of TLS and none that is newer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
