package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"mcpgateway/internal/egress"
	"mcpgateway/internal/secret"
	"mcpgateway/internal/socket"
	"mcpgateway/shim/remote"
	"mcpgateway/shim/webhook"
)

const webhookVariables = `  SHIM_LISTEN          unix:PATH to serve on, for the shim alone
  SHIM_WEBHOOK_URL     the webhook: https://HOST[:PORT]/PATH, or http:// where SHIM_WEBHOOK_EGRESS names private networks
  SHIM_WEBHOOK_EGRESS  where it may be, as SHIM_EGRESS has it ("public")
  SHIM_WEBHOOK_TIMEOUT how long one check may take, retries included (2s)
  SHIM_WEBHOOK_SECRET_FILE
                       file of the secret that signs what is sent, as it is or as whsec_BASE64; not set: nothing is signed
`

type webhookConfig struct {
	Socket  string // path
	URL     *url.URL
	Egress  []egress.Rule
	Timeout time.Duration
	Secret  secret.Text
}

// readWebhookConfig reads the environment and reports every problem at once.
func readWebhookConfig(getenv func(string) string) (c webhookConfig, err error) {
	var problems []error
	problem := func(name string, err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", name, err))
		}
	}
	var ok bool
	if c.Socket, ok = strings.CutPrefix(getenv("SHIM_LISTEN"), "unix:"); !ok || !filepath.IsAbs(c.Socket) {
		problem("SHIM_LISTEN", errors.New("must be unix:PATH with an absolute path"))
	}
	c.URL, err = parseRemote(getenv("SHIM_WEBHOOK_URL"))
	problem("SHIM_WEBHOOK_URL", err)
	if v := getenv("SHIM_WEBHOOK_EGRESS"); v != "" {
		c.Egress, err = egress.Parse(v)
		problem("SHIM_WEBHOOK_EGRESS", err)
	}
	c.Timeout, err = parseDuration(getenv("SHIM_WEBHOOK_TIMEOUT"), 2*time.Second)
	problem("SHIM_WEBHOOK_TIMEOUT", err)
	if v := getenv("SHIM_WEBHOOK_SECRET_FILE"); v != "" {
		if c.Secret, err = readSecret(v); err == nil && c.Secret.Empty() {
			err = errors.New("is empty") // which would be no signature at all
		}
		problem("SHIM_WEBHOOK_SECRET_FILE", err)
	}
	return c, errors.Join(problems...)
}

// runWebhook serves until ctx ends. The shim has let its calls end before.
func runWebhook(ctx context.Context, c webhookConfig, log *slog.Logger) error {
	handler, err := webhook.New(webhook.Config{URL: c.URL, Remote: &remote.Remote{Egress: c.Egress, ConnectTimeout: connectTimeout},
		Secret: []byte(c.Secret.Reveal()), Timeout: c.Timeout, Logger: log})
	if err != nil {
		return err
	}
	listener, err := socket.Listen(c.Socket)
	if err != nil {
		return err
	}
	server := newServer(handler, log)
	return errors.Join(serveUntil(ctx, server, listener), server.Close())
}
