// Package progress shows how far a long command is. On a terminal it redraws a bar; elsewhere it prints a plain line
// every few seconds.
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// Bar is one line of progress. It is safe for concurrent use.
type Bar struct {
	out      io.Writer
	terminal bool
	every    time.Duration

	mu    sync.Mutex
	last  time.Time
	drawn bool
}

// New returns a bar on out. A command that ends within seconds prints no line unless out is a terminal.
func New(out io.Writer) *Bar {
	b := &Bar{out: out, every: 5 * time.Second, last: time.Now()}
	if f, ok := out.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			b.terminal = true
			b.every = 100 * time.Millisecond
		}
	}
	return b
}

// width is the length of the bar in characters.
const width = 24

// Set shows done of total and a text after the bar. It does nothing when the bar was drawn a moment ago.
func (b *Bar) Set(done, total int64, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := time.Now(); now.Sub(b.last) >= b.every {
		b.last = now
		b.draw(done, total, text)
	}
}

func (b *Bar) draw(done, total int64, text string) {
	share := 0.0
	if total > 0 {
		share = min(float64(done)/float64(total), 1)
	}
	if !b.terminal {
		fmt.Fprintf(b.out, "%3.0f %%  %s\n", share*100, text)
		return
	}
	full := int(share * width)
	fmt.Fprintf(b.out, "\r\x1b[K[%s%s] %3.0f %%  %s", strings.Repeat("=", full), strings.Repeat(" ", width-full),
		share*100, text)
	b.drawn = true
}

// Clear removes the bar from a terminal, so that other output can follow.
func (b *Bar) Clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.drawn {
		fmt.Fprint(b.out, "\r\x1b[K")
		b.drawn = false
	}
}
