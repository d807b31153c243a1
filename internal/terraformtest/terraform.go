package terraformtest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Folder is a root module that Terraform works in.
type Folder struct {
	Path   string
	Mirror *Mirror
}

// Run runs one of Terraform's verbs, and returns what it said on both streams.
func (f Folder) Run(ctx context.Context, args ...string) (string, error) {
	c := exec.CommandContext(ctx, f.Mirror.terraform, args...)
	c.Dir = f.Path
	c.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "TF_") }),
		"TF_CLI_CONFIG_FILE="+f.Mirror.config, "TF_IN_AUTOMATION=1", "TF_INPUT=0", "CHECKPOINT_DISABLE=1")
	out, err := c.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("terraform %s: %w\n%s", args[0], err, out)
	}
	return string(out), nil
}

// Plan is what Terraform would do, in its JSON form.
type Plan struct {
	Changes []Change `json:"resource_changes"`
	Outputs map[string]struct {
		Actions []string `json:"actions"`
	} `json:"output_changes"`
	Planned struct {
		Root module `json:"root_module"`
	} `json:"planned_values"`
}

// Change is what becomes of one resource.
type Change struct {
	Address string `json:"address"`
	Mode    string `json:"mode"`
	Type    string `json:"type"`
	Name    string `json:"name"`
	Change  struct {
		Actions []string       `json:"actions"`
		After   map[string]any `json:"after"`
	} `json:"change"`
}

type module struct {
	Resources []Resource `json:"resources"`
	Children  []module   `json:"child_modules"`
}

// Resource is one that is planned, or in the state.
type Resource struct {
	Address string         `json:"address"`
	Mode    string         `json:"mode"`
	Type    string         `json:"type"`
	Name    string         `json:"name"`
	Index   any            `json:"index"`
	Values  map[string]any `json:"values"`
}

func (m module) all() []Resource {
	found := slices.Clone(m.Resources)
	for _, c := range m.Children {
		found = append(found, c.all()...)
	}
	return found
}

// Resources are all that there are in the plan, of a type where it is given.
func (p *Plan) Resources(kind string) []Resource {
	return slices.DeleteFunc(p.Planned.Root.all(), func(r Resource) bool { return r.Mode != "managed" || kind != "" && r.Type != kind })
}

// MakePlan plans with a file of variables.
func (f Folder) MakePlan(ctx context.Context, variables map[string]any) (*Plan, error) {
	if err := f.SetVariables(variables); err != nil {
		return nil, err
	}
	if _, err := f.Run(ctx, "plan", "-no-color", "-out=plan"); err != nil {
		return nil, err
	}
	text, err := f.Run(ctx, "show", "-json", "plan")
	if err != nil {
		return nil, err
	}
	p := &Plan{}
	return p, json.Unmarshal([]byte(text), p)
}

// SetVariables writes the file of variables that every verb reads.
func (f Folder) SetVariables(variables map[string]any) error {
	text, err := json.Marshal(variables)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(f.Path, "terraform.tfvars.json"), text, 0o600)
}

// State lists what was made.
func (f Folder) State(ctx context.Context) ([]Resource, error) {
	text, err := f.Run(ctx, "show", "-json")
	if err != nil {
		return nil, err
	}
	var s struct {
		Values struct {
			Root module `json:"root_module"`
		} `json:"values"`
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return nil, err
	}
	return s.Values.Root.all(), nil
}

// Output is one of what was applied.
func (f Folder) Output(ctx context.Context, name string) (any, error) {
	text, err := f.Run(ctx, "output", "-json", name)
	if err != nil {
		return nil, err
	}
	var value any
	return value, json.Unmarshal([]byte(text), &value)
}
