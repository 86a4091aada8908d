package chdb

import (
	"encoding/binary"
	"runtime"
	"unsafe"
)

const (
	lastStandardSignal = 31
	lastSignal         = 64
	saOnStack          = 0x08000000 // SA_ONSTACK on Linux
	saFlagsOffset      = 136        // of sa_flags in glibc's struct sigaction, on amd64 and arm64
	sigactionSize      = 256        // more than struct sigaction takes anywhere
)

type sigaction [sigactionSize]byte

// keepSignals runs f and puts the signal handlers back as they were: the engine installs its own for SIGSEGV,
// SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS and SIGTSTP, and Go needs the first three to turn faults
// into panics. chdb_set_signal_handlers_enabled(0) is no way out: it resets them to the default, which kills
// the process, and does so again with every connection.
//
// A real-time signal that the engine claimed stays, but is made to run on the signal stack: a handler running
// on a goroutine's small stack would overwrite its neighbours (system.stack_trace signals every thread).
func (l *library) keepSignals(f func()) {
	var before [lastSignal + 1]sigaction
	for sig := 1; sig <= lastSignal; sig++ {
		l.sigaction(int32(sig), nil, unsafe.Pointer(&before[sig]))
	}
	f()
	for sig := 1; sig <= lastSignal; sig++ {
		var now sigaction
		if l.sigaction(int32(sig), nil, unsafe.Pointer(&now)) != 0 || now == before[sig] {
			continue
		}
		if sig <= lastStandardSignal {
			now = before[sig]
		} else if runtime.GOOS == "linux" {
			flags := binary.NativeEndian.Uint32(now[saFlagsOffset:])
			binary.NativeEndian.PutUint32(now[saFlagsOffset:], flags|saOnStack)
		}
		l.sigaction(int32(sig), unsafe.Pointer(&now), nil)
	}
}
