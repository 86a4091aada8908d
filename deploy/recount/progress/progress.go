// Package progress shows how far a long command is: a bar that is redrawn on a
// terminal, a plain line now and then elsewhere.
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

// New returns a bar on out. Elsewhere than on a terminal what is soon done leaves no line.
func New(out io.Writer) *Bar {
	b := &Bar{out: out, every: 5 * time.Second, last: time.Now()}
	if f, ok := out.(*os.File); ok {
		if st, err := f.Stat(); err == nil && st.Mode()&os.ModeCharDevice != 0 {
			b.terminal = true
			b.every = 100 * time.Millisecond
		}
	}
	return b
}

const width = 24

// Set shows done of total and a text behind the bar, unless it did so a moment ago.
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

// Clear removes the bar from a terminal, so that other output may follow.
func (b *Bar) Clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.drawn {
		fmt.Fprint(b.out, "\r\x1b[K")
		b.drawn = false
	}
}
