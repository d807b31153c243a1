package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
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
		var connection struct {
			ProtocolEra string `json:"protocolEra"`
		}
		printed, err := v.mcpdo(ctx, "connect", v.url(), "--transport", "http", "--era", era, "--header", "Authorization: Bearer "+v.token)
		if err := errors.Join(err, json.Unmarshal(printed, &connection)); err != nil {
			return o, err
		}
		o.era = connection.ProtocolEra
		if printed, err = v.mcpdo(ctx, "tools/list"); err != nil {
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
		if v.server.announce.Tool != "" {
			if err := v.hear(ctx); err != nil {
				return o, err
			}
			o.further = append(o.further, "heard a message")
		}
		if v.server.resource != "" {
			if _, err := v.mcpdo(ctx, "resources/subscribe", v.server.resource); err != nil {
				return o, err
			}
			o.further = append(o.further, "subscribed")
		}
		_, err = v.mcpdo(ctx, "disconnect", connectionName)
		return o, err
	}
}

const (
	connectionName = "visit"
	// The token keeps nobody out: whoever may read this program may use its daemon. mcpdo wants one for a private daemon.
	daemonToken = "a-daemon-that-lives-for-one-visit"
	daemonEnd   = 10 * time.Second
)

// mcpdo runs one command on the connection.
func (v *visit) mcpdo(ctx context.Context, args ...string) ([]byte, error) {
	return v.run(ctx, append(append([]string{v.programs.node, v.programs.mcpdo}, args...), "--connection", connectionName, "--format", "json")...)
}

// hear listens to the connection until a message of the server arrives that a call provokes. The first calls can be too
// early for the listener.
func (v *visit) hear(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	tail := &command{env: v.env, out: &v.printed, stdout: new(output),
		args: []string{v.programs.node, v.programs.mcpdo, "logging/tail", "--connection", connectionName, "--format", "json"}}
	ended := make(chan error, 1)
	go func() {
		_, err := tail.run(ctx)
		ended <- err
	}()
	defer func() { cancel(); <-ended }()
	for ctx.Err() == nil {
		if _, err := v.mcpdo(ctx, "tools/call", v.server.announce.Tool, "--tool-args-json", v.server.announce.json()); err != nil {
			return err
		}
		for range 10 {
			if tail.stdout.contains("notifications/message") {
				return nil
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	return fmt.Errorf("no message arrived: %w", ctx.Err())
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
