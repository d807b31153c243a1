package socket

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// descriptors is the folder in which a process finds what it inherited, by number.
const descriptors = "/dev/fd/"

// Hand makes a socket at path, as Listen does, for a program that must not enter its folder: whoever starts it has it inherit
// the file, and the program serves by Listen on /dev/fd/NUMBER. Its path is the caller's to remove.
func Hand(path string) (*os.File, error) {
	l, err := Listen(path)
	if err != nil {
		return nil, err
	}
	defer l.Listener.Close() // the path stays
	f, err := l.Listener.(*net.UnixListener).File()
	if err != nil {
		l.Withdraw()
		return nil, fmt.Errorf("hand on %s: %w", path, err)
	}
	return f, nil
}

// inherited serves on a socket that this process was started with. The number is taken: nothing that this process starts
// inherits it in turn.
func inherited(path string) (*Listener, error) {
	number, err := strconv.ParseUint(strings.TrimPrefix(path, descriptors), 10, 16)
	if err != nil {
		return nil, fmt.Errorf("serve on %s: not the number of a descriptor", path)
	}
	f := os.NewFile(uintptr(number), path)
	l, err := net.FileListener(f) // a copy
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("serve on %s: %w", path, err)
	}
	return &Listener{Listener: l}, nil
}
