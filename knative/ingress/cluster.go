// Package ingress is a cluster as the gateway sees it: where Knative's ingress is, under which name it knows an instance, and
// whether that one is awake.
//
// It writes nothing and can write nothing: its credential lists PodAutoscalers, in one namespace. It links no client of
// Kubernetes either, which would add a quarter to the gateway's size for the sake of one GET. What is missing in the cluster
// is the deployer's to make.
package ingress

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/sealedtoken"
	"mcpgateway/knative/names"
)

// connectTimeout bounds how long the ingress may take to be there, handshake included.
const connectTimeout = 5 * time.Second

// Deployer makes what is missing in the cluster.
type Deployer interface {
	Ensure(context.Context, deploy.Key) (deploy.Instance, error)
}

// Config is what a Cluster needs.
type Config struct {
	Knative  *catalog.Knative
	Deployer Deployer
	Logger   *slog.Logger
	Identity aws.CredentialsProvider // who asks a cluster of EKS; needed for that only
}

// Cluster finds instances. It may be used concurrently.
type Cluster struct {
	deployer    Deployer
	knative     *catalog.Knative
	nameKey     []byte
	sealers     sync.Map // of servers' ids: to make one costs more than to use it
	address     string   // host:port of the ingress
	tls         *tls.Config
	autoscalers *autoscalers
}

// New reads keys, authorities and credentials; the cluster itself is asked nothing yet.
func New(c Config) (*Cluster, error) {
	if c.Knative == nil || c.Deployer == nil || c.Logger == nil {
		return nil, errors.New("cluster: Knative, Deployer and Logger are needed")
	}
	k := &Cluster{deployer: c.Deployer, knative: c.Knative}
	var err error
	if k.nameKey, err = names.ReadKey(c.Knative.NameKey); err != nil {
		return nil, err
	}
	if err := k.trust(); err != nil {
		return nil, err
	}
	api, err := findAPI(c.Knative, c.Identity)
	if err != nil {
		return nil, fmt.Errorf("credentials of the cluster: %w", err)
	}
	k.autoscalers = newAutoscalers(api, c.Knative.Namespace, c.Logger)
	return k, nil
}

// trust prepares the connections to the ingress, which callers' tokens travel on.
func (k *Cluster) trust() error {
	u, err := url.Parse(k.knative.Ingress.URL)
	if err != nil {
		return fmt.Errorf("ingress URL: %w", err)
	}
	switch {
	case u.Scheme == "http" && k.knative.Ingress.InsecurePlainIngress:
		k.address = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "80"))
		return nil
	case u.Scheme != "https":
		return errors.New("ingress URL: plain text needs insecurePlainIngress")
	}
	k.address = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443"))
	pem, err := os.ReadFile(k.knative.Ingress.CA)
	if err != nil {
		return fmt.Errorf("read the ingress's authority: %w", err)
	}
	roots, err := authorities(pem)
	if err != nil {
		return fmt.Errorf("%s: %w", k.knative.Ingress.CA, err)
	}
	k.tls = &tls.Config{ServerName: u.Hostname(), RootCAs: roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	return nil
}

// Dial connects to the ingress; a second time where it fails, since an ingress has several pods and the one may just be
// gone. What fails here was sent nothing, the handshake included: its errors are a dialler's.
func (k *Cluster) Dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := k.connect(ctx)
	if err != nil && ctx.Err() == nil {
		conn, err = k.connect(ctx)
	}
	return conn, err
}

func (k *Cluster) connect(ctx context.Context) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", k.address)
	if err != nil || k.tls == nil {
		return conn, err
	}
	encrypted := tls.Client(conn, k.tls)
	if err := encrypted.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, &net.OpError{Op: "dial", Net: "tls", Addr: conn.RemoteAddr(), Err: err}
	}
	return encrypted, nil
}

// At is where an instance is or would be; nobody is asked. A request that is sent there wakes it.
func (k *Cluster) At(key deploy.Key) deploy.Instance {
	service := names.Service(k.nameKey, key)
	return deploy.Instance{ID: service, URL: k.knative.Ingress.URL, Host: names.Host(service, k.knative.Namespace, k.knative.Ingress.Domain)}
}

// Seal hides a value of Authorization from everybody but the server's shim, whose answer has the proof.
func (k *Cluster) Seal(server, authorization string) (sealed, proof string) {
	known, ok := k.sealers.Load(server)
	if !ok {
		made, err := sealedtoken.New(sealedtoken.Key(k.nameKey, server))
		if err != nil {
			panic(err) // only of a key of another length
		}
		known, _ = k.sealers.LoadOrStore(server, made)
	}
	return known.(*sealedtoken.Sealer).Seal(authorization)
}

// SharedKey is what the gateway shares with a server's shim.
func (k *Cluster) SharedKey(server string) []byte { return sealedtoken.Key(k.nameKey, server) }

// State says what an instance does; it starts nothing. That it is awake may have been so five seconds ago, that it is not
// as long ago as trust says, five seconds at most. With an error it cannot be told.
func (k *Cluster) State(ctx context.Context, key deploy.Key, trust time.Duration) (State, error) {
	return k.autoscalers.state(ctx, names.Service(k.nameKey, key), trust)
}

// Find says where an instance is, and whether it is awake. It starts nothing.
func (k *Cluster) Find(ctx context.Context, key deploy.Key) (deploy.Instance, bool, error) {
	state, err := k.State(ctx, key, Fresh)
	return k.At(key), state == Awake, err
}

// Warm asks the API for nothing, so that the next question need not wait for a connection.
func (k *Cluster) Warm(ctx context.Context) error {
	_, err := k.autoscalers.ask(ctx, "")
	return err
}

// Heard notes that an instance has just answered: it is awake, and Kubernetes need not be asked. It also learns of it later
// than the client, whose next message may be one that must not wake.
func (k *Cluster) Heard(at deploy.Instance) { k.autoscalers.heard(at.ID) }

// Ensure has the deployer make an instance's service where it is missing. Where it is stays what At says, which is where
// the operator of this gateway wants tokens to go.
func (k *Cluster) Ensure(ctx context.Context, key deploy.Key) (deploy.Instance, error) {
	made, err := k.deployer.Ensure(ctx, key)
	if err != nil {
		return deploy.Instance{}, err
	}
	at := k.At(key)
	if made.Host != "" && made.Host != at.Host {
		return deploy.Instance{}, fmt.Errorf("the deployer made %s, and the gateway asks for %s: they have different name keys, or deployer.knative in their platform files differs", made.Host, at.Host)
	}
	at.Cold = made.Cold
	return at, nil
}
