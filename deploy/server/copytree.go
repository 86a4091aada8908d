package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// copyTree copies a folder for an engine that writes to every folder it opens. The kernel copies the
// files, and shares their blocks where the file system can. Hard links would not do: the engine would
// append to the original. Symbolic links into the folder point into the copy.
func copyTree(ctx context.Context, from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			return os.MkdirAll(target, 0o700)
		case d.Type()&fs.ModeSymlink != 0:
			return copyLink(path, target, from, to)
		case d.Type().IsRegular():
			return copyFile(path, target)
		}
		return nil // Sockets and pipes hold no data.
	})
}

func copyLink(path, target, from, to string) error {
	leads, err := os.Readlink(path)
	if err != nil {
		return err
	}
	if rest, inside := strings.CutPrefix(leads, from+string(filepath.Separator)); inside {
		leads = filepath.Join(to, rest)
	} else if filepath.IsAbs(leads) {
		return fmt.Errorf("%s leads out of its folder to %s, where an engine on the copy would write; replace the "+
			"link by the files themselves", path, leads)
	}
	return os.Symlink(leads, target)
}

func copyFile(path, target string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
