"""Access tokens, by which callers authenticate. `python -m leadscore.tokens` makes, lists and revokes them.

A token reads `lsk_<id>_<secret>`. The id may be shown and logged. The secret is shown once: the file of tokens holds
only its SHA-256, which is enough for a secret of 192 random bits. A process reads the file again when it has changed.
While the file is unreadable or gone, no token is valid.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hmac import compare_digest
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec

from leadscore.errors import Damaged, InvalidId, InvalidToken, LeadscoreError, TokensUnavailable
from leadscore.formats import UNDECODABLE
from leadscore.registry.durable_files import read_if_there, replace_durably
from leadscore.registry.ids import check_org_id
from leadscore.settings import parse_time, read_settings

Scope = Literal["score", "read", "train", "activate", "metrics", "operate"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
EVERY_ORG = "*"
OWNER_AND_GROUP = 0o640

# to hide the secrets in a text; the id may be shown
TOKEN_START = b"lsk_"
TOKEN_TEXT = re.compile(rb"(lsk_[0-9a-f]{10}_)[0-9a-f]{48}")
_TEXT = re.compile(r"lsk_([0-9a-f]{10})_([0-9a-f]{48})")
_ID_BYTES, _SECRET_BYTES = 5, 24
_NOTE = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{0,200}")
# stands for the hash of an unknown id, so that refusing it takes as long as refusing a wrong secret
_NO_SHA256 = "0" * 64

Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token's rights: its scopes, for its orgs or for all (`*`), until it expires. It does not hold the secret."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{10}$(?!\n)")]
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
    scopes: Annotated[tuple[Scope, ...], msgspec.Meta(min_length=1)]
    orgs: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    created_at: Moment
    expires_at: Moment | None = None
    note: str = ""

    def may(self, scope: str) -> bool:
        """Return whether the token has the scope."""
        return scope in self.scopes

    def sees(self, org_id: str) -> bool:
        """Return whether the token is for the org. One for `*` also sees the pooled model."""
        return org_id in self.orgs or EVERY_ORG in self.orgs

    def is_expired(self, now: datetime) -> bool:
        """Return whether the token has expired."""
        return self.expires_at is not None and self.expires_at <= now


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file's content. A field that is unknown here could narrow a token's rights, so the file is refused."""

    tokens: tuple[Token, ...]


Stamp = tuple[int, int, int]


