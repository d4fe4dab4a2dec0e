"""Stylize every photo of a folder or prefix.

report = stylize_bucket(BucketJob(source="s3://in", dest="s3://out", styles=("style.jpg",)))
"""

from tasks.stylize_bucket.job import BucketJob, BucketReport, stylize_bucket

__all__ = ["BucketJob", "BucketReport", "stylize_bucket"]
