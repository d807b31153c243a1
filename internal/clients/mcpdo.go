package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// mcpdo keeps a connection in a daemon between commands. Beyond list and call it hears what the server says meanwhile, and
// subscribes.
func mcpdo(era string) func(context.Context, *visit) (outcome, error) {
	return func(ctx context.Context, v *visit) (o outcome, err error) {
		// A daemon of our own, ended below; its directory holds a socket.
		v.env = append(v.env, "MCP_INSPECTOR_DAEMON_DIR="+filepath.Join(v.dir, "d"), "MCP_INSPECTOR_DAEMON_TOKEN="+daemonToken,
			"MCP_INSPECTOR_SECRET_STORE=memory")
		defer func() { err = errors.Join(err, v.stopDaemon()) }()
		if o.era, err = v.connect(ctx, era); err != nil {
			return o, err
		}
		printed, err := v.mcpdo(ctx, "tools/list")
		if err != nil {
			return o, err
		}
		if err := o.takeTools(printed); err != nil {
			return o, err
		}
		if printed, err = v.mcpdo(ctx, "tools/call", v.server.slow.Tool, "--tool-args-json", v.server.slow.json()); err != nil {
			return o, err
		}
		if err := o.takeCall(printed); err != nil {
			return o, err
		}
		if v.again {
			err = v.callAgain(ctx, &o)
		} else {
			err = v.hearAll(ctx, &o)
		}
		if err != nil {
			return o, err
		}
		_, err = v.mcpdo(ctx, "disconnect", connectionName)
		return o, err
	}
}

// callAgain calls once more when the server sleeps.
func (v *visit) callAgain(ctx context.Context, o *outcome) error {
	if err := v.awaitSleep(ctx); err != nil {
		return err
	}
	printed, err := v.mcpdo(ctx, "tools/call", v.server.slow.Tool, "--tool-args-json", v.server.slow.json())
	if err != nil {
		return err
	}
	var again outcome
	err = again.takeCall(printed)
	o.Again = again.Text
	return err
}

const (
	connectionName = "visit"
	// The token keeps nobody out: whoever may read this program may use its daemon. mcpdo wants one for a private daemon.
	daemonToken = "a-daemon-that-lives-for-one-visit"
	daemonEnd   = 30 * time.Second
)

// connect makes the connection and returns the era that it speaks. mcpdo gives its own daemon a few seconds to start, which
// a busy machine can take longer for; the next try finds it.
func (v *visit) connect(ctx context.Context, era string) (string, error) {
	var printed []byte
	var err error
	for range 3 {
		before := len(v.printed.bytes())
		printed, err = v.mcpdo(ctx, "connect", v.url(), "--transport", "http", "--era", era, "--header", "Authorization: Bearer "+v.token)
		if err == nil || !bytes.Contains(v.printed.bytes()[before:], []byte("daemon_start_timeout")) {
			break
		}
	}
	if err != nil {
		return "", err
	}
	var connection struct {
		ProtocolEra string `json:"protocolEra"`
	}
	err = json.Unmarshal(printed, &connection)
	return connection.ProtocolEra, err
}

// mcpdo runs one command on the connection.
func (v *visit) mcpdo(ctx context.Context, args ...string) ([]byte, error) {
	return v.run(ctx, v.mcpdoArgs(args)...)
}

func (v *visit) mcpdoArgs(args []string) []string {
	return slices.Concat([]string{v.programs.node, v.programs.mcpdo}, args, []string{"--connection", connectionName, "--format", "json"})
}

// hearAll hears what the server has to say without being asked.
func (v *visit) hearAll(ctx context.Context, o *outcome) error {
	if announce := v.server.announce; announce.Tool != "" {
		// The first calls can be too early for the listener.
		err := v.hear(ctx, "notifications/message", func(*output) error { return v.tell(ctx, announce) }, "logging/tail")
		if err != nil {
			return err
		}
		o.further = append(o.further, "heard a message")
	}
	if v.server.resource != "" {
		toggle := v.server.toggle
		err := v.hear(ctx, "resources/updated", func(heard *output) error {
			if toggle.Tool == "" || !heard.contains("subscribed") {
				return nil
			}
			once := toggle
			toggle.Tool = ""
			return v.tell(ctx, once)
		}, "resources/subscribe", v.server.resource)
		if err != nil {
			return err
		}
		o.further = append(o.further, "heard an update")
	}
	return nil
}

// tell makes a call for what it does to others.
func (v *visit) tell(ctx context.Context, c call) error {
	_, err := v.mcpdo(ctx, "tools/call", c.Tool, "--tool-args-json", c.json())
	return err
}

// hear runs a command that listens until it is stopped, and returns when it has printed a text. Meanwhile provoke is called
// again and again.
func (v *visit) hear(ctx context.Context, text string, provoke func(heard *output) error, args ...string) error {
	ctx, cancel := context.WithCancel(ctx)
	listener := &command{env: v.env, out: &v.printed, stdout: new(output), args: v.mcpdoArgs(args)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = listener.run(ctx) // it is stopped, which is an error; what it prints is what counts
	}()
	defer func() {
		cancel()
		<-ended
	}()
	for ctx.Err() == nil {
		if err := provoke(listener.stdout); err != nil {
			return err
		}
		for range 10 {
			if listener.stdout.contains(text) {
				return nil
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	return fmt.Errorf("%s did not arrive: %w", text, ctx.Err())
}

// stopDaemon stops the daemon of this visit, which outlives the commands.
func (v *visit) stopDaemon() error {
	ctx, cancel := context.WithTimeout(context.Background(), daemonEnd)
	defer cancel()
	printed, err := v.run(ctx, v.programs.node, v.programs.mcpdo, "daemon", "status", "--format", "json")
	if err != nil {
		return err
	}
	var status struct {
		PID int `json:"pid"`
	}
	if err := json.Unmarshal(printed, &status); err != nil || status.PID == 0 {
		return nil // it never started
	}
	_, err = v.run(ctx, v.programs.node, v.programs.mcpdo, "daemon", "stop")
	for syscall.Kill(status.PID, 0) == nil {
		if ctx.Err() != nil {
			return errors.Join(err, ctx.Err(), syscall.Kill(status.PID, syscall.SIGKILL))
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}