class Tokens:
    """The tokens in one file. `path` is None in a process that requires none."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._name = str(path)
        # the file's stamp and its tokens, replaced together because several threads read them
        self._read: tuple[Stamp | None, dict[str, Token]] = (None, {})

    @property
    def are_configured(self) -> bool:
        """Whether there is a file of tokens, or this process has read one: deleting it must not open the server."""
        if self._read[0] is not None:
            return True
        return self.path is not None and self._stamp() is not None

    def find(self, text: str) -> Token | None:
        """Return the token with this text; None when it is malformed, unknown, revoked or expired.

        Raises TokensUnavailable when the file cannot be read.
        """
        known = self._tokens()
        parts = _TEXT.fullmatch(text)
        if parts is None:
            return None
        token_id, secret = parts.groups()
        token = known.get(token_id)
        expected = _NO_SHA256 if token is None else token.sha256
        if not compare_digest(_sha256_of(secret), expected) or token is None:
            return None
        is_over = token.expires_at is not None and token.is_expired(datetime.now(UTC))
        return None if is_over else token

    def listed(self) -> tuple[Token, ...]:
        """Return all tokens, oldest first, including expired ones. Raises TokensUnavailable."""
        return tuple(self._tokens().values()) if self.are_configured else ()

    def of_org(self, org_id: str) -> tuple[Token, ...]:
        """Return the tokens that name the org, as those for `*` do not. Raises TokensUnavailable."""
        return tuple(token for token in self.listed() if org_id in token.orgs)

    def new(
        self,
        *,
        scopes: Sequence[str],
        orgs: Sequence[str],
        expires_at: datetime | None = None,
        note: str = "",
    ) -> tuple[str, Token]:
        """Add a token; return its text, which is not stored, and the stored entry. Raises InvalidToken."""
        now = datetime.now(UTC)
        allowed, seen = _checked_scopes(scopes), _checked_orgs(orgs)
        if expires_at is not None and expires_at <= now:
            raise InvalidToken(
                f"the token would expire at {expires_at:%Y-%m-%d %H:%M} UTC, in the past; name a later time"
            )
        if not _NOTE.fullmatch(note):
            raise InvalidToken("a note is one line of at most 200 characters")
        with self._exclusive() as tokens:
            token_id, secret = _unused_id(tokens), secrets.token_hex(_SECRET_BYTES)
            token = Token(token_id, _sha256_of(secret), allowed, seen, now, expires_at, note)
            self._write([*tokens, token])
        return f"lsk_{token_id}_{secret}", token

    def revoke(self, token_id: str) -> Token:
        """Remove a token and return it; it is refused from the next request on. Raises InvalidToken."""
        with self._exclusive() as tokens:
            revoked = next((token for token in tokens if token.id == token_id), None)
            if revoked is None:
                raise InvalidToken("no token has this id; `list` shows all ids")
            self._write([token for token in tokens if token is not revoked])
        return revoked

    def _tokens(self) -> dict[str, Token]:
        """Return the tokens by id; read the file again when it has changed."""
        stamp = self._stamp()
        read_of, tokens = self._read
        if stamp is None:
            raise TokensUnavailable("the file that TOKENS_FILE names is gone; restore it, or make a new token")
        if stamp != read_of:
            tokens = {token.id: token for token in self._load()}
            self._read = (stamp, tokens)
        return tokens

    def _stamp(self) -> Stamp | None:
        """Return a value that changes whenever the file is replaced, for one `stat`; None without a file."""
        try:
            status = os.stat(self._name)  # noqa: PTH116 (a Path takes longer than the call)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise TokensUnavailable(
                f"the file of tokens cannot be reached ({error.strerror}); let this user read it"
            ) from error
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _load(self) -> tuple[Token, ...]:
        remedy = "restore it, or move it away and make new tokens"
        try:
            content = read_if_there(Path(self._name))
            document = msgspec.json.decode(content or b"", type=_Document)
            for token in document.tokens:
                _checked_orgs(token.orgs)
        except Damaged as error:
            raise TokensUnavailable(f"the file of tokens cannot be used: {error.message}") from error
        except (*UNDECODABLE, InvalidToken) as error:
            raise TokensUnavailable(f"the file of tokens is damaged, or of a newer release; {remedy}") from error
        if len({token.id for token in document.tokens}) < len(document.tokens):
            raise TokensUnavailable(f"the file of tokens has an id twice; {remedy}")
        return document.tokens

    @contextmanager
    def _exclusive(self) -> Iterator[tuple[Token, ...]]:
        """Yield the tokens, while a lock on the folder keeps other processes from changing them."""
        if self.path is None:
            raise InvalidToken("this process has no file of tokens; set TOKENS_FILE")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                fcntl.flock(folder, fcntl.LOCK_EX)
                yield () if self._stamp() is None else self._load()
            finally:
                os.close(folder)
        except OSError as error:
            raise TokensUnavailable(
                f"the file of tokens cannot be written ({error.strerror or type(error).__name__});"
                " make the folder of TOKENS_FILE writable"
            ) from error

    def _write(self, tokens: Sequence[Token]) -> None:
        content = msgspec.json.format(msgspec.json.encode(_Document(tuple(tokens))), indent=2) + b"\n"
        replace_durably({Path(self._name): content})


def _sha256_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _unused_id(tokens: Sequence[Token]) -> str:
    taken = {token.id for token in tokens}
    while (token_id := secrets.token_hex(_ID_BYTES)) in taken:
        pass
    return token_id


def _checked_scopes(scopes: Sequence[str]) -> tuple[Scope, ...]:
    if not scopes or set(scopes) - set(SCOPES):
        raise InvalidToken(f"a token needs one or more scopes of {', '.join(SCOPES)}; name each with --scope")
    return tuple(scope for scope in SCOPES if scope in scopes)


def _checked_orgs(orgs: Sequence[str]) -> tuple[str, ...]:
    if EVERY_ORG in orgs and len(orgs) == 1:
        return (EVERY_ORG,)
    try:
        bound = tuple(dict.fromkeys(map(check_org_id, orgs)))
    except InvalidId as error:
        raise InvalidToken(f"a token is bound to orgs by their ids, or to '*' alone: {error.message}") from error
    if not bound:
        raise InvalidToken("a token must be bound to orgs; name each with --org, or all with --org '*'")
    return bound


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name; return the exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        tokens = Tokens(read_settings().tokens_path)
        command = {"new": _make, "list": _list, "revoke": _revoke}[chosen.command]
        command(tokens, chosen)
    except LeadscoreError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m leadscore.tokens", description="Make, list and revoke tokens.")
    commands = parser.add_subparsers(dest="command", required=True)
    new = commands.add_parser("new", help="make a token; it is shown once, on standard output")
    new.add_argument("--org", action="append", required=True, help="id of an org, or '*' for all; may be repeated")
    new.add_argument("--scope", action="append", required=True, choices=SCOPES, help="may be repeated")
    new.add_argument("--expires", metavar="DATE", help="ISO 8601, UTC; a date means 00:00 (default: never)")
    new.add_argument("--note", default="", help="who holds the token, or its purpose")
    new.add_argument("--if-none", action="store_true", help="do nothing when there is a file of tokens already")
    new.add_argument("--into", type=Path, metavar="FILE", help="write the token there, unless it holds a valid one")
    commands.add_parser("list", help="list the tokens, without their secrets")
    revoke = commands.add_parser("revoke", help="remove a token; it is refused from then on")
    revoke.add_argument("id", help="the part between lsk_ and the secret")
    return parser


def _make(tokens: Tokens, chosen: argparse.Namespace) -> None:
    if chosen.if_none and tokens.are_configured:
        print(f"There is a file of tokens at {tokens.path}; no token was made.", file=sys.stderr)
        return
    if chosen.into and _is_valid_in(chosen.into, tokens):
        _repair_mode(chosen.into)
        print(f"The token in {chosen.into} is valid; no other was made.", file=sys.stderr)
        return
    text, token = tokens.new(scopes=chosen.scope, orgs=chosen.org, expires_at=_moment(chosen.expires), note=chosen.note)
    if chosen.into:
        _keep(text, chosen.into)
    else:
        print(text)
    where = f"in {chosen.into}" if chosen.into else "shown only this once"
    print(f"Token {token.id} is in {tokens.path}. Its secret is {where}.", file=sys.stderr)


def _is_valid_in(path: Path, tokens: Tokens) -> bool:
    kept = (read_if_there(path) or b"").decode("ascii", "replace").strip()
    return tokens.are_configured and tokens.find(kept) is not None


def _keep(text: str, path: Path) -> None:
    """Write a token to its holder's file; the group may read it, because the holder may be another user."""
    try:
        replace_durably({path: text.encode() + b"\n"}, OWNER_AND_GROUP)
    except OSError as error:
        raise InvalidToken(
            f"{path} cannot be written ({error.strerror}); revoke the new token, and name another file"
        ) from error


