package config

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	documents "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

// kustomization is what kustomization.yaml says.
type kustomization struct {
	APIVersion         string      `json:"apiVersion"`
	Kind               string      `json:"kind"`
	Resources          []string    `json:"resources"`
	Images             []imageName `json:"images"`
	ConfigMapGenerator []struct {
		Name      string          `json:"name"`
		Namespace string          `json:"namespace"`
		Files     []string        `json:"files"`
		Options   map[string]bool `json:"options"`
	} `json:"configMapGenerator"`
}

type imageName struct {
	Name    string `json:"name"`
	NewName string `json:"newName"`
	NewTag  string `json:"newTag"`
}

func readKustomization(t *testing.T) kustomization {
	t.Helper()
	text, err := os.ReadFile("kustomization.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var k kustomization
	if err := yaml.UnmarshalStrict(text, &k); err != nil {
		t.Fatalf("kustomization.yaml: %v", err)
	}
	return k
}

// manifests reads all resources strictly, as the types that Kubernetes has for them: a field that a type does not have,
// or that stands twice, is an error.
func manifests(t *testing.T) []runtime.Object {
	t.Helper()
	var all []runtime.Object
	for _, file := range readKustomization(t).Resources {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		reader := documents.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
		for {
			document, err := reader.Read()
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			object, err := strictly(document)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			all = append(all, object)
		}
	}
	return all
}

func strictly(document []byte) (runtime.Object, error) {
	var kind struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := yaml.Unmarshal(document, &kind); err != nil {
		return nil, err
	}
	object, err := scheme.Scheme.New(schema.FromAPIVersionAndKind(kind.APIVersion, kind.Kind))
	if err != nil {
		return nil, err
	}
	return object, yaml.UnmarshalStrict(document, object)
}

// named finds the resource of a type by its name.
func named[T interface {
	runtime.Object
	GetName() string
}](t *testing.T, all []runtime.Object, name string) T {
	t.Helper()
	for _, o := range all {
		if found, ok := o.(T); ok && found.GetName() == name {
			return found
		}
	}
	t.Fatalf("there is no %T %s", *new(T), name)
	panic("unreachable")
}

// TestManifests sees that each file is applied, and strictly what Kubernetes knows.
func TestManifests(t *testing.T) {
	if n := len(manifests(t)); n < 20 {
		t.Errorf("read %d resources", n)
	}
	k := readKustomization(t)
	applied := append([]string{"kustomization.yaml"}, k.Resources...)
	for _, g := range k.ConfigMapGenerator {
		applied = append(applied, g.Files...)
	}
	files, err := filepath.Glob("*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !slices.Contains(applied, f) {
			t.Errorf("%s is not applied", f)
		}
	}
}

func TestStrictly(t *testing.T) {
	for _, document := range []string{
		"apiVersion: v1\nkind: Service\nspec: {prots: []}",
		"apiVersion: v1\nkind: Service\nspec: {}\nspec: {}",
		"apiVersion: v1\nkind: Servise",
	} {
		if _, err := strictly([]byte(document)); err == nil {
			t.Errorf("accepted:\n%s", document)
		}
	}
}
