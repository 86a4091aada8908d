package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"recount/batch/cells"
	"recount/batch/landing"
	"recount/deploy/server/janitor"
	"recount/schemas/eventbatch"
	"recount/schemas/failpoint"
	"recount/schemas/position"
	"recount/schemas/record"
)

// errForeign is wrapped by the error about a log, an object store, a ClickHouse or snapshots that do not
// belong together (I8, L8). Nothing is accepted, landed or deleted then.
var errForeign = errors.New("the stored data does not belong together")

// openInstallation finds out to which installation the object store belongs, and that the log and
// ClickHouse belong to it too. If all three are new, it begins an installation. It runs before anything
// is accepted, landed or deleted. To open the engines has already created a missing bucket and missing streams.
func (s *Server) openInstallation(ctx context.Context) error {
	found, err := s.findInstallation(ctx)
	if err != nil {
		return err
	}
	if err := s.checkLogOwner(ctx); err != nil {
		return err
	}
	if err := s.checkStreams(ctx); err != nil {
		return err
	}
	owner, err := s.sql().Installation(ctx)
	if err == nil && owner != "" {
		err = s.checkSQLOwner(owner)
	}
	if err != nil {
		return err
	}
	s.made = nil
	if !found {
		if err := s.beginInstallation(ctx); err != nil {
			return err
		}
	}
	return s.claim(ctx)
}

// sql returns the batch views.
func (s *Server) sql() *cells.Store { return cells.NewStore(s.engines.sql, s.declared) }

// findInstallation reads the record of the object store. Without one it checks whether an installation may begin, and
// returns false and the record that it would have.
func (s *Server) findInstallation(ctx context.Context) (found bool, err error) {
	s.installation, err = readInstallation(ctx, s.engines.records)
	if !errors.Is(err, record.ErrNotFound) {
		return true, err
	}
	if s.installation, err = s.newInstallation(ctx); err == nil {
		return false, nil
	}
	if i, again := readInstallation(ctx, s.engines.records); again == nil {
		s.installation = i
		return true, nil // Another process was first, and the parts belong to its installation.
	}
	return false, err
}

// readInstallation reads the record of an object store. The error wraps record.ErrNotFound if there is none.
func readInstallation(ctx context.Context, records record.CommitLog) (*record.Installation, error) {
	raw, err := records.Get(ctx, record.InstallationKey)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", record.InstallationKey, err)
	}
	i, err := record.DecodeInstallation(raw)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", record.InstallationKey, err)
	}
	return i, nil
}

// newInstallation returns the record with which an installation begins. An object store that holds commit records is of
// a program from before there were installations, and is adopted with what belongs to it. To an empty one
// only a log and a ClickHouse belong that were never used.
func (s *Server) newInstallation(ctx context.Context) (*record.Installation, error) {
	chain, err := landing.LoadChain(ctx, s.engines.records, 0)
	if err != nil {
		return nil, err
	}
	if err := s.checkOverlap(ctx, chain.Begun()); err != nil {
		return nil, err
	}
	if chain.Begun() {
		err = s.checkAdopted(ctx, chain)
	} else {
		err = s.checkUnused(ctx)
	}
	if err != nil {
		return nil, err
	}
	i := &record.Installation{ID: rand.Text(), Identity: eventbatch.TenantSourceID, Partitions: s.cfg.Log.Partitions,
		Bucket: s.cfg.Bucket, Log: s.engines.log.ID(), Adopted: chain.Begun(),
		Versions: record.Versions{Records: record.CurrentFormat, Frames: eventbatch.Version}, Code: Version(),
		Created: failpoint.Now().UTC()}
	if chain.Begun() {
		i.Identity = eventbatch.TenantID
		i.Partitions = chain.Partitions
		i.Bucket = chain.Bucket
	}
	return i, nil
}

