"""Calls to the API of Proxmox VE: proxmoxer with verified TLS, deadlines, and errors that say what they mean."""

from __future__ import annotations

import hashlib
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from proxmoxer.backends.https import Backend, JsonSerializer
from proxmoxer.core import ProxmoxResource, ResourceException
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from labs.deadline import Deadline
from labs.errors import DeadlineError, EnvironmentLackError
from labs.hypervisors.proxmox.failures import ApiError, Kind, RefusedTokenError, classify, cleaned
from labs.models.proxmox import DEFAULT_PORT, ProxmoxProfile

if TYPE_CHECKING:
    from labs.hypervisors.proxmox.websocket import WebSocket

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 45.0
"""pveproxy gives up on pvedaemon after 30 s (596): waiting less would turn a clear answer into a guess."""
RELEASE_SECONDS = 30.0
UPLOAD_ANSWER_SECONDS = 600.0
PAUSE_SECONDS = 0.5


class _Serializer(JsonSerializer):  # type: ignore[misc]  # proxmoxer has no types
    """Keeps the body's message, which says more than the reason phrase when that has several clauses."""

    def loads_errors(self, response: Any) -> Any:
        try:
            body = response.json()
        except ValueError:
            return {}
        return {"message": body.get("message"), "errors": body.get("errors")} if isinstance(body, dict) else {}


class _Adapter(HTTPAdapter):
    """Pins a certificate when the profile names one, and ends a call when its deadline does."""

    def __init__(self, fingerprint: str | None, trust: ssl.SSLContext | None, connections: int) -> None:
        self._fingerprint = fingerprint
        self._trust = trust
        self.clock = threading.local()
        super().__init__(pool_connections=4, pool_maxsize=connections, pool_block=True)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        if self._fingerprint is not None:
            options["assert_fingerprint"] = self._fingerprint.replace(":", "")
        if self._trust is not None:
            options["ssl_context"] = self._trust
        super().init_poolmanager(*arguments, **options)

    def send(self, request: Any, *arguments: Any, **options: Any) -> Any:
        deadline: Deadline | None = getattr(self.clock, "deadline", None)
        patience: float = getattr(self.clock, "patience", ANSWER_SECONDS)
        left = patience if deadline is None else max(0.1, min(patience, deadline.remaining))
        options["timeout"] = (min(CONNECT_SECONDS, left), left)
        return super().send(request, *arguments, **options)


