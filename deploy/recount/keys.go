package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"recount/deploy/server/keys"
	"recount/schemas/access"
)

type keysCmd struct {
	Create keysCreateCmd `cmd:"" help:"Create a key and print it. It is never shown again."`
	List   keysListCmd   `cmd:"" help:"List keys by their ids, without their secrets."`
	Revoke keysRevokeCmd `cmd:"" help:"Revoke keys. Running servers refuse them within seconds."`
}

// keysFileFlag names the keys file by its own flag. Otherwise it is auth.keys_file of the configuration, which the
// variable RECOUNT_AUTH_KEYS_FILE can set too.
type keysFileFlag struct {
	fileFlag
	KeysFile string `type:"path" help:"Keys file; when empty, auth.keys_file of the configuration."`
}

func (f keysFileFlag) path(s *settingsFlags) (string, error) {
	if f.KeysFile != "" {
		return f.KeysFile, nil
	}
	cfg, err := f.load(s)
	if err == nil && cfg.Auth.KeysFile == "" {
		err = usageError{errors.New("which keys file? Name it with --keys-file, or set auth.keys_file " +
			"and pass --config")}
	}
	return cfg.Auth.KeysFile, err
}

type keysCreateCmd struct {
	keysFileFlag
	Tenant  string        `required:"" help:"Tenant whose events the key can write and read: a-z, 0-9, - and _."`
	Scope   []string      `required:"" help:"What it allows: ingest, query, admin, metrics; or only collect."`
	Type    []string      `help:"Event types that a key of scope collect may send."`
	Origin  []string      `help:"Origins of the pages that send with it, such as https://shop.example; * for all."`
	Rate    float64       `default:"100" help:"Events that it may send per second."`
	Expires time.Duration `help:"How long the key is valid, such as 2160h; when 0, until it is revoked."`
}

// Run prints only the key on standard output, so that a script can store it.
func (c *keysCreateCmd) Run(s *settingsFlags, std streams) error {
	scopes, err := access.ParseScopes(c.Scope)
	if err = errors.Join(err, access.CheckTenant(c.Tenant)); err != nil {
		return usageError{err}
	}
	if c.Expires < 0 {
		return usageError{errors.New("--expires: use a positive duration such as 2160h")}
	}
	collect, err := c.collect(scopes)
	if err != nil {
		return usageError{err}
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
	k.Collect = collect
	if err := keys.Update(path, func(ks []keys.Key) ([]keys.Key, error) { return append(ks, k), nil }); err != nil {
		return fmt.Errorf("create key: %w", err)
	}
	fmt.Fprintf(std.err, "key %s of tenant %s may %s; it is not shown again:\n", k.ID, k.Tenant, k.Scopes)
	fmt.Fprintln(std.out, text)
	return nil
}

// collect returns what the key may send if its scope is collect, and else nil.
func (c *keysCreateCmd) collect(scopes access.Scopes) (*access.Collect, error) {
	if !scopes.Has(access.Collects) {
		if len(c.Type)+len(c.Origin) > 0 {
			return nil, errors.New("--type, --origin: they are for a key of --scope collect alone")
		}
		return nil, nil
	}
	collect := &access.Collect{Types: c.Type, Origins: c.Origin, Rate: c.Rate}
	if err := collect.Check(); err != nil {
		return nil, fmt.Errorf("--type, --origin, --rate: %w", err)
	}
	return collect, nil
}

type keysListCmd struct{ keysFileFlag }

// Run prints one line for each key.
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
	fmt.Fprintln(w, "ID\tTENANT\tSCOPES\tCREATED\tEXPIRES\tREVOKED\tCOLLECTS")
	for _, k := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Tenant, k.Scopes, stamp(k.Created), stamp(k.Expires),
			stamp(k.Revoked), describeCollect(k.Collect))
	}
	return w.Flush()
}

// describeCollect says what a key of scope collect may send, and nothing of another key.
func describeCollect(c *access.Collect) string {
	if c == nil {
		return ""
	}
	return fmt.Sprintf("%s from %s, %v/s", strings.Join(c.Types, ","), strings.Join(c.Origins, ","), c.Rate)
}

type keysRevokeCmd struct {
	keysFileFlag
	ID     []string `arg:"" optional:"" help:"Ids of keys, as recount keys list shows them."`
	Tenant string   `help:"Revoke all keys of this tenant, or with --scope only those that have the scopes."`
	Scope  []string `help:"Scopes that a key of --tenant must have to be revoked."`
}

// Run revokes all of the chosen keys, or none if one id is unknown.
func (c *keysRevokeCmd) Run(s *settingsFlags, std streams) error {
	chosen, err := c.filter()
	if err != nil {
		return usageError{err}
	}
	path, err := c.path(s)
	if err != nil {
		return err
	}
	revoked, err := keys.Revoke(path, c.ID, chosen, time.Now().UTC().Truncate(time.Second))
	if err != nil {
		return fmt.Errorf("revoke keys: %w", err)
	}
	for _, k := range revoked {
		fmt.Fprintf(std.out, "revoked %s of tenant %s\n", k.ID, k.Tenant)
	}
	if len(revoked) == 0 {
		return errors.New("nothing to revoke: no key matches, or the keys are revoked already")
	}
	fmt.Fprintf(std.err, "servers that read %s refuse revoked keys within %s\n", path, keys.ReloadEvery)
	return nil
}

// filter returns which keys --tenant and --scope choose.
func (c *keysRevokeCmd) filter() (func(keys.Key) bool, error) {
	if (len(c.ID) > 0) == (c.Tenant != "") || c.Tenant == "" && len(c.Scope) > 0 {
		return nil, errors.New("name ids of keys, or --tenant with an optional --scope")
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
