package knative

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	clientwatch "k8s.io/client-go/tools/watch"

	"mcpgateway/internal/deploy"
)

// Where values that operators choose are kept outside the cluster, the deployer says which version of them a revision has, and
// the External Secrets operator makes the Secret of it. A Secret's name goes with the version: a new one is a new revision,
// and the pods of the one before keep theirs.

// SecretStore is where values of entries are kept.
type SecretStore struct {
	Prefix string // of names there: <prefix><id>/server, <prefix><id>/shim
	// Current is the id of a name's current version. What it holds nobody asks for here.
	Current func(ctx context.Context, name string) (version string, err error)
}

// storeName names the operator's SecretStore, which puts the prefix before keys (config/external-secrets.yaml).
const storeName = "mcpgateway"

// externalSecrets is what the operator makes Secrets of (external-secrets.io, v1).
var externalSecrets = schema.GroupVersionResource{Group: "external-secrets.io", Version: "v1", Resource: "externalsecrets"}

// How long the operator may take for one Secret: where a caller waits for it, and where nobody does, since others wait for the
// next comparison. It takes a tenth of a second.
const (
	secretTimeout = 10 * time.Second
	secretMoment  = 2 * time.Second
)

// keepUnused is how long a Secret stays that nothing names: whoever had it made may be on the way to write what does, and no
// function runs longer.
const keepUnused = 15 * time.Minute

// external makes the ExternalSecrets of a plan, at the versions that are current; none where no store is outside the cluster.
func (d *Deployer) external(ctx context.Context, p deploy.Plan) (list []*unstructured.Unstructured, err error) {
	if d.store == nil {
		return nil, nil
	}
	keys := chosen(p)
	for _, store := range slices.Sorted(maps.Keys(keys)) {
		key := remoteKey(p.Server, store)
		version, err := d.store.Current(ctx, d.store.Prefix+key)
		if err != nil {
			return nil, err
		}
		list = append(list, MakeExternalSecret(d.settings.Namespace, p.Server, store, version, keys[store]))
	}
	return list, nil
}

// chosen are the keys of stores whose values operators choose, in order.
func chosen(p deploy.Plan) map[string][]string {
	stores := map[string][]string{}
	for _, u := range p.Units {
		for _, s := range u.Secrets {
			if !s.Generate && !s.Shared && s.Token == "" && !slices.Contains(stores[s.Store], s.Key) {
				stores[s.Store] = append(stores[s.Store], s.Key)
			}
		}
	}
	for _, keys := range stores {
		slices.Sort(keys)
	}
	return stores
}

// remoteKey is what a store of a server is called outside, after the prefix: <id>/server for mcp-<id>-server.
func remoteKey(server, store string) string {
	return server + "/" + strings.TrimPrefix(store, "mcp-"+server+"-")
}

// MakeExternalSecret makes what has the operator make a Secret with keys of a store, as they are in one version. Its name and
// the Secret's are one, and no other version or keys have it.
func MakeExternalSecret(namespace, server, store, version string, keys []string) *unstructured.Unstructured {
	sum := sha256.Sum256([]byte(version + "\x00" + strings.Join(keys, "\x00")))
	name := store + "-" + hex.EncodeToString(sum[:8])
	var data []any
	for _, key := range keys {
		data = append(data, map[string]any{"secretKey": key,
			"remoteRef": map[string]any{"key": remoteKey(server, store), "property": key, "version": "uuid/" + version}})
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": externalSecrets.GroupVersion().String(), "kind": "ExternalSecret",
		"metadata": map[string]any{"name": name, "namespace": namespace, "labels": map[string]any{labelManager: manager, labelServer: server}},
		"spec": map[string]any{
			"refreshPolicy":  "OnChange", // a version never changes: it is read once, and again where the Secret is gone
			"secretStoreRef": map[string]any{"kind": "SecretStore", "name": storeName},
			"target":         map[string]any{"name": name, "creationPolicy": "Owner"}, // the Secret goes with it
			"data":           data,
		}}}
}

// pins are the Secrets that hold the chosen values of stores.
func pins(external []*unstructured.Unstructured) map[string]string {
	names := map[string]string{}
	for _, e := range external {
		names[e.GetName()[:strings.LastIndexByte(e.GetName(), '-')]] = e.GetName()
	}
	return names
}

