package server

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"recount/deploy/embedded/natsserver"
	"recount/deploy/embedded/s3server"
	"recount/deploy/server/generations"
	"recount/deploy/server/janitor"
	"recount/schemas/eventbatch"
	"recount/schemas/record"
)

// parts checks the embedded stores of a folder against each other: that none of them is gone while others are there,
// and that their files are whole. It reads files only, so a server may use them.
func (d *diagnosis) parts() {
	if !d.everUsed() {
		return
	}
	looked := d.cfg.ObjectStore.URL == Embedded && d.objects()
	if d.cfg.Log.URL == Embedded {
		d.blocks()
	}
	if looked {
		d.catalog()
	}
	if d.cfg.ClickHouse.URL == Embedded && !exists(filepath.Join(d.cfg.DataDir, "clickhouse")) {
		d.add(Warning, "clickhouse", "start the server: it makes the folder anew, and the next recompute fills it",
			"the folder is gone, and other parts of %s are there", d.cfg.DataDir)
	}
}

// everUsed reports whether some part has belonged to an installation.
func (d *diagnosis) everUsed() bool {
	return d.installation != nil || len(d.streams) > 0 || len(d.remembered()) > 0
}

// remembered returns one more than the sequence of the last message that each partition of the log is known to have.
func (d *diagnosis) remembered() []uint64 {
	next, err := janitor.Remembered(snapshotDir(d.cfg))
	if err != nil && !d.unremembered {
		d.unremembered = true
		d.add(Warning, "speed", "recount verify says more", "%v", err)
	}
	return next
}

// inspected is how many objects are looked at. Records come before the objects that they name.
const inspected = 20_000

// objects looks at object files, which have lost their ends or were changed if they are not whole. It reports whether
// it knows which records are there.
func (d *diagnosis) objects() bool {
	const check = "object store"
	folder := filepath.Join(d.cfg.DataDir, "s3")
	first, err := s3server.ObjectFile(folder, lakeBucket, record.InstallationKey)
	bucket := filepath.Dir(first)
	if lost := d.lostRecords(bucket); err == nil && lost != "" {
		d.add(Failure, check, "stop the server and restore the folder s3 from a backup; a start without it is refused",
			"%s gone from %s, and other parts of %s are there", lost, bucket, d.cfg.DataDir)
		return false
	}
	looked, damaged, err := s3server.Inspect(folder, lakeBucket, inspected, d.inspect)
	switch {
	case err != nil:
		d.add(Warning, check, "see the message", "its files were not read: %v", err)
	case len(damaged) > 0:
		d.add(Failure, check, "restore them from a backup; recount verify says what is lost without them",
			"%d of %d objects are cut or were changed: %s", len(damaged), looked, someOf(damaged))
	case looked == inspected:
		d.add(Fine, check, "", "%d object files are whole; recount verify reads all", looked)
	default:
		d.add(Fine, check, "", "all %d object files are whole; recount verify reads what is in them", looked)
	}
	return err == nil
}

// lostRecords says which records are gone from the folder of the bucket although something refers to them, or nothing.
func (d *diagnosis) lostRecords(bucket string) string {
	landed := exists(filepath.Join(bucket, "land"))
	switch {
	case d.installation == nil && !landed:
		return "its records are"
	case d.installation == nil && d.claimed: // Otherwise an older program may have made the folder.
		return record.InstallationKey + " is"
	case !landed && slices.ContainsFunc(d.remembered(), func(next uint64) bool { return next > 1 }):
		return "the folder land, with all commit records, is"
	}
	return ""
}

// inspect is wholeObject. It also notes the newest generation of the catalog and the newest publication.
func (d *diagnosis) inspect(key string, body *io.SectionReader) (bool, error) {
	if n, err := record.GenerationNumber(key); err == nil {
		d.generation = max(d.generation, n)
	}
	whole, err := wholeObject(key, body)
	if err != nil || !whole {
		return whole, err
	}
	n, ok := record.PublicationNumber(key)
	if !ok || body.Size() > maxRead {
		return true, nil
	}
	raw := make([]byte, body.Size())
	if _, err := body.ReadAt(raw, 0); err != nil && err != io.EOF {
		return false, err
	}
	if n > d.publication {
		d.publication = n
		d.publicationRecord = raw
	}
	return true, nil
}

// name notes what names a generation of the catalog.
func (d *diagnosis) name(generation uint64, format string, args ...any) {
	if generation > d.named.N {
		d.named = generations.Named{N: generation, By: fmt.Sprintf(format, args...)}
	}
}

