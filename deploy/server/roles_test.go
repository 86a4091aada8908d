package server

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// TestEmbeddedEnginesWantAllRoles starts a process over embedded engines with some roles and with all. The other roles
// would run nowhere, which the first start says. It is not parallel: a process has one embedded ClickHouse.
func TestEmbeddedEnginesWantAllRoles(t *testing.T) {
	for _, roles := range []Roles{Ingest | Speed, AllRoles} {
		var log bytes.Buffer
		s, err := Open(t.Context(), countedConfig(t),
			Options{Roles: roles, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err == nil {
			err = s.close()
		}
		if err != nil {
			t.Fatal(err)
		}
		const want = `embedded="[log.url object_store.url clickhouse.url]" missing_roles="[landing batch serving]"`
		if got := strings.Contains(log.String(), want); got != (roles != AllRoles) {
			t.Errorf("%v: the start has logged %s", roles.Names(), log.String())
		}
	}
}