def _repair_mode(path: Path) -> None:
    """Set the mode of a file that is ours; one made by hand, or by an older build, may keep its group out."""
    try:
        status = path.stat()
        if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) != OWNER_AND_GROUP:
            path.chmod(OWNER_AND_GROUP)
    except OSError as error:
        raise InvalidToken(
            f"the mode of {path} cannot be set to {OWNER_AND_GROUP:04o} ({error.strerror}), so its group may be unable"
            " to read the token; set it, or name another file"
        ) from error


def _moment(text: str | None) -> datetime | None:
    try:
        return parse_time(text) if text else None
    except (ValueError, OverflowError):
        raise InvalidToken("--expires is not a date or time in ISO 8601; write it like 2027-03-15") from None


def _list(tokens: Tokens, _: argparse.Namespace) -> None:
    now = datetime.now(UTC)
    for token in tokens.listed():
        until = f"{token.expires_at:%Y-%m-%d %H:%M}" if token.expires_at else "never"
        state = " (expired)" if token.is_expired(now) else ""
        print(
            f"{token.id}  made {token.created_at:%Y-%m-%d %H:%M}  expires {until}{state}"
            f"  scopes {','.join(token.scopes)}  orgs {','.join(token.orgs)}  {token.note}".rstrip()
        )


def _revoke(tokens: Tokens, chosen: argparse.Namespace) -> None:
    print(f"Token {tokens.revoke(chosen.id).id} is revoked.")


if __name__ == "__main__":
    sys.exit(main())
