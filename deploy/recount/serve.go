package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"recount/deploy/server"
)

// replaceFlags let something take the place of what is lost for ever.
type replaceFlags struct {
	ReplaceLog     bool `help:"Let a new log replace one that is lost for ever; what had not landed is given up."`
	ReplaceCatalog bool `help:"Let the newest stored generation of the catalog replace ones that are lost for ever."`
}

func (f replaceFlags) replace() server.Replace {
	return server.Replace{Log: f.ReplaceLog, Catalog: f.ReplaceCatalog}
}

type upCmd struct {
	fileFlag
	replaceFlags
	settable
}

// Run runs every role until the context ends.
func (c *upCmd) Run(ctx context.Context, s *settingsFlags, std streams) error {
	return serve(ctx, c.fileFlag, s, std, server.Options{Roles: server.AllRoles, Replace: c.replace()})
}

type serveCmd struct {
	fileFlag
	replaceFlags
	settable
	Role []string `required:"" enum:"ingest,speed,landing,batch,serving" help:"Roles of this process: ${enum}."`
}

// Run runs the chosen roles until the context ends.
func (c *serveCmd) Run(ctx context.Context, s *settingsFlags, std streams) error {
	roles, err := server.ParseRoles(c.Role)
	if err != nil {
		return usageError{err}
	}
	return serve(ctx, c.fileFlag, s, std, server.Options{Roles: roles, Replace: c.replace()})
}

func serve(ctx context.Context, f fileFlag, s *settingsFlags, std streams, o server.Options) error {
	cfg, err := f.load(s)
	if err != nil {
		return err
	}
	logger := cfg.Logger.New(std.err)
	defer ignoreHangups(logger)()
	o.Logger = logger
	running, err := server.Open(ctx, cfg, o)
	if err != nil {
		return err
	}
	fmt.Fprintf(std.out, "recount %s serves %s on %s, data in %s\n", server.Version(),
		strings.Join(o.Roles.Names(), ", "), running.URL(), cfg.DataDir)
	if at := running.SQLURL(); at != "" {
		fmt.Fprintf(std.out, "clients of ClickHouse connect to %s; a key is the password\n", at)
	}
	fmt.Fprintln(std.out, running.Access())
	if lake := running.LakeAccess(); lake != "" {
		fmt.Fprintln(std.out, lake)
	}
	if running.AwaitsFirst() {
		granularity := " --granularity 1m"
		if cfg.Bucket%time.Minute != 0 { // The view has no cells of a minute.
			granularity = ""
		}
		fmt.Fprintf(std.out, firstCount, running.URL(), os.Args[0], granularity, running.URL())
	}
	tell := func(state string) {
		if err := notify(state); err != nil {
			logger.Warn("the service manager does not know the state of this process", "error", err)
		}
	}
	tell(stateReady) // The listener queues what arrives before Run.
	defer context.AfterFunc(ctx, func() { tell(stateStopping) })()
	return running.Run(ctx)
}

// firstCount is what to type after a first start without a configuration.
const firstCount = `no event type is declared yet; the first events of a type declare it. Send one and count it:
  curl %s/v1/events -H 'Content-Type: application/json' -d '{"id":"1","type":"page.viewed","data":{"page":"/"}}'
  %s query page_viewed%s --server %s
`

// ignoreHangups keeps SIGHUP from ending the server until the returned function is called. Many services reload on
// it; a server reads keys and certificates again by itself.
func ignoreHangups(logger *slog.Logger) (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		for range hangups {
			logger.Info("SIGHUP is ignored: keys and certificates are read again when their files change, and other " +
				"settings need a restart")
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(hangups)
	}
}
