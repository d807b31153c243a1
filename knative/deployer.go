package knative

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
	servingclient "knative.dev/serving/pkg/client/clientset/versioned"

	"mcpgateway/internal/deploy"
	"mcpgateway/internal/imagelock"
	"mcpgateway/knative/names"
)

// fieldManager is who we are in server-side apply.
const fieldManager = "mcpgateway-deployer"

// answerTimeout is how long the API server may take for one answer.
const answerTimeout = 10 * time.Second

// Config configures a Deployer.
type Config struct {
	Settings Settings     // without Packages and Pinned
	Lock     string       // the lock file, which says what Packages are; read whenever something is planned
	Store    *SecretStore // nil where operators make the Secrets of their values themselves
	Cluster  *rest.Config
	Ingress  *url.URL // where Knative's ingress answers
	Domain   string   // services are <name>.<namespace>.<domain>
	Logger   *slog.Logger
}

// Deployer puts plans in force in one namespace of a cluster. It holds no state but what the cluster has, and may be used
// concurrently, also beside another one.
type Deployer struct {
	settings Settings
	lock     string
	store    *SecretStore
	ingress  *url.URL
	domain   string
	kube     kubernetes.Interface
	serving  servingclient.Interface
	dynamic  dynamic.Interface
	flights  singleflight.Group
	making   sync.Mutex // held while an instance of a user's is made: they are counted
	refused  failures
	looked   looks
	silence  atomic.Int64 // when the External Secrets operator was waited for in vain
	log      *slog.Logger
}

// New returns a deployer. It asks the cluster nothing yet.
func New(c Config) (*Deployer, error) {
	cluster := rest.CopyConfig(c.Cluster)
	cluster.UserAgent = fieldManager
	cluster.QPS, cluster.Burst = 50, 100 // the default of 5 a second would have callers wait for each other
	kube, err := kubernetes.NewForConfig(cluster)
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	serving, err := servingclient.NewForConfig(cluster)
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	objects, err := dynamic.NewForConfig(cluster)
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	return &Deployer{settings: c.Settings, lock: c.Lock, store: c.Store, ingress: c.Ingress, domain: c.Domain, kube: kube, serving: serving,
		dynamic: objects, log: c.Logger}, nil
}

// Ensure has the service of a plan be there, as planned and with a revision that takes calls, and says where. It wakes
// nothing. Where its pods cannot run, the error says so: *deploy.StartError, or ctx's.
func (d *Deployer) Ensure(ctx context.Context, p deploy.Plan) (deploy.Instance, error) {
	flight := d.flights.DoChan(names.Service(d.settings.NameKey, p.Key())+" "+p.Hash, func() (any, error) {
		alone, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.Startup)
		defer cancel()
		want, err := d.plan(alone, p)
		if err != nil {
			return nil, d.fail(p, "The server cannot be started as it is configured.", err)
		}
		id := want.service.Name + " " + want.service.Annotations[annotationHash]
		if err := d.refused.recent(id); err != nil {
			return nil, err
		}
		want.patience = secretTimeout
		instance, err := d.ensure(alone, want)
		d.refused.note(id, err)
		return instance, err
	})
	select {
	case <-ctx.Done():
		return deploy.Instance{}, ctx.Err()
	case r := <-flight:
		if r.Err != nil {
			return deploy.Instance{}, r.Err
		}
		return r.Val.(deploy.Instance), nil
	}
}

// planned is a plan as the cluster is to have it.
type planned struct {
	deploy.Plan
	service *servingv1.Service
	secrets []*unstructured.Unstructured // the ExternalSecrets of what it names
	// patience is how long the operator may take for each.
	patience time.Duration
}

// plan makes the service of a plan as the lock file and the versions of secrets are now: a line that is put back is the way
// back.
func (d *Deployer) plan(ctx context.Context, p deploy.Plan) (want planned, err error) {
	settings := d.settings
	if settings.Packages, err = d.packages(); err != nil {
		return want, err
	}
	want.Plan, want.patience = p, secretMoment
	if want.secrets, err = d.external(ctx, p); err != nil {
		return want, err
	}
	settings.Pinned = pins(want.secrets)
	want.service, err = MakeService(p, settings)
	return want, err
}

