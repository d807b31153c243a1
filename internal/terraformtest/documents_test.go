package terraformtest

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/condition/compile"
)

// brought is where a function brings the keys of the identity provider.
const brought = "keys/provider.json"

// checkDocuments reads the documents that were made as the functions do, and holds what each role may read to what its function
// looks for.
func checkDocuments(t *testing.T, made []Resource, policies []statement) (problems []string) {
	t.Helper()
	folder, have := t.TempDir(), map[string]bool{}
	for _, r := range made {
		key, _ := r.Values["key"].(string)
		if name, is := strings.CutPrefix(key, "documents/"); r.Type == "aws_s3_object" && is {
			have[name] = true
			at := filepath.Join(folder, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, at, fmt.Sprint(r.Values["content"]))
		}
	}
	file := filepath.Join(folder, "platform.yaml")
	if _, _, wrong := catalog.Validate(file, nil, compile.Check); len(wrong) > 0 {
		return []string{wrong.Error()}
	}
	p, err := catalog.LoadPlatform(file)
	if err != nil {
		t.Fatal(err)
	}
	seeks := map[string][]string{
		"gateway":  append(p.Files(), file),
		"deployer": append(p.Files(), file, filepath.Join(p.Deployer.State, "rules.key")),
		"oauth":    append(p.OAuth.Files(), file, p.Catalog),
	}
	if p.Sessions != nil {
		seeks["deployer"] = append(seeks["deployer"], p.Sessions.Files()...)
		seeks["sessions"] = append(p.Sessions.Files(), file, p.Catalog)
	}
	if p.Audit != nil {
		seeks["audit"] = append(p.Audit.Store.Files(), file, p.Catalog)
		if p.Audit.Secret == nil {
			seeks["deployer"] = append(seeks["deployer"], p.Audit.Store.Files()...)
		}
	}
	for _, s := range policies {
		if s.Sid == "BringKeys" {
			seeks["keys"] = []string{file}
			if writes := strings.Join(s.Resource, " "); !strings.HasSuffix(writes, "/documents/"+brought) || filepath.Join(folder, brought) != p.Issuers[0].KeysFile {
				problems = append(problems, fmt.Sprintf("keys writes %s, and %s is read", writes, p.Issuers[0].KeysFile))
			}
		}
	}
	if (seeks["keys"] == nil) != (p.Issuers[0].KeysFile == "") {
		problems = append(problems, "nobody brings what is read, or nobody reads what is brought")
	}
	for function, files := range seeks {
		var wants []string
		for _, f := range files {
			name, err := filepath.Rel(folder, f)
			if err != nil {
				t.Fatal(err)
			}
			wants = append(wants, filepath.ToSlash(name))
			// Of the packages there may be none, the ingress is made after it, and keys are brought.
			if n := wants[len(wants)-1]; !have[n] && n != "catalog.lock" && n != "ingress.pem" && n != brought {
				problems = append(problems, function+" looks for "+n+", which is not made")
			}
		}
		slices.Sort(wants)
		may := map[string]bool{"oauth/provider": true} // where the client at the provider is a public one
		for _, s := range policies {
			if s.Sid != "ReadDocuments" || !strings.Contains(s.where, `"`+function+`"`) {
				continue
			}
			for _, r := range s.Resource {
				_, name, _ := strings.Cut(r, "/documents/")
				may[name] = true
				if !slices.Contains(wants, name) && name != "oauth/provider" {
					problems = append(problems, function+" may read "+name+", for which it does not look")
				}
			}
		}
		for _, name := range wants {
			if !may[name] {
				problems = append(problems, fmt.Sprintf("%s looks for %s, and may read %v", function, name, slices.Sorted(maps.Keys(may))))
			}
		}
	}
	return problems
}
