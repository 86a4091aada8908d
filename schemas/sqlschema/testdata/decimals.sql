CREATE TABLE IF NOT EXISTS `cells_sales_92e9ec428ad0f633` (
  `_bucket` DateTime64(6, 'UTC'),
  `_ver` UInt64,
  `tenant` LowCardinality(String),
  `time` DateTime64(6, 'UTC'),
  `_events` UInt64,
  `count` UInt64,
  `sum__sum` Decimal(38, 2),
  `sum__n` UInt64,
  `min` Nullable(Decimal(18, 2)),
  `max` Nullable(Decimal(18, 2)),
  `avg__sum` Decimal(38, 2),
  `avg__n` UInt64,
  `distinct__state` String
) ENGINE = MergeTree PARTITION BY toYear(`_bucket`) ORDER BY (`_bucket`, `_ver`, `tenant`, `time`)

sum(xxHash64(concat(reinterpretAsFixedString(`count`),
reinterpretAsFixedString(`sum__sum`),
reinterpretAsFixedString(`sum__n`),
reinterpretAsFixedString(isNull(`min`)),
reinterpretAsFixedString(ifNull(`min`, toDecimal64(0, 2))),
reinterpretAsFixedString(isNull(`max`)),
reinterpretAsFixedString(ifNull(`max`, toDecimal64(0, 2))),
reinterpretAsFixedString(`avg__sum`),
reinterpretAsFixedString(`avg__n`),
reinterpretAsFixedString(length(`distinct__state`)),
`distinct__state`)))
