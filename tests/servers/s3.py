"""What a test needs to know of an S3 server, whichever it is."""

import itertools
from dataclasses import dataclass
from typing import Any

_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class S3Server:
    """A running S3 server.

    endpoint: "http://127.0.0.1:port".
    """

    endpoint: str
    access_key: str
    secret_key: str

    def environment(self, endpoint: str | None = None) -> dict[str, str]:
        """Variables that send a process's storage here, or through a proxy at `endpoint`."""
        return {
            "PCAKD_S3_ENDPOINT_URL": endpoint or self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def client(self) -> Any:
        """A plain boto3 client, to prepare and to inspect buckets with."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
        )

    def new_bucket(self) -> str:
        """Create a bucket of a name not used before; its name."""
        name = f"test-bucket-{next(_numbers)}"
        self.client().create_bucket(Bucket=name)
        return name
