package main

import (
	"archive/tar"
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/gzip"
)

// compression is the level of the archives. Level 9 packs the engine into 3 % fewer bytes, in five times the time.
const compression = 6

// writeArchive packs a normalised folder into NAME.tar.gz, below the folder NAME.
func writeArchive(out, name, folder string) (err error) {
	file, err := os.Create(filepath.Join(out, name+".tar.gz"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	buffer := bufio.NewWriterSize(file, 1<<20)
	compressor, err := gzip.NewWriterLevel(buffer, compression)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(compressor)
	// WalkDir goes by name, so the order is the same everywhere.
	err = filepath.WalkDir(folder, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(folder, file)
		if err != nil {
			return err
		}
		return addToArchive(archive, file, path.Join(name, filepath.ToSlash(inside)), entry)
	})
	return errors.Join(err, archive.Close(), compressor.Close(), buffer.Flush())
}

// addToArchive adds a file or a folder. Its header holds nothing of this machine.
func addToArchive(archive *tar.Writer, file, name string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: info.Size(), ModTime: info.ModTime(),
		Mode: int64(info.Mode().Perm()), Uname: "root", Gname: "root"}
	if entry.IsDir() {
		header.Typeflag = tar.TypeDir
		header.Name += "/"
		header.Size = 0
		return archive.WriteHeader(header)
	}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	source, err := os.Open(file)
	if err != nil {
		return err
	}
	defer source.Close()
	_, err = io.Copy(archive, source)
	return err
}

// normalise gives what is in a folder the time of the release, and modes that do not depend on the umask.
func normalise(folder string, at time.Time) error {
	return filepath.WalkDir(folder, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := os.FileMode(0o644)
		if entry.IsDir() || filepath.Base(file) == "recount" {
			mode = 0o755
		}
		return errors.Join(os.Chmod(file, mode), os.Chtimes(file, at, at))
	})
}

// copyFile copies a file.
func copyFile(from, to string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	_, err = io.Copy(target, source)
	return err
}

// sumsFile is the name of the file with the checksums. sha256sum --check reads it.
const sumsFile = "SHA256SUMS"

// writeSums writes the checksums of all files of a folder.
func writeSums(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	var text []byte
	for _, entry := range entries {
		sum, err := sha256File(filepath.Join(folder, entry.Name()))
		if err != nil {
			return err
		}
		text = fmt.Appendf(text, "%s  %s\n", sum, entry.Name())
	}
	return os.WriteFile(filepath.Join(folder, sumsFile), text, 0o644)
}

// sha256File returns the digest of a file, in hexadecimal digits.
func sha256File(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	digest := sha256.New()
	if _, err := io.Copy(digest, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(digest.Sum(nil)), nil
}
