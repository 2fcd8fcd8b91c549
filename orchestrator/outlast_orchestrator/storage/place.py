"""A bucket that is being checked: what it is, where in it, and how its owner would mend it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from shlex import quote
from urllib.parse import unquote, urlsplit

from outlast.bucket.client import beneath, open_bucket
from outlast.bucket.obstore_client import ObjectStoreBucket
from outlast.ports import Bucket


@dataclass(frozen=True)
class Place:
    """`kind`: s3, gs, az or folder. `store`: the same bucket without the prefix, None for a folder."""

    url: str
    kind: str
    name: str
    prefix: str  # "" or with a slash at its end
    bucket: Bucket
    store: ObjectStoreBucket | None
    settings: Mapping[str, str]  # what a client of another library needs: endpoint, region
    options: Mapping[str, str]

    @property
    def rights(self) -> str:
        """How to get the rights that an agent and the controller need."""
        if self.kind == "s3":
            arn = f"arn:aws:s3:::{self.name}"
            return (
                f"allow s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload on "
                f"{arn}/{self.prefix}*, and s3:ListBucket on {arn}"
            )
        if self.kind == "gs":
            return (
                f"gcloud storage buckets add-iam-policy-binding gs://{self.name} "
                "--member=serviceAccount:NAME --role=roles/storage.objectUser"
            )
        if self.kind == "az":
            return (
                'az role assignment create --role "Storage Blob Data Contributor" --assignee NAME '
                f"--scope .../storageAccounts/ACCOUNT/blobServices/default/containers/{self.name}"
            )
        return f"chown it to the user that runs the server and the agents: chown -R NAME {quote(self.name)}"


def open_place(url: str, options: Mapping[str, str]) -> Place:
    """Raises ValueError when the URL is not one."""
    bucket = open_bucket(url, options=options)
    whole, prefix = beneath(bucket)
    if not isinstance(whole, ObjectStoreBucket):
        path = url if url.startswith("/") else unquote(urlsplit(url).path)
        return Place(url, "folder", path, "", bucket, None, {}, {})
    kind, _, name = whole.place.partition("://")
    return Place(url, kind, name, prefix, bucket, whole, whole.settings, options)
