package lake

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts requests to the store, retries included.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	bytes    *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "recount_lake_requests_total",
			Help: "Requests to the object store, by operation and HTTP status. Status none is no answer."},
			[]string{"op", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "recount_lake_request_seconds", Help: "Seconds until the answer of the object store began.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15)}, []string{"op"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "recount_lake_bytes_total", Help: "Bytes of bodies that the object store got (out) and sent (in)."},
			[]string{"direction"}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.bytes} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// operationKey is the key of a context's operation.
type operationKey struct{}

// withOperation names the operation of the requests that are made with the context.
func withOperation(ctx context.Context, operation string) context.Context {
	return context.WithValue(ctx, operationKey{}, operation)
}