// packages are the images of packages, as the lock file is now.
func (d *Deployer) packages() (map[deploy.Package]string, error) {
	lines, err := imagelock.Read(d.lock)
	return imagelock.Images(lines), err
}

// ensure is one flight of Ensure.
func (d *Deployer) ensure(ctx context.Context, want planned) (deploy.Instance, error) {
	p := want.Plan
	live, written, err := d.apply(ctx, want)
	made := false
	if err == nil && !written {
		made, err = d.generate(ctx, p)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return deploy.Instance{}, tooLate(err)
	case err != nil:
		return deploy.Instance{}, d.fail(p, "", err)
	}
	live, unready := d.awaitReady(ctx, live)
	awake := false
	if !made { // else pods that wait for the secret say so still
		if awake, err = d.look(ctx, live); err != nil {
			return deploy.Instance{}, d.fail(p, "The server does not start.", err)
		}
	}
	if ctx.Err() != nil {
		return deploy.Instance{}, tooLate(unready)
	}
	if unready != nil {
		return deploy.Instance{}, d.fail(p, "The server cannot be started as it is configured.", d.revisionTrouble(ctx, live, unready))
	}
	if written {
		d.log.Info("deployed", "server", p.Server, "service", live.Name, "revision", live.Status.LatestReadyRevisionName)
	}
	instance := d.instance(live)
	instance.Cold = !awake
	return instance, nil
}

// tooLate is the error of a start whose time is over.
func tooLate(cause error) error {
	return &deploy.StartError{Code: deploy.CodeTimeout, Message: "The server was not ready in time.", RetryAfter: again, Cause: cause}
}

// look looks at the pods of a service's newest revision: whether one takes calls, or why none will.
func (d *Deployer) look(ctx context.Context, s *servingv1.Service) (awake bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	pods, err := d.pods(ctx, s.Name)
	if err != nil {
		return false, err
	}
	for _, pod := range pods {
		if pod.Labels[labelRevision] != s.Status.LatestCreatedRevisionName {
			continue
		}
		if ready(pod) {
			return true, nil
		}
		if err := d.trouble(ctx, pod); err != nil {
			return false, err
		}
	}
	return false, nil
}

// instance is where a service takes calls.
func (d *Deployer) instance(s *servingv1.Service) deploy.Instance {
	return deploy.Instance{ID: s.Status.LatestReadyRevisionName, URL: d.ingress.String(), Host: names.Host(s.Name, s.Namespace, d.domain)}
}

// Deploy puts a plan in force and waits for nothing: calls move to the new revision when that can take them, and the old
// one finishes those it has.
func (d *Deployer) Deploy(ctx context.Context, p deploy.Plan) error {
	want, err := d.plan(ctx, p)
	if err != nil {
		return err
	}
	live, written, err := d.apply(ctx, want)
	if err != nil {
		return err
	}
	if written {
		d.log.Info("deployed", "server", p.Server, "service", live.Name)
		return nil
	}
	return errors.Join(d.remake(ctx, want), d.tidy(ctx, live))
}

