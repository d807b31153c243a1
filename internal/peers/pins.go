package peers

// The pins of npm. What is known of a peer belongs to its version: a newer suite, say, may ask for more.
const (
	Suite            = "@modelcontextprotocol/conformance@0.2.0-alpha.12"
	Inspector        = "@modelcontextprotocol/inspector@2.12.0" // brings mcpdo
	SDK              = "@modelcontextprotocol/sdk@1.32.2"       // legacy era only
	Client           = "@modelcontextprotocol/client@2.4.0"     // both eras
	Remote           = "mcp-remote@0.15.1"
	OpenIDProvider   = "oidc-provider@9.13.3"
	Browser          = "puppeteer-core@25.16.0" // drives the machine's Chromium
	Accessibility    = "axe-core@4.14.1"
	DynamoDB         = "amplify-dynamodb-simulator@2.9.30" // brings AWS's own DynamoDB Local, which needs Java
	EverythingServer = "@modelcontextprotocol/server-everything@2026.8.31"
)

// The pins of the Go module proxy.
const (
	FixtureServer = "github.com/modelcontextprotocol/go-sdk/conformance/everything-server@v1.8.0"
	FixtureClient = "github.com/modelcontextprotocol/go-sdk/conformance/everything-client@v1.8.0"
	Terraform     = "github.com/hashicorp/terraform@v1.11.4"
	TFLint        = "github.com/terraform-linters/tflint@v0.64.0"
)
