package server

import (
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// flushTime measures how long a small write takes to reach the disk of a folder, in a file without a name, which no
// failure can leave.
func flushTime(folder string) (time.Duration, error) {
	fd, err := unix.Open(folder, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return 0, os.NewSyscallError("open O_TMPFILE", err)
	}
	defer unix.Close(fd)
	block := make([]byte, 4096)
	times := make([]time.Duration, flushes)
	for i := range times {
		began := time.Now()
		if _, err := unix.Pwrite(fd, block, int64(i*len(block))); err != nil {
			return 0, os.NewSyscallError("write", err)
		}
		if err := unix.Fsync(fd); err != nil {
			return 0, os.NewSyscallError("fsync", err)
		}
		times[i] = time.Since(began)
	}
	slices.Sort(times)
	return times[flushes/2], nil
}
