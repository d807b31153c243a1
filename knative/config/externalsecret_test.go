package config

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"mcpgateway/knative"
)

// What the policy for ExternalSecrets says.
const (
	badEntry       = "the labels mcpgateway.dev/server and app.kubernetes.io/managed-by must say which entry's values it is of"
	badVersionName = "name must be mcp-<id>-shim-<version> or mcp-<id>-server-<version>, the version 16 hex digits"
	badSpec        = "spec must have secretStoreRef, target, data and refreshPolicy only"
	badStore       = "secretStoreRef must be the SecretStore mcpgateway"
	badTarget      = "target must be an owned Secret of the same name, and no template"
	badRemote      = "data must be of <id>/shim or <id>/server, as the name is"
	badKey         = "data must be single keys of one version"
)

// version is one of an entry's values, as the deployer has it made.
func version(id, role string) *unstructured.Unstructured {
	return knative.MakeExternalSecret(servers, id, "mcp-"+id+"-"+role, "01234567-89ab-cdef-0123-456789abcdef", []string{"token", "key.pem"})
}

// with is version with one field that is another; nil for none.
func with(value any, path ...string) *unstructured.Unstructured {
	e := version("x", "server")
	if value == nil {
		unstructured.RemoveNestedField(e.Object, path...)
	} else if err := unstructured.SetNestedField(e.Object, value, path...); err != nil {
		panic(err)
	}
	return e
}

// from is version with one value more.
func from(value map[string]any) *unstructured.Unstructured {
	e := version("x", "server")
	data, _, _ := unstructured.NestedSlice(e.Object, "spec", "data")
	return with(append(data, value), "spec", "data")
}

func remote(key, property, version string) map[string]any {
	return map[string]any{"secretKey": "more", "remoteRef": map[string]any{"key": key, "property": property, "version": version}}
}

// externalSecretWrites are those of ExternalSecrets.
func externalSecretWrites() []write {
	named := func(name string) *unstructured.Unstructured {
		e := with(name, "spec", "target", "name")
		e.SetName(name)
		return e
	}
	seen := version("seen", "shim")
	other := seen.DeepCopy()
	if err := unstructured.SetNestedSlice(other.Object, []any{remote("other/shim", "more", "uuid/1")}, "spec", "data"); err != nil {
		panic(err)
	}
	theirs, more := operatorsExternalSecret(), operatorsExternalSecret()
	more.SetName("more")
	return []write{
		{"the server's values", "deployer", "apply", version("x", "server"), ""},
		{"the shim's values", "deployer", "create", version("x", "shim"), ""},
		{"the end of a version", "deployer", "delete", seen, ""},
		{"the operator's ExternalSecret", "operator", "apply", theirs, ""},
		{"somebody's ExternalSecret", "somebody", "create", more, ""},
		{"the end of the operator's ExternalSecret", "deployer", "delete", theirs, badEntry},
		{"a version of nobody's", "deployer", "apply", with("somebody", "metadata", "labels", "app.kubernetes.io/managed-by"), badEntry},
		{"a version of an entry that is a pattern", "deployer", "apply", with("x.y", "metadata", "labels", labelServer), badEntry},
		{"the Secret without a version", "deployer", "apply", named("mcp-x-server"), badVersionName},
		{"another entry's name", "deployer", "apply", named("mcp-y-server-0123456789abcdef"), badVersionName},
		{"any Secret", "deployer", "create", named("registry"), badVersionName},
		{"all values at once", "deployer", "apply", with([]any{map[string]any{"extract": map[string]any{"key": "other/server"}}}, "spec", "dataFrom"), badSpec},
		{"a cluster's store", "deployer", "apply", with("ClusterSecretStore", "spec", "secretStoreRef", "kind"), badStore},
		{"another store", "deployer", "apply", with("theirs", "spec", "secretStoreRef", "name"), badStore},
		{"another store, for one value", "deployer", "apply", from(map[string]any{"secretKey": "more", "remoteRef": remote("x/server", "more", "uuid/1")["remoteRef"],
			"sourceRef": map[string]any{"storeRef": map[string]any{"kind": "SecretStore", "name": "theirs"}}}), badRemote},
		{"another Secret", "deployer", "apply", with("mcp-x-shim", "spec", "target", "name"), badTarget},
		{"a Secret that stays", "deployer", "apply", with("Orphan", "spec", "target", "creationPolicy"), badTarget},
		{"a Secret that is there", "deployer", "apply", with("Merge", "spec", "target", "creationPolicy"), badTarget},
		{"a Secret that the cluster fills, by a template", "deployer", "apply", with(map[string]any{"type": "kubernetes.io/service-account-token"}, "spec", "target", "template"), badTarget},
		{"something else than a Secret", "deployer", "apply", with(map[string]any{"apiVersion": "v1", "kind": "ConfigMap"}, "spec", "target", "manifest"), badTarget},
		{"another entry's values", "deployer", "apply", from(remote("other/server", "more", "uuid/1")), badRemote},
		{"another entry's values, by change", "deployer", "apply", other, badRemote},
		{"the shim's values for the server", "deployer", "apply", from(remote("x/shim", "more", "uuid/1")), badRemote},
		{"a whole document", "deployer", "apply", from(map[string]any{"secretKey": "more", "remoteRef": map[string]any{"key": "x/server", "version": "uuid/1"}}), badKey},
		{"a part of a document", "deployer", "apply", from(remote("x/server", "@this", "uuid/1")), badKey},
		{"whichever version is current", "deployer", "apply", from(remote("x/server", "more", "AWSCURRENT")), badKey},
	}
}

// operatorsExternalSecret is one that is none of ours.
func operatorsExternalSecret() *unstructured.Unstructured {
	e := with("registry", "spec", "target", "name")
	e.SetName("registry")
	e.SetLabels(nil)
	return e
}
