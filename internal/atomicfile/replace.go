// Package atomicfile replaces files whole, so that whoever reads one while it changes reads the old or the new. It does
// not promise that either survives a power failure.
package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
)

// Replace writes a file that only its owner may read, in place of one that may be there. What it writes until then is
// beside it, under a name that begins with a dot.
func Replace(path string, text []byte) error { return ReplaceMode(path, text, 0o600) }

// ReplaceMode is Replace of a file with other rights.
func ReplaceMode(path string, text []byte, mode os.FileMode) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600
	if err != nil {
		return err
	}
	_, err = temp.Write(text)
	if err = errors.Join(err, temp.Chmod(mode), temp.Close()); err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		os.Remove(temp.Name())
	}
	return err
}