class Client:
    """One token at one cluster, shared by all threads of a run."""

    def __init__(self, profile: ProxmoxProfile) -> None:
        self._hosts = list(profile.hosts)
        self._token = profile.token
        self._slots = threading.BoundedSemaphore(profile.caps.requests)
        self._secret = profile.secret()
        self._fingerprint = profile.fingerprint
        self._ca_file = profile.ca_file
        user, _, token_name = profile.token.partition("!")
        verify: bool | str = profile.fingerprint is None
        if profile.ca_file is not None:
            if not profile.ca_file.is_file():
                raise EnvironmentLackError(f"{profile.ca_file}: no such file; ca_file of the profile names it")
            verify = str(profile.ca_file)
        trust = None if profile.ca_file is None else _trusting(profile.ca_file)
        backend = Backend(
            self._hosts[0],
            user=user,
            token_name=token_name,
            token_value=self._secret,
            port=DEFAULT_PORT,
            verify_ssl=verify,
        )
        self._session = backend.get_session()
        # Neither a proxy nor REQUESTS_CA_BUNDLE of the environment may decide whom we trust with the token.
        self._session.trust_env = False
        self._adapter = _Adapter(profile.fingerprint, trust, profile.caps.requests)
        self._session.mount("https://", self._adapter)

    def close(self) -> None:
        self._session.close()

    def get(self, path: str, deadline: Deadline, /, **parameters: Any) -> Any:
        """Read; repeated while the outcome is unknown and there is time. Raises ApiError or DeadlineError."""
        for _ in deadline.ticks(PAUSE_SECONDS, slower=2):
            try:
                return self.call("GET", path, deadline, **parameters)
            except ApiError as problem:
                if problem.kind is not Kind.UNKNOWN or deadline.expired:
                    raise
        raise DeadlineError(f"GET {path}: no answer before the deadline")

    def release(self) -> str:
        """Version of Proxmox VE. Raises ApiError or DeadlineError."""
        return str(self.get("version", Deadline.after(RELEASE_SECONDS))["version"])

    def call(self, method: str, path: str, deadline: Deadline, /, **parameters: Any) -> Any:
        """One call, never repeated once it was sent.

        Parameters that are None are left out. Raises ApiError (kind UNKNOWN when it may have been carried out),
        RefusedTokenError, EnvironmentLackError when no host can be reached.
        """
        data = {name: _plain(value) for name, value in parameters.items() if value is not None}
        deadline.check(f"{method} {path}")
        with self._slots, self._until(deadline):
            for number, host in enumerate(list(self._hosts)):
                try:
                    return getattr(self._at(host, path), method.lower())(**data)
                except requests.exceptions.SSLError as problem:
                    if _is_about_trust(problem):
                        raise EnvironmentLackError(_untrusted(host, _short(problem))) from None
                    # The host hung up, or is about to be restarted: whoever asks again asks the next one first.
                    self._demote(host)
                    raise ApiError(f"{method} {path}: TLS broke ({_short(problem)})", Kind.UNKNOWN) from None
                except (requests.exceptions.ConnectTimeout, requests.exceptions.ConnectionError) as problem:
                    if not _never_sent(problem):
                        raise ApiError(
                            f"{method} {path}: the connection broke ({_short(problem)})", Kind.UNKNOWN
                        ) from None
                    if number + 1 == len(self._hosts):
                        raise EnvironmentLackError(
                            f"no API at {', '.join(self._hosts)}: {_short(problem)}; check hosts in the profile"
                        ) from None
                    self._demote(host)
                except requests.exceptions.RequestException as problem:
                    raise ApiError(f"{method} {path}: no answer ({_short(problem)})", Kind.UNKNOWN) from None
                except ResourceException as refused:
                    raise self._explained(method, path, refused) from None
        raise AssertionError("a profile has at least one host")

    def upload(self, path: str, fields: Sequence[tuple[str, str]], stream: Any, name: str, deadline: Deadline) -> Any:
        """Send a file as multipart; pveproxy wants the fields in the order given, and the file last."""
        from labs.hypervisors.proxmox.multipart import Multipart

        body = Multipart(fields, name, stream)
        with self._until(deadline, UPLOAD_ANSWER_SECONDS):
            try:
                # Not proxmoxer's own request: that wants the whole form in memory.
                answer = requests.Session.request(
                    self._session,
                    "POST",
                    f"{_base(self._hosts[0])}/{path}",
                    data=body,
                    headers={"Content-Type": body.content_type},
                    verify=self._session.auth.verify_ssl,
                )
            except requests.exceptions.RequestException as problem:
                raise ApiError(f"POST {path}: the upload broke ({_short(problem)})", Kind.UNKNOWN) from None
        if answer.status_code >= 400:
            details = _Serializer().loads_errors(answer)
            refused = ResourceException(answer.status_code, "", answer.reason, errors=details)
            raise self._explained("POST", path, refused)
        return answer.json()["data"]

    def websocket(self, path: str, deadline: Deadline) -> WebSocket:
        """Open a websocket at the host that answers. Raises EnvironmentLackError, HypervisorError, DeadlineError.

        Its port was opened by an earlier call: no other host would do.
        """
        from labs.hypervisors.proxmox.websocket import WebSocket, dial

        host = self.first_host
        try:
            stream = dial(host, self._trust(), deadline)
        except ssl.SSLCertVerificationError as problem:
            raise EnvironmentLackError(_untrusted(host, problem)) from None
        except OSError as problem:
            raise EnvironmentLackError(f"no API at {host}: {problem}; check hosts in the profile") from None
        if self._fingerprint is not None:
            found = hashlib.sha256(stream.getpeercert(binary_form=True) or b"").hexdigest()
            if found != self._fingerprint.replace(":", "").lower():
                stream.close()
                raise EnvironmentLackError(_untrusted(host, f"fingerprint {found}"))
        headers = {"Authorization": f"PVEAPIToken={self._token}={self._secret}"}
        return WebSocket(stream, f"wss://{host}/api2/json/{path}", headers, deadline)

    def _trust(self) -> ssl.SSLContext:
        """What makes a certificate believed, the same as for every other call."""
        if self._ca_file is not None:
            return _trusting(self._ca_file)
        context = ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)
        if self._fingerprint is not None:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    @property
    def first_host(self) -> str:
        """The API address that answers, with its port."""
        return _with_port(self._hosts[0])

    @property
    def user(self) -> str:
        """The token's user, to whom its tasks belong."""
        return self._token.partition("!")[0]

    def _at(self, host: str, path: str) -> Any:
        return ProxmoxResource(base_url=f"{_base(host)}/{path}", session=self._session, serializer=_Serializer())

    def _demote(self, host: str) -> None:
        if self._hosts[0] == host:
            self._hosts = [*self._hosts[1:], host]

    @contextmanager
    def _until(self, deadline: Deadline, patience: float = ANSWER_SECONDS) -> Iterator[None]:
        clock = self._adapter.clock
        clock.deadline, clock.patience = deadline, patience
        try:
            yield
        finally:
            clock.deadline, clock.patience = None, ANSWER_SECONDS

    def _explained(self, method: str, path: str, refused: ResourceException) -> Exception:
        if refused.status_code == 401:
            return RefusedTokenError(
                f"{self._hosts[0]} does not accept token {self._token}: wrong secret, or the token or its user is "
                "unknown, disabled or expired"
            )
        details = refused.errors if isinstance(refused.errors, dict) else {}
        text = str(details.get("message") or refused.content or "").strip()
        fields = details.get("errors") or {}
        if isinstance(fields, dict) and fields:
            text = "; ".join(f"{name}: {why}" for name, why in sorted(fields.items()))
        kind = classify(refused.status_code, text)
        return ApiError(f"{cleaned(text) or refused.status_code} ({method} {path})", kind, text)


