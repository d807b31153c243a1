package main

import (
	"context"
	"fmt"
	"io"

	"mcpgateway/internal/catalog/schema"
)

const schemaUsage = `Usage: mcpgateway schema catalog|platform

Prints the JSON Schema of the catalog or of the platform file. Editors complete and check a file by it that begins so:
  # yaml-language-server: $schema=catalog.schema.json

`

func printSchema(_ context.Context, args []string, stdout, stderr io.Writer) int {
	schemas := map[string][]byte{"catalog": schema.Catalog, "platform": schema.Platform}
	flags := newFlags("schema", schemaUsage, stderr)
	if code, goOn := parse(flags, args); !goOn {
		return code
	}
	if flags.NArg() != 1 || schemas[flags.Arg(0)] == nil {
		flags.Usage()
		return exitUsage
	}
	if _, err := stdout.Write(schemas[flags.Arg(0)]); err != nil {
		fmt.Fprintln(stderr, "mcpgateway schema:", err)
		return exitProblems
	}
	return exitOK
}
