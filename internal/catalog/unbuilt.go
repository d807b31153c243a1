package catalog

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// unbuilt is a field, or a value of one, that the documents will have and that nothing stands behind yet. Accepting
// it in silence would let an operator rely on a protection that is not there.
type unbuilt struct {
	field  string                          // path of the field; lists on the way are passed through
	when   func(value, in *yaml.Node) bool // of its value and the mapping it is in; nil: whenever the field is given
	what   string                          // the subject of "... is not built yet"
	reason string
}

// To build a field, delete its line.

var platformUnbuilt = []unbuilt{}

// catalogUnbuilt is of servers that are processes.
var catalogUnbuilt = append([]unbuilt{
	{"servers.runtime.container", nil, "runtime.container without an engine", "it needs Docker or a cluster, which deployer.docker or deployer.knative of the platform file names"},
}, machineUnbuilt...)

// dockerUnbuilt is of servers that are containers of this machine's engine.
var dockerUnbuilt = append([]unbuilt{
	{"servers.runtime.container.imagePullSecret", nil, "runtime.container.imagePullSecret on one machine", "an image that not everybody may have is pulled by docker pull, by who may"},
}, machineUnbuilt...)

// machineUnbuilt is of servers on one machine.
var machineUnbuilt = append([]unbuilt{
	{"servers.instances.idleDelete", nil, "instances.idleDelete on one machine", "an instance that is idle is stopped there, and nothing is left of it but its log"},
	{"servers.egress", without("runtime.remote"), "egress without runtime.remote on one machine", "a shim holds a remote server to it and a cluster's network those that run there, but a program of this machine reaches what the machine does"},
}, clusterUnbuilt...)

// clusterUnbuilt is of servers in a cluster.
var clusterUnbuilt = []unbuilt{
	{"servers.scale.max", isNot("1"), "scale.max other than 1", "the deployer starts one copy of each instance"},
	{"servers.token", overStdio, "token for a server that speaks stdio", "the bridge hands it no header on"},
	{"servers.headers", overStdio, "headers for a server that speaks stdio", "the bridge hands it no header on"},
}

// unbuiltFor is what a platform's catalog is held to.
func unbuiltFor(p *Platform) []unbuilt {
	switch {
	case p == nil:
		return catalogUnbuilt
	case p.Deployer.Knative != nil:
		return clusterUnbuilt
	case p.Deployer.Docker != nil:
		return dockerUnbuilt
	default:
		return catalogUnbuilt
	}
}

func isNot(value string) func(_, _ *yaml.Node) bool {
	return func(n, _ *yaml.Node) bool { return n.Value != value }
}

// without is for a field that is built beside another.
func without(path string) func(_, _ *yaml.Node) bool {
	return func(_, in *yaml.Node) bool {
		given := false
		find(in, strings.Split(path, "."), func(*yaml.Node, *yaml.Node, int) { given = true })
		return !given
	}
}

// overStdio is for what goes out in a header.
func overStdio(_, in *yaml.Node) bool {
	given := func(path string) bool { return !without(path)(nil, in) }
	return given("runtime.npx") || given("runtime.uvx") || given("runtime.command") && !given("runtime.command.http")
}

// refuseUnbuilt adds a problem for each use of a table's fields.
func (d *document) refuseUnbuilt(table []unbuilt) {
	if d.root == nil {
		return
	}
	for _, u := range table {
		find(d.root, strings.Split(u.field, "."), func(n, in *yaml.Node, line int) {
			if u.when == nil || u.when(n, in) {
				d.add(line, "%s is not built yet: %s", u.what, u.reason)
			}
		})
	}
}

// find calls visit with each value at path, in every item of the lists on the way, the mapping it is in, and the line of
// its name.
func find(n *yaml.Node, path []string, visit func(n, in *yaml.Node, line int)) {
	switch n.Kind {
	case yaml.SequenceNode:
		for _, item := range n.Content {
			find(item, path, visit)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			switch key, value := n.Content[i], n.Content[i+1]; {
			case key.Value != path[0]:
			case len(path) == 1:
				visit(value, n, key.Line)
			default:
				find(value, path[1:], visit)
			}
		}
	}
}
