package knative

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mcpgateway/internal/deploy"
	"mcpgateway/internal/sealedtoken"
)

// remakeEvery is how often a secret that an operator deleted is looked for. It cannot be read: to look is to write, which the
// cluster refuses where the secret is there.
const remakeEvery = 5 * time.Minute

// generate makes the secrets that nobody chooses, the one that the gateway knows, and the tokens by which functions of ours know the
// shim, where they are missing, and reports whether any was. It only ever creates: what is there it can neither read nor change.
func (d *Deployer) generate(ctx context.Context, p deploy.Plan) (made bool, err error) {
	for store, keys := range generated(p) {
		values := map[string][]byte{}
		for _, key := range keys {
			values[key] = make([]byte, 32)
			_, _ = rand.Read(values[key]) // it never fails (crypto/rand, Go 1.24)
		}
		if store == shimStore(p.Server) {
			values[deploy.KeyGateway] = sealedtoken.Key(d.settings.NameKey, p.Server)
		}
		is, err := d.create(ctx, p.Server, store, values)
		if made = made || is; err != nil {
			return made, err
		}
	}
	store, tokens, err := tokensOf(p, d.settings)
	if err == nil && len(tokens) > 0 {
		var is bool
		is, err = d.create(ctx, p.Server, store, tokens)
		made = made || is
	}
	if err == nil {
		d.looked.note(p.Server, time.Now())
	}
	return made, err
}

// create makes a Secret, and reports whether it was missing.
func (d *Deployer) create(ctx context.Context, server, store string, values map[string][]byte) (made bool, err error) {
	secret := MakeSecret(d.settings.Namespace, server, store, values)
	_, err = d.kube.CoreV1().Secrets(secret.Namespace).Create(ctx, secret, metav1.CreateOptions{FieldManager: fieldManager})
	switch {
	case err == nil:
		d.log.Info("secret made", "server", server, "secret", store)
		return true, nil
	case apierrors.IsAlreadyExists(err):
		return false, nil
	}
	return false, err
}

// generated are the keys of stores that a plan wants generated.
func generated(p deploy.Plan) map[string][]string {
	stores := map[string][]string{}
	for _, u := range p.Units {
		for _, s := range u.Secrets {
			if s.Generate {
				stores[s.Store] = append(stores[s.Store], s.Key)
			}
		}
	}
	return stores
}

// remake has what a plan needs of secrets made again where it is missing, once in a while for each server.
func (d *Deployer) remake(ctx context.Context, p planned) error {
	if !d.looked.due(p.Server, time.Now()) {
		return nil
	}
	_, err := d.generate(ctx, p.Plan)
	return errors.Join(err, d.bring(ctx, p))
}

// looks remembers when the secrets of each server were last known to be there.
type looks struct {
	mu   sync.Mutex
	last map[string]time.Time
}

func (l *looks) due(server string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return now.Sub(l.last[server]) >= remakeEvery
}

func (l *looks) note(server string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for other, t := range l.last {
		if now.Sub(t) >= remakeEvery {
			delete(l.last, other)
		}
	}
	if l.last == nil {
		l.last = map[string]time.Time{}
	}
	l.last[server] = now
}
