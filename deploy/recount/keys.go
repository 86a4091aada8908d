package main

import (
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"recount/deploy/server/keys"
	"recount/schemas/access"
)

type keysCmd struct {
	Create keysCreateCmd `cmd:"" help:"Make a key and print it, this once."`
	List   keysListCmd   `cmd:"" help:"List keys; never the keys themselves."`
	Revoke keysRevokeCmd `cmd:"" help:"Revoke a key; a running server follows within seconds."`
}

// keysFileFlag finds the keys file: by its own flag, or as auth.keys_file of the
// configuration, which is also the environment's RECOUNT_AUTH_KEYS_FILE.
type keysFileFlag struct {
	fileFlag
	KeysFile string `type:"path" help:"The keys file; auth.keys_file of the configuration when empty."`
}

func (f keysFileFlag) path(s *settingsFlags) (string, error) {
	if f.KeysFile != "" {
		return f.KeysFile, nil
	}
	cfg, err := f.load(s)
	if err == nil && cfg.Auth.KeysFile == "" {
		err = usageError{errors.New("which keys file? Name it with --keys-file, or set auth.keys_file and pass --config")}
	}
	return cfg.Auth.KeysFile, err
}

type keysCreateCmd struct {
	keysFileFlag
	Tenant  string        `required:"" help:"Whose events the key writes and reads: a-z, 0-9, - and _."`
	Scope   []string      `required:"" help:"What it may do: ingest, query, admin. Admin sees counts over all tenants."`
	Expires time.Duration `help:"How long it is good for, such as 2160h; until it is revoked when 0."`
}

// Run prints the key alone on standard output, so that a script can keep it.
func (c *keysCreateCmd) Run(s *settingsFlags, std streams) error {
	scopes, err := access.ParseScopes(c.Scope)
	if err = errors.Join(err, access.CheckTenant(c.Tenant)); err != nil {
		return usageError{err}
	}
	if c.Expires < 0 {
		return usageError{errors.New("--expires: use a duration such as 2160h")}
	}
	path, err := c.path(s)
	if err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Second)
	var expires time.Time
	if c.Expires > 0 {
		expires = now.Add(c.Expires)
	}
	k, text := keys.New(c.Tenant, scopes, now, expires)
	if err := keys.Update(path, func(ks []keys.Key) ([]keys.Key, error) { return append(ks, k), nil }); err != nil {
		return fmt.Errorf("create a key: %w", err)
	}
	fmt.Fprintf(std.err, "key %s of tenant %s may %s; it is not shown again:\n", k.ID, k.Tenant, k.Scopes)
	fmt.Fprintln(std.out, text)
	return nil
}

type keysListCmd struct{ keysFileFlag }

// Run prints a line a key.
func (c *keysListCmd) Run(s *settingsFlags, std streams) error {
	path, err := c.path(s)
	if err != nil {
		return err
	}
	list, _, err := keys.Read(path)
	if err != nil {
		return fmt.Errorf("list keys: %w", err)
	}
	w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tTENANT\tSCOPES\tCREATED\tEXPIRES\tREVOKED")
	for _, k := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Tenant, k.Scopes, stamp(k.Created), stamp(k.Expires),
			stamp(k.Revoked))
	}
	return w.Flush()
}

type keysRevokeCmd struct {
	keysFileFlag
	ID     []string `arg:"" optional:"" help:"Ids of keys, as keys list shows them."`
	Tenant string   `help:"Revoke every key of this tenant; with --scope only those that have it."`
	Scope  []string `help:"Scopes the keys of --tenant must have."`
}

// Run revokes all the keys named or none.
func (c *keysRevokeCmd) Run(s *settingsFlags, std streams) error {
	meant, err := c.meant()
	if err != nil {
		return usageError{err}
	}
	path, err := c.path(s)
	if err != nil {
		return err
	}
	revoked, err := keys.Revoke(path, c.ID, meant, time.Now().UTC().Truncate(time.Second))
	if err != nil {
		return fmt.Errorf("revoke keys: %w", err)
	}
	for _, k := range revoked {
		fmt.Fprintf(std.out, "revoked %s of tenant %s\n", k.ID, k.Tenant)
	}
	if len(revoked) == 0 {
		return errors.New("there was nothing to revoke")
	}
	fmt.Fprintf(std.err, "servers that read %s follow within %s\n", path, keys.ReloadEvery)
	return nil
}

// meant says which keys the flags mean, besides those named by id.
func (c *keysRevokeCmd) meant() (func(keys.Key) bool, error) {
	if (len(c.ID) > 0) == (c.Tenant != "") || c.Tenant == "" && len(c.Scope) > 0 {
		return nil, errors.New("name ids of keys, or --tenant and perhaps --scope")
	}
	var scopes access.Scopes
	if len(c.Scope) > 0 {
		var err error
		if scopes, err = access.ParseScopes(c.Scope); err != nil {
			return nil, err
		}
	}
	return func(k keys.Key) bool { return c.Tenant != "" && k.Tenant == c.Tenant && k.Scopes.Has(scopes) }, nil
}
