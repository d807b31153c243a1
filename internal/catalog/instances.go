package catalog

import (
	"reflect"

	"go.yaml.in/yaml/v3"
)

// Instances says whether all users share one instance. In YAML: "shared", or {per: user, max: 500, idleDelete: 30d}.
type Instances struct {
	PerUser    bool
	Max        int      // instances at once where each user has their own, default 100
	IdleDelete Duration // an instance unused for so long is removed with all it stored; zero: never
}

// decodeNode implements nodeDecoder.
func (i *Instances) decodeNode(d *decoder, n *yaml.Node) {
	to := reflect.ValueOf(i).Elem()
	switch {
	case n.Kind == yaml.ScalarNode && n.Value == "shared":
		return
	case n.Kind != yaml.MappingNode:
		d.wrong(to, n.Line, "must be shared, or {per: user, max: 100}")
		return
	}
	var form instancesForm
	d.value(n, n.Line, reflect.ValueOf(&form).Elem())
	if form.Per != "user" {
		d.wrong(to, n.Line, "must say per: user, or be shared")
	}
	*i = Instances{PerUser: true, Max: form.Max, IdleDelete: form.IdleDelete}
	d.moved(&form.Max, &i.Max)
	d.moved(&form.IdleDelete, &i.IdleDelete)
}

// instancesForm is how Instances says that each user has an instance of their own.
type instancesForm struct {
	Per        string   `yaml:"per"`        // user: each has an instance of their own
	Max        int      `yaml:"max"`        // instances at once, default 100
	IdleDelete Duration `yaml:"idleDelete"` // an instance unused for so long is removed with all it stored
}
