package catalog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	maxFiles   = 10_000   // files in a catalog folder
	maxCatalog = 32 << 20 // bytes of all of them
	maxServers = 10_000
)

// LoadPlatform reads a platform file, fills in defaults and makes its paths absolute. The error is Problems.
func LoadPlatform(path string) (*Platform, error) {
	d := readDocument(path)
	p := parsePlatform(d)
	if len(d.problems) > 0 {
		return nil, collect(d)
	}
	return p, nil
}

// LoadCatalog reads a catalog, a file or the .yaml and .yml files of a folder, and fills in defaults. Subjects of
// policies are checked against p's issuers, where it has any, and conditions by check. The error is Problems.
func LoadCatalog(path string, p *Platform, check ConditionCheck) (*Catalog, error) {
	c, problems := readCatalog(path, p, check, unbuiltFor(p))
	if len(problems) > 0 {
		return nil, problems
	}
	return c, nil
}

// ParseCatalog is LoadCatalog, but accepts fields that are not built yet. It is for tests of what is being built;
// nothing may be started from its result.
func ParseCatalog(path string, p *Platform) (*Catalog, error) {
	c, problems := readCatalog(path, p, LeaveConditions, nil)
	if len(problems) > 0 {
		return nil, problems
	}
	return c, nil
}

// Validate checks a platform file and each of catalogs against it, or where there are none the platform's own, and
// counts what is in them. Problems of the platform do not keep those of the catalogs from being found.
func Validate(platform string, catalogs []string, check ConditionCheck) (servers, policies int, problems Problems) {
	d := readDocument(platform)
	p := parsePlatform(d)
	problems = collect(d)
	if len(catalogs) == 0 && p.Catalog != "" {
		catalogs = []string{p.Catalog}
	}
	for _, path := range catalogs {
		c, more := readCatalog(path, p, check, unbuiltFor(p))
		problems = append(problems, more...)
		servers += len(c.Servers)
		policies += len(c.Policies)
	}
	return servers, policies, problems
}

// parsePlatform returns what it could make of a document; with problems in the document it is of no use but for
// finding more of them.
func parsePlatform(d *document) *Platform {
	p := &Platform{}
	if d.root == nil {
		return p
	}
	dir, err := filepath.Abs(filepath.Dir(d.file))
	if err != nil {
		d.add(0, "find the folder: %v", err)
	}
	d.decode(p, platformUnbuilt)
	d.refuseUnbuilt(platformUnbuilt)
	checkPlatform(d, p, dir)
	return p
}

func readCatalog(path string, p *Platform, check ConditionCheck, unbuilt []unbuilt) (*Catalog, Problems) {
	files, err := catalogFiles(path)
	if err != nil {
		return &Catalog{}, Problems{{File: path, Text: err.Error()}}
	}
	docs := make([]*document, len(files))
	for i, f := range files {
		docs[i] = readDocument(f)
	}
	if p == nil {
		p = &Platform{}
	}
	return parseCatalog(docs, p, check, unbuilt)
}

// catalogFiles lists the files of a catalog, by name. Names that begin with a dot are left out: mounted ConfigMaps
// hold some.
func catalogFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read: %w", errors.Unwrap(err))
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("read: %w", errors.Unwrap(err))
	}
	var files []string
	var size int64
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		file := filepath.Join(path, e.Name())
		info, err := os.Stat(file) // follows links, as ConfigMaps have them
		switch {
		case err != nil:
			return nil, fmt.Errorf("read %.60q: %w", e.Name(), errors.Unwrap(err))
		case info.IsDir(): // a policy in there would be missing without a word
			return nil, fmt.Errorf("%.60q is a folder: a catalog folder holds files only", e.Name())
		case slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(e.Name())):
			files = append(files, file)
			size += info.Size()
		}
	}
	switch {
	case len(files) == 0:
		return nil, errors.New("the folder holds no .yaml or .yml file")
	case len(files) > maxFiles:
		return nil, fmt.Errorf("the folder holds more than %d files", maxFiles)
	case size > maxCatalog:
		return nil, fmt.Errorf("the folder's files are larger than %d MiB together", maxCatalog>>20)
	}
	return files, nil
}

// parseCatalog checks documents together, since each may name what another holds, and joins them.
func parseCatalog(docs []*document, p *Platform, check ConditionCheck, unbuilt []unbuilt) (*Catalog, Problems) {
	parts := make([]*Catalog, len(docs))
	all := newNames(p)
	all.condition = check
	for i, d := range docs {
		parts[i] = &Catalog{}
		d.decode(parts[i], unbuilt)
		d.refuseUnbuilt(unbuilt)
		all.collect(d, parts[i])
	}
	whole := &Catalog{APIVersion: "v1"}
	for i, d := range docs {
		if d.root == nil {
			continue
		}
		checkCatalog(d, parts[i], all)
		whole.Servers = append(whole.Servers, parts[i].Servers...)
		whole.Filters = append(whole.Filters, parts[i].Filters...)
		whole.Policies = append(whole.Policies, parts[i].Policies...)
	}
	if n := len(whole.Servers); n > maxServers {
		docs[0].add(0, "the catalog holds %d servers; at most %d are possible", n, maxServers)
	}
	if len(collect(docs...)) == 0 {
		checkFilterPolicies(docs, parts, whole, all)
	}
	return whole, collect(docs...)
}

func checkCatalog(d *document, c *Catalog, all *names) {
	d.version(&c.APIVersion, c)
	for i := range c.Servers {
		checkServer(d, &c.Servers[i], all)
	}
	for i := range c.Filters {
		checkFilter(d, &c.Filters[i], all)
	}
	for i := range c.Policies {
		checkPolicy(d, &c.Policies[i], all)
	}
}
