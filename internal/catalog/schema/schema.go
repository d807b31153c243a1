// Package schema holds the JSON Schemas (2020-12) of the operator's documents, for editors that complete and check them:
//
//	# yaml-language-server: $schema=catalog.schema.json
//
// They are made from the Go types and the checks of package catalog by its tests ("go test ./internal/catalog -update"),
// which also hold the files here to what they make. What a schema cannot say, such as that a name is defined elsewhere in
// the document, only mcpgateway validate finds.
package schema

import _ "embed" // the files

// Catalog is the schema of a catalog file.
//
//go:embed catalog.json
var Catalog []byte

// Platform is the schema of the platform file.
//
//go:embed platform.json
var Platform []byte
