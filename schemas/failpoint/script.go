//go:build failpoints

package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

func init() {
	if err := Script(os.Getenv(ScriptEnv)); err != nil {
		panic(err)
	}
}

// Script has points do something at one of their passes:
//
//	landing.create.before=kill        end the process at the first pass, as SIGKILL ends it
//	landing.create.before=stop:3      stop it at the third, until it receives SIGCONT
//	log.append.after=delay:2:500ms    wait at the second and every later one
//
// Commas separate several entries. Each action is reported on standard error before it is done.
func Script(text string) error {
	for _, s := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
		name, action, ok := strings.Cut(s, "=")
		if !ok {
			return fmt.Errorf("%s: %q: want point=action", ScriptEnv, s)
		}
		f, err := parseAction(name, strings.Split(action, ":"))
		if err != nil {
			return fmt.Errorf("%s: %q: %w", ScriptEnv, s, err)
		}
		OnReach(name, f)
	}
	return nil
}

func parseAction(name string, words []string) (func(), error) {
	at := uint64(1)
	wait := time.Duration(0)
	var err error
	if len(words) > 1 {
		if at, err = strconv.ParseUint(words[1], 10, 32); err != nil || at == 0 {
			return nil, fmt.Errorf("pass %q: want a number from 1", words[1])
		}
	}
	var passes atomic.Uint64
	switch words[0] {
	case "kill":
		return onPass(name, &passes, at, syscall.SIGKILL), nil
	case "stop":
		return onPass(name, &passes, at, syscall.SIGSTOP), nil
	case "delay":
		if len(words) != 3 {
			return nil, fmt.Errorf("want delay:pass:duration")
		}
		if wait, err = time.ParseDuration(words[2]); err != nil {
			return nil, err
		}
		return func() {
			if passes.Add(1) >= at {
				time.Sleep(wait)
			}
		}, nil
	}
	return nil, fmt.Errorf("action %q: use kill, stop or delay", words[0])
}

// onPass sends the process a signal that it cannot catch. It acts before the system call
// returns, or very soon after on another thread, so the caller must not go on.
func onPass(name string, passes *atomic.Uint64, at uint64, sig syscall.Signal) func() {
	return func() {
		if passes.Add(1) != at {
			return
		}
		fmt.Fprintf(os.Stderr, "failpoint: %s at %s, pass %d\n", sig, name, at)
		if err := syscall.Kill(os.Getpid(), sig); err != nil {
			panic(err)
		}
		if sig == syscall.SIGKILL {
			select {} // The product must not execute another instruction.
		}
	}
}
