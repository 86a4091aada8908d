// Package recordtest serves tests: a commit log in memory, and the conformance test that
// every record.CommitLog passes.
package recordtest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"recount/schemas/record"
)

// Memory is a record.CommitLog in memory. The zero value is empty.
type Memory struct {
	mu sync.Mutex
	// Bodies holds the records by key. A test may change it while nothing else runs.
	Bodies map[string][]byte
	// Overwrites is a fault of the store: Create replaces what is there.
	Overwrites bool
}

// Create implements record.CommitLog.
func (m *Memory) Create(ctx context.Context, key string, body []byte) (record.Outcome, []byte, error) {
	if err := ctx.Err(); err != nil {
		return record.Unknown, nil, fmt.Errorf("create %s: %w", key, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	there, ok := m.Bodies[key]
	if ok && !bytes.Equal(there, body) && !m.Overwrites {
		return record.Exists, bytes.Clone(there), nil
	}
	if m.Bodies == nil {
		m.Bodies = map[string][]byte{}
	}
	m.Bodies[key] = append([]byte{}, body...)
	return record.Created, nil, nil
}

// Get implements record.CommitLog.
func (m *Memory) Get(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	body, ok := m.Bodies[key]
	if !ok {
		return nil, fmt.Errorf("get %s: %w", key, record.ErrNotFound)
	}
	return bytes.Clone(body), nil
}

// List implements record.CommitLog.
func (m *Memory) List(_ context.Context, prefix string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var keys []string
	for key := range m.Bodies {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys, nil
}

// Delete removes records, as the object store under a commit log can.
func (m *Memory) Delete(_ context.Context, keys ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range keys {
		delete(m.Bodies, key)
	}
	return nil
}
