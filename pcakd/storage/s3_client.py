"""boto3 clients, and what their errors mean."""

import functools
import os
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import botocore.exceptions as boto
import urllib3.exceptions
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from pcakd.environment import reader, setting
from pcakd.errors import AccessError, ArchivedError, FatalError, NotFoundError, PcakdError, UsageError

MISSING = {"NoSuchKey", "NotFound"}
CONFLICT = {"PreconditionFailed", "412"}

_CREDENTIALS = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidToken",
    "InvalidClientTokenId",
    "ExpiredToken",
    "TokenRefreshRequired",
    "AuthorizationHeaderMalformed",
    "RequestTimeTooSkewed",
    "InvalidSecurity",
    "NotSignedUp",
    "AccountProblem",
}
_DENIED = {"AccessDenied", "AllAccessDisabled", "403", "Forbidden", "401", "Unauthorized"}
_BUCKET = {"NoSuchBucket", "InvalidBucketName", "PermanentRedirect", "301"}
_NOT_HERE = {"InvalidStorageClass": "storage class", "InvalidEncryptionAlgorithmError": "encryption"}
_PASSING = {
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TooManyRequests",
    "RequestTimeout",
    "RequestTimeoutException",
    "InternalError",
    "ServiceUnavailable",
    "OperationAborted",
    "ConditionalRequestConflict",
    "BadDigest",  # the body was altered on its way
    "IncompleteBody",
}
_NO_CREDENTIALS = (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError)


def endpoint_from_environment() -> str | None:
    """PCAKD_S3_ENDPOINT_URL, None to leave the endpoint to boto3. Raises UsageError for what is no URL."""
    url = setting("PCAKD_S3_ENDPOINT_URL")
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"PCAKD_S3_ENDPOINT_URL is {_shown(url)!r}: give a URL like http://127.0.0.1:9000")
    if parts.username or parts.password:
        raise UsageError("PCAKD_S3_ENDPOINT_URL holds credentials: give them in AWS_ACCESS_KEY_ID instead")
    return url


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def request_payer_from_environment() -> bool:
    """Whether PCAKD_S3_REQUEST_PAYER says that the caller pays for requests. Raises UsageError for another word."""
    word = setting("PCAKD_S3_REQUEST_PAYER")
    if word not in (None, "", "requester"):
        raise UsageError(f"PCAKD_S3_REQUEST_PAYER is {word!r}: set it to requester, or leave it out")
    return word == "requester"


_PAID = frozenset(
    {
        *("GetObject", "HeadObject", "ListObjectsV2", "PutObject", "CopyObject", "DeleteObject", "DeleteObjects"),
        "GetObjectTagging",
        *("CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload", "ListParts"),
    }
)
"""Operations that take RequestPayer."""


def client_for(endpoint: str | None, request_payer: bool = False) -> Any:
    """The process's client for an endpoint: thread-safe, with no retries of its own (`retry.py` has them all).

    request_payer: the caller pays for its requests, as some buckets ask.
    """
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION")
    # A client keeps the credentials it was made with: other ones in the environment mean another client.
    return _client(endpoint, request_payer, os.getpid(), hash(tuple(setting(name) for name in names)))


@functools.lru_cache(maxsize=8)
def _client(endpoint: str | None, request_payer: bool, process: int, environment: int) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=64,
        # Content-MD5 and the SHA-256 in the metadata do the checking: servers beside AWS know no CRC trailers.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if endpoint else "auto"},
    )
    region = setting("AWS_REGION") or setting("AWS_DEFAULT_REGION")
    try:
        session = boto3.session.Session()
        region = region or session.region_name or "us-east-1"
        client = session.client("s3", endpoint_url=endpoint, config=config, region_name=region)
        if request_payer:
            client.meta.events.register("provide-client-params.s3", _as_payer)
        return client
    except (boto.ProfileNotFound, boto.ConfigParseError, boto.PartialCredentialsError) as error:
        raise AccessError(f"the AWS configuration cannot be used ({type(error).__name__})", credentials=True) from None
    except ValueError:
        raise UsageError("the S3 endpoint's address is not a URL; check PCAKD_S3_ENDPOINT_URL") from None


