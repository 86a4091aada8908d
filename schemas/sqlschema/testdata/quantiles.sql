CREATE TABLE IF NOT EXISTS `cells_sales_b7b6cb8b074cc918` (
  `_bucket` DateTime64(6, 'UTC'),
  `_ver` UInt64,
  `tenant` LowCardinality(String),
  `time` DateTime64(6, 'UTC'),
  `_events` UInt64,
  `price__bins` Map(Int16, UInt64)
) ENGINE = MergeTree PARTITION BY toYear(`_bucket`) ORDER BY (`_bucket`, `_ver`, `tenant`, `time`)

sum(xxHash64(concat(reinterpretAsFixedString(length(toString(mapSort(`price__bins`)))), toString(mapSort(`price__bins`)))))