// beginInstallation creates the record of a new installation.
func (s *Server) beginInstallation(ctx context.Context) error {
	raw, err := s.installation.Encode()
	if err != nil {
		return err
	}
	outcome, there, err := s.engines.records.Create(ctx, record.InstallationKey, raw)
	if err != nil {
		return fmt.Errorf("create %s: %w", record.InstallationKey, err)
	}
	if outcome == record.Created {
		s.logger.Info("begin an installation", "installation", s.installation.ID, "log", s.installation.Log,
			"adopts_older_data", s.installation.Adopted)
		return nil
	}
	s.installation, err = record.DecodeInstallation(there) // Another process was first.
	return err
}

// placeName says where an engine keeps its data, without the passwords that a URL may hold.
func placeName(address, dataDir, folder string) string {
	if address == Embedded {
		return "in " + filepath.Join(dataDir, folder)
	}
	u, err := url.Parse(address)
	if err != nil {
		return "of the configuration"
	}
	return "at " + u.Host + u.Path
}

// dataFolder has the Parquet objects of a lake.
const dataFolder = "data/"

// recordFolders returns the folders of a lake whose objects are all records.
func recordFolders() []string {
	return []string{"land/", record.PublicationPrefix, "schema/", "chain/", "view/", record.GenerationPrefix,
		record.RetiredPrefix, "jobs/"}
}

// isRecord reports whether the object of a key is a record, with its digest at the end.
func isRecord(key string) bool {
	return key == record.InstallationKey ||
		slices.ContainsFunc(recordFolders(), func(folder string) bool { return strings.HasPrefix(key, folder) })
}

// checkOverlap returns an error if another installation's keys lie above or below those of this one. The
// job collect of the outer one would remove the objects of the inner one, because no record of its own names them.
func (s *Server) checkOverlap(ctx context.Context, begun bool) error {
	outer, found, err := s.engines.lake.Enclosing(ctx, record.InstallationKey)
	if err != nil {
		s.logger.Warn("it is not known whether another installation uses the bucket under a shorter prefix", "error",
			err)
	}
	if found {
		return fmt.Errorf("%w: the object store %s lies below that of another installation, which has the prefix "+
			"%q; use a prefix that is not below it", errForeign, s.lakePlace(), outer)
	}
	if begun {
		return nil
	}
	for _, folder := range append([]string{dataFolder}, recordFolders()...) {
		for o, err := range s.engines.lake.List(ctx, folder, "") {
			if err != nil {
				return err
			}
			return fmt.Errorf("%w: the object store %s has no installation record and no commit records, but it "+
				"holds %s; restore its records, or use another bucket or prefix", errForeign, s.lakePlace(), o.Key)
		}
	}
	return nil
}

// checkAdopted returns an error if the log or ClickHouse cannot belong to the data of an older program, which names
// nothing that it belongs to. After the start they belong together for ever.
func (s *Server) checkAdopted(ctx context.Context, chain *record.Chain) error {
	part, id, err := s.named(ctx, chain)
	if err != nil {
		return err
	}
	if id != "" {
		return fmt.Errorf("%w: the object store %s lacks %s, but %s names installation %s; restore that object from a "+
			"copy of the bucket", errForeign, s.lakePlace(), record.InstallationKey, part, id)
	}
	used, err := s.engines.log.Used(ctx)
	if err != nil {
		return err
	}
	if !used && chain.Head.Seq > position.First && !s.replace.Log {
		return fmt.Errorf("%w: events of a log have landed in the object store %s, but the log %s is new and empty; "+
			"put the log back, or, if it is lost for ever, start once with --replace-log: events that had not landed "+
			"are given up", errForeign, s.lakePlace(), s.logPlace())
	}
	if err := s.checkAdoptedLog(ctx); err != nil {
		return err
	}
	published, err := s.sql().Projected(ctx)
	if err != nil || published == 0 {
		return err
	}
	_, err = s.engines.records.Get(ctx, record.PublicationKey(published))
	if errors.Is(err, record.ErrNotFound) {
		return fmt.Errorf("%w: the ClickHouse %s shows publication %d, and the object store %s does not have it; "+
			"check clickhouse.url and object_store.url", errForeign, s.sqlPlace(), published, s.lakePlace())
	}
	return err
}

