package lake

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what goes over the wire, retries included.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	bytes    *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "recount_lake_requests_total", Help: "Requests to the object store by operation and HTTP status; " +
				"status none had no answer."}, []string{"op", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "recount_lake_request_seconds", Help: "Time until the answer of the object store began.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15)}, []string{"op"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "recount_lake_bytes_total", Help: "Body bytes exchanged with the object store by direction."},
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

type opKey struct{}

// withOp names the operation that requests made with the context belong to.
func withOp(ctx context.Context, op string) context.Context {
	return context.WithValue(ctx, opKey{}, op)
}