// catalog compares the newest generation with what names a later one (G1).
func (d *diagnosis) catalog() {
	if line, err := record.CheckDigest(d.publicationRecord); err == nil {
		if p, err := record.DecodePublication(line); err == nil {
			d.name(p.Generation, "publication %d", d.publication)
		}
	}
	if err := generations.CheckNamed(&generations.Generation{N: d.generation}, d.named); err != nil {
		d.add(Failure, "catalog", "restore the records below catalog/ from a backup; a start without them is refused",
			"%v", err)
	}
}

// wholeObject reports whether a body is whole: a record has the digest that follows it, and a Parquet file its ends.
func wholeObject(key string, body *io.SectionReader) (bool, error) {
	switch {
	case strings.HasPrefix(key, dataFolder):
		return wholeParquet(body)
	case !isRecord(key), body.Size() > maxRead:
		return true, nil // A probe has no digest, and neither have the files of Iceberg, which a start makes anew.
	}
	raw, err := io.ReadAll(body)
	if err != nil {
		return false, err
	}
	_, err = record.CheckDigest(raw)
	return err == nil, nil
}

// maxRead is how many bytes of a record are read to check it.
const maxRead = 16 << 20

// wholeParquet reports whether a file begins and ends as one of Parquet.
func wholeParquet(body *io.SectionReader) (bool, error) {
	const magic = "PAR1"
	var ends [2 * len(magic)]byte
	if body.Size() < int64(len(ends)) {
		return false, nil
	}
	_, err := body.ReadAt(ends[:len(magic)], 0)
	if err == nil {
		_, err = body.ReadAt(ends[len(magic):], body.Size()-int64(len(magic)))
	}
	if err == io.EOF { // It may come with the last bytes.
		err = nil
	}
	return string(ends[:]) == magic+magic, err
}

// blocks looks for streams and messages that are gone. The blocks of a running server change, so they are not read.
func (d *diagnosis) blocks() {
	const check = "log"
	const restore = "stop the server and restore the folder log from a backup; a start without it is refused, unless " +
		"--replace-log gives up the events that have not landed"
	next := d.remembered()
	partitions := max(d.partitions(), len(next))
	if len(d.streams) < partitions {
		d.add(Failure, check, restore, "it has %d of the streams of %d partitions, and other parts of %s are there",
			len(d.streams), partitions, d.cfg.DataDir)
		return
	}
	if len(d.nameless) > 0 && len(d.nameless) >= len(d.streams) {
		d.add(Failure, check, restore, "no stream says to which installation it belongs: %s", someOf(d.nameless))
		return
	}
	if d.inUse {
		d.add(Fine, check, "", "a server uses its blocks, so they are not read; recount verify --server does")
		return
	}
	if len(d.nameless) > 0 {
		d.add(Warning, check, "start the server: it makes the stream anew from its blocks; keep a copy of the folder "+
			"log before it", "%s", someOf(d.nameless))
	}
	level := Fine
	var faults []string
	for p, folder := range d.streams {
		last, found, err := natsserver.Inspect(folder)
		if err != nil {
			found = append(found, err.Error())
		}
		if p < len(next) && next[p] > 1 && last+1 < next[p] {
			level = Failure
			found = append(found, fmt.Sprintf("partition %d ends with message %d, and had message %d", p, last,
				next[p]-1))
		}
		faults = append(faults, found...)
		d.nameGenerations(p, folder)
	}
	switch {
	case level == Failure:
		d.add(level, check, "restore the folder log from a backup; recount verify says what a start would give up",
			"%s", someOf(faults))
	case len(faults) > 0:
		d.add(Warning, check, "recount verify says what a start would give up; keep a copy of the folder log before it",
			"%s", someOf(faults))
	default:
		d.add(Fine, check, "", "the messages of %d streams follow one another; recount verify reads what is in them",
			len(d.streams))
	}
}

// nameGenerations notes the generations that the last messages of a stream name.
func (d *diagnosis) nameGenerations(p int, folder string) {
	bodies, err := natsserver.LastMessages(folder, askedMessages)
	if err != nil {
		return // blocks says what is wrong with them.
	}
	for _, body := range bodies {
		if h, err := eventbatch.ReadHeader(body); err == nil {
			d.name(h.Generation, "a message of partition %d", p)
		}
	}
}

// partitions is how many partitions the installation has, or 0 if that is not known.
func (d *diagnosis) partitions() int {
	if d.installation == nil {
		return 0
	}
	return d.installation.Partitions
}

// someOf returns the first of several texts, and how many more there are.
func someOf(texts []string) string {
	const most = 3
	if len(texts) <= most {
		return strings.Join(texts, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(texts[:most], "; "), len(texts)-most)
}
