package docker

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"mcpgateway/internal/deploy"
)

// Where a container finds what it is given.
const (
	socketsPath = "/run/sockets/"
	secretsPath = "/run/secrets/"
	mountsPath  = "/etc/mounts/"
	statePath   = "/run/state"
	scratchPath = "/tmp"
	programPath = "/mcp/exec" // a program of the operator's machine
	rulesFile   = "rules"
)

// firstPort is the first that a server is given that takes any: shims have lower ones, and all a network of their own.
const firstPort = 9000

// What containers may have besides the limits of their plan.
const (
	scratchSize = 128 << 20
	socketSize  = "64k"
	maxPIDs     = 512
	logSize     = "16m"
	logFiles    = "2"
)

// blueprint makes the containers of one group. It asks no engine.
type blueprint struct {
	config   Config
	deployer string // its id
	user     string // who runs images of ours
	group    *group
	plan     deploy.Plan
	images   map[string]image // of each unit
	values   func(deploy.Secret) ([]byte, error)
}

// blank is a container to be made, and what it mounts that has to be written before.
type blank struct {
	unit  deploy.Unit
	make  client.ContainerCreateOptions
	files map[string][]byte // by path on the deployer's side
	after bool              // it enters the shim's network, which must be there
}

// blanks are the containers of the plan, the shim's first.
func (b blueprint) blanks() ([]blank, error) {
	ports := map[string]string{}
	for i, u := range b.plan.Units {
		switch {
		case u.Port > 0:
			ports[u.Name] = strconv.Itoa(u.Port)
		case u.Port == deploy.PortAny:
			ports[u.Name] = strconv.Itoa(firstPort + i)
		}
	}
	var list []blank
	for _, u := range b.plan.Units {
		made, err := b.blank(u, ports)
		if err != nil {
			return nil, fmt.Errorf("unit %s: %w", u.Name, err)
		}
		list = append(list, made)
	}
	return list, nil
}

func (b blueprint) blank(u deploy.Unit, ports map[string]string) (blank, error) {
	i := b.images[u.Name]
	host, err := b.confined(u)
	if err != nil {
		return blank{}, err
	}
	c := &container.Config{Image: i.id, User: b.runsAs(u, i), Labels: b.group.labels(b.deployer)}
	c.Labels[labelUnit], c.Labels[labelRole], c.Labels[labelUnits] = u.Name, string(u.Role), strconv.Itoa(len(b.plan.Units))
	made := blank{unit: u, files: map[string][]byte{}, make: client.ContainerCreateOptions{
		Name: b.group.container(u.Name), Config: c, HostConfig: host}}
	places := deploy.Places{Shim: deploy.ImageShimPath, Port: ports[u.Name], Ports: ports, Sockets: map[string]string{}, Mounts: map[string]string{}}
	if u.Package != nil {
		places.Package = deploy.ImageProgramPath
	}
	switch {
	case u.Role == deploy.RoleShim:
		if err := b.publish(&made, u, &places); err != nil {
			return blank{}, err
		}
	case u.Port != 0: // the plan has the shim find it on 127.0.0.1
		made.after, host.NetworkMode = true, container.NetworkMode("container:"+b.group.container(b.plan.Units[0].Name))
	}
	for _, name := range u.Sockets {
		host.Mounts = append(host.Mounts, b.socket(name))
		places.Sockets[name] = socketsPath + name + "/socket"
	}
	for _, m := range u.Mounts {
		from := cmp.Or(m.From, b.config.rules(b.plan.Server))
		if m.Name != rulesFile && m.From == "" {
			return blank{}, fmt.Errorf("nothing is known of a mount %q", m.Name)
		}
		host.Mounts = append(host.Mounts, bind(from, mountsPath+m.Name))
		places.Mounts[m.Name] = mountsPath + m.Name + "/" + m.File
	}
	if err := b.addSecrets(&made, u); err != nil {
		return blank{}, err
	}
	return made, b.fill(&made, u, places)
}

// confined is what every container may have: no more than it needs.
func (b blueprint) confined(u deploy.Unit) (*container.HostConfig, error) {
	pids, init := int64(maxPIDs), len(u.Command) == 0 || u.Command[0] != "{shim}" // others' programs may not expect to be the first process
	h := &container.HostConfig{
		NetworkMode: container.NetworkMode(b.group.network()), ReadonlyRootfs: true, CapDrop: []string{"ALL"}, Init: &init,
		SecurityOpt: []string{"no-new-privileges"},
		Tmpfs:       map[string]string{scratchPath: fmt.Sprintf("rw,exec,nosuid,nodev,mode=1777,size=%d", scratchSize)},
		LogConfig:   container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": logSize, "max-file": logFiles}},
		Resources:   container.Resources{PidsLimit: &pids},
	}
	var err error
	if h.NanoCPUs, err = nanoCPUs(u.Limits.CPU); err != nil {
		return nil, err
	}
	if h.Memory, err = memoryBytes(u.Limits.Memory); err != nil {
		return nil, err
	}
	h.MemorySwap = h.Memory // none besides
	return h, nil
}