// checkAdoptedLog returns an error if the log has other messages than those that have landed, or than those that
// the folder of the real-time views remembers. A log without any of these messages cannot be judged: an older program
// gave nothing but messages an origin.
func (s *Server) checkAdoptedLog(ctx context.Context) error {
	marks, err := janitor.OpenMarks(snapshotDir(s.cfg), s.engines.log, s.logger)
	if err != nil {
		return err
	}
	other, err := marks.OtherLog(ctx)
	if err != nil {
		return err
	}
	if other {
		return fmt.Errorf("%w: the folder %s remembers another message than the log %s has; put the right folder or "+
			"log back, or move the folder away, if its log is the right one", errForeign, snapshotDir(s.cfg),
			s.logPlace())
	}
	for p := range s.engines.log.Partitions() {
		chain, err := landing.LoadChain(ctx, s.engines.records, p)
		if err != nil {
			return err
		}
		landed, err := s.landedFrom(ctx, chain)
		if errors.Is(err, position.ErrGap) || errors.Is(err, eventbatch.ErrCorrupt) {
			continue // C7 names the message.
		}
		if err != nil {
			return err
		}
		if !landed {
			return fmt.Errorf("%w: the log %s has other messages in partition %d than those that have landed in the "+
				"object store %s; check log.url, object_store.url and data_dir", errForeign, s.logPlace(), p,
				s.lakePlace())
		}
	}
	return nil
}

// landedFrom reports whether the newest segment of a chain whose messages the log still has is made of them. It
// returns true if there is none.
func (s *Server) landedFrom(ctx context.Context, chain *record.Chain) (bool, error) {
	first, next, err := s.engines.log.Bounds(ctx, chain.Partition)
	if err != nil {
		return false, err
	}
	for _, c := range slices.Backward(chain.Segments) {
		if len(c.Objects) > 0 && c.Start >= first && c.End <= next {
			return landing.Landed(ctx, source{s.engines.log}, c, chain.Bucket)
		}
	}
	return true, nil
}

// named returns a part that names its installation, and the installation's id. The id is empty if none does.
func (s *Server) named(ctx context.Context, chain *record.Chain) (part, id string, err error) {
	if id = chain.Installation; id != "" {
		return "its commit chain", id, nil
	}
	if id = s.engines.log.Installation(); id != "" {
		return "the log " + s.logPlace(), id, nil
	}
	if id, err = s.sql().Installation(ctx); err != nil || id != "" {
		return "the ClickHouse " + s.sqlPlace(), id, err
	}
	id, err = janitor.FolderInstallation(snapshotDir(s.cfg))
	return "the folder " + snapshotDir(s.cfg), id, err
}

// checkUnused returns an error if the log, ClickHouse or the folder of the real-time views was used although the
// object store is empty.
func (s *Server) checkUnused(ctx context.Context) error {
	used, err := s.engines.log.Used(ctx)
	if err != nil {
		return err
	}
	if used {
		return s.emptyStore("the log "+s.logPlace(), s.engines.log.Installation())
	}
	part, id, err := s.named(ctx, &record.Chain{})
	if err != nil {
		return err
	}
	if id != "" {
		return s.emptyStore(part, id)
	}
	published, err := s.sql().Projected(ctx)
	if err != nil {
		return err
	}
	if published > 0 {
		return s.emptyStore("the ClickHouse "+s.sqlPlace(), "")
	}
	return nil
}

func (s *Server) emptyStore(part, installation string) error {
	if installation == "" {
		installation = "an older program"
	} else {
		installation = "installation " + installation
	}
	return fmt.Errorf("%w: the object store %s is empty, but %s holds data of %s. Is object_store.url the right "+
		"bucket and prefix? If it is, restore its objects from a copy. To begin an empty installation, use another "+
		"data_dir, log and ClickHouse database", errForeign, s.lakePlace(), part, installation)
}

