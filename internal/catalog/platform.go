package catalog

import (
	"slices"
	"strings"

	"mcpgateway/internal/identity"
)

// Platform is where and how the gateway is offered.
type Platform struct {
	APIVersion string            `yaml:"apiVersion"`
	PublicURL  string            `yaml:"publicURL"` // origin under which clients reach the gateway, without trailing slash
	Hosts      []string          `yaml:"hosts"`     // Host header values accepted besides PublicURL's
	Domain     string            `yaml:"domain"`    // whose names all lead here: each server is also at <scheme>://<id>.<domain>/mcp, which some clients need
	Origins    []string          `yaml:"origins"`   // Origin header values accepted besides PublicURL's
	Issuers    []identity.Issuer `yaml:"issuers"`
	OAuth      *OAuth            `yaml:"oauth"`
	Limits     Limits            `yaml:"limits"`
	Audit      *AuditSink        `yaml:"audit"`
	Sessions   *SessionStore     `yaml:"sessions"`
	Catalog    string            `yaml:"catalog"`  // file or folder, default catalog.yaml beside the platform file
	Deployer   Deployer          `yaml:"deployer"` // where the deployer is and what it needs
	Telemetry  Telemetry         `yaml:"telemetry"`
}

// Files are the paths of what the platform names, for whoever brings them where they are read.
func (p *Platform) Files() []string {
	files := []string{p.Catalog}
	for _, i := range p.Issuers {
		files = append(files, i.KeysFile)
	}
	if k := p.Deployer.Knative; k != nil {
		files = append(files, k.Lock, k.NameKey, k.Kubeconfig, k.Ingress.CA)
		if k.EKS != nil {
			files = append(files, k.EKS.CA)
		}
	}
	if k := p.Deployer.Docker; k != nil {
		files = append(files, k.Lock)
	}
	return slices.DeleteFunc(files, func(path string) bool { return path == "" })
}

// Telemetry is where gateway and shims tell how they do. Without it nothing is measured.
type Telemetry struct {
	Collector string `yaml:"collector"` // base URL of an OTLP receiver over HTTP, such as http://127.0.0.1:4318; its paths are added
	Percent   int    `yaml:"percent"`   // of the traces are kept, default 10; metrics count everything
	Scrape    bool   `yaml:"scrape"`    // every shim has a page for Prometheus too, /metrics on a Unix socket of its own
}

// Limits bound what one identity may ask for. Zero values are replaced by defaults.
type Limits struct {
	CallsPerSecond int      `yaml:"callsPerSecond"` // default 50
	Burst          int      `yaml:"burst"`          // default 100
	Streams        int      `yaml:"streams"`        // listeners open at once, default 32
	InFlight       int      `yaml:"inFlight"`       // calls under way at once, default 64
	WakesPerMinute int      `yaml:"wakesPerMinute"` // default 30
	CallTimeout    Duration `yaml:"callTimeout"`    // longest call, default 15m
}

// AuditSink is where shims send their audit records. Without it, records are JSON lines on their standard output.
type AuditSink struct {
	URL      string      `yaml:"url"`      // takes JSON arrays of records by POST; unix:PATH is a socket of this machine, in a folder of its own, where servers run here
	Secret   *SecretKey  `yaml:"secret"`   // bearer token, of each entry's own store: secrets/<id>-shim/<key> locally; with store none is needed, the deployer makes them
	Second   string      `yaml:"second"`   // stdout | none: where records go that the sink cannot get; stdout where empty
	SpoolMiB int         `yaml:"spoolMiB"` // how much may wait for the sink, for each instance, default 64
	Interval Duration    `yaml:"interval"` // how long records wait for more before they are sent, default 5s
	Store    *AuditStore `yaml:"store"`    // where the sink is functions/audit: what it keeps, and for whom
}

// SocketScheme begins an audit.url that is a socket.
const SocketScheme = "unix:"

// Socket is the path of the sink's socket; empty where the sink has another address.
func (a *AuditSink) Socket() string {
	path, is := strings.CutPrefix(a.URL, SocketScheme)
	if !is {
		return ""
	}
	return path
}

// AuditStore is the sink that comes with this gateway (functions/audit).
type AuditStore struct {
	Auditors []string `yaml:"auditors"` // groups that may read all records: GROUP of the default issuer, or ISSUER:GROUP
	Key      string   `yaml:"key"`      // file of 32 bytes or more that servers' tokens are made with, default <state>/token.key
	State    string   `yaml:"state"`    // folder of records and index, default <deployer.state>/audit
	Table    string   `yaml:"table"`    // DynamoDB table of the index, and
	Bucket   string   `yaml:"bucket"`   // S3 bucket of the records, instead of a folder: for several processes, and for a function
	Keep     Duration `yaml:"keep"`     // how long records are found, default 400d
}

// Files are the paths of what is read at its start.
func (a *AuditStore) Files() []string { return []string{a.Key} }

// Deployer runs servers: as processes on this machine, as containers of its engine, or in a cluster.
type Deployer struct {
	URL      string   `yaml:"url"`      // http://HOST[:PORT] where the gateway asks for what is missing in a cluster, default the socket
	Function string   `yaml:"function"` // instead of URL: the name of the function of AWS Lambda that it is
	Account  string   `yaml:"account"`  // NAMESPACE/NAME of the service account that alone may ask at url, default mcp-system/gateway
	Token    string   `yaml:"token"`    // file of that account's token, for the audience mcpgateway-deployer: the gateway shows it at url
	Socket   string   `yaml:"socket"`   // Unix socket path, default <state>/deployer.sock
	State    string   `yaml:"state"`    // folder for sockets, rules and logs, default .run beside the platform file
	Secrets  string   `yaml:"secrets"`  // folder <id>-server/<key> and <id>-shim/<key>, default secrets beside the platform file
	Knative  *Knative `yaml:"knative"`  // where servers run in a cluster
	Docker   *Docker  `yaml:"docker"`   // where servers are containers of this machine
}

// TokenAudience is whom the token in deployer.token is for: the deployer takes no other, and nobody else takes this one.
const TokenAudience = "mcpgateway-deployer"
