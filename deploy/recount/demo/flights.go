package demo

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
)

// Flights are the columns of the source file: departures of US flights in the first half of 2001, in order of time.
type Flights struct {
	date        []int64  // date is in microseconds since 1970.
	delay       []int16  // delay is in minutes.
	distance    []int16  // distance is in miles.
	origin      []uint16 // origin is an index in airports.
	destination []uint16 // destination is an index in airports.
	airports    []string
}

// Len is the number of flights.
func (f *Flights) Len() int { return len(f.date) }

// FlightsFile is the path of the sample data in a folder of npm modules.
const FlightsFile = "vega-datasets/data/flights-3m.parquet"

// FindFlights looks for the sample data in the checkout that holds the working directory or the program.
func FindFlights() (string, error) {
	var starts []string
	if folder, err := os.Getwd(); err == nil {
		starts = append(starts, folder)
	}
	if program, err := os.Executable(); err == nil {
		starts = append(starts, filepath.Dir(program))
	}
	for _, dir := range starts {
		for range 8 {
			path := filepath.Join(dir, "deploy/embedded/npm/node_modules", FlightsFile)
			if _, err := os.Stat(path); err == nil {
				return path, nil
			}
			dir = filepath.Dir(dir)
		}
	}
	return "", errors.New("find the sample data flights-3m.parquet: no such file; run make setup in the checkout, or " +
		"name the file with --file")
}

// ReadFlights reads the first n rows of the file, or all rows when n is 0.
func ReadFlights(path string, n int) (*Flights, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open sample data: %w", err)
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("open sample data: %w", err)
	}
	pf, err := parquet.OpenFile(file, stat.Size())
	if err != nil {
		return nil, fmt.Errorf("read sample data: %w", err)
	}
	rows := int(pf.NumRows())
	if n > 0 && n < rows {
		rows = n
	}
	f := &Flights{}
	indexes := map[string]uint16{}
	airport := func(v parquet.Value) uint16 {
		index, ok := indexes[string(v.ByteArray())]
		if !ok {
			index = uint16(len(f.airports))
			f.airports = append(f.airports, string(v.ByteArray()))
			indexes[f.airports[index]] = index
		}
		return index
	}
	columns := map[string]func(parquet.Value){
		"date":        func(v parquet.Value) { f.date = append(f.date, v.Int64()) },
		"delay":       func(v parquet.Value) { f.delay = append(f.delay, int16(v.Int64())) },
		"distance":    func(v parquet.Value) { f.distance = append(f.distance, int16(v.Int64())) },
		"origin":      func(v parquet.Value) { f.origin = append(f.origin, airport(v)) },
		"destination": func(v parquet.Value) { f.destination = append(f.destination, airport(v)) },
	}
	for name, add := range columns {
		if err := readColumn(pf, name, rows, add); err != nil {
			return nil, fmt.Errorf("read sample data: column %s: %w", name, err)
		}
	}
	return f, nil
}

// readColumn calls add for the first n values of a column.
func readColumn(pf *parquet.File, name string, n int, add func(parquet.Value)) error {
	leaf, ok := pf.Schema().Lookup(name)
	if !ok {
		return errors.New("the file does not have it")
	}
	buf := make([]parquet.Value, 4096)
	for _, group := range pf.RowGroups() {
		pages := group.ColumnChunks()[leaf.ColumnIndex].Pages()
		for n > 0 {
			page, err := pages.ReadPage()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return errors.Join(err, pages.Close())
			}
			if n, err = drain(page.Values(), buf, n, add); err != nil {
				return errors.Join(err, pages.Close())
			}
			parquet.Release(page)
		}
		if err := pages.Close(); err != nil {
			return err
		}
	}
	return nil
}

// drain calls add for up to n values and returns how many of the n remain.
func drain(values parquet.ValueReader, buf []parquet.Value, n int, add func(parquet.Value)) (int, error) {
	for n > 0 {
		k, err := values.ReadValues(buf[:min(len(buf), n)])
		for _, v := range buf[:k] {
			add(v)
		}
		n -= k
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// AppendEvent appends flight i as a CloudEvent and a newline.
func (f *Flights) AppendEvent(dst []byte, i int) []byte {
	dst = append(dst, `{"specversion":"1.0","id":"flight-`...)
	dst = strconv.AppendInt(dst, int64(i), 10)
	dst = append(dst, `","source":"flights-3m","type":"flight.departed","time":"`...)
	dst = time.UnixMicro(f.date[i]).UTC().AppendFormat(dst, time.RFC3339)
	dst = append(dst, `","data":{"origin":"`...)
	dst = append(dst, f.airports[f.origin[i]]...)
	dst = append(dst, `","destination":"`...)
	dst = append(dst, f.airports[f.destination[i]]...)
	dst = append(dst, `","route":"`...)
	dst = append(dst, f.airports[f.origin[i]]...)
	dst = append(dst, '-')
	dst = append(dst, f.airports[f.destination[i]]...)
	dst = append(dst, `","delay":`...)
	dst = strconv.AppendInt(dst, int64(f.delay[i]), 10)
	dst = append(dst, `,"distance":`...)
	dst = strconv.AppendInt(dst, int64(f.distance[i]), 10)
	return append(dst, "}}\n"...)
}
