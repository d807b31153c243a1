package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"mcpgateway/internal/atomicfile"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/deploy/unitlog"
)

// follow copies what a unit prints to its log, until it ends: the shim's standard output is the audit log. Since is where a
// former deployer was.
func (d *Deployer) follow(g *group, u *unit, since string) {
	logs := d.config.logs(g.key.Server)
	if err := os.MkdirAll(logs, 0o700); err != nil {
		d.config.Logger.Error("lines of a unit are lost", "server", g.key.Server, "unit", u.name, "error", err)
		return
	}
	prefix := g.id + " "
	told := filepath.Join(logs, u.name+".log")
	outR, outW := io.Pipe()
	errR, errW := io.Pipe()
	out := &unitlog.Lines{File: unitlog.NewFile(told), Prefix: prefix, Unit: u.name, Last: &g.last}
	if u.role == deploy.RoleShim {
		out = &unitlog.Lines{File: unitlog.NewFile(filepath.Join(logs, "audit.jsonl"))}
	}
	g.copied.Go(func() { out.Copy(outR) })
	g.copied.Go(func() {
		(&unitlog.Lines{File: unitlog.NewFile(told), Prefix: prefix, Unit: u.name, Last: &g.last}).Copy(errR)
	})
	at := &position{file: d.positionFile(g, u)}
	g.copied.Go(func() {
		defer at.save()
		defer errW.Close()
		defer outW.Close()
		text, err := d.engine.ContainerLogs(d.done, u.container, client.ContainerLogsOptions{
			ShowStdout: true, ShowStderr: true, Follow: true, Timestamps: true, Since: since})
		if err == nil {
			defer text.Close()
			_, err = stdcopy.StdCopy(stamped{outW, at}, stamped{errW, at}, text)
		}
		if err != nil && d.done.Err() == nil && !g.isLeaving() {
			d.config.Logger.Error("lines of a unit are lost", "server", g.key.Server, "unit", u.name, "error", err)
		}
	})
}

// stamped takes the engine's time off each piece that a unit printed. The engine hands on lines, and long ones in pieces.
type stamped struct {
	to io.Writer
	at *position
}

func (s stamped) Write(piece []byte) (int, error) {
	stamp, text, found := bytes.Cut(piece, []byte(" "))
	when, err := time.Parse(time.RFC3339Nano, string(stamp))
	if !found || err != nil {
		return 0, fmt.Errorf("the engine's log has no time in front of %.40q", piece)
	}
	if _, err := s.to.Write(text); err != nil {
		return 0, err
	}
	s.at.move(when)
	return len(piece), nil
}

// position is how far a container's output was copied. It is kept for the next deployer, who may copy some lines again that
// the last second brought, but leaves none out.
type position struct {
	file        string
	last, saved time.Time
}

func (p *position) move(to time.Time) {
	p.last = to
	if time.Since(p.saved) > time.Second {
		p.save()
	}
}

func (p *position) save() {
	if p.last.IsZero() {
		return
	}
	next := p.last.Add(1)
	_ = atomicfile.Replace(p.file, fmt.Appendf(nil, "%d.%09d", next.Unix(), next.Nanosecond())) // the group may be gone, folder and all
	p.saved = time.Now()
}

func (d *Deployer) positionFile(g *group, u *unit) string {
	return filepath.Join(d.config.folder(g), u.name+".position")
}

func (d *Deployer) position(g *group, u *unit) string {
	text, _ := os.ReadFile(d.positionFile(g, u)) // none: from the beginning
	return string(text)
}

// memory adds up what the containers of a group have in memory, in bytes, without what could be dropped at once; 0 where the
// engine does not say.
func (d *Deployer) memory(ctx context.Context, g *group) (sum int64) {
	for _, u := range g.units {
		if u.container == "" {
			continue
		}
		answer, err := d.engine.ContainerStats(ctx, u.container, client.ContainerStatsOptions{})
		if err != nil {
			continue
		}
		var s container.StatsResponse
		err = json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&s)
		answer.Body.Close()
		if err == nil {
			cache := max(s.MemoryStats.Stats["total_inactive_file"], s.MemoryStats.Stats["inactive_file"])
			sum += int64(s.MemoryStats.Usage - min(cache, s.MemoryStats.Usage))
		}
	}
	return sum
}
