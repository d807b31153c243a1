package catalog

// Docker says that servers run as containers of a Docker Engine on this machine, and not as processes.
type Docker struct {
	Engine  string       `yaml:"engine"`  // unix:///PATH or tcp://HOST:PORT where it answers, default $DOCKER_HOST, then /var/run/docker.sock
	Address string       `yaml:"address"` // where the gateway reaches the ports of the engine's 127.0.0.1, default 127.0.0.1
	Lock    string       `yaml:"lock"`    // file of the images of packages, default docker.lock beside the platform file
	Images  DockerImages `yaml:"images"`
}

// DockerImages are what images of packages are made from: references.
type DockerImages struct {
	Node   string `yaml:"node"`   // of npx packages
	Python string `yaml:"python"` // of uvx packages
}

func checkDocker(d *document, p *Deployer, dir string) {
	k := p.Docker
	if k == nil {
		return
	}
	switch {
	case p.Knative != nil:
		d.bad(k, "deployer.docker and deployer.knative: servers run at one place")
	case d.has(&p.Function):
		d.bad(&p.Function, "deployer.function is for a cluster: no engine is beside a function")
	}
	if d.has(&k.Engine) && !d.matches(&k.Engine, engineAddress) {
		d.bad(&k.Engine, "deployer.docker.engine must be unix:///PATH or tcp://HOST:PORT")
	}
	if d.has(&k.Address) && (checkHost(k.Address) != nil || !d.matches(&k.Address, hostForm)) {
		d.bad(&k.Address, "deployer.docker.address must be a host's name or address, without a port")
	}
	d.filePath(&k.Lock, "deployer.docker.lock", dir, "docker.lock")
	if d.has(&k.Images.Node) {
		d.image(&k.Images.Node, "deployer.docker.images.node")
	}
	if d.has(&k.Images.Python) {
		d.image(&k.Images.Python, "deployer.docker.images.python")
	}
}

var (
	engineAddress = newPattern(`^(unix:///[^\x00-\x20]{1,1000}|tcp://[A-Za-z0-9.-]{1,255}:[0-9]{1,5})$`)
	hostForm      = newPattern(`^[a-z0-9.-]{1,255}$`)
)