// checkLogOwner returns an error if the log is not the one that the commit chains follow (L8). The chain of
// partition 0 is sealed before all others, so it decides. A new log may take the place of the old one when
// the operator asks for it.
func (s *Server) checkLogOwner(ctx context.Context) error {
	log := s.engines.log
	if id := log.Installation(); id != "" && id != s.installation.ID {
		return fmt.Errorf("%w: the log %s belongs to installation %s, and the object store %s to installation %s; "+
			"check log.url, object_store.url and data_dir", errForeign, s.logPlace(), id, s.lakePlace(),
			s.installation.ID)
	}
	chain, err := landing.LoadChain(ctx, s.engines.records, 0)
	if err != nil {
		return err
	}
	current := janitor.CurrentLog(chain, s.installation.Log)
	if current == log.ID() {
		return nil
	}
	used, err := log.Used(ctx)
	if err != nil {
		return err
	}
	const other = "%w: the log %s is %s, and the object store %s follows log %s. "
	switch {
	case used:
		return fmt.Errorf(other+"Another server uses the object store with that log, or this log was replaced. Put "+
			"log %s back, or use another object_store.url for this log", errForeign, s.logPlace(), log.ID(),
			s.lakePlace(), current, current)
	case !s.replace.Log:
		return fmt.Errorf(other+"This log is new and empty. If another server uses the object store, stop here: one "+
			"object store has one log. If the log is lost for ever, start once with --replace-log: events that had "+
			"not landed are given up", errForeign, s.logPlace(), log.ID(), s.lakePlace(), current)
	}
	s.logger.Warn("a new log takes the place of the one that the object store follows", "log", log.ID(), "before",
		current)
	return nil
}

// checkStreams returns an error if the log has lost the streams of some partitions (L8). A chain begins after all
// streams were claimed, so a stream that is not was created by a start, in place of one that events were accepted into.
// In data that an older program began, only what has landed says so.
func (s *Server) checkStreams(ctx context.Context) error {
	unclaimed, err := s.engines.log.Unclaimed(ctx)
	if err != nil {
		return err
	}
	for _, p := range unclaimed {
		chain, err := landing.LoadChain(ctx, s.engines.records, p)
		if err != nil {
			return err
		}
		if chain.Installation == "" && chain.Head.Seq == position.First {
			continue
		}
		if !s.replace.Log {
			return fmt.Errorf("%w: the log %s has lost the stream of partition %d. Put it back from a copy of the "+
				"log, or, if it is lost for ever, start once with --replace-log: events of the partition that had not "+
				"landed are given up", errForeign, s.logPlace(), p)
		}
		s.logger.Warn("a new stream takes the place of the one that the log has lost", "partition", p)
	}
	return nil
}

// claim writes the installation's id into the log and ClickHouse. A ClickHouse of another installation is refused.
func (s *Server) claim(ctx context.Context) error {
	owner, err := s.sql().Claim(ctx, s.installation.ID)
	if err != nil {
		return err
	}
	if err := s.checkSQLOwner(owner); err != nil {
		return err
	}
	return s.engines.log.Claim(ctx, s.installation.ID)
}

// checkSQLOwner returns an error if ClickHouse belongs to another installation.
func (s *Server) checkSQLOwner(owner string) error {
	if owner == s.installation.ID {
		return nil
	}
	return fmt.Errorf("%w: the ClickHouse %s belongs to installation %q, and the object store %s to "+
		"installation %s; check clickhouse.url and object_store.url, or use an empty database, which the next "+
		"recompute fills",
		errForeign, s.sqlPlace(), owner, s.lakePlace(), s.installation.ID)
}

func (s *Server) logPlace() string  { return placeName(s.cfg.Log.URL, s.cfg.DataDir, "log") }
func (s *Server) lakePlace() string { return placeName(s.cfg.ObjectStore.URL, s.cfg.DataDir, "s3") }
func (s *Server) sqlPlace() string {
	return placeName(s.cfg.ClickHouse.URL, s.cfg.DataDir, "clickhouse")
}
