package reader

import (
	"context"
	"encoding/json"
	"fmt"

	"recount/schemas/query"
	"recount/schemas/record"
)

// Identity returns the identity that the answer to a query would have now (merge.Answer), if there is one. It reads no
// rows. So it returns one also where Answer fails with an error of the layers or of the rows, such as *merge.FillError.
func (r *Reader) Identity(ctx context.Context, q *query.Query, tenant string) (string, error) {
	asked := *q
	if asked.Mode != query.Exact {
		return "", nil
	}
	if err := asked.Continue(tenant); err != nil {
		return "", err
	}
	state, err := r.pin(ctx, &asked)
	if err != nil {
		return "", err
	}
	scan, err := r.resolve(ctx, &asked, state, tenant)
	if err != nil {
		return "", err
	}
	return identity(state, &asked, scan)
}

// identity names what the answer to a resolved query is a function of: the publication, the definition of the view, the
// tenant and the query. Times such as today are resolved, so they are other ones on another day. Without from or to,
// the range is that of the publication's data. The member next of an answer is also about the query as it was sent, so
// the identity has a cursor. An answer with a live part, with an explanation or to a query that
// demands something of its age has no identity.
func identity(state *record.State, q *query.Query, scan *query.Scan) (string, error) {
	if q.Mode != query.Exact || state.Publication == nil || q.Explain || q.WaitsFor() {
		return "", nil
	}
	asked, err := json.Marshal(q)
	if err != nil {
		return "", fmt.Errorf("encode the query: %w", err)
	}
	return fmt.Sprintf("%d %q %q %q %q %t %q %s", state.N, state.Digest, scan.Digest,
		state.Views[scan.View.Name].Digest, scan.Tenant, q.Widened, q.Next(state.N, 0), asked), nil
}
