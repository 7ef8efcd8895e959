"""Files in other places (``s3://``, ``gs://``, ``hf://``, ``ssh://``, ...), read by byte ranges."""