// apply writes what differs from the cluster, and reports whether that was anything.
func (d *Deployer) apply(ctx context.Context, plan planned) (live *servingv1.Service, written bool, err error) {
	p, want := plan.Plan, plan.service
	services := d.serving.ServingV1().Services(want.Namespace)
	live, err = d.present(ctx, want.Name)
	switch {
	case apierrors.IsNotFound(err):
		live = nil // the client returns an empty one
	case err != nil:
		return nil, false, err
	case live.Labels[labelManager] != manager:
		return nil, false, fmt.Errorf("service %s is not ours: it lacks the label %s=%s", want.Name, labelManager, manager)
	case live.Annotations[annotationHash] == want.Annotations[annotationHash]:
		if stuck, err := d.stuck(ctx, live); !stuck || err != nil {
			return live, false, err
		}
	}
	if live == nil && p.Owner != nil && p.Instances > 0 {
		d.making.Lock()
		defer d.making.Unlock()
		if err := d.makeRoom(ctx, p); err != nil {
			return nil, false, err
		}
	}
	if _, err := d.generate(ctx, p); err != nil {
		return nil, false, err
	}
	if err := d.bring(ctx, plan); err != nil {
		return nil, false, err
	}
	if live != nil {
		if want, err = d.warm(ctx, want); err != nil {
			return nil, false, err
		}
	}
	text, err := applied(want)
	if err != nil {
		return nil, false, err
	}
	live, err = services.Patch(ctx, want.Name, applyPatch, text, applyOptions)
	return live, err == nil, err
}

// endTimeout is how long a service that is being removed may take to go, before what replaces it is given up for now. Its pods
// finish the calls that they have.
const endTimeout = 20 * time.Second

// present returns a service. One that is being removed takes no change with it into its place: first it must be gone.
func (d *Deployer) present(ctx context.Context, name string) (*servingv1.Service, error) {
	for began := time.Now(); ; {
		live, err := d.serving.ServingV1().Services(d.settings.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil || live.DeletionTimestamp == nil {
			return live, err
		}
		if time.Since(began) > endTimeout {
			return nil, fmt.Errorf("service %s is being removed, and its pods have not ended yet", name)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(endTimeout / 100):
		}
	}
}

// Remove deletes the service of a key, which takes no calls any more; its pods finish those that they have. The rules and the
// secrets of a server go with its last service.
func (d *Deployer) Remove(ctx context.Context, key deploy.Key) error {
	name := names.Service(d.settings.NameKey, key)
	foreground := metav1.DeletePropagationForeground
	err := d.serving.ServingV1().Services(d.settings.Namespace).Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &foreground})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	d.log.Info("removed", "server", key.Server, "service", name)
	return nil
}

// SetRules puts signed rules in force for a server, in every instance of it that runs.
func (d *Deployer) SetRules(ctx context.Context, server string, signed []byte) error {
	text, err := applied(MakeRules(d.settings.Namespace, server, signed))
	if err != nil {
		return err
	}
	_, err = d.kube.CoreV1().ConfigMaps(d.settings.Namespace).Patch(ctx, rulesName(server), applyPatch, text, applyOptions)
	return err
}

// Rules returns the signed rules of a server; fs.ErrNotExist where it has none.
func (d *Deployer) Rules(server string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
	defer cancel()
	rules, err := d.kube.CoreV1().ConfigMaps(d.settings.Namespace).Get(ctx, rulesName(server), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("rules of %s: %w", server, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	return []byte(rules.Data[rulesFile]), nil
}

// Prepare says which packages have no image yet: those servers cannot start.
func (d *Deployer) Prepare(_ context.Context, needs []deploy.Need) error {
	images, err := d.packages()
	if err != nil {
		return err
	}
	var missing []error
	for _, n := range needs {
		if n.Image == "" && images[n.Package] == "" { // the nodes pull images
			missing = append(missing, fmt.Errorf("server %s: the lock file has no image for package %s; mcpgateway bake makes it", n.Server, n.Package.Name))
		}
	}
	return errors.Join(missing...)
}

// StopAll stops nothing: what is in a cluster needs no deployer to go on.
func (d *Deployer) StopAll(context.Context) error { return nil }

// Close ends nothing, either.
func (d *Deployer) Close() error { return nil }

// fail logs why a server does not start, and returns what its callers may know.
func (d *Deployer) fail(p deploy.Plan, sentence string, cause error) error {
	if known, ok := errors.AsType[*deploy.StartError](cause); ok {
		return known
	}
	return deploy.Refuse(d.log, p.Key(), deploy.StartError{Message: sentence, RetryAfter: again, Cause: cause})
}
