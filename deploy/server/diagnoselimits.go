package server

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// leastFiles is how many open files a server needs with its default limits of connections, streams and parts.
const leastFiles = 4096

func (d *diagnosis) openFiles() {
	const fix = "ulimit -n 65536, or LimitNOFILE=65536 in the unit"
	var limit syscall.Rlimit
	switch err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); {
	case err != nil:
		d.add(Warning, "open files", "", "their limit is not known: %v", err)
	case limit.Max < leastFiles: // Go raises the soft limit to the hard one.
		d.add(Failure, "open files", fix, "the limit is %d", limit.Max)
	default:
		d.add(Fine, "open files", "", "the limit is %d", limit.Max)
	}
}

// memory compares what the configuration allows the parts of a server with what this process may have.
func (d *diagnosis) memory() {
	total, place := memoryLimit("/")
	if total == 0 {
		d.add(Warning, "memory", "", "its size is not known")
		return
	}
	wanted := d.cfg.Batch.Memory + d.cfg.Query.Memory
	text := "%.1f GiB (%s); batch.memory and query.memory may take %.1f GiB"
	args := []any{float64(total) / (1 << 30), place, float64(wanted) / (1 << 30)}
	if wanted > total/4*3 {
		d.add(Warning, "memory", "lower batch.memory and query.memory, or give the server more", text, args...)
		return
	}
	d.add(Fine, "memory", "", text, args...)
}

// memoryLimit returns how much memory this process may have, in bytes: what the machine has, or what its control group
// (version 2 or 1) allows. root is the root of the file system. It is 0 if it is not known.
func memoryLimit(root string) (limit int64, place string) {
	limit = math.MaxInt64
	raw, _ := os.ReadFile(filepath.Join(root, "proc/meminfo")) // Other systems do not have it.
	for line := range bytes.Lines(raw) {
		fields := strings.Fields(string(line))
		if len(fields) > 1 && fields[0] == "MemTotal:" {
			if kilobytes, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				limit = kilobytes << 10
				place = "of the machine"
			}
		}
	}
	for _, file := range groupFiles(root) {
		raw, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		// Version 2 writes max where there is no limit, and version 1 a number near 2^63.
		if n, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64); err == nil && n < limit {
			limit = n
			place = "of the control group"
		}
	}
	if limit == math.MaxInt64 {
		return 0, ""
	}
	return limit, place
}

// groupFiles are the files that may have the limit of this process's control group, and of those above it.
func groupFiles(root string) (files []string) {
	raw, _ := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	for line := range bytes.Lines(raw) {
		parts := strings.SplitN(strings.TrimSpace(string(line)), ":", 3)
		if len(parts) < 3 {
			continue
		}
		base := filepath.Join(root, "sys/fs/cgroup")
		name := "memory.max"
		switch {
		case parts[1] == "memory":
			base = filepath.Join(base, "memory")
			name = "memory.limit_in_bytes"
		case parts[1] != "":
			continue
		}
		for at := filepath.Clean("/" + parts[2]); ; at = filepath.Dir(at) {
			files = append(files, filepath.Join(base, at, name))
			if at == "/" {
				break
			}
		}
	}
	return files
}
