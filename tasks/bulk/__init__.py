"""Stylize every photo of a folder or prefix, on Ray Data.

report = stylize_bucket(BucketJob(source="s3://in", dest="s3://out", styles=("style.jpg",)))
"""

from pcakd.bulk import BucketJob, RunOptions
from tasks.bulk.job import BucketReport, stylize_bucket
from tasks.bulk.progress import BulkProgress

__all__ = ["BucketJob", "BucketReport", "BulkProgress", "RunOptions", "stylize_bucket"]
