CREATE TABLE IF NOT EXISTS recount_published
(
    n UInt64,
    view LowCardinality(String),
    digest LowCardinality(String),
    bucket DateTime64(6, 'UTC'),
    ver UInt64
)
ENGINE = MergeTree
ORDER BY (view, digest, bucket, n)
