"""Bodies that schemathesis cannot draw from a schema: lines of JSON, and YAML."""

import json

import schemathesis
from hypothesis import strategies as st

text = st.text(max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(text, v, max_size=3), max_leaves=8)
data = st.fixed_dictionaries({}, optional={"page": values, "country": values, "user": values, "milliseconds": values})
events = st.fixed_dictionaries(
    {"id": text, "type": st.sampled_from(["page.viewed", "nothing", ""])},
    optional={"source": text, "time": st.datetimes().map(lambda t: t.isoformat() + "Z") | text, "data": data, "x": scalars})
lines = st.one_of(events.map(json.dumps), values.map(json.dumps), text)

schemathesis.openapi.media_type(
    "application/x-ndjson", st.lists(lines, max_size=5).map(lambda all: "\n".join(all).encode("utf-8", "surrogatepass")))
schemathesis.openapi.media_type(
    "application/yaml", st.one_of(values.map(json.dumps), text).map(lambda t: t.encode("utf-8", "surrogatepass")))
