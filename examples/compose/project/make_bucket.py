"""Make a bucket, unless it is there: python make_bucket.py videos."""

import sys

import boto3

s3 = boto3.client("s3")
name = sys.argv[1]
if name not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
    s3.create_bucket(Bucket=name)
