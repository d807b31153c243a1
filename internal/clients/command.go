package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"mcpgateway/internal/procgroup"
)

// maxOutput bounds what a client may print, in bytes.
const maxOutput = 1 << 20

// command is a client's program.
type command struct {
	args []string
	env  []string // besides that of this process
	// stdout may be given by who wants to read while the program runs.
	stdout *output
	out    *output // where all that the client's programs print is kept for whoever must find out what went wrong
}

// run runs the program in a group of its own and returns what it prints on standard output. Whatever it started and left
// in that group ends with it.
func (c *command) run(ctx context.Context) ([]byte, error) {
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Env = append(os.Environ(), c.env...)
	if c.stdout == nil {
		c.stdout = new(output)
	}
	cmd.Stdout, cmd.Stderr = c.stdout, c.out
	cmd.WaitDelay = 5 * time.Second
	fmt.Fprintf(c.out, "$ %s\n", strings.Join(c.args, " "))
	// Where the kernel ends children with their parent, it goes by the thread that started them.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	group, err := procgroup.Start(cmd)
	if err != nil {
		return nil, err
	}
	err = group.Wait()
	printed := c.stdout.bytes()
	_, _ = c.out.Write(printed)
	return printed, errors.Join(err, ctx.Err())
}

// output keeps the first maxOutput bytes that any number of programs print, and drops the rest.
type output struct {
	mu   sync.Mutex
	kept []byte
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kept = append(o.kept, p[:min(maxOutput-len(o.kept), len(p))]...)
	return len(p), nil
}

func (o *output) bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.kept)
}

func (o *output) contains(text string) bool { return bytes.Contains(o.bytes(), []byte(text)) }