def _trusting(ca_file: Path) -> ssl.SSLContext:
    """What believes the certificates of that authority. Raises EnvironmentLackError when the file holds none."""
    try:
        context = ssl.create_default_context(cafile=str(ca_file))
    except OSError as problem:  # ssl.SSLError is one
        raise EnvironmentLackError(
            f"{ca_file}: no certificate can be read from it ({problem}); ca_file of the profile names it"
        ) from None
    # Since Python 3.13 it is set: the authority that Proxmox VE makes itself has no key usage, and would be refused.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _is_about_trust(problem: BaseException) -> bool:
    """Whether a certificate was refused; anything else that ends TLS is a connection that broke."""
    reasons: list[object] = [problem]
    while reasons:
        one = reasons.pop()
        if isinstance(one, ssl.SSLCertVerificationError):
            return True
        # That has no class of its own in urllib3.
        if isinstance(one, str) and one.startswith("Fingerprints did not match"):
            return True
        if isinstance(one, BaseException):
            reasons += [*one.args, getattr(one, "reason", None)]
    return False


def _untrusted(host: str, why: object) -> str:
    return f"{host}: its certificate is not the one the profile trusts (ca_file or fingerprint): {why}"


def _plain(value: Any) -> Any:
    """Booleans as Proxmox VE reads them in a form: `true` and `True` are refused."""
    return int(value) if isinstance(value, bool) else value


def _with_port(host: str) -> str:
    return host if ":" in host.rpartition("]")[2] else f"{host}:{DEFAULT_PORT}"


def _base(host: str) -> str:
    return f"https://{_with_port(host)}/api2/json"


def _never_sent(problem: requests.exceptions.RequestException) -> bool:
    """Whether the connection was never made, so that another host may be asked for any call."""
    if isinstance(problem, requests.exceptions.ConnectTimeout):
        return True
    return "NewConnectionError" in repr(problem) or "NameResolutionError" in repr(problem)


def _short(problem: Exception) -> str:
    inner = problem.args[0] if problem.args else problem
    text = " ".join(str(getattr(inner, "reason", inner)).split())
    return text.partition("): ")[2] or text
