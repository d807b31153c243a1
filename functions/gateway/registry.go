package main

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/mcp"
)

// The registry API, version 0.1 (modelcontextprotocol/registry, docs/reference/api/openapi.yaml): clients and
// administration pages find there which servers the caller may use. It asks nobody else and wakes nothing.

// registryVersion is the version of every server: what is listed is an address, and that stays what it is while the
// server behind changes. The form is that of Semantic Versioning, as clients compare versions.
const registryVersion = "1.0.0"

const registrySchema = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"

// The texts of an entry are cut to what the schema allows, in characters.
const maxRegistryText = 100

// registryEntry is a ServerResponse of the OpenAPI document.
type registryEntry struct {
	Server registryServer `json:"server"`
	Meta   registryMeta   `json:"_meta"`
}

type registryServer struct {
	Schema      string           `json:"$schema"`
	Name        string           `json:"name"`
	Title       string           `json:"title,omitempty"`
	Description string           `json:"description"`
	Version     string           `json:"version"`
	Remotes     []registryRemote `json:"remotes"`
}

type registryRemote struct {
	Type string `json:"type"`
	URL  string `json:"url"`
}

type registryMeta struct {
	Official registryStatus `json:"io.modelcontextprotocol.registry/official"`
}

type registryStatus struct {
	Status    string    `json:"status"`
	UpdatedAt time.Time `json:"updatedAt"`
	IsLatest  bool      `json:"isLatest"`
}

// registryList is a ServerList.
type registryList struct {
	Servers  []registryEntry  `json:"servers"`
	Metadata registryMetadata `json:"metadata"`
}

type registryMetadata struct {
	NextCursor string `json:"nextCursor,omitempty"`
	Count      int    `json:"count"`
}

// serveRegistry is the path of every request to the registry API; rest is what follows its root, escaped. It is
// authenticated like a server's, with the gateway itself as the resource.
func (g *gateway) serveRegistry(c *call, rest string) error {
	c.registry = true
	if err := c.checkOrigin(); err != nil {
		return err
	}
	switch c.r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		return c.preflight()
	default:
		return &mcp.Error{Status: http.StatusMethodNotAllowed, Message: "Use GET: what is listed comes from the catalog", Header: http.Header{"Allow": {"GET"}}}
	}
	if err := g.authenticate(c); err != nil {
		return err
	}
	release, err := g.limits.enter(c)
	if err != nil {
		return err
	}
	defer release()
	answer, err := c.registryAnswer(rest)
	if err != nil {
		return err
	}
	body, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store") // it is the caller's own
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.begin(http.StatusOK)
	_, _ = c.w.Write(body) // a client that left needs no answer
	return nil
}

// registryAnswer finds what is asked for.
func (c *call) registryAnswer(rest string) (any, error) {
	if rest == "" {
		q, err := parseRegistryQuery(c.r.URL.RawQuery)
		if err != nil {
			return nil, err
		}
		return c.registryPage(q), nil
	}
	name, version, list, ok := parseRegistryPath(rest)
	if !ok {
		return nil, registryNotFound()
	}
	id, ours := strings.CutPrefix(name, c.namespace+"/")
	entry, known := c.catalog.Server(id)
	// Unknown and not admitted are the same answer.
	if !c.policies.Admits(c.who, id) || !known || !ours || !anyVersion(version) {
		return nil, registryNotFound()
	}
	if list {
		return registryList{Servers: []registryEntry{c.registryEntry(entry)}, Metadata: registryMetadata{Count: 1}}, nil
	}
	return c.registryEntry(entry), nil
}

// parseRegistryPath reads /{name}, /{name}/versions and /{name}/versions/{version}. Without a version it is the latest.
func parseRegistryPath(rest string) (name, version string, list, ok bool) {
	parts := strings.Split(strings.TrimPrefix(rest, "/"), "/")
	for i := range parts {
		var err error
		if parts[i], err = url.PathUnescape(parts[i]); err != nil || parts[i] == "" {
			return "", "", false, false
		}
	}
	switch {
	case len(parts) == 1:
		return parts[0], "latest", false, true
	case len(parts) == 2 && parts[1] == "versions":
		return parts[0], "latest", true, true
	case len(parts) == 3 && parts[1] == "versions":
		return parts[0], parts[2], false, true
	}
	return "", "", false, false
}

func anyVersion(v string) bool { return v == "latest" || v == registryVersion }

// registryPage lists what the caller may use, after what the cursor names.
func (c *call) registryPage(q registryQuery) registryList {
	list := registryList{Servers: []registryEntry{}}
	if !q.since.IsZero() && q.since.After(c.since) || !anyVersion(q.version) {
		return list
	}
	from, found := slices.BinarySearchFunc(c.listed, q.after, func(s *catalog.Server, id string) int { return strings.Compare(s.ID, id) })
	if found {
		from++
	}
	for _, s := range c.listed[from:] {
		if !c.policies.Admits(c.who, s.ID) || !c.found(s, q.search) {
			continue
		}
		if len(list.Servers) == q.limit {
			last := list.Servers[q.limit-1].Server.Name
			list.Metadata.NextCursor = registryCursor(last[len(c.namespace)+1:])
			break
		}
		list.Servers = append(list.Servers, c.registryEntry(s))
	}
	list.Metadata.Count = len(list.Servers)
	return list
}

// found reports whether a search, in small letters, finds a server.
func (c *call) found(s *catalog.Server, search string) bool {
	return slices.ContainsFunc([]string{c.namespace + "/" + s.ID, s.Title, s.Description}, func(text string) bool {
		return strings.Contains(strings.ToLower(text), search)
	})
}

func (c *call) registryEntry(s *catalog.Server) registryEntry {
	e := registryEntry{
		Server: registryServer{Schema: registrySchema, Name: c.namespace + "/" + s.ID, Title: cut(s.Title), Description: cut(s.Description),
			Version: registryVersion, Remotes: []registryRemote{{Type: "streamable-http", URL: c.platform.ResourceAt(strings.ToLower(c.r.Host), s.ID)}}},
		Meta: registryMeta{registryStatus{Status: "active", UpdatedAt: c.since.UTC().Truncate(time.Second), IsLatest: true}},
	}
	if e.Server.Description == "" { // the schema requires one
		e.Server.Description = "The MCP server " + s.ID
	}
	return e
}

// cut shortens a text to what the schema allows.
func cut(text string) string {
	if utf8.RuneCountInString(text) <= maxRegistryText {
		return text
	}
	return string([]rune(text)[:maxRegistryText-1]) + "…"
}

// namespaceOf is the part before the slash of names: the host of the public URL, its last label first (reverse DNS). An
// address has no labels and stays as it is, but for characters that a name cannot have.
func namespaceOf(publicURL string) (string, error) {
	u, err := url.Parse(publicURL)
	if err != nil {
		return "", err
	}
	host := strings.ToLower(u.Hostname())
	if _, err := netip.ParseAddr(host); err == nil {
		return strings.ReplaceAll(host, ":", "-"), nil
	}
	labels := strings.Split(host, ".")
	slices.Reverse(labels)
	return strings.Join(labels, "."), nil
}

func registryNotFound() error {
	return &mcp.Error{Status: http.StatusNotFound, Message: "Server not found"}
}

// registryError is the body of errors, in the form of the OpenAPI document.
func registryError(e *mcp.Error) []byte {
	body, _ := json.Marshal(map[string]string{"error": e.Message}) // texts cannot fail
	return body
}
