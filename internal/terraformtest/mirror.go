// Package terraformtest runs Terraform on this repository's modules without any registry: providers are schema stubs
// (internal/schemastub), installed where Terraform looks for providers.
//
// It asserts nothing by itself: its tests do, and whoever applies a module to see what comes of it.
package terraformtest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"

	"mcpgateway/internal/peers"
	"mcpgateway/internal/schemastub/typings"
)

// provider is one whose schema the npm registry has.
type provider struct {
	name, pkg string
	version   string // that the stub is installed as; the schema's own may be older, and the overlay has the difference
}

var providers = []provider{
	{"aws", "@cdktf/provider-aws@21.22.1", "6.29.0"}, // of 6.25.0
	{"external", "@cdktf/provider-external@11.0.1", "2.3.5"},
	{"helm", "@cdktf/provider-helm@12.1.2", "3.1.1"},
	{"tls", "@cdktf/provider-tls@11.0.1", "4.1.0"},
}

// Mirror has stubs for all providers that the modules in a folder use.
type Mirror struct {
	terraform string // its program
	config    string // of Terraform's command line
}

// Install makes a mirror below folder, of what is used in modules; cache keeps what comes from npm.
func Install(ctx context.Context, root, cache, folder string, modules []string) (*Mirror, error) {
	stub := filepath.Join(folder, "schemastub")
	build := exec.CommandContext(ctx, "go", "build", "-o", stub, "./internal/schemastub")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the schema stub: %w\n%s", err, out)
	}
	resources, data, err := used(modules)
	if err != nil {
		return nil, err
	}
	for _, p := range providers {
		if err := p.install(ctx, root, cache, folder, stub, resources, data); err != nil {
			return nil, fmt.Errorf("schema stub of %s: %w", p.name, err)
		}
	}
	program, err := exec.LookPath("terraform") // the modules refuse one that is too old
	if err != nil {
		program, err = peers.Installer{Dir: cache}.Terraform(ctx)
	}
	if err != nil {
		return nil, err
	}
	m := &Mirror{terraform: program, config: filepath.Join(folder, "terraform.rc")}
	text := fmt.Sprintf("disable_checkpoint = true\nprovider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", filepath.Join(folder, "mirror"))
	return m, os.WriteFile(m.config, []byte(text), 0o600)
}

func (p provider) install(ctx context.Context, root, cache, folder, stub string, resources, data []string) error {
	of := func(names []string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n != p.name && !hasPrefix(n, p.name) })
	}
	resources, data = of(resources), of(data)
	if len(resources)+len(data) == 0 {
		return nil
	}
	pkg, err := peers.Installer{Dir: cache}.Archive(ctx, p.pkg)
	if err != nil {
		return err
	}
	schema, err := typings.Read(pkg, p.name, resources, data)
	if err != nil {
		return err
	}
	if err := overlay(filepath.Join(root, "terraform", "tests", "overlay", p.name+".json"), schema); err != nil {
		return err
	}
	at := filepath.Join(folder, "mirror", "registry.terraform.io", "hashicorp", p.name, p.version, runtime.GOOS+"_"+runtime.GOARCH)
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	text, err := json.Marshal(schema)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(at, "schema.json"), text, 0o600); err != nil {
		return err
	}
	return os.Link(stub, filepath.Join(at, "terraform-provider-"+p.name+"_v"+p.version))
}

func hasPrefix(name, provider string) bool {
	return len(name) > len(provider) && name[:len(provider)+1] == provider+"_"
}

// overlay adds what is newer than a schema, where there is any.
func overlay(file string, schema *typings.Schema) error {
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	var newer typings.Schema
	if err := json.Unmarshal(text, &newer); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	schema.Add(newer)
	return nil
}

var declared = regexp.MustCompile(`(?m)^(resource|data) "([a-z0-9_]+)"`)

// used lists the types of all resources and data sources in modules. Terraform's own are left out.
func used(modules []string) (resources, data []string, err error) {
	for _, module := range modules {
		files, err := filepath.Glob(filepath.Join(module, "*.tf"))
		if err != nil {
			return nil, nil, err
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, nil, err
			}
			for _, d := range declared.FindAllStringSubmatch(string(text), -1) {
				if d[1] == "data" {
					data = append(data, d[2])
				} else if d[2] != "terraform_data" {
					resources = append(resources, d[2])
				}
			}
		}
	}
	slices.Sort(resources)
	slices.Sort(data)
	return slices.Compact(resources), slices.Compact(data), nil
}
