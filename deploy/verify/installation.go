package verify

import (
	"cmp"
	"context"
	"errors"

	"recount/schemas/eventbatch"
	"recount/schemas/record"
)

const putTogether = "put back the part that belongs to it; nothing that was added since can be trusted to be counted"

// checkInstallation compares everything that names an installation, or a log, with the installation's
// record (V11). Data from before there was such a record names none.
func checkInstallation(ctx context.Context, e *Evidence, r *recorder, s *snapshot) error {
	i := &record.Installation{}
	raw, err := e.Records.Get(ctx, record.InstallationKey)
	if err == nil {
		var decoded *record.Installation
		if decoded, err = record.DecodeInstallation(raw); err == nil {
			i = decoded
		}
	}
	missing := errors.Is(err, record.ErrNotFound)
	if err != nil && !missing && !errors.Is(err, record.ErrInvalid) && !errors.Is(err, record.ErrCorrupt) {
		return err
	}
	s.identity = i.Identity
	s.adopted = i.Adopted || missing
	if missing {
		s.identity = eventbatch.TenantID // Data from before there were installations.
	}
	file := Place{File: record.InstallationKey}
	if err != nil && !missing {
		r.find(V11, file, restore, "the record cannot be read: %v", err)
		return nil
	}
	named := int64(0)
	compare := func(where Place, what, installation string) {
		if installation == "" {
			return
		}
		named++
		if missing {
			r.find(V11, file, restore, "the record is missing, and %s names installation %s", what, installation)
			missing = false // One finding is enough.
			s.identity = ""
			i.ID = installation
		}
		if installation != i.ID {
			r.find(V11, where, putTogether, "%s belongs to installation %s, and the object store to %s", what,
				installation, i.ID)
		}
	}
	for _, c := range s.chains {
		for _, seal := range c.seals {
			compare(placeOf(c.partition).InFile(seal.key), "a seal", seal.Next.Installation)
		}
	}
	for _, p := range s.publications {
		compare(Place{File: record.PublicationKey(p.N), Publication: p.N}, "a publication", p.Installation)
	}
	if e.Cells != nil {
		owner, err := e.Cells.Installation(ctx)
		if err != nil {
			return err
		}
		compare(file, "ClickHouse", owner)
	}
	if e.Log != nil {
		compare(file, "the log", e.Log.Installation())
		checkLogs(e.Log.ID(), r, s, i)
	}
	r.examine(V11, named, "names of the installation")
	return nil
}

// checkLogs compares the log with the one that each chain follows (L8).
func checkLogs(id string, r *recorder, s *snapshot, i *record.Installation) {
	for _, c := range s.chains {
		follows := i.Log
		if len(c.seals) > 0 {
			follows = cmp.Or(c.seals[len(c.seals)-1].Next.Log, i.Log)
		}
		if id != "" && follows != "" && follows != id {
			r.find(V11, placeOf(c.partition), putTogether, "the commit chain follows log %s, and the log is %s",
				follows, id)
		}
	}
}
