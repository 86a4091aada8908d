package chdb

import (
	"debug/elf"
	"fmt"
	"runtime"
)

// machines are the processors of the platforms whose libraries are in the format ELF.
var machines = map[string]elf.Machine{"linux/amd64": elf.EM_X86_64, "linux/arm64": elf.EM_AARCH64}

// functions are what load takes from the library.
var functions = []string{"chdb_connect", "chdb_close_conn", "chdb_query_with_params_n", "chdb_result_buffer",
	"chdb_result_length", "chdb_result_error", "chdb_destroy_query_result"}

// CheckLibrary returns an error if the library is missing, is of another platform, or lacks a function. It does not
// load it: the library starts threads and replaces signal handlers. On a platform without ELF it only looks for the
// file.
func (c Config) CheckLibrary() error {
	path, err := Find(c.Library)
	if err != nil {
		return err
	}
	machine, known := machines[runtime.GOOS+"/"+runtime.GOARCH]
	if !known {
		return nil
	}
	const remedy = "name the libchdb.so of version " + Version + " for this platform"
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("%s is no library: %w; %s", path, err, remedy)
	}
	defer f.Close()
	if f.Machine != machine {
		return fmt.Errorf("%s is a library for %s, and this is %s; %s", path, f.Machine, machine, remedy)
	}
	missing := map[string]bool{}
	for _, name := range functions {
		missing[name] = true
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return fmt.Errorf("%s is damaged: %w; %s", path, err, remedy)
	}
	for _, s := range symbols {
		if s.Section != elf.SHN_UNDEF {
			delete(missing, s.Name)
		}
	}
	for _, name := range functions {
		if missing[name] {
			return fmt.Errorf("%s lacks the function %s; %s", path, name, remedy)
		}
	}
	return nil
}
