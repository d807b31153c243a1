// Command schemastub stands in for a Terraform provider where no registry can be reached: it has the provider's schema, and
// makes up what only the provider would know. It is a schema stub: nothing is created anywhere, and enumerations, ranges and
// rules across arguments are not known to it.
//
// Terraform starts it by the name terraform-provider-<name>_v<version>, with schema.json beside it (internal/terraformtest).
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"

	"mcpgateway/internal/schemastub/typings"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "schemastub:", err)
		os.Exit(1)
	}
}

func run() error {
	rest, is := strings.CutPrefix(filepath.Base(os.Args[0]), "terraform-provider-")
	if !is {
		return fmt.Errorf("it is started by Terraform, as terraform-provider-NAME_vVERSION")
	}
	name, _, _ := strings.Cut(rest, "_")
	text, err := os.ReadFile(filepath.Join(filepath.Dir(os.Args[0]), "schema.json"))
	if err != nil {
		return fmt.Errorf("read schema: %w", err)
	}
	var schema typings.Schema
	if err := json.Unmarshal(text, &schema); err != nil {
		return fmt.Errorf("read schema: %w", err)
	}
	s, err := newStub(name, &schema)
	if err != nil {
		return err
	}
	return tf6server.Serve("registry.terraform.io/hashicorp/"+name, func() tfprotov6.ProviderServer { return s })
}
