package knative

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/serving/pkg/apis/autoscaling"
	"knative.dev/serving/pkg/apis/serving"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"mcpgateway/internal/deploy"
	"mcpgateway/internal/sealedtoken"
	"mcpgateway/internal/servertoken"
	"mcpgateway/knative/names"
)

// The labels and annotations of what is ours.
const (
	labelManager = "app.kubernetes.io/managed-by"
	labelServer  = "mcpgateway.dev/server"
	labelOwner   = "mcpgateway.dev/owner" // hex digits that name nobody
	labelPlan    = "mcpgateway.dev/plan"  // the plan's hash

	// Of the key that pods open callers' tokens with: another one needs other pods.
	annotationGatewayKey = "mcpgateway.dev/gateway-key"

	annotationHash    = "mcpgateway.dev/hash" // of all that we wrote: the same means that there is nothing to write
	annotationIssuer  = "mcpgateway.dev/owner-issuer"
	annotationSubject = "mcpgateway.dev/owner-subject"

	manager = "mcpgateway"
)

// What Knative takes for the time after which an idle revision is scaled to zero (serving 0.50, config-autoscaler).
const (
	minWindow = 6 * time.Second
	maxWindow = time.Hour
)

// minDeadline is the least time for a revision to become ready: longer than the second in which it does without a pod.
const minDeadline = 30 * time.Second

// Settings are what objects need besides the plan.
type Settings struct {
	Namespace string
	Images    map[string]string         // what the Image… names of plans are: references
	Packages  map[deploy.Package]string // the images that hold packages
	Pinned    map[string]string         // the Secrets with the chosen values of stores, where they are not the stores themselves
	NameKey   []byte                    // shared with the gateway: hides the owners of instances, and callers' tokens; 32 bytes or more
	// Tokens makes the tokens by which functions of ours know shims, for each function.
	Tokens map[string]servertoken.Key
	// CallTimeout is the longest call. The cluster's max-revision-timeout-seconds must allow it.
	CallTimeout time.Duration
}

// MakeService makes the service of a plan. An error means that the cluster cannot run it as it is: a program of the
// operator's machine, a package without an image.
func MakeService(p deploy.Plan, s Settings) (*servingv1.Service, error) {
	service, err := makeService(p, s)
	if err != nil {
		return nil, fmt.Errorf("service of %s: %w", p.Server, err)
	}
	return service, nil
}

func makeService(p deploy.Plan, s Settings) (*servingv1.Service, error) {
	if len(s.NameKey) == 0 {
		return nil, errors.New("there is no name key, which hides callers' tokens from servers")
	}
	pod, err := makePod(p, s)
	if err != nil {
		return nil, err
	}
	labels := map[string]string{labelManager: manager, labelServer: p.Server}
	annotations := map[string]string{}
	if p.Owner != nil {
		labels[labelOwner] = names.Owner(s.NameKey, *p.Owner)
		annotations[annotationIssuer], annotations[annotationSubject] = p.Owner.Issuer, p.Owner.Subject
	}
	template := map[string]string{labelPlan: p.Hash}
	for k, v := range labels {
		template[k] = v
	}
	service := &servingv1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: servingv1.SchemeGroupVersion.String(), Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Name: names.Service(s.NameKey, p.Key()), Namespace: s.Namespace, Labels: labels, Annotations: annotations},
	}
	service.Spec.Template.Labels, service.Spec.Template.Annotations = template, makeAnnotations(p)
	gatewayKey := sha256.Sum256(sealedtoken.Key(s.NameKey, p.Server))
	service.Spec.Template.Annotations[annotationGatewayKey] = hex.EncodeToString(gatewayKey[:8])
	timeout, unlimited := int64(s.CallTimeout/time.Second), int64(0)
	service.Spec.Template.Spec = servingv1.RevisionSpec{PodSpec: pod, TimeoutSeconds: &timeout,
		// A listener's leg is a request, too: a hard limit would let listeners keep calls out. The target scales.
		ContainerConcurrency: &unlimited,
	}
	annotations[annotationHash], err = hash(service)
	return service, err
}

// makeAnnotations says how a revision scales.
func makeAnnotations(p deploy.Plan) map[string]string {
	a := map[string]string{
		autoscaling.InitialScaleAnnotationKey: "0", // deployed is not woken
		autoscaling.MinScaleAnnotationKey:     "0",
		autoscaling.MaxScaleAnnotationKey:     strconv.Itoa(max(1, p.Scale.Max)),
		autoscaling.WindowAnnotationKey:       min(max(p.Scale.Idle, minWindow), maxWindow).String(),
		// Without it queue-proxy may cut an answer that begins before the request was read (golang/go#40747).
		"features.knative.dev/http-full-duplex": "Enabled",
		serving.ProgressDeadlineAnnotationKey:   max(p.Startup, minDeadline).String(),
	}
	if p.Scale.Concurrency > 0 {
		a[autoscaling.TargetAnnotationKey] = strconv.Itoa(p.Scale.Concurrency)
	}
	return a
}

// hash is of all that an object says.
func hash(o any) (string, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16]), nil
}

// rulesName names the ConfigMap with a server's rules.
func rulesName(server string) string { return "mcp-" + server + "-rules" }

// shimStore names the Secret of a server's shim.
func shimStore(server string) string { return "mcp-" + server + "-shim" }

// tokensOf are the tokens of a plan's shim by their keys, and the name of their Secret. The name goes with the tokens: where the
// key of a function is another, or a plan wants one more, that is another Secret, since what is there cannot be changed.
func tokensOf(p deploy.Plan, s Settings) (store string, tokens map[string][]byte, err error) {
	tokens, sum := map[string][]byte{}, sha256.New()
	for _, u := range p.Units {
		for _, secret := range u.Secrets {
			if secret.Token == "" {
				continue
			}
			key, known := s.Tokens[secret.Token]
			if !known {
				return "", nil, fmt.Errorf("there is no key to make the shim's token for %s with", secret.Token)
			}
			tokens[secret.Key] = []byte(key.Of(p.Server))
			fmt.Fprintf(sum, "%s=%s\n", secret.Key, tokens[secret.Key])
		}
	}
	return shimStore(p.Server) + "-" + hex.EncodeToString(sum.Sum(nil)[:8]), tokens, nil
}

// MakeRules makes what holds a server's signed rules: all its instances mount it, and it changes without a revision.
func MakeRules(namespace, server string, signed []byte) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: rulesName(server), Namespace: namespace, Labels: map[string]string{labelManager: manager, labelServer: server}},
		Data:       map[string]string{rulesFile: string(signed)},
	}
}

// MakeSecret makes a store with values that nobody chose.
func MakeSecret(namespace, server, store string, values map[string][]byte) *corev1.Secret {
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Name: store, Namespace: namespace, Labels: map[string]string{labelManager: manager, labelServer: server}},
		Data:       values,
	}
}
