package catalog

import (
	"path/filepath"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/policy"
	"mcpgateway/internal/socket"
)

// bucketForm is a bucket's name (Amazon S3 user guide, general purpose bucket naming rules).
var bucketForm = newPattern(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

const (
	maxAuditors = 100
	day         = Duration(24 * time.Hour)
)

// checkAuditStore is called when issuers and the deployer's state are known.
func checkAuditStore(d *document, p *Platform, dir string) {
	if p.Audit == nil || p.Audit.Store == nil {
		return
	}
	s := p.Audit.Store
	if len(s.Auditors) == 0 || len(s.Auditors) > maxAuditors {
		d.bad(s, "audit.store.auditors: name 1 to %d groups: nobody else reads the records", maxAuditors)
	}
	for i := range s.Auditors {
		if err := policy.CheckSubject(s.Auditors[i], p.Issuers); err != nil && len(p.Issuers) > 0 {
			d.bad(&s.Auditors[i], "audit.store.auditors: %v", err)
		}
	}
	d.filePath(&s.State, "audit.store.state", dir, filepath.Join(p.Deployer.State, "audit"))
	d.filePath(&s.Key, "audit.store.key", dir, filepath.Join(s.State, "token.key"))
	if d.has(&s.Table) && !d.matches(&s.Table, tableForm) {
		d.bad(&s.Table, "audit.store.table: %.60q is no name of a DynamoDB table: 3 to 255 letters, digits, dots, dashes and underscores", s.Table)
	}
	if d.has(&s.Bucket) && !d.matches(&s.Bucket, bucketForm) {
		d.bad(&s.Bucket, "audit.store.bucket: %.60q is no name of an S3 bucket: 3 to 63 small letters, digits, dots and dashes", s.Bucket)
	}
	if d.has(&s.Table) != d.has(&s.Bucket) {
		d.bad(s, "audit.store: table and bucket go together: the index of the records, and the records")
	}
	number(d, &s.Keep, "audit.store.keep", day, 400*day, 3653*day)
}

func checkAuditSink(d *document, a *AuditSink, k *Knative, dir string) {
	if a == nil {
		return
	}
	path := a.Socket()
	switch {
	case path == "":
		d.webURL(&a.URL, a, "audit.url")
	case k != nil:
		d.bad(&a.URL, "audit.url: pods reach no socket of this machine: name a URL")
	default:
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		if len(path) > socket.MaxPath {
			d.bad(&a.URL, "audit.url: the socket's path is longer than %d bytes: choose a shorter one", socket.MaxPath)
		}
		a.URL = SocketScheme + path
	}
	checkSecret(d, a.Secret, "audit.secret")
	d.choice(&a.Second, "audit.second", "stdout", "none")
	number(d, &a.SpoolMiB, "audit.spoolMiB", 16, 64, 4096)
	number(d, &a.Interval, "audit.interval", Duration(100*time.Millisecond), Duration(5*time.Second), Duration(time.Minute))
}

func checkAudit(d *document, a *Audit, p *Platform) {
	d.choice(&a.Bodies, "audit.bodies", "metadata", "none", "full")
	number(d, &a.MaxBody, "audit.maxBody", 1<<10, 64<<10, audit.MaxBody)
	if d.has(&a.MaxBody) && a.Bodies != "full" {
		d.bad(&a.MaxBody, "audit.maxBody needs bodies: full")
	}
	if len(a.Redact) > 0 && a.Bodies != "full" {
		d.bad(&a.Redact, "audit.redact needs bodies: full; nothing else of a body is kept")
	}
	if _, err := mcp.NewRedactor(a.Redact); err != nil {
		d.bad(&a.Redact, "audit.redact: %v", err)
	}
	if a.Required && p.Audit == nil && len(p.Issuers) > 0 { // without any, the platform could not be read
		d.bad(&a.Required, "audit.required needs a sink to wait for: audit.url in the platform file")
	}
}
