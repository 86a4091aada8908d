package eventlog

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// An error names what the server clearly refused; every other outcome is unknown (L2).
func TestClassify(t *testing.T) {
	t.Parallel()
	api := func(code jetstream.ErrorCode, description string) error {
		return &jetstream.APIError{Code: 503, ErrorCode: code, Description: description}
	}
	for _, c := range []struct{ in, want error }{
		{api(10077, "maximum bytes exceeded"), ErrFull},
		{api(10077, "message too large"), ErrTooLarge},
		{api(10077, "store is closed"), ErrUnavailable},
		{api(10047, "insufficient storage resources available"), ErrFull},
		{api(10023, "insufficient resources"), ErrFull},
		{api(10002, "resource limits exceeded for account"), ErrFull},
		{api(10122, "stream max bytes exceeds account limit"), ErrFull},
		{api(10054, "message size exceeds maximum allowed"), ErrTooLarge},
		{api(10060, "expected stream does not match"), ErrAltered},
		{api(10008, "temporarily unavailable"), ErrUnavailable},
		{jetstream.ErrStreamNotFound, ErrAltered},
		{nats.ErrMaxPayload, ErrTooLarge},
		{jetstream.ErrAsyncPublishTimeout, ErrUnavailable},
		{nats.ErrDisconnected, ErrUnavailable},
		{errors.New("anything else"), ErrUnavailable},
	} {
		got := classify(c.in)
		if !errors.Is(got, c.want) || !errors.Is(got, c.in) {
			t.Errorf("%v: got %v, want it wrapped in %v", c.in, got, c.want)
		}
		for _, other := range []error{ErrFull, ErrTooLarge, ErrAltered, ErrUnavailable} {
			if !errors.Is(c.want, other) && errors.Is(got, other) {
				t.Errorf("%v: got %v, which is also %v", c.in, got, other)
			}
		}
	}
	if classify(nil) != nil {
		t.Error("classify made an error of nil")
	}
}