// bring has the operator make the Secrets of a plan, and waits until they are there.
func (d *Deployer) bring(ctx context.Context, p planned) error {
	for _, e := range p.secrets {
		text, err := applied(e)
		if err != nil {
			return err
		}
		live, err := d.dynamic.Resource(externalSecrets).Namespace(e.GetNamespace()).Patch(ctx, e.GetName(), applyPatch, text, applyOptions)
		if apierrors.IsNotFound(err) {
			err = errors.New("the cluster knows no ExternalSecrets: install the External Secrets operator (terraform/knative does), or leave out deployer.knative.secretsManager")
		}
		if err == nil {
			err = d.awaitSecret(ctx, live, p.patience)
		}
		if err != nil {
			return fmt.Errorf("secret %s: %w", e.GetName(), err)
		}
	}
	return nil
}

// awaitSecret waits until the operator has made a Secret. The error says why it has not.
func (d *Deployer) awaitSecret(ctx context.Context, e *unstructured.Unstructured, patience time.Duration) error {
	if done, err := made(e); done || err != nil {
		return err
	}
	if time.Since(time.Unix(0, d.silence.Load())) < secretTimeout {
		patience = min(patience, secretMoment/100) // many entries do not wait in turn for an operator that does not run
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	objects := d.dynamic.Resource(externalSecrets).Namespace(e.GetNamespace())
	only := fields.OneTermEqualSelector(metav1.ObjectNameField, e.GetName()).String()
	watcher := &cache.ListWatch{WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
		o.FieldSelector = only
		return objects.Watch(ctx, o)
	}}
	_, err := clientwatch.Until(ctx, e.GetResourceVersion(), watcher, func(event watch.Event) (bool, error) {
		now, is := event.Object.(*unstructured.Unstructured)
		switch {
		case !is:
			return false, apierrors.FromObject(event.Object)
		case event.Type == watch.Deleted:
			return false, errors.New("it was deleted while it was made")
		}
		return made(now)
	})
	if err != nil && ctx.Err() != nil {
		d.silence.Store(time.Now().UnixNano())
		return fmt.Errorf("%w: the External Secrets operator has not made it: does it run, and has it a SecretStore %s in %s?", ctx.Err(), storeName, e.GetNamespace())
	}
	return err
}

// made reports whether the operator has made a Secret. The error says why it does not.
func made(e *unstructured.Unstructured) (bool, error) {
	conditions, _, _ := unstructured.NestedSlice(e.Object, "status", "conditions")
	for _, c := range conditions {
		condition, is := c.(map[string]any)
		if !is || condition["type"] != "Ready" {
			continue
		}
		if condition["status"] == "False" {
			return false, fmt.Errorf("the External Secrets operator says %v: %v", condition["reason"], condition["message"])
		}
		return condition["status"] == "True", nil
	}
	return false, nil
}

// release removes the Secrets of versions that no revision has any more, by what they were made of.
func (d *Deployer) release(ctx context.Context) error {
	if d.store == nil {
		return nil
	}
	objects := d.dynamic.Resource(externalSecrets).Namespace(d.settings.Namespace)
	list, err := objects.List(ctx, metav1.ListOptions{LabelSelector: ours})
	if err != nil {
		return fmt.Errorf("list ExternalSecrets: %w", err)
	}
	services, err := d.serving.ServingV1().Services(d.settings.Namespace).List(ctx, metav1.ListOptions{LabelSelector: ours})
	if err != nil {
		return err
	}
	revisions, err := d.revisions(ctx, "") // after the services: what one of them makes meanwhile is named by it
	if err != nil {
		return err
	}
	used := map[string]bool{}
	for _, s := range services.Items {
		noteSecrets(used, s.Spec.Template.Spec.PodSpec)
	}
	for _, r := range revisions {
		noteSecrets(used, r.Spec.PodSpec)
	}
	var problems []error
	for _, e := range list.Items {
		if used[e.GetName()] || time.Since(e.GetCreationTimestamp().Time) < keepUnused {
			continue
		}
		uid := e.GetUID()
		err := objects.Delete(ctx, e.GetName(), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
		if err != nil && !apierrors.IsNotFound(err) {
			problems = append(problems, fmt.Errorf("remove %s: %w", e.GetName(), err))
			continue
		}
		d.log.Info("removed", "server", e.GetLabels()[labelServer], "object", e.GetName())
	}
	return errors.Join(problems...)
}

// noteSecrets notes the Secrets that a pod names.
func noteSecrets(used map[string]bool, pod corev1.PodSpec) {
	for _, v := range pod.Volumes {
		if v.Secret != nil {
			used[v.Secret.SecretName] = true
		}
	}
	for _, c := range pod.Containers {
		for _, e := range c.Env {
			if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
				used[e.ValueFrom.SecretKeyRef.Name] = true
			}
		}
	}
}
