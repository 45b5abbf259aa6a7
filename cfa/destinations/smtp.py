"""Mail through an SMTP server: STARTTLS, TLS, or plain on this machine (shell).

By aiosmtplib and not by smtplib in a thread: a server that says nothing holds a thread until its socket times out, step by
step; a coroutine ends at the attempt's deadline and takes its connection with it.
"""

import logging
import ssl
from collections.abc import Sequence
from email.message import EmailMessage

import aiosmtplib

from cfa.destinations.config import SmtpConfig
from cfa.destinations.http import secret
from cfa.destinations.mail_message import digest, mail
from cfa.destinations.port import DeliveryFailed
from cfa.notices import ATTEMPT_DEADLINE_SECONDS, Notice

logger = logging.getLogger("cfa.destinations.smtp")

PORTS = {"starttls": 587, "tls": 465, "plain": 25}


class SmtpDestination:
    """A connection for each mail: mails are few, and a kept one would be dead when it is needed."""

    refresh_seconds: float | None = None

    def __init__(self, name: str, config: SmtpConfig, console_url: str) -> None:
        self.name = name
        self._config = config
        self._console_url = console_url

    async def send(self, notice: Notice, now: float) -> None:
        """One mail; raises ``DeliveryFailed``."""
        config = self._config
        await self._post(mail(notice, self._console_url, config.sender, config.recipients, now))

    async def send_together(self, notices: Sequence[Notice], now: float) -> None:
        """One mail about all of them; raises ``DeliveryFailed``."""
        config = self._config
        await self._post(digest(notices, self._console_url, config.sender, config.recipients, now))

    async def _post(self, message: EmailMessage) -> None:
        config = self._config
        password = None if config.password_file is None else secret(config.password_file)
        try:
            tls = None if config.security == "plain" else ssl.create_default_context(cafile=config.ca_file)
            refused, _ = await aiosmtplib.send(
                message,
                sender=config.sender,
                recipients=list(config.recipients),
                hostname=config.host,
                port=config.port or PORTS[config.security],
                username=config.username,
                password=password,
                local_hostname="fivenines",
                timeout=ATTEMPT_DEADLINE_SECONDS,
                use_tls=config.security == "tls",
                start_tls=config.security == "starttls",
                tls_context=tls,
            )
        except aiosmtplib.SMTPAuthenticationError as error:
            raise DeliveryFailed(f"the login was refused ({error.code})") from None  # its text may repeat what was sent
        except aiosmtplib.SMTPResponseException as error:
            text = f"SMTP {error.code} {error.message}"
            raise DeliveryFailed(text, for_good=500 <= error.code < 600) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise DeliveryFailed(str(error) or type(error).__name__) from None
        if refused:
            # Not a failed delivery: the next attempt would tell the others once more, every minute.
            logger.error("%s: refused for %s; the others have it", self.name, ", ".join(sorted(refused)))

    async def close(self) -> None:
        """Nothing is held between mails."""
