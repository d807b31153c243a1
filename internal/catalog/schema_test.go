package catalog

import (
	"bytes"
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the JSON Schemas anew")

// The files that operators get are those that the types and the checks make.
func TestSchemaFiles(t *testing.T) {
	for file, made := range map[string][]byte{"schema/catalog.json": catalogSchema(t, clusterUnbuilt), "schema/platform.json": platformSchema(t, platformUnbuilt)} {
		if *update {
			if err := os.WriteFile(file, made, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if have, err := os.ReadFile(file); err != nil || !bytes.Equal(have, made) {
			t.Errorf("%s is not what the types and checks make (%v): run go test ./internal/catalog -update", file, err)
		}
	}
}

// compiled are the schemas, each made once: by what is not built of the catalog, and of the platform.
var (
	compiledCatalog  = sync.OnceValue(func() *jsonschema.Schema { return compile(catalogSchema, clusterUnbuilt) })
	compiledWhole    = sync.OnceValue(func() *jsonschema.Schema { return compile(catalogSchema, nil) })
	compiledPlatform = sync.OnceValue(func() *jsonschema.Schema { return compile(platformSchema, platformUnbuilt) })
)

func compile(make func(testing.TB, []unbuilt) []byte, table []unbuilt) *jsonschema.Schema {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(make(&testing.T{}, table)))
	if err != nil {
		panic(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("schema.json", value); err != nil {
		panic(err)
	}
	return c.MustCompile("schema.json")
}

// schemaFor is the schema for a table of what is not built.
func schemaFor(table []unbuilt) *jsonschema.Schema {
	if table == nil {
		return compiledWhole()
	}
	return compiledCatalog()
}

// refusedBySchema says why a schema refuses a document; nil where it does not.
func refusedBySchema(s *jsonschema.Schema, text []byte) error {
	var n yaml.Node
	if err := yaml.Unmarshal(text, &n); err != nil || len(n.Content) == 0 {
		return err
	}
	return s.Validate(plainValue(n.Content[0]))
}

// plainValue is a node as JSON has it, by the tags that the loader goes by too. What JSON has not is null, which both refuse.
func plainValue(n *yaml.Node) any {
	switch {
	case n.Kind == yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = plainValue(n.Content[i+1])
		}
		return m
	case n.Kind == yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			list = append(list, plainValue(item))
		}
		return list
	case n.Tag == "!!str":
		return n.Value
	case n.Tag == "!!bool":
		return strings.EqualFold(n.Value, "true")
	case n.Tag == "!!int", n.Tag == "!!float":
		if i, err := strconv.Atoi(n.Value); err == nil {
			return json.Number(strconv.Itoa(i))
		}
		return 0.5 // no whole number
	}
	return nil
}

// agree holds a schema to the loader: what it refuses is refused. The other way about the loader knows more.
func agree(t testing.TB, s *jsonschema.Schema, text []byte, loaderRefuses bool) {
	t.Helper()
	if len(text) > 64<<10 {
		return // the library is for editors, and slow with documents that are made to be
	}
	if err := refusedBySchema(s, text); err != nil && !loaderRefuses {
		t.Errorf("the schema refuses what the loader accepts: %v\n%s", err, text)
	}
}

// Every catalog and every platform file of this repository fits.
func TestSchemaOfSamples(t *testing.T) {
	found := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (d.Name() == ".git" || d.Name() == ".run" || d.Name() == ".cache") {
			return filepath.SkipDir
		}
		if ext := filepath.Ext(path); d.IsDir() || ext != ".yaml" && ext != ".yml" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(text, []byte("apiVersion: v1\n")) {
			return err
		}
		s := compiledCatalog()
		switch {
		case bytes.Contains(text, []byte("\npublicURL:")):
			s = compiledPlatform()
		case !bytes.Contains(text, []byte("\nservers:")):
			return nil // a Kubernetes object
		}
		found++
		if err := refusedBySchema(s, text); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		return nil
	})
	if err != nil || found == 0 {
		t.Errorf("%d files, %v", found, err)
	}
	for _, text := range []string{goodPlatform, oneServer} {
		s := compiledCatalog()
		if text == goodPlatform {
			s = compiledPlatform()
		}
		if err := refusedBySchema(s, []byte(text)); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
}

// A fault in the structure is found by both.
func TestSchemaAndLoaderRefuse(t *testing.T) {
	const command = "runtime: {command: {exec: x, http: {}}}"
	server := func(fields string) string { return "apiVersion: v1\nservers: [{id: a, " + fields + "}]\n" }
	policy := func(fields string) string { return oneServer + "policies: [{" + fields + "}]\n" }
	for name, text := range map[string]string{
		"no mapping":              "[]",
		"text":                    "hello",
		"no version":              "servers: []",
		"another version":         "apiVersion: v2",
		"unknown field":           oneServer + "server: []\n",
		"unknown field of server": server(command + ", titel: x"),
		"null":                    server(command + ", title: "),
		"servers as mapping":      "apiVersion: v1\nservers: {a: b}\n",
		"number as id":            "apiVersion: v1\nservers: [{id: 1, " + command + "}]\n",
		"bad id":                  "apiVersion: v1\nservers: [{id: A, " + command + "}]\n",
		"no id":                   "apiVersion: v1\nservers: [{" + command + "}]\n",
		"no runtime":              server("title: x"),
		"empty runtime":           server("runtime: {}"),
		"command without exec":    server("runtime: {command: {http: {}}}"),
		"number as argument":      server("runtime: {command: {exec: x, args: [1], http: {}}}"),
		"bad path":                server("runtime: {command: {exec: x, http: {path: x}}}"),
		"container without port":  server("runtime: {container: {image: x}}"),
		"choice":                  server(command + ", sessions: often"),
		"number not built":        server(command + ", sessions: none, scale: {max: 2}"),
		"body too large":          server(command + ", audit: {bodies: full, maxBody: 262145}"),
		"duration":                server(command + ", scale: {idle: 60}"),
		"duration in words":       server(command + ", scale: {idle: a minute}"),
		"fraction":                server(command + ", scale: {concurrency: 1.5}"),
		"too many":                server(command + ", scale: {concurrency: 10001}"),
		"too few":                 server(command + ", scale: {concurrency: 0}"),
		"truth in words":          server(command + ", audit: {required: \"true\"}"),
		"long title":              server(command + ", title: " + strings.Repeat("x", 201)),
		"instances":               server(command + ", instances: own"),
		"instances of groups":     server(command + ", instances: {per: group}"),
		"instances of nobody":     server(command + ", instances: {max: 3}"),
		"too many instances":      server(command + ", instances: {per: user, max: 100001}"),
		"unknown instances":       server(command + ", instances: {per: user, of: 3}"),
		"variable without value":  server(command + ", env: [{name: A}]"),
		"variable with two":       server(command + ", env: [{name: A, value: x, secret: {key: x}}]"),
		"variable without name":   server(command + ", env: [{value: x}]"),
		"bad name":                server(command + ", env: [{name: 1A, value: x}]"),
		"bad key":                 server(command + ", env: [{name: A, secret: {key: ../x}}]"),
		"quantity":                server(command + ", resources: {memory: much}"),
		"allow and deny":          policy("name: p, allow: {anyone: true}, deny: {anyone: true}, servers: [a]"),
		"neither":                 policy("name: p, servers: [a]"),
		"policy without name":     policy("allow: {anyone: true}, servers: [a]"),
		"policy without servers":  policy("name: p, allow: {anyone: true}"),
		"empty tools":             policy("name: p, allow: {anyone: true}, servers: [a], tools: []"),
		"no server's name":        policy("name: p, allow: {anyone: true}, servers: [\"A*\"]"),
		"empty scopes":            policy("name: p, allow: {anyone: true}, servers: [a], scopes: []"),
		"typo in allow":           policy("name: p, allow: {any: true}, servers: [a]"),
		"no selector":             oneServer + "filters: [{name: f, mcp: {url: \"https://x.test\", tool: t}, on: [\"a b\"]}]\n",
		"filter on nothing":       oneServer + "filters: [{name: f, mcp: {url: \"https://x.test\", tool: t}, on: []}]\n",
	} {
		if problems := problemsOf(t, text, catalogUnbuilt); len(problems) == 0 {
			t.Errorf("%s: the loader accepts it", name)
		}
		if refusedBySchema(compiledCatalog(), []byte(text)) == nil {
			t.Errorf("%s: the schema accepts it", name)
		}
	}
	for name, edit := range map[string][2]string{
		"no version":      {"apiVersion: v1\n", ""},
		"no URL":          {"publicURL: https://mcp.example.com\n", ""},
		"unknown field":   {"issuers:", "issuer: []\nissuers:"},
		"no issuers":      {goodPlatform, "apiVersion: v1\npublicURL: https://x.test\n"},
		"empty issuers":   {goodPlatform, "apiVersion: v1\npublicURL: https://x.test\nissuers: []\n"},
		"no issuer URL":   {"url: \"https://login.example.com/\", ", ""},
		"no audiences":    {"audiences: [\"{resource}\"], ", ""},
		"empty audiences": {"[\"{resource}\"]", "[]"},
		"token type":      {"default: true", "default: true, tokenType: id"},
		"keys":            {"default: true", "default: true, keys: {}"},
		"limits":          {"issuers:", "limits: {burst: 0}\nissuers:"},
		"text as number":  {"issuers:", "limits: {burst: \"5\"}\nissuers:"},
		"timeout":         {"issuers:", "limits: {callTimeout: soon}\nissuers:"},
		"audit":           {"issuers:", "audit: {}\nissuers:"},
		"deployer":        {"issuers:", "deployer: {path: x}\nissuers:"},
		"knative":         {"issuers:", "deployer: {knative: {images: {shim: a}}}\nissuers:"},
		"no image":        {"issuers:", "deployer: {knative: {images: {}, ingress: {url: 'https://a', domain: b, ca: c}}}\nissuers:"},
	} {
		text := []byte(strings.Replace(goodPlatform, edit[0], edit[1], 1))
		d := newDocument("/p.yaml", text)
		parsePlatform(d)
		if len(d.problems) == 0 {
			t.Errorf("platform, %s: the loader accepts it", name)
		}
		if refusedBySchema(compiledPlatform(), text) == nil {
			t.Errorf("platform, %s: the schema accepts it", name)
		}
	}
}

// The pattern of ids in the schema is what the loader goes by.
func TestIDForm(t *testing.T) {
	for _, id := range []string{"a", "a-1", "0", strings.Repeat("a", 63), "", "-a", "a-", "A", "a.b", "ä", "a_b", "a\n", strings.Repeat("a", 64)} {
		if ValidID(id) != idForm.MatchString(id) {
			t.Errorf("%q: %v by the loader", id, ValidID(id))
		}
	}
}
