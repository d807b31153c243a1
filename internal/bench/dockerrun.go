package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"mcpgateway/internal/measure"
	"mcpgateway/internal/proxytest"
)

// dockerRun starts by hand what a deployer has started: the same two containers, in a network that stays.
type dockerRun struct {
	shim, server container
	network      string
	token        string
}

// container is as much of docker inspect as docker run needs to make another like it.
type container struct {
	Config struct {
		Image, User     string
		Env             []string
		Entrypoint, Cmd []string
		Labels          map[string]string
	}
	HostConfig struct {
		ReadonlyRootfs       bool
		Init                 bool
		CapDrop, SecurityOpt []string
		Memory, MemorySwap   int64
		NanoCpus, PidsLimit  int64
		Tmpfs                map[string]string
		PortBindings         map[string]any
		LogConfig            struct {
			Type   string
			Config map[string]string
		}
	}
	Mounts []struct {
		Source, Destination string
		RW                  bool
	}
}

// newDockerRun looks at the sleeper's containers while it is awake, and keeps what they mount.
func newDockerRun(ctx context.Context, dir string, from *place) (*dockerRun, error) {
	if _, err := from.wake(ctx); err != nil {
		return nil, err
	}
	r := &dockerRun{network: "bench-" + strconv.Itoa(os.Getpid())}
	for unit, to := range map[string]*container{"shim": &r.shim, "server": &r.server} {
		id, err := proxytest.Docker(ctx, nil, "ps", "-q", "--filter", "label=mcpgateway.server="+containerSleeperID, "--filter", "label=mcpgateway.unit="+unit)
		if err != nil {
			return nil, err
		}
		text, err := proxytest.Docker(ctx, nil, "inspect", id)
		if err != nil {
			return nil, err
		}
		var found []container
		if err := json.Unmarshal([]byte(text), &found); err != nil || len(found) != 1 {
			return nil, fmt.Errorf("inspect %s: %d found, %w", unit, len(found), err)
		}
		*to = found[0]
		if err := to.keep(filepath.Join(dir, unit)); err != nil {
			return nil, err
		}
	}
	var err error
	if r.token, err = from.rig.Token(containerSleeperID); err != nil {
		return nil, err
	}
	_, err = proxytest.Docker(ctx, nil, "network", "create", r.network)
	return r, err
}

// keep copies the folders that a container mounts of its instance, which end with it.
func (c *container) keep(dir string) error {
	for i, m := range c.Mounts {
		if info, err := os.Stat(m.Source); err != nil || !info.IsDir() || m.RW {
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			continue
		}
		c.Mounts[i].Source = filepath.Join(dir, strconv.Itoa(i))
		if err := os.CopyFS(c.Mounts[i].Source, os.DirFS(m.Source)); err != nil {
			return fmt.Errorf("copy what is mounted at %s: %w", m.Destination, err)
		}
	}
	return nil
}

// arguments are those of docker run for another container like it, whose port, if it has one, is published at an address.
func (c *container) arguments(network, address string) []string {
	h := c.HostConfig
	args := []string{"run", "--detach", "--network", network, "--user", c.Config.User, "--log-driver", h.LogConfig.Type}
	if h.ReadonlyRootfs {
		args = append(args, "--read-only")
	}
	if h.Init {
		args = append(args, "--init")
	}
	each := func(flag string, values ...string) {
		for _, v := range values {
			args = append(args, flag, v)
		}
	}

	each("--cap-drop", h.CapDrop...)
	each("--security-opt", h.SecurityOpt...)
	each("--env", c.Config.Env...)
	for k, v := range h.LogConfig.Config {
		each("--log-opt", k+"="+v)
	}
	for path, options := range h.Tmpfs {
		each("--tmpfs", path+":"+options)
	}
	for port := range h.PortBindings {
		each("--publish", address+":"+port)
	}
	for _, m := range c.Mounts {
		each("--volume", m.Source+":"+m.Destination+map[bool]string{false: ":ro"}[m.RW])
	}
	for flag, value := range map[string]int64{"--memory": h.Memory, "--memory-swap": h.MemorySwap, "--pids-limit": h.PidsLimit} {
		if value > 0 {
			each(flag, strconv.FormatInt(value, 10))
		}
	}
	if h.NanoCpus > 0 {
		each("--cpus", strconv.FormatFloat(float64(h.NanoCpus)/1e9, 'f', -1, 64))
	}
	command := append(append([]string{}, c.Config.Entrypoint...), c.Config.Cmd...)
	each("--entrypoint", command[0])
	return append(append(args, c.Config.Image), command[1:]...)
}

// wake starts the two containers and calls the server through the shim.
func (r *dockerRun) wake(ctx context.Context) (took time.Duration, err error) {
	address, err := proxytest.FreeAddress()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	shim, err := proxytest.Docker(ctx, nil, r.shim.arguments(r.network, address)...)
	if err != nil {
		return 0, err
	}
	started := []string{"rm", "--force", "--volumes", shim}
	defer func() {
		_, failed := proxytest.Docker(context.WithoutCancel(ctx), nil, started...)
		err = errors.Join(err, failed)
	}()
	server, err := proxytest.Docker(ctx, nil, r.server.arguments("container:"+shim, "")...)
	if err != nil {
		return 0, err
	}
	started = append(started, server)
	if err := awaitReady(ctx, "http://"+address+"/readyz"); err != nil {
		return 0, err
	}
	at, err := measure.NewCaller("http://"+address+proxytest.Path(containerSleeperID), r.token).FirstByte(ctx)
	return at.Sub(began), err
}

// awaitReady asks a shim until it is ready.
func awaitReady(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if res, err := http.DefaultClient.Do(req); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		if err := measure.Pause(ctx, 2*time.Millisecond); err != nil {
			return fmt.Errorf("%s is not ready: %w", url, err)
		}
	}
}

func (r *dockerRun) stop() error {
	_, err := proxytest.Docker(context.Background(), nil, "network", "rm", r.network)
	return err
}