// runsAs is the user of a container. Images of others have users of their own, of which root is none.
func (b blueprint) runsAs(u deploy.Unit, i image) string {
	switch {
	case len(u.Command) > 0:
		return b.user
	case i.root:
		return fmt.Sprintf("%d:%[1]d", deploy.ImageUser)
	default:
		return "" // the image's
	}
}

// publish makes a container the one that receives the group's traffic, and tells it what only a deployer knows.
func (b blueprint) publish(made *blank, u deploy.Unit, places *deploy.Places) error {
	port, ok := network.PortFrom(uint16(u.Port), network.TCP)
	if !ok || u.Port <= 0 {
		return errors.New("the shim has no port")
	}
	c, host := made.make.Config, made.make.HostConfig
	c.ExposedPorts = network.PortSet{port: {}}
	host.PortBindings = network.PortMap{port: {{HostIP: netip.MustParseAddr(loopback)}}}
	host.Mounts = append(host.Mounts, mount.Mount{Type: mount.TypeBind, Source: b.config.spool(b.plan.Server), Target: statePath})
	places.Listen, places.State = ":"+places.Port, statePath
	// Nothing outside the group sees its calls, so the shim is the one to tell when it is idle.
	c.Env = append(c.Env, "SHIM_IDLE="+b.plan.Scale.Idle.String(), "SHIM_DRAIN="+b.config.Drain.String())
	return nil
}

// socket is a volume in memory, which only its owner enters.
func (b blueprint) socket(name string) mount.Mount {
	user, gid := splitUser(b.user)
	return mount.Mount{Type: mount.TypeVolume, Source: b.group.volume(name), Target: socketsPath + name, VolumeOptions: &mount.VolumeOptions{
		NoCopy: true, Labels: b.group.labels(b.deployer), DriverConfig: &mount.Driver{Name: "local", Options: map[string]string{
			"type": "tmpfs", "device": "tmpfs", "o": "nosuid,nodev,noexec,mode=0700,size=" + socketSize + ",uid=" + user + ",gid=" + gid}}}}
}

func bind(from, to string) mount.Mount {
	return mount.Mount{Type: mount.TypeBind, Source: from, Target: to, ReadOnly: true}
}

// addSecrets gives a container its secrets and no others. Files are readable to all in it, and on this machine behind a
// folder that is closed to all but the deployer.
func (b blueprint) addSecrets(made *blank, u deploy.Unit) error {
	folder := filepath.Join(b.config.folder(b.group), u.Name)
	for _, ref := range u.Secrets {
		value, err := b.values(ref)
		if err != nil {
			return err
		}
		if ref.Env != "" {
			made.make.Config.Env = append(made.make.Config.Env, ref.Env+"="+string(value))
		}
		if ref.File != "" {
			made.files[filepath.Join(folder, ref.Key)] = value
			made.make.Config.Env = append(made.make.Config.Env, ref.File+"="+secretsPath+ref.Key)
		}
	}
	if len(made.files) > 0 {
		made.make.HostConfig.Mounts = append(made.make.HostConfig.Mounts, bind(folder, secretsPath))
	}
	return nil
}

// fill writes command and variables with the places that the container has.
func (b blueprint) fill(made *blank, u deploy.Unit, places deploy.Places) error {
	c := made.make.Config
	command, err := b.command(made, u)
	if err != nil {
		return err
	}
	for _, word := range command {
		expanded, err := places.Expand(word)
		if err != nil {
			return err
		}
		c.Entrypoint = append(c.Entrypoint, expanded)
	}
	for _, word := range u.Args {
		expanded, err := places.Expand(word)
		if err != nil {
			return err
		}
		c.Cmd = append(c.Cmd, expanded)
	}
	if u.Role == deploy.RoleServer && !slices.ContainsFunc(u.Env, func(v deploy.EnvVar) bool { return v.Name == "HOME" }) {
		c.Env = append(c.Env, "HOME="+scratchPath) // the only place that can be written
	}
	for _, v := range u.Env {
		expanded, err := places.Expand(v.Value)
		if err != nil {
			return fmt.Errorf("variable %s: %w", v.Name, err)
		}
		c.Env = append(c.Env, v.Name+"="+expanded)
	}
	return nil
}

// command is a unit's command where a program of this machine is at its place in the container.
func (b blueprint) command(made *blank, u deploy.Unit) ([]string, error) {
	if u.Image != "" {
		return u.Command, nil
	}
	place := 0
	if len(u.Command) > 0 && u.Command[0] == "{shim}" {
		place = slices.Index(u.Command, "--") + 1 // behind the bridge
	}
	if place >= len(u.Command) {
		return nil, errors.New("no command")
	}
	file, err := exec.LookPath(u.Command[place])
	if err == nil {
		file, err = filepath.Abs(file)
	}
	if err != nil {
		return nil, err
	}
	if file, err = filepath.EvalSymlinks(file); err != nil {
		return nil, err
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm()&0o005 != 0o005 {
		return nil, errors.Join(err, fmt.Errorf("%s is closed to the user of its container: chmod o+rx it", file))
	}
	made.make.HostConfig.Mounts = append(made.make.HostConfig.Mounts, bind(file, programPath))
	command := slices.Clone(u.Command)
	command[place] = programPath
	return command, nil
}
