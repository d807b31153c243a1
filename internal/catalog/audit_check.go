package catalog

import (
	"mcpgateway/internal/audit"
	"mcpgateway/internal/mcp"
)

func checkAuditSink(d *document, a *AuditSink) {
	if a == nil {
		return
	}
	d.webURL(&a.URL, a, "audit.url")
	checkSecret(d, a.Secret, "audit.secret")
	d.choice(&a.Second, "audit.second", "stdout", "none")
	number(d, &a.SpoolMiB, "audit.spoolMiB", 16, 64, 4096)
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
