package catalog

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// unbuilt is a field, or a value of one, that the documents will have and that nothing stands behind yet. Accepting
// it in silence would let an operator rely on a protection that is not there.
type unbuilt struct {
	field  string                // path of the field; lists on the way are passed through
	when   func(*yaml.Node) bool // nil: whenever the field is given
	what   string                // the subject of "... is not built yet"
	reason string
}

// To build a field, delete its line.

var platformUnbuilt = []unbuilt{
	{"audit", nil, "audit", "shims write their audit lines to standard output"},
}

var catalogUnbuilt = []unbuilt{
	{"servers.runtime.container", nil, "runtime.container", "it needs a deployer of containers"},
	{"servers.runtime.remote", nil, "runtime.remote", "the shim reaches only servers beside it"},
	{"servers.instances.idleDelete", nil, "instances.idleDelete", "instances are stopped when idle, never deleted"},
	{"servers.scale.max", isNot("1"), "scale.max other than 1", "the deployer starts one copy of each instance"},
	{"servers.sessions", is("survive"), "sessions: survive", "a session ends with its server's process"},
	{"servers.listen", isNot("poll"), "listen other than poll", "the gateway ends silent listeners and clients come back"},
	{"servers.discovery", is("cached"), "discovery: cached", "every answer comes from the server itself"},
	{"servers.egress", nil, "egress", "it needs a deployer that can hold a server to it"},
	{"servers.token", nil, "token", "the caller's token is removed before the server is called"},
	{"servers.filters", nil, "filters", "the shim runs none"},
	{"servers.audit.bodies", is("full"), "audit.bodies: full", "audit lines hold no bodies"},
	{"servers.audit.required", is("true"), "audit.required", "there is no audit sink to wait for"},
	{"filters", nil, "filters", "the shim runs none"},
	{"policies.when", nil, "when", "policies decide by name, not by arguments"},
}

func is(value string) func(*yaml.Node) bool {
	return func(n *yaml.Node) bool { return strings.EqualFold(n.Value, value) }
}

func isNot(value string) func(*yaml.Node) bool {
	return func(n *yaml.Node) bool { return n.Value != value }
}

// refuseUnbuilt adds a problem for each use of a table's fields.
func (d *document) refuseUnbuilt(table []unbuilt) {
	if d.root == nil {
		return
	}
	for _, u := range table {
		find(d.root, strings.Split(u.field, "."), 0, func(n *yaml.Node, line int) {
			if u.when == nil || u.when(n) {
				d.add(line, "%s is not built yet: %s", u.what, u.reason)
			}
		})
	}
}

// find calls visit with each value at path, in every item of the lists on the way, and the line of its name.
func find(n *yaml.Node, path []string, line int, visit func(n *yaml.Node, line int)) {
	switch {
	case len(path) == 0:
		visit(n, line)
	case n.Kind == yaml.SequenceNode:
		for _, item := range n.Content {
			find(item, path, line, visit)
		}
	case n.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if key := n.Content[i]; key.Value == path[0] {
				find(n.Content[i+1], path[1:], key.Line, visit)
			}
		}
	}
}
