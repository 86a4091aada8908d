package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"recount/batch/cells"
	"recount/deploy/embedded/s3server"
	"recount/deploy/server/generations"
	"recount/schemas/durable"
	"recount/schemas/record"
)

// Level says how bad a finding of Diagnose is.
type Level string

// The levels of a finding.
const (
	Fine    Level = "ok"
	Warning Level = "warn"
	Failure Level = "fail"
)

// Finding is the result of one check of Diagnose. Fix is empty if there is nothing to do.
type Finding struct {
	Level  Level  `json:"level"`
	Check  string `json:"check"`
	Result string `json:"result"`
	Fix    string `json:"fix,omitempty"`
}

// Diagnose looks at what a configuration needs of a machine and of its stores. It writes nothing, and opens external
// stores for reading alone. The data of embedded stores is read as files, so it may be in use by a server.
func Diagnose(ctx context.Context, cfg Config) []Finding {
	d := &diagnosis{cfg: cfg}
	d.folder()
	d.disk()
	d.memory()
	d.openFiles()
	d.ports(ctx)
	d.library()
	d.identities(ctx)
	d.parts()
	return d.findings
}

// diagnosis gathers findings.
type diagnosis struct {
	cfg      Config
	inUse    bool // another process has the lock of the folder
	findings []Finding

	installation *record.Installation // of an embedded object store; nil if it has none
	streams      map[int]string       // the folders of the streams of an embedded log, by partition
	nameless     []string             // what is wrong with the metadata of streams
	claimed      bool                 // a stream or the high-water marks name an installation
	generation   uint64               // the newest of the catalog in an embedded object store
	named        generations.Named    // what names the highest generation
	publication  uint64               // the newest in an embedded object store

	publicationRecord []byte // its file
	unremembered      bool   // it was said that the high-water marks cannot be read
}

func (d *diagnosis) add(level Level, check, fix, format string, args ...any) {
	d.findings = append(d.findings, Finding{level, check, fmt.Sprintf(format, args...), fix})
}

// existing returns the folder of the data or, if it is not there yet, the folder above it that is.
func (d *diagnosis) existing() string {
	at, err := filepath.Abs(d.cfg.DataDir)
	if err != nil {
		return "."
	}
	for {
		if _, err := os.Stat(at); err == nil || at == filepath.Dir(at) {
			return at
		}
		at = filepath.Dir(at)
	}
}

// The bits of access(2).
const mayWriteAndSearch = 2 | 1

// folder checks the folder of the data: that it can be written, that nobody else can read it, and its lock.
func (d *diagnosis) folder() {
	const check = "data_dir"
	at := d.existing()
	if info, err := os.Stat(at); err == nil && !info.IsDir() {
		d.add(Failure, check, "name a folder with data_dir", "%s is no folder", at)
		return
	}
	if err := syscall.Access(at, mayWriteAndSearch); err != nil {
		d.add(Failure, check, "change its owner or mode, or name another folder with data_dir",
			"%s cannot be written: %v", at, err)
	}
	info, err := os.Stat(d.cfg.DataDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.add(Fine, check, "", "%s does not exist yet; a start makes it", d.cfg.DataDir)
		return
	case err != nil:
		d.add(Failure, check, "name another folder with data_dir", "%v", err)
		return
	case info.Mode().Perm()&0o007 > 0:
		d.add(Warning, check, "chmod o-rwx "+d.cfg.DataDir, "every user of this machine can enter %s", d.cfg.DataDir)
	}
	lock, err := durable.LockShared(filepath.Join(d.cfg.DataDir, lockName))
	switch {
	case err == nil:
		_ = lock.Close()
		d.add(Fine, check, "", "no server uses %s", d.cfg.DataDir)
	case errors.Is(err, durable.ErrLocked):
		d.inUse = true
		owner, _ := os.ReadFile(filepath.Join(d.cfg.DataDir, lockName)) // The finding helps without an owner too.
		d.add(Fine, check, "", "process %s uses %s", owner, d.cfg.DataDir)
	case errors.Is(err, fs.ErrNotExist):
		d.add(Fine, check, "", "%s holds no data yet", d.cfg.DataDir)
	default:
		d.add(Failure, check, "change the mode of the file", "%v", err)
	}
}

