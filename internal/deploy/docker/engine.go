package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/client"
)

// loopback is the only address of the engine's machine on which it publishes ports.
const loopback = "127.0.0.1"

// oldest is the Engine API that is spoken at least: that of Docker 20.10.
const oldest = "1.41"

// connectTimeout bounds how long an engine may take to say that it is there.
const connectTimeout = 10 * time.Second

// connect returns a client of the engine at an address, whose API it speaks. Errors say what an operator can do.
func connect(ctx context.Context, address string) (*client.Client, error) {
	options := []client.Opt{client.WithTLSClientConfigFromEnv(), client.WithHostFromEnv()}
	if address != "" {
		options = append(options, client.WithHost(address))
	}
	engine, err := client.New(options...)
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	// Asked before anything is agreed on: the client would call the oldest that it knows what is older.
	pong, err := engine.Ping(ctx, client.PingOptions{})
	if err == nil && older(pong.APIVersion, oldest) {
		err = fmt.Errorf("it is too old: it speaks version %s of the API, and %s is needed at least, which Docker 20.10 and newer speak", pong.APIVersion, oldest)
	}
	if err == nil && pong.OSType != "linux" {
		err = fmt.Errorf("it runs containers of %s, and linux is needed", pong.OSType)
	}
	if err == nil {
		_, err = engine.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("engine at %s: %w%s", engine.DaemonHost(), err, advice(err)), engine.Close())
	}
	return engine, nil
}

// advice is what an operator can do about an engine that does not answer.
func advice(err error) string {
	switch {
	case strings.Contains(err.Error(), "permission denied"): // the client does not hand the cause on
		return "; only root and the group docker may use its socket: sudo usermod -aG docker " + os.Getenv("USER") + ", and sign in anew"
	case client.IsErrConnectionFailed(err):
		return "; is Docker installed and running? DOCKER_HOST says where else it answers"
	}
	return ""
}

// older compares versions of the API, MAJOR.MINOR. One that is none is older than any.
func older(version, than string) bool {
	parse := func(text string) (major, minor int) {
		first, second, _ := strings.Cut(text, ".")
		major, _ = strconv.Atoi(first)
		minor, _ = strconv.Atoi(second)
		return major, minor
	}
	major, minor := parse(version)
	thanMajor, thanMinor := parse(than)
	return major < thanMajor || major == thanMajor && minor < thanMinor
}
