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

// generate makes the secrets that nobody chooses, and those that the gateway and the session store know, where they are missing, and reports whether any was. It only ever creates:
// what is there it can neither read nor change.
func (d *Deployer) generate(ctx context.Context, p deploy.Plan) (made bool, err error) {
	for store, keys := range generated(p) {
		values := map[string][]byte{}
		for _, key := range keys {
			values[key] = make([]byte, 32)
			_, _ = rand.Read(values[key]) // it never fails (crypto/rand, Go 1.24)
		}
		if store == shimStore(p.Server) {
			values[deploy.KeyGateway] = sealedtoken.Key(d.settings.NameKey, p.Server)
			if k := d.settings.SessionsKey; k != nil { // also where sessions end with the server, for the day when they do not
				values[deploy.KeySessions] = []byte(k.Of(p.Server))
			}
		}
		secret := MakeSecret(d.settings.Namespace, p.Server, store, values)
		_, err := d.kube.CoreV1().Secrets(secret.Namespace).Create(ctx, secret, metav1.CreateOptions{FieldManager: fieldManager})
		switch {
		case err == nil:
			made = true
			d.log.Info("secret made", "server", p.Server, "secret", store)
		case !apierrors.IsAlreadyExists(err):
			return made, err
		}
	}
	d.looked.note(p.Server, time.Now())
	return made, nil
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