// How much of a disk must be free, and how long a flush may take. A request is confirmed after a flush.
const (
	tightDisk   = 10 << 30
	fullDisk    = 1 << 30
	slowFlush   = 20 * time.Millisecond
	uselessDisk = 500 * time.Millisecond
	flushes     = 9
)

func (d *diagnosis) disk() {
	at := d.existing()
	var s syscall.Statfs_t
	if err := syscall.Statfs(at, &s); err != nil {
		d.add(Warning, "disk", "", "its free space is not known: %v", err)
	} else {
		free := int64(s.Bavail) * int64(s.Bsize)
		level := Fine
		fix := ""
		if free < tightDisk {
			level = Warning
			fix = "free some space, or move data_dir to a larger disk"
		}
		if free < fullDisk {
			level = Failure
		}
		d.add(level, "disk", fix, "%.1f GiB are free for %s", float64(free)/(1<<30), at)
	}
	took, err := flushTime(at)
	switch {
	case err != nil:
		d.add(Warning, "fsync", "", "its time was not measured: %v", err)
	case took > uselessDisk:
		d.add(Failure, "fsync", "use a local disk or SSD", "%s, the median of %d", took.Round(time.Microsecond),
			flushes)
	case took > slowFlush:
		d.add(Warning, "fsync", "use a local SSD: every request waits for a flush", "%s, the median of %d",
			took.Round(time.Microsecond), flushes)
	default:
		d.add(Fine, "fsync", "", "%s, the median of %d", took.Round(time.Microsecond), flushes)
	}
}

// ports checks the addresses on which the server listens.
func (d *diagnosis) ports(ctx context.Context) {
	for _, door := range d.cfg.addresses() {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", door.addr)
		switch {
		case err == nil:
			_ = listener.Close()
			d.add(Fine, door.key, "", "%s is free", door.addr)
		case errors.Is(err, syscall.EADDRINUSE) && d.inUse:
			d.add(Fine, door.key, "", "%s is in use, as is data_dir: by the same process or by another", door.addr)
		default:
			d.add(Failure, door.key, "stop what listens there, or choose another address with "+door.flag(), "%s: %v",
				door.addr, err)
		}
	}
}

func (d *diagnosis) library() {
	if d.cfg.ClickHouse.URL != Embedded {
		return
	}
	if err := d.cfg.ClickHouse.CheckLibrary(); err != nil {
		d.add(Failure, "clickhouse.library", "see the message", "%v", err)
		return
	}
	d.add(Fine, "clickhouse.library", "", "the engine library is there")
}

// identity is what a store says about the installation and the log that it belongs to. Empty ids are not known yet.
type identity struct {
	place        string
	installation string
	log          string
}

// storeWait is how long a store may take to answer.
const storeWait = 8 * time.Second

// identities checks that the stores belong together (I8, L8).
func (d *diagnosis) identities(ctx context.Context) {
	const check = "stores"
	e := &engines{readOnly: true}
	defer func() { _ = e.close() }() // Nothing was written.
	var found []identity
	unread := false
	for _, read := range []func(context.Context, *engines) ([]identity, error){d.lakeIdentity, d.logIdentity,
		d.sqlIdentity} {
		ctx, cancel := context.WithTimeout(ctx, storeWait)
		defer cancel() // The connections that it opened last as long.
		ids, err := read(ctx, e)
		if err != nil {
			unread = true
			d.add(Failure, check, "check the address and the credentials in the configuration", "%v", err)
		}
		found = append(found, ids...)
	}
	var first *identity
	var places []string
	for i := range found {
		x := &found[i]
		if x.installation == "" {
			continue
		}
		places = append(places, x.place)
		switch {
		case first == nil:
			first = x
		case x.installation != first.installation, x.log != "" && first.log != "" && x.log != first.log:
			d.add(Failure, check, "point log.url, object_store.url, clickhouse.url and data_dir at stores of one "+
				"installation", "%s belongs to installation %s with log %s, and %s to %s with log %s", first.place,
				first.installation, first.log, x.place, x.installation, x.log)
			return
		}
	}
	if first == nil && unread {
		return
	}
	if first == nil {
		d.add(Fine, check, "", "no store belongs to an installation yet")
		return
	}
	note := ""
	if d.cfg.ClickHouse.URL == Embedded {
		note = "; a start compares the embedded ClickHouse too"
	}
	d.add(Fine, check, "", "installation %s: %s%s", first.installation, strings.Join(places, ", "), note)
}

