// Package secretfolder reads the secret values of entries where they are files of this machine, and makes the keys that
// nobody chooses. It hands them to deployers only, and no value is ever in an error.
package secretfolder

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"mcpgateway/internal/deploy"
	"mcpgateway/internal/sealedtoken"
)

// MaxBytes bounds a secret's size in bytes. A value must fit a pipe's buffer, which is 64 KiB, or 16 on some systems.
const MaxBytes = 16 << 10

// generatedSize is the size of the secrets that the deployer makes, in bytes.
const generatedSize = 32

// names of folders and keys: what a Kubernetes Secret takes, without a leading dot.
var secretName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}$`)

// Folder holds the entries' secret values: <id>-server/<key> and <id>-shim/<key>, a file each.
type Folder string

// Value reads a secret, or makes it where the plan says so. Errors name the file and never what it holds.
func (s Folder) Value(ref deploy.Secret) ([]byte, error) {
	folder, ok := strings.CutPrefix(ref.Store, "mcp-")
	if !ok || !secretName.MatchString(folder) || !secretName.MatchString(ref.Key) {
		return nil, fmt.Errorf("secret %q in store %q: not a name", ref.Key, ref.Store)
	}
	path := filepath.Join(string(s), folder, ref.Key)
	if ref.Generate {
		return RandomFile(path, generatedSize)
	}
	if ref.Shared {
		shared, err := RandomFile(filepath.Join(string(s), sealedtoken.SharedFile), generatedSize)
		if err != nil {
			return nil, err
		}
		return sealedtoken.Key(shared, strings.TrimSuffix(folder, "-shim")), nil
	}
	value, err := readPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("secret %q is missing: put its value into %s and chmod 600 it", ref.Key, path)
	}
	if err != nil || ref.Env == "" {
		return value, err
	}
	// Editors end a file with a newline; a variable with one breaks whoever puts it into a header.
	value = bytes.TrimSuffix(bytes.TrimSuffix(value, []byte("\n")), []byte("\r"))
	if bytes.IndexByte(value, 0) >= 0 {
		return nil, fmt.Errorf("secret file %s holds a zero byte: no environment variable can", path)
	}
	return value, nil
}

// RandomFile returns the bytes of a private file, which it fills with size random ones if there is none. Of several
// callers that make it at once, one wins and all get its bytes.
func RandomFile(path string, size int) ([]byte, error) {
	value, err := readPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := createRandom(path, size); err != nil {
			return nil, fmt.Errorf("make a key: %w", err)
		}
		value, err = readPrivate(path)
	}
	if err == nil && len(value) != size {
		return nil, fmt.Errorf("key file %s holds %d bytes instead of %d: remove it, and a new one is made", path, len(value), size)
	}
	return value, err
}

func createRandom(path string, size int) error {
	value := make([]byte, size)
	_, _ = rand.Read(value) // never fails
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(value)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	// A link, unlike a rename, never replaces what another has made meanwhile.
	if err := os.Link(temp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// readPrivate reads a file that nobody but its owner may read.
func readPrivate(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a named pipe must not hold us
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("secret file %s is not a plain file", path)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("secret file %s may be read by others: run chmod 600 %s", path, path)
	case info.Size() > MaxBytes:
		return nil, fmt.Errorf("secret file %s is larger than %d bytes", path, MaxBytes)
	}
	return io.ReadAll(io.LimitReader(f, MaxBytes))
}
