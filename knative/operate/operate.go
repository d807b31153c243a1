// Package operate is what an operator does with the servers of a cluster, besides changing the catalog: look how they are,
// read their logs, and wake one.
//
// It changes nothing in the cluster: to wake is to send a request. It goes by the operator's own credentials, and names no
// user: whose an instance is only the name key tells.
package operate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"mcpgateway/internal/catalog"
	"mcpgateway/knative"
)

// Cluster is what a platform file and its catalog describe. It may be used concurrently.
type Cluster struct {
	platform *catalog.Platform
	catalog  *catalog.Catalog
	rest     *rest.Config
	kube     kubernetes.Interface
	deployer surveyor
	lag      time.Duration // see ingressLag
}

// surveyor is what is asked of a cluster's deployer.
type surveyor interface {
	Survey(ctx context.Context) ([]knative.Service, error)
	Obstacle(ctx context.Context, service string) error
}

// Open reads a platform file and its catalog. The cluster is asked nothing yet.
func Open(platform string) (*Cluster, error) {
	p, err := catalog.LoadPlatform(platform)
	if err != nil {
		return nil, err
	}
	k := p.Deployer.Knative
	if k == nil {
		return nil, fmt.Errorf("%s has no deployer.knative: its servers are processes of a machine, with logs in %s/logs", platform, p.Deployer.State)
	}
	servers, err := catalog.LoadCatalog(p.Catalog, p, catalog.LeaveConditions)
	if err != nil {
		return nil, err
	}
	c := &Cluster{platform: p, catalog: servers, lag: ingressLag}
	if c.rest, err = knative.Reach(k); err != nil {
		return nil, err
	}
	c.rest.UserAgent = "mcpgateway"
	c.rest.QPS, c.rest.Burst = 50, 100 // a start is watched closely
	if c.kube, err = kubernetes.NewForConfig(c.rest); err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	ingress, err := url.Parse(k.Ingress.URL)
	if err != nil {
		return nil, fmt.Errorf("deployer.knative.ingress.url: %w", err)
	}
	c.deployer, err = knative.New(knative.Config{Settings: knative.Settings{Namespace: k.Namespace}, Lock: k.Lock, Cluster: c.rest,
		Ingress: ingress, Domain: k.Ingress.Domain, Logger: slog.New(slog.DiscardHandler)})
	return c, err
}

// namespace is where the servers are.
func (c *Cluster) namespace() string { return c.platform.Deployer.Knative.Namespace }

// ownerForm is what stands for a user in names.
var ownerForm = regexp.MustCompile(`^[0-9a-f]{16}$`)

// find returns an entry of the catalog; owner must be given where each user has an instance.
func (c *Cluster) find(id, owner string) (*catalog.Server, error) {
	entry, ok := c.catalog.Server(id)
	switch {
	case !ok:
		return nil, fmt.Errorf("the catalog %s has no server %.80q", c.platform.Catalog, id)
	case owner != "" && !ownerForm.MatchString(owner):
		return nil, fmt.Errorf("owner %.80q: 16 hex digits stand for a user, as mcpgateway status shows them", owner)
	case owner != "" && !entry.Instances.PerUser:
		return nil, fmt.Errorf("server %s is the same for all users", id)
	}
	return entry, nil
}

// service is the name of an instance's Knative service.
func service(id, owner string) string {
	if owner == "" {
		return "mcp-" + id
	}
	return "mcp-" + id + "-" + owner
}

// printable takes out what moves a terminal's cursor: others wrote it.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}

// age is how long ago something was, in one unit.
func age(d time.Duration) string {
	switch d = max(0, d); {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

var errNotDeployed = errors.New("it is not deployed: the deployer does that, and its log says what keeps it from it")