// maxRecord is how many bytes of a record of an embedded store are read.
const maxRecord = 1 << 20

// decodeFile reads a record in the file of an embedded object store: its line and that of its digest come first, and
// then, in a folder of format 1, what the store says about the object.
func decodeFile(raw []byte) (*record.Installation, error) {
	lines := bytes.SplitAfterN(raw, []byte("\n"), 3)
	if len(lines) < 3 {
		return nil, fmt.Errorf("%w: the file of %s is cut off", record.ErrCorrupt, record.InstallationKey)
	}
	line, err := record.CheckDigest(slices.Concat(lines[0], lines[1]))
	if err != nil {
		return nil, err
	}
	return record.DecodeInstallation(line)
}

// lakeIdentity reads the record of the object store.
func (d *diagnosis) lakeIdentity(ctx context.Context, e *engines) ([]identity, error) {
	place := "the object store " + placeName(d.cfg.ObjectStore.URL, d.cfg.DataDir, "s3")
	var i *record.Installation
	var err error
	if d.cfg.ObjectStore.URL == Embedded {
		var name string
		var raw []byte
		if name, err = s3server.ObjectFile(filepath.Join(d.cfg.DataDir, "s3"), lakeBucket,
			record.InstallationKey); err == nil {
			raw, err = readRecord(name)
		}
		if err == nil {
			i, err = decodeFile(raw)
		}
		d.installation = i
	} else if err = e.openLake(ctx, d.cfg, nil, nil); err == nil {
		i, err = readInstallation(ctx, e.records)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, record.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("%s: %w", place, err)
	}
	return []identity{{place, i.ID, i.Log}}, nil
}

// logIdentity reads the ids of the log: of every stream, if it is embedded.
func (d *diagnosis) logIdentity(ctx context.Context, e *engines) (ids []identity, err error) {
	place := "the log " + placeName(d.cfg.Log.URL, d.cfg.DataDir, "log")
	if d.cfg.Log.URL != Embedded {
		if err := e.openLog(ctx, d.cfg, nil, nil); err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
		}
		return []identity{{place, e.log.Installation(), e.log.ID()}}, nil
	}
	d.streams = map[int]string{}
	folders, err := filepath.Glob(filepath.Join(d.cfg.DataDir, "log", "jetstream", "*", "streams", "*"))
	if err != nil {
		return nil, err
	}
	for _, folder := range folders {
		name := filepath.Base(folder)
		if _, partition, ok := strings.Cut(name, "-p"); ok {
			if p, err := strconv.Atoi(partition); err == nil {
				d.streams[p] = folder
			}
		}
		var stream struct {
			Metadata map[string]string `json:"metadata"`
		}
		raw, err := readRecord(filepath.Join(folder, "meta.inf"))
		if err == nil {
			err = json.Unmarshal(raw, &stream)
		}
		if err != nil {
			d.nameless = append(d.nameless, fmt.Sprintf("stream %s: meta.inf: %v", name, err))
			continue
		}
		ids = append(ids, identity{"stream " + name, stream.Metadata["recount_installation"],
			stream.Metadata["recount_log"]})
		d.claimed = d.claimed || stream.Metadata["recount_installation"] != ""
	}
	return ids, nil
}

// sqlIdentity reads the id in an external ClickHouse. An embedded one cannot be read without starting it.
func (d *diagnosis) sqlIdentity(ctx context.Context, e *engines) ([]identity, error) {
	if d.cfg.ClickHouse.URL == Embedded {
		return nil, nil
	}
	place := "the ClickHouse " + placeName(d.cfg.ClickHouse.URL, "", "")
	if err := e.openSQL(ctx, d.cfg, nil, nil); err != nil {
		return nil, fmt.Errorf("%s: %w", place, err)
	}
	declared, err := d.cfg.Catalog()
	if err != nil {
		return nil, err
	}
	owner, err := cells.NewStore(e.sql, declared).Installation(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", place, err)
	}
	return []identity{{place: place, installation: owner}}, nil
}

func readRecord(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxRecord {
		return nil, fmt.Errorf("%s has %d bytes, which is no record", name, info.Size())
	}
	return os.ReadFile(name)
}