def _as_payer(params: dict, model: Any, **_: Any) -> None:
    if model.name in _PAID:
        params["RequestPayer"] = "requester"


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _status_of(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def may_pass(error: Exception) -> bool:
    """Whether the same call may go well in a moment: throttling, server errors, connections that broke."""
    if isinstance(error, ClientError):
        return code_of(error) in _PASSING or _status_of(error) >= 500 or _status_of(error) == 429
    if isinstance(error, ValueError):
        # botocore's parser on half a number or date, from an answer cut in its head.
        return not isinstance(error, UnicodeError)
    return isinstance(
        error,
        boto.HTTPClientError
        | boto.ConnectionError
        | boto.IncompleteReadError
        | ResponseParserError
        | urllib3.exceptions.HTTPError
        | ConnectionError
        | TimeoutError,
    )


_NO_S3 = "what answers there does not speak S3"


def _where_from() -> str:
    """Which endpoint it is that S3 is looked for at."""
    endpoint = setting("PCAKD_S3_ENDPOINT_URL")
    return f"PCAKD_S3_ENDPOINT_URL is {_shown(endpoint)}" if endpoint else "PCAKD_S3_ENDPOINT_URL is not set"


def describe(error: Exception) -> str:
    """A short text of an error, built from codes alone: server texts can repeat access keys."""
    if isinstance(error, ClientError):
        return f"{code_of(error)}, HTTP status {_status_of(error)}"
    if isinstance(error, boto.EndpointConnectionError):
        # Host and port alone: the rest of the address is the object's, and may be signed.
        address = urlsplit(str(error.kwargs.get("endpoint_url", "")))
        return f"no server answers at {address.scheme}://{address.netloc.rpartition('@')[2]}"
    if isinstance(error, ResponseParserError):
        return f"{_NO_S3}; {_where_from()}"
    return type(error).__name__


def translated(error: Exception, verb: str, where: str) -> Exception:
    """The project's error for one that will not pass; the error itself where it is none of S3's."""
    if isinstance(error, PcakdError):
        return error
    if isinstance(error, ClientError):
        return _from_code(code_of(error), _status_of(error), verb, where)
    if isinstance(error, _NO_CREDENTIALS):
        return AccessError(
            f"cannot {verb} {where}: no S3 credentials{reader()}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            f"{' there' if reader() else ''}",
            credentials=True,
        )
    if isinstance(error, UnicodeError | boto.ParamValidationError | boto.InvalidEndpointConfigurationError):
        return UsageError(f"cannot {verb} {where}: S3 does not take this bucket name or key")
    if isinstance(error, boto.BotoCoreError):
        return FatalError(f"cannot {verb} {where}: {type(error).__name__}")
    return error


def _from_code(code: str, status: int, verb: str, where: str) -> PcakdError:
    if code in _CREDENTIALS:
        return AccessError(
            f"cannot {verb} {where}: the S3 server refuses the credentials{reader()} ({code}); check "
            "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and this machine's clock",
            credentials=True,
        )
    if code.startswith("KMS."):
        return AccessError(
            f"cannot {verb} {where}: the encryption key cannot be used ({code}); check --sse and its rights"
        )
    if code in _NOT_HERE:
        return FatalError(f"cannot {verb} {where}: this server has no such {_NOT_HERE[code]} ({code}); choose another")
    if code == "InvalidObjectState":
        return ArchivedError(f"{where}: lies in an archive storage class; restore it in S3 first, then run again")
    if code in _DENIED or status in (401, 403):
        return AccessError(f"cannot {verb} {where}: these S3 credentials{reader()} do not allow it ({code})")
    if status == 404 and verb == "list" and code not in _BUCKET:  # S3 would say NoSuchBucket
        return NotFoundError(f"cannot list {where}: {_NO_S3}; {_where_from()}")
    if code in _BUCKET:
        return NotFoundError(
            f"cannot {verb} {where}: no such bucket at this endpoint and region ({code}); "
            "check the name, PCAKD_S3_ENDPOINT_URL and AWS_REGION"
        )
    if code in MISSING or status == 404:
        return NotFoundError(f"{where}: no such object")
    if code in ("KeyTooLongError", "InvalidObjectName", "InvalidURI"):
        return UsageError(f"cannot {verb} {where}: S3 does not take this key ({code})")
    return FatalError(f"cannot {verb} {where}: the S3 server answers {code} (HTTP status {status})")
