package typings

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Read reads the resources and data sources with the given names ("aws_s3_bucket") from an unpacked package of a provider.
func Read(folder, provider string, resources, data []string) (*Schema, error) {
	s := &Schema{Resources: map[string]*Block{}, Data: map[string]*Block{}}
	lib := filepath.Join(folder, "lib")
	text, err := source(filepath.Join(lib, "provider"))
	if err != nil {
		return nil, err
	}
	if s.Provider, err = parseProvider(text); err != nil {
		return nil, fmt.Errorf("provider %s: %w", provider, err)
	}
	read := func(into map[string]*Block, names []string, prefix string) error {
		for _, name := range names {
			short := strings.ReplaceAll(strings.TrimPrefix(name, provider+"_"), "_", "-")
			if name == provider { // the only one of its provider
				prefix, short = "data-", name
			}
			text, err := source(filepath.Join(lib, prefix+short))
			if err != nil {
				return fmt.Errorf("%s is not in %s: %w", name, folder, err)
			}
			if into[name], err = parse(text, name); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	}
	if err := read(s.Resources, resources, ""); err != nil {
		return nil, err
	}
	return s, read(s.Data, data, "data-"+provider+"-")
}

var sourceMap = regexp.MustCompile(`sourceMappingURL=data:application/json;base64,(\S+)`)

// source is the TypeScript that a module was compiled from. It has the comments that the JavaScript lacks.
func source(folder string) (string, error) {
	compiled, err := os.ReadFile(filepath.Join(folder, "index.js"))
	if err != nil {
		return "", err
	}
	found := sourceMap.FindSubmatch(compiled)
	if found == nil {
		return "", fmt.Errorf("%s has no source map", folder)
	}
	text, err := base64.StdEncoding.DecodeString(string(found[1]))
	if err != nil {
		return "", fmt.Errorf("source map of %s: %w", folder, err)
	}
	var m struct {
		SourcesContent []string `json:"sourcesContent"`
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return "", fmt.Errorf("source map of %s: %w", folder, err)
	}
	return strings.Join(m.SourcesContent, "\n"), nil
}
