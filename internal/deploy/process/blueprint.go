package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"

	"mcpgateway/internal/deploy"
	"mcpgateway/internal/deploy/secretfolder"
)

// blueprint fills in a plan for one group: its sockets, ports and secrets.
type blueprint struct {
	config   Config
	plan     deploy.Plan
	group    group
	programs map[deploy.Package]string // paths
	ports    map[string]string         // by unit
	sockets  map[string]string         // by volume
}

func newBlueprint(c Config, p deploy.Plan, g group, programs map[deploy.Package]string) blueprint {
	b := blueprint{config: c, plan: p, group: g, programs: programs, ports: map[string]string{}, sockets: map[string]string{}}
	for _, u := range p.Units {
		if u.Port == deploy.PortAny && len(b.ports) < len(g.Ports) {
			b.ports[u.Name] = strconv.Itoa(g.Ports[len(b.ports)])
		}
		for _, volume := range u.Sockets {
			if _, ok := b.sockets[volume]; !ok {
				// By number, since a path with the name of a filter might not fit an address.
				name := "v" + strconv.Itoa(len(b.sockets))
				if volume == deploy.SocketMetrics {
					name = volume
				}
				b.sockets[volume] = g.file(name + ".sock")
			}
		}
	}
	return b
}

// portsNeeded counts the ports that must be chosen for a plan.
func portsNeeded(p deploy.Plan) int {
	n := 0
	for _, u := range p.Units {
		if u.Port == deploy.PortAny {
			n++
		}
	}
	return n
}

// spec resolves everything. Units start in the plan's reverse order: servers take longest, and the shim waits for them.
func (b blueprint) spec() (spec, error) {
	s := spec{ID: b.group.id(), Dir: b.group.dir, Logs: b.config.logs(b.plan.Server), Drain: b.config.Drain}
	for _, u := range slices.Backward(b.plan.Units) {
		resolved, err := b.unit(u)
		if err != nil {
			return spec{}, fmt.Errorf("unit %s: %w", u.Name, err)
		}
		s.Units = append(s.Units, resolved)
	}
	return s, nil
}

func (b blueprint) unit(u deploy.Unit) (unitSpec, error) {
	s := unitSpec{Name: u.Name, Shim: u.Role == deploy.RoleShim, Restart: u.Role == deploy.RoleFilter}
	if u.Role == deploy.RoleServer {
		s.User = b.group.User
	}
	for _, v := range b.baseEnvironment(s.User) {
		s.addEnv(v)
	}
	switch u.Image {
	case "", deploy.ImageShim, deploy.ImageNode, deploy.ImagePython:
	default:
		return s, fmt.Errorf("image %s: only programs run as processes, not images", u.Image)
	}
	if len(u.Command) == 0 {
		return s, errors.New("no command")
	}
	places := b.places(u)
	for _, word := range u.Command {
		expanded, err := places.Expand(word)
		if err != nil {
			return s, err
		}
		s.Args = append(s.Args, expanded)
	}
	for _, v := range u.Env {
		expanded, err := places.Expand(v.Value)
		if err != nil {
			return s, fmt.Errorf("variable %s: %w", v.Name, err)
		}
		s.addEnv(v.Name + "=" + expanded)
	}
	if s.Shim {
		// Nothing outside the group sees its calls, so the shim is the one to tell when it is idle.
		s.addEnv("SHIM_IDLE=" + b.plan.Scale.Idle.String())
		s.addEnv("SHIM_DRAIN=" + b.config.Drain.String())
	}
	if s.Shim || u.Role == deploy.RoleFilter {
		// What runs elsewhere may have a certificate of the organisation's own authority, which the operator gave to the
		// deployer.
		for _, name := range []string{"SSL_CERT_FILE", "SSL_CERT_DIR"} {
			if value := os.Getenv(name); value != "" {
				s.addEnv(name + "=" + value)
			}
		}
	}
	for _, m := range u.Mounts {
		if _, err := os.Stat(places.Mounts[m.Name]); err != nil && m.From == "" {
			return s, fmt.Errorf("mounted file: %w", err)
		}
	}
	var err error
	if s.Path, err = exec.LookPath(s.Args[0]); err != nil {
		return s, err
	}
	if err := b.hand(&s, u, places); err != nil {
		return s, err
	}
	return s, b.addSecrets(&s, u.Secrets)
}

// socketDescriptor is where a unit with a user of its own finds the socket that it serves on.
const socketDescriptor = "/dev/fd/3"

// hand gives a unit that its user closes out of our folders what it needs of them.
func (b blueprint) hand(s *unitSpec, u deploy.Unit, places deploy.Places) error {
	if s.User == 0 {
		return nil
	}
	if len(u.Sockets) > 0 {
		s.Socket = b.sockets[u.Sockets[0]]
	}
	for _, program := range []string{s.Path, places.Package} {
		if program == "" {
			continue
		}
		if err := openToOthers(program, 0o005); err != nil {
			return err
		}
	}
	return nil
}

func (b blueprint) places(u deploy.Unit) deploy.Places {
	p := deploy.Places{Shim: b.config.Shim, Ports: b.ports, Port: b.ports[u.Name], Sockets: map[string]string{}, Mounts: map[string]string{}}
	if u.Package != nil {
		p.Package = b.programs[*u.Package]
	}
	switch {
	case u.Role == deploy.RoleShim:
		p.Listen, p.State = "unix:"+b.group.file(socketShim), b.config.spool(b.plan.Server)
	case p.Port != "":
		p.Listen = "127.0.0.1:" + p.Port
	}
	for _, volume := range u.Sockets {
		p.Sockets[volume] = b.sockets[volume]
		if u.Role == deploy.RoleServer && b.group.User != 0 {
			p.Sockets[volume] = socketDescriptor
		}
	}
	for _, m := range u.Mounts {
		if m.From != "" {
			p.Mounts[m.Name] = filepath.Join(m.From, m.File)
			continue
		}
		p.Mounts[m.Name] = b.config.mount(m.Name, b.plan.Server)
	}
	return p
}

func (b blueprint) addSecrets(s *unitSpec, refs []deploy.Secret) error {
	for _, ref := range refs {
		value, err := secretfolder.Folder(b.config.Secrets).Value(ref)
		if err != nil {
			return err
		}
		if ref.Env != "" {
			s.addEnv(ref.Env + "=" + string(value))
		}
		if ref.File != "" {
			s.Files = append(s.Files, fileSpec{Variable: ref.File, Value: value})
		}
	}
	return nil
}

// baseEnvironment is that of a user's unit, which must not count on our folders: 0 is ours.
func (b blueprint) baseEnvironment(user uint32) []string {
	if user == 0 {
		return baseEnvironment()
	}
	home := b.config.home(user)
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home}
}

// baseEnvironment is all that a unit gets of ours: what programs cannot do without.
func baseEnvironment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir()}
}

func (c Config) logs(server string) string        { return filepath.Join(c.State, "logs", server) }
func (c Config) mount(name, server string) string { return filepath.Join(c.State, name, server) }
func (c Config) instances() string                { return filepath.Join(c.State, "i") }
func (c Config) spool(server string) string       { return filepath.Join(c.State, "spool", server) }
func (c Config) packages() string                 { return filepath.Join(c.State, "packages") }
