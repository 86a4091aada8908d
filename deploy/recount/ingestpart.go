package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"recount/deploy/client/eventfile"
)

// part reads one file in requests.
type part struct {
	reader *eventfile.Reader
	run    *ingestRun
	rows   int64  // rows is how many rows were read.
	events int    // events is how many of them became events of requests.
	digest digest // digest is that of all rows that were read.
}

// request is one request of events.
type request struct {
	body     []byte
	events   int
	numbers  []int64 // numbers has the number of each event in its file, from 1.
	rows     int64   // rows is how many rows of the file were read up to the last one of the request.
	digest   digest  // digest is that of those rows.
	rejected bool    // rejected means that a row of the request was rejected, here or by the server.
	done     func()  // done tells that every event has its outcome.
}

// numberOf returns the number of an event in its file.
func (q *request) numberOf(index int) int64 {
	if index < 0 || index >= len(q.numbers) {
		return 0
	}
	return q.numbers[index]
}

// request reads the events of the next request. It returns io.EOF together with the last events. It ends early when
// too many rows are refused.
func (p *part) request() (*request, error) {
	q := &request{}
	var err error
	for q.events < p.run.Batch && len(q.body) < maxBody && !p.run.tooMany() {
		var line []byte
		line, err = p.next()
		var refused *eventfile.Refused
		if errors.As(err, &refused) {
			q.rejected = true
			p.run.reject(refused.Reason, "rejected: "+escapeControls(refused.Error()))
			err = nil
			continue
		}
		if err != nil {
			break
		}
		q.body = append(append(q.body, line...), '\n')
		q.numbers = append(q.numbers, p.rows)
		q.events++
	}
	p.events += q.events
	q.rows = p.rows
	q.digest = p.digest
	return q, err
}

// next reads one row.
func (p *part) next() ([]byte, error) {
	line, err := p.reader.Next()
	var refused *eventfile.Refused
	switch {
	case err == nil:
		p.digest = p.digest.add(line)
	case errors.As(err, &refused):
		p.digest = p.digest.add([]byte(refused.Error()))
	default:
		return nil, err
	}
	p.rows++
	return line, err
}

// skip reads the rows that an earlier run has sent. It fails when they are not the same any more.
func (p *part) skip(sent *sentRows) (*sentRows, error) {
	for p.rows < sent.Rows {
		var refused *eventfile.Refused
		if _, err := p.next(); err != nil && !errors.As(err, &refused) {
			return nil, fmt.Errorf("%w; %s says that %d rows of it were sent: remove that file to send all rows again",
				err, p.run.Resume, sent.Rows)
		}
	}
	if sent.Rows > 0 && p.digest.text() != sent.Digest {
		return nil, fmt.Errorf("its first %d rows are others than those that %s says were sent, because the file or "+
			"the flags changed; remove that file to send all rows again", sent.Rows, p.run.Resume)
	}
	if sent.Rows > 0 {
		fmt.Fprintf(p.run.std.err, "the first %d rows were sent before\n", sent.Rows)
	}
	return sent, nil
}

// digest identifies the rows of a file up to one of them. That of no row is zero.
type digest [sha256.Size]byte

// add returns the digest of the rows and one more.
func (d digest) add(row []byte) digest {
	h := sha256.New()
	h.Write(d[:])
	h.Write(row)
	h.Sum(d[:0])
	return d
}

func (d digest) text() string { return hex.EncodeToString(d[:]) }
