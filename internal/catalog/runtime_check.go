package catalog

import (
	"path/filepath"
	"strings"
)

var (
	// An exact version (Semantic Versioning 2.0.0, section 9 and 10), since a range or a tag runs what somebody else
	// publishes next.
	npmPackage = newPattern(`^(@[a-z0-9._~-]+/)?[a-z0-9_~][a-z0-9._~-]*@[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
	// A name (PEP 508) and an exact version (PEP 440).
	pypiPackage = newPattern(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(\[[A-Za-z0-9._,-]+\])?==[0-9]+(\.[0-9]+)*((a|b|rc)[0-9]+)?(\.post[0-9]+)?(\.dev[0-9]+)?(\+[a-z0-9.]+)?$`)
	imageName   = newPattern(`^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,511}$`)
)

// checkRuntime checks that there is one runtime, and it.
func checkRuntime(d *document, s *Server) {
	r := &s.Runtime
	at := any(s)
	if d.has(r) {
		at = r
	} else {
		d.fact(r).required = true
	}
	d.one(at, r, "runtime needs exactly one of %s", alternative{"npx", r.NPX != nil}, alternative{"uvx", r.UVX != nil}, alternative{"container", r.Container != nil},
		alternative{"remote", r.Remote != nil}, alternative{"command", r.Command != nil})
	if r.NPX != nil {
		checkPackage(d, r.NPX, "runtime.npx", npmPackage, "name@1.2.3")
	}
	if r.UVX != nil {
		checkPackage(d, r.UVX, "runtime.uvx", pypiPackage, "name==1.2.3")
	}
	if r.Container != nil {
		checkContainer(d, r.Container)
	}
	if r.Command != nil {
		checkCommand(d, r.Command)
	}
	checkStdio(d, s)
}

func checkPackage(d *document, p *Package, name string, form *pattern, example string) {
	if d.required(&p.Package, p, name+".package") && (!d.matches(&p.Package, form) || len(p.Package) > 512) {
		d.bad(&p.Package, "%s.package must be pinned to one version, as in %s", name, example)
	}
	checkArgs(d, &p.Args, name+".args")
}

func checkContainer(d *document, c *Container) {
	if d.required(&c.Image, c, "runtime.container.image") {
		d.image(&c.Image, "runtime.container.image")
	}
	if d.has(&c.Port) {
		number(d, &c.Port, "runtime.container.port", 1, 0, 65535)
	} else {
		d.fact(&c.Port).required = true
		d.bad(c, "runtime.container.port is missing")
	}
	checkPath(d, &c.Path, "runtime.container.path")
	checkArgs(d, &c.Args, "runtime.container.args")
	if d.has(&c.ImagePullSecret) {
		d.label(&c.ImagePullSecret, c, "runtime.container.imagePullSecret")
	}
}

func checkCommand(d *document, c *Command) {
	if d.required(&c.Exec, c, "runtime.command.exec") {
		checkArgument(d, &c.Exec, "runtime.command.exec")
		if strings.ContainsRune(c.Exec, '/') && !filepath.IsAbs(c.Exec) {
			dir, err := filepath.Abs(filepath.Dir(d.file))
			if err != nil {
				d.bad(&c.Exec, "runtime.command.exec: find the folder: %v", err)
			}
			c.Exec = filepath.Join(dir, c.Exec)
		}
	}
	checkArgs(d, &c.Args, "runtime.command.args")
	if c.HTTP != nil {
		checkPath(d, &c.HTTP.Path, "runtime.command.http.path")
	}
}

func checkArgs(d *document, args *[]string, name string) {
	if len(*args) > maxArgs {
		d.bad(args, "%s holds more than %d arguments", name, maxArgs)
	}
	for i := range *args {
		checkArgument(d, &(*args)[i], name)
	}
}

var urlPath = newPattern(`^/[A-Za-z0-9._~/-]{0,255}$`)

func checkPath(d *document, path *string, name string) {
	if !d.has(path) {
		*path = "/mcp"
	}
	if !d.matches(path, urlPath) {
		d.bad(path, "%s must begin with / and hold letters, digits and ._~- only", name)
	}
}

// checkStdio fills in how callers share the processes of a server that speaks stdio.
func checkStdio(d *document, s *Server) {
	r := &s.Runtime
	speaks := r.NPX != nil || r.UVX != nil || r.Command != nil && r.Command.HTTP == nil
	switch {
	case s.Stdio != nil && !speaks:
		d.bad(&s.Stdio, "stdio is for servers that speak it: npx, uvx, and command without http")
	case s.Stdio == nil && speaks:
		s.Stdio = &Stdio{}
	}
	if s.Stdio != nil {
		d.choice(&s.Stdio.Child, "stdio.child", "session", "shared")
		number(d, &s.Stdio.Max, "stdio.max", 1, 8, 1000)
	}
}
